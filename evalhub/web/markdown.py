"""Markdown of models and people as HTML that cannot do anything: no scripts, no pictures, no styles, no forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import nh3
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

SCHEMES: Final = {"http", "https", "mailto"}
TAGS: Final = {
    *("a", "p", "br", "hr", "h4", "h5", "h6", "blockquote", "pre", "code", "em", "strong", "del", "ins", "sub", "sup"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES: Final = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}
REL: Final = "noopener noreferrer nofollow ugc"
LANGUAGE: Final = re.compile(r"language-[\w+#.-]{1,30}")
MOST: Final = 100_000  # characters; what comes after is shown as it is
UNBROKEN: Final = re.compile(r"\S{250}")


def render_markdown(text: str) -> SafeString:
    """The text's Markdown as sanitised HTML."""
    raw = reader().render(text[:MOST])
    clean = nh3.clean(raw, tags=TAGS, attributes=ATTRIBUTES, attribute_filter=keep, url_schemes=SCHEMES, link_rel=REL)
    html = mark_safe(clean)  # noqa: S308  the one place: nh3 has just let through nothing but the tags above
    return format_html("{}<pre>{}</pre>", html, text[MOST:]) if len(text) > MOST else html


def breakable(text: str) -> SafeString:
    """The text, escaped, with a place to break in its endless words: a browser needs long to break those itself."""
    ends = [match.end() for match in UNBROKEN.finditer(text)]
    starts = [0, *ends]
    pieces = ((text[start:end],) for start, end in zip(starts, ends, strict=False))
    return format_html("{}{}", format_html_join("", "{}<wbr>", pieces), text[starts[-1] :])


def keep(tag: str, attribute: str, value: str) -> str | None:
    """Links lead off this site or nowhere: a model must not link to our own addresses."""
    if attribute == "href":
        return value if leads_away(value) else None
    if attribute == "class":
        return value if LANGUAGE.fullmatch(value) else None
    return value


def leads_away(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme.lower() in SCHEMES and (parts.scheme.lower() == "mailto" or bool(parts.netloc))


@lru_cache(maxsize=1)
def reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("image", image_as_link)
    reader.add_render_rule("heading_open", smaller_heading)
    reader.add_render_rule("heading_close", smaller_heading)
    return reader


def image_as_link(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    """A picture is a call to its host: the reader decides, and sees the host first."""
    token = tokens[index]
    address = str(token.attrs.get("src") or "")
    words = token.content or "picture"
    if not leads_away(address):
        return escape(words)
    return f'<a href="{escape(address)}">{escape(words)} ({escape(urlsplit(address).hostname or "mail")})</a>'


def smaller_heading(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    """h1 to h3 belong to the page around the text."""
    token = tokens[index]
    level = min(int(token.tag[1:]) + 3, 6)
    return f"<h{level}>" if token.nesting == 1 else f"</h{level}>\n"
