"""What changed between two texts, word by word, as escaped HTML."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")
WORD: Final = re.compile(r"\w")
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
    gone = come = ""
    for operation, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        kept = "".join(before[a:b]) if operation == "equal" else ""
        if WORD.search(kept) or (kept and not (gone or come)):
            pieces += both(gone, come)
            pieces.append(("same", kept))
            gone = come = ""
        elif kept:  # a space or a comma between two changes: one change reads better than two
            gone, come = gone + kept, come + kept
        else:
            gone, come = gone + "".join(before[a:b]), come + "".join(after[c:d])
    return pieces + both(gone, come)


def both(gone: str, come: str) -> list[tuple[str, str]]:
    """A change as pieces; what both sides end with is not part of it."""
    end = len(gone)
    while end and come.endswith(gone[end - 1 :]) and not WORD.match(gone[end - 1]):
        end -= 1
    tail = gone[end:]
    if tail:
        gone, come = gone[:end], come[: len(come) - len(tail)]
    return [(kind, text) for kind, text in (("old", gone), ("new", come), ("same", tail)) if text]
