"""The HTML of every page nests as it is written: browsers move a form out of a paragraph, and a link out of a link."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from django.test import Client

from tests.browser.test_every_page import pages_of
from tests.test_tenancy import ours

pytestmark = pytest.mark.django_db

__all__ = ["ours"]

ALONE = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
PRESSED = ("a", "button", "summary")
NEVER_IN = {  # what the parsers of browsers take out of these
    **dict.fromkeys(("article", "aside", "blockquote", "details", "dialog", "div", "dl", "fieldset", "footer"), ("p",)),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "ul"), ("p",)),
    **dict.fromkeys(PRESSED, PRESSED),
    "form": ("p", "form"),
    "table": ("p",),
}


class Nesting(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.mistakes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names += [value or "" for name, value in attrs if name == "id"]
        outside = NEVER_IN.get(tag, ())
        self.mistakes += [f"<{tag}> in <{one}>, line {self.getpos()[0]}" for one in self.open if one in outside]
        if tag not in ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What is drawn: it has no inside."""

    def handle_endtag(self, tag: str) -> None:
        if tag in ALONE:
            return
        if self.open[-1:] != [tag]:
            self.mistakes.append(f"</{tag}> ends <{self.open[-1:]}>, line {self.getpos()[0]}")
        while self.open and self.open.pop() != tag:
            pass


def mistakes_in(text: str) -> list[str]:
    page = Nesting()
    page.feed(text)
    page.close()
    twice = {name for name in page.names if page.names.count(name) > 1}
    return [*page.mistakes, *(f"<{tag}> has no end" for tag in page.open), *(f"#{name} twice" for name in twice)]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("<p>Hana <form></form></p>", ["<form> in <p>, line 1"]),
        ("<a><b></a>", ["</a> ends <['b']>, line 1"]),
        ("<ul id='x'><li><p id='x'>One<br>two</p></li></ul>", ["#x twice"]),
        ("<section><hr><p>Fine</p></section>", []),
    ],
)
def test_what_browsers_would_move_is_noticed(text, mistakes):
    assert mistakes_in(text) == mistakes


def test_every_page_nests_as_it_is_written(ours):
    client = Client()
    client.force_login(ours.admin)

    mistakes = {path: mistakes_in(client.get(path).text) for path in pages_of(ours)}

    assert {path: found for path, found in mistakes.items() if found} == {}
