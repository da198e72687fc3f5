"""Values that a test cannot know: it says of what kind they are, and compares everything else whole."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any


class Like:
    """Equal to every text that the pattern describes whole."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name, self.pattern = name, re.compile(pattern)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.pattern.fullmatch(other) is not None

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


class Between:
    """Equal to every number of the range, but to no boolean."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and not isinstance(other, bool) and self.least <= other <= self.most

    def __hash__(self) -> int:
        return hash((self.least, self.most))

    def __repr__(self) -> str:
        return f"{self.least}..{self.most}"


UUID = Like("UUID", r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ISO = Like("ISO", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)")
SECONDS = Between(datetime(2025, 1, 1).timestamp(), datetime(2100, 1, 1).timestamp())


def without(value: Any, *keys: str) -> Any:
    """The value with some keys left out, at any depth."""
    if isinstance(value, dict):
        return {key: without(item, *keys) for key, item in value.items() if key not in keys}
    if isinstance(value, list):
        return [without(item, *keys) for item in value]
    return value


def differences(found: Any, wanted: Any, place: str = "") -> list[str]:
    """Where two JSON values differ, one line each: readable where a whole answer is not."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        lines = [f"{place}.{key} is missing" for key in wanted.keys() - found.keys()]
        lines += [f"{place}.{key} is there: {found[key]!r}" for key in found.keys() - wanted.keys()]
        both = [key for key in wanted if key in found]
        return sorted(lines) + [line for key in both for line in differences(found[key], wanted[key], f"{place}.{key}")]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [line for n, (one, other) in pairs for line in differences(one, other, f"{place}[{n}]")]
    same = found == wanted and isinstance(found, bool) == isinstance(wanted, bool)
    return [] if same else [f"{place} is {found!r}, not {wanted!r}"]
