import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from django.utils.safestring import SafeString

from evalhub.web.markdown import ATTRIBUTES, TAGS, breakable, render_markdown
from tests import hostile


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "<p>plain</p>\n"),
        ("**bold** and _thin_ and `code`", "<p><strong>bold</strong> and <em>thin</em> and <code>code</code></p>\n"),
        ("# One\n### Three\n###### Six", "<h4>One</h4>\n<h6>Three</h6>\n<h6>Six</h6>\n"),
        ("3. three", '<ol start="3">\n<li>three</li>\n</ol>\n'),
        ("```python\nprint(1)\n```", '<pre><code class="language-python">print(1)\n</code></pre>\n'),
        (
            "[docs](https://example.com 'Title')",
            '<p><a href="https://example.com" title="Title" rel="noopener noreferrer nofollow ugc">docs</a></p>\n',
        ),
        (
            "![a chart](https://example.com/x.png)",
            '<p><a href="https://example.com/x.png" rel="noopener noreferrer nofollow ugc">'
            "a chart (example.com)</a></p>\n",
        ),
        ("[in](/logout/)", '<p><a rel="noopener noreferrer nofollow ugc">in</a></p>\n'),
        ("![in](/static/x.png)", "<p>in</p>\n"),
        ("<b>html</b> & more", "<p>&lt;b&gt;html&lt;/b&gt; &amp; more</p>\n"),
        ("", ""),
    ],
)
def test_markdown_is_shown_as_it_was_meant(text, html):
    assert render_markdown(text) == html


def test_a_table_is_a_table_without_styles():
    html = render_markdown("| a | b |\n|:--|--:|\n| 1 | 2 |")

    assert [element for element in Elements(html).found if element[0] in ("th", "td")] == [
        ("th", {}),
        ("th", {}),
        ("td", {}),
        ("td", {}),
    ]


@pytest.mark.parametrize("text", hostile.ALL)
def test_nothing_hostile_survives(text):
    html = render_markdown(text)

    for tag, attributes in Elements(html).found:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        if "href" in attributes:
            parts = urlsplit(attributes["href"])
            assert parts.scheme in ("http", "https", "mailto")
            assert parts.scheme == "mailto" or parts.netloc
        if "class" in attributes:
            assert attributes["class"].startswith("language-")
            assert " " not in attributes["class"]


def seconds_for(text):
    """Of this thread's own processor time; the best of three, for a garbage collection may fall into one of them."""
    tries = []
    for _ in range(3):
        started = time.thread_time()
        render_markdown(text)
        tries.append(time.thread_time() - started)
    return min(tries)


@pytest.mark.parametrize("text", hostile.SLOW, ids=lambda text: text[:4])
def test_no_text_takes_long(text):
    assert seconds_for(text) < 0.5


@pytest.mark.parametrize("text", hostile.SLOW, ids=lambda text: text[:4])
def test_four_times_the_text_takes_about_four_times_as_long(text):
    assert seconds_for(text * 4) < 10 * seconds_for(text) + 0.02


def test_an_endless_word_has_places_to_break():
    piece = "&lt;" * 250

    assert breakable("few words " + "<" * 501) == f"few words {piece}<wbr>{piece}<wbr>&lt;"


def test_what_is_too_long_ends_as_plain_text():
    html = render_markdown("a" * 100_000 + "<b>*end*</b>")

    assert isinstance(html, SafeString)
    assert html.endswith("<pre>&lt;b&gt;*end*&lt;/b&gt;</pre>")
