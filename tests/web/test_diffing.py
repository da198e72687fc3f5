import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalhub.web.diffing import changes, word_diff


@pytest.mark.parametrize(
    ("old", "new", "html"),
    [
        ("same words", "same words", "same words"),
        ("", "", ""),
        ("", "new", "<ins>new</ins>"),
        ("old", "", "<del>old</del>"),
        ("one two three", "one 2 three", "one <del>two</del><ins>2</ins> three"),
        (
            "I’ve issued the refund.",
            "We repair the shoes.",
            "<del>I’ve issued</del><ins>We repair</ins> the <del>refund</del><ins>shoes</ins>.",
        ),
        ("<b>old</b>", "<b>new</b>", "&lt;b&gt;<del>old</del><ins>new</ins>&lt;/b&gt;"),
        ("a", "<script>", "<del>a</del><ins>&lt;script&gt;</ins>"),
    ],
)
def test_words_that_changed_are_marked(old, new, html):
    assert word_diff(old, new) == html


words = st.text("ab c\n,.<é", max_size=30)


@given(words, words)
def test_both_texts_can_be_read_from_their_difference(old, new):
    pieces = changes(old, new)

    assert "".join(text for kind, text in pieces if kind != "new") == old
    assert "".join(text for kind, text in pieces if kind != "old") == new


@pytest.mark.parametrize("words", [2_900, 30_000, 300_000])
def test_long_texts_do_not_take_long(words):
    old = "".join(f"word{number % 1_700}\n" for number in range(words))
    new = "".join(f"word{number * 7 % 1_300} " for number in range(words))
    started = time.process_time()

    changes(old, new)

    assert time.process_time() - started < 2
