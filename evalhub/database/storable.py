"""Makes foreign data fit into PostgreSQL, which refuses NUL, lone surrogates and numbers that are not finite."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

REPLACEMENT = "\ufffd"
MAX_DEPTH = 100
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)  # what orjson writes


class TooDeep(ValueError):
    """Lists and objects inside each other beyond the limit."""


@dataclass(slots=True)
class Replaced:
    """Counts what ``storable`` had to replace, for a warning that people read."""

    texts: int = 0
    numbers: int = 0

    def warnings(self) -> list[str]:
        said = []
        if self.texts:
            said.append(
                "Some texts held NUL characters or half characters (lone surrogates), which the database cannot "
                f"store: each is shown as {REPLACEMENT}."
            )
        if self.numbers:
            said.append("Some numbers could not be stored as such (NaN, infinite or too long): they are kept as text.")
        return said


def storable(value: Any, replaced: Replaced | None = None, *, max_depth: int = MAX_DEPTH) -> Any:
    """A copy of JSON-like data (or a lone text) that PostgreSQL stores and every JSON reader reads.

    NUL and lone surrogates become U+FFFD; NaN and infinite numbers become the strings "NaN", "Infinity" and
    "-Infinity"; integers beyond 64 bits become strings of their digits.
    """
    return _storable(value, replaced or Replaced(), max_depth)


def _storable(value: Any, replaced: Replaced, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value, replaced)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _unfinite(value, replaced)
    if isinstance(value, int):
        return value if _SMALLEST <= value <= _LARGEST else _digits(value, replaced)
    if isinstance(value, dict | list | tuple):
        if depth == 0:
            raise TooDeep("lists and objects are nested too deeply")
        if isinstance(value, dict):
            return {_text(str(key), replaced): _storable(item, replaced, depth - 1) for key, item in value.items()}
        return [_storable(item, replaced, depth - 1) for item in value]
    return value


def _text(text: str, replaced: Replaced) -> str:
    if text.isascii():
        if "\x00" not in text:
            return text
    elif not _UNSTORABLE.search(text):
        return text
    replaced.texts += 1
    return _UNSTORABLE.sub(REPLACEMENT, text)


def _unfinite(value: float, replaced: Replaced) -> str:
    replaced.numbers += 1
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _digits(value: int, replaced: Replaced) -> str:
    replaced.numbers += 1
    return f"{value:#x}" if value.bit_length() > 14_000 else str(value)  # Python refuses to print 4,300 digits
