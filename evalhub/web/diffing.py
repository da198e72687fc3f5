"""What changed between two texts, word by word, as escaped HTML."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")
LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")
MOST_WORDS: Final = 3_000  # beyond it lines are compared, because the time grows with the square
MOST_LINES: Final = 2_000


def word_diff(old: str, new: str) -> SafeString:
    """``new`` with what it dropped from ``old`` struck out and what it added marked."""
    return format_html_join("", "{}", ((marked(kind, text),) for kind, text in changes(old, new)))


def marked(kind: str, text: str) -> str:
    if kind == "same":
        return text
    return format_html("<del>{}</del>" if kind == "old" else "<ins>{}</ins>", text)


def changes(old: str, new: str) -> list[tuple[str, str]]:
    """The texts' pieces in reading order, each "same", "old" or "new"."""
    before, after = WORDS.findall(old), WORDS.findall(new)
    if max(len(before), len(after)) > MOST_WORDS:
        before, after = LINES.findall(old), LINES.findall(new)
    if max(len(before), len(after)) > MOST_LINES:
        return [piece for piece in (("old", old), ("new", new)) if piece[1]]
    pieces: list[tuple[str, str]] = []
    for operation, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if operation == "equal":
            pieces.append(("same", "".join(before[a:b])))
            continue
        if b > a:
            pieces.append(("old", "".join(before[a:b])))
        if d > c:
            pieces.append(("new", "".join(after[c:d])))
    return pieces
