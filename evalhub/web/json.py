"""JSON from strangers: strict, with limits, and refused in a sentence that says where."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from decimal import Decimal
from typing import Any, Final, NoReturn

import orjson
from django.utils.functional import Promise

STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NOT_BRACKETS: Final = re.compile(rb"[^\[\]{}]+")
OPENING: Final = frozenset(b"[{")
RARE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
SURROGATE: Final = re.compile("[\ud800-\udfff]")
LEAST, MOST = -(2**63), 2**64 - 1
LONGEST_NUMBER: Final = 400  # characters


class BadJson(ValueError):
    """What is wrong with the text, as a sentence for the person who sent it."""


def loads_strict(data: bytes | str, depth: int = 64) -> Any:
    """The value that the JSON text stands for; BadJson for everything that we could not store or give back."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    if not raw.strip():
        raise BadJson("The text is empty, and JSON was expected.")
    deepest = depth_of(raw)  # counted before parsing: a parser would run out of stack
    if deepest > depth:
        raise BadJson(f"The JSON is nested {deepest:,} levels deep, and {depth} are allowed.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(f"The text is not UTF-8: byte {error.start + 1:,} cannot be read.") from None
    if text.startswith("\ufeff"):
        raise BadJson("The text starts with a byte order mark, which JSON does not have.")
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJson(f"This is not JSON: {error.msg}, line {error.lineno:,} column {error.colno:,}.") from None
    if RARE.search(text):
        refuse_unstorable_text(value)
    return value


def depth_of(raw: bytes) -> int:
    """How deep brackets are nested, without those inside strings."""
    deepest = level = 0
    for bracket in NOT_BRACKETS.sub(b"", STRINGS.sub(b"", raw)):
        if bracket in OPENING:
            level += 1
            deepest = max(deepest, level)
        else:
            level -= 1
    return deepest


def refuse_unstorable_text(value: Any) -> None:
    """NUL and lone surrogates: PostgreSQL stores neither, and the second cannot even be sent back."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise BadJson("The text holds a NUL character (\\u0000), which cannot be stored.")
            if SURROGATE.search(item):
                raise BadJson("The text holds half a character (a lone surrogate such as \\ud800).")
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadJson(f"The key {quoted(key)} appears twice in one object.")
            seen.add(key)
    return found


def quoted(key: str) -> str:
    """A sender's word inside our sentence: short, and without what cannot be printed."""
    return json.dumps(key if len(key) <= 60 else key[:60] + "…")


def whole(text: str) -> int:
    if len(text) <= LONGEST_NUMBER and LEAST <= (number := int(text)) <= MOST:
        return number
    raise BadJson(f"The number {shortened(text)} has more than 64 bits.")


def real(text: str) -> float:
    number = float(text) if len(text) <= LONGEST_NUMBER else math.inf
    if math.isinf(number):
        raise BadJson(f"The number {shortened(text)} is too large or too long.")
    return number


def shortened(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:30]}…"


def constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a JSON number.")


DECODER: Final = json.JSONDecoder(
    object_pairs_hook=unique, parse_int=whole, parse_float=real, parse_constant=constant, strict=True
)


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Strict JSON, fast: times as RFC 3339 with Z, UUIDs and lazy texts as text, NaN as null."""
    options = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, default=plain, option=options)
    except orjson.JSONEncodeError:
        return slowly(value, indent)  # an integer beyond 64 bits, or a text that is not quite Unicode


def slowly(value: Any, indent: bool) -> bytes:
    text = json.dumps(finite(value), default=plain, indent=2 if indent else None, allow_nan=False)
    return text.encode("ascii")


def finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, date):  # only the slow way asks
        return value.isoformat().replace("+00:00", "Z")
    if hasattr(value, "hex") and hasattr(value, "int"):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
