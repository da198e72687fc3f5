"""What the SDK sends: read key by key, refused the way Rhesis refuses (422 with the place, 400 with a sentence)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.utils.dateparse import parse_datetime

LONGEST_ID: Final = 200
LONGEST_TEXT: Final = 1_000_000
MOST_ITEMS: Final = 10_000

type Place = tuple[str | int, ...]


class Refusal(Exception):
    """The request cannot be served; ``detail`` is what Rhesis' errors hold under that key."""

    def __init__(self, detail: Any, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.detail, self.status, self.headers = detail, status, headers


class Invalid(Refusal):
    """The body, the query or the path is malformed."""

    def __init__(self, kind: str, place: Iterable[str | int], message: str) -> None:
        super().__init__([{"type": kind, "loc": list(place), "msg": message}], 422)


def not_found(what: str, ident: object = "", status: int = 404) -> Refusal:
    named = f": {str(ident)[:80]}" if ident else ""
    return Refusal(f"{what} not found{named}", status)


class Body:
    """An object of the request. A key that is null counts as not sent, except where null means "none" (``sent``)."""

    def __init__(self, value: Any, place: Place = ("body",)) -> None:
        if not isinstance(value, dict):
            raise Invalid("dict_type", place, "Input should be a valid dictionary")
        self.value: dict[str, Any] = value
        self.place = place

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def sent(self, key: str) -> bool:
        """Whether the key is there at all, null included."""
        return key in self.value

    def at(self, key: str) -> Place:
        return (*self.place, key)

    def need(self, *keys: str) -> None:
        """Refuse where one is missing; all of them are named."""
        problems = [
            {"type": "missing", "loc": list(self.at(key)), "msg": "Field required"} for key in keys if key not in self
        ]
        if problems:
            raise Refusal(problems, 422)

    def text(self, key: str, *, longest: int = LONGEST_TEXT, least: int = 0) -> str | None:
        value = self.value.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise Invalid("string_type", self.at(key), "Input should be a valid string")
        if len(value) > longest:
            raise Invalid("string_too_long", self.at(key), f"String should have at most {longest} characters")
        if len(value.strip()) < least:
            raise Invalid("string_too_short", self.at(key), f"String should have at least {least} character")
        return value

    def ident(self, key: str) -> str | None:
        """An id; older servers gave numbers, which clients may have kept."""
        value = self.value.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        found = self.text(key, longest=LONGEST_ID)
        return found.strip() if found and found.strip() else None

    def flag(self, key: str) -> bool | None:
        value = self.value.get(key)
        if value is not None and not isinstance(value, bool):
            raise Invalid("bool_type", self.at(key), "Input should be a valid boolean")
        return value

    def number(self, key: str) -> float | None:
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Invalid("float_type", self.at(key), "Input should be a valid number")
        return float(value)

    def whole(self, key: str, *, least: int = 0, most: int = 2**31 - 1) -> int | None:
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Invalid("int_type", self.at(key), "Input should be a valid integer")
        if not least <= value <= most:
            raise Invalid("int_range", self.at(key), f"Input should be between {least} and {most}")
        return value

    def mapping(self, key: str) -> dict[str, Any] | None:
        value = self.value.get(key)
        if value is not None and not isinstance(value, dict):
            raise Invalid("dict_type", self.at(key), "Input should be a valid dictionary")
        return value

    def inner(self, key: str) -> Body | None:
        return Body(self.value[key], self.at(key)) if key in self else None

    def items(self, key: str) -> list[Body]:
        return [Body(item, (*self.at(key), n)) for n, item in enumerate(self.many(key))]

    def many(self, key: str) -> list[Any]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise Invalid("list_type", self.at(key), "Input should be a valid list")
        if len(value) > MOST_ITEMS:
            raise Invalid("too_long", self.at(key), f"List should have at most {MOST_ITEMS} items")
        return value

    def texts(self, key: str, *, longest: int = LONGEST_TEXT) -> list[str]:
        """A list of texts; an object among them stands for its name."""
        found = []
        for n, item in enumerate(self.many(key)):
            text = item.get("name") if isinstance(item, dict) else item
            if not isinstance(text, str) or len(text) > longest:
                raise Invalid("string_type", (*self.at(key), n), "Input should be a valid string")
            found.append(text)
        return found

    def choice(self, key: str, of: Iterable[str]) -> str | None:
        """One of these words, compared without case."""
        value = self.name_in(key)
        if value is None:
            return None
        known = {word.lower(): word for word in of}
        found = known.get(value.lower())
        if found is None:
            expected = ", ".join(f"'{word}'" for word in known.values() if word)
            raise Invalid("enum", self.at(key), f"Input should be {expected}")
        return found

    def name_in(self, key: str, *, longest: int = LONGEST_ID) -> str | None:
        """A name, or an object of a pulled row that has one."""
        value = self.value.get(key)
        if isinstance(value, dict):
            value = value.get("name") if "name" in value else value.get("type_value")
            if value is None:
                return None
        if value is None:
            return None
        if not isinstance(value, str):
            raise Invalid("string_type", self.at(key), "Input should be a valid string")
        if len(value) > longest:
            raise Invalid("string_too_long", self.at(key), f"String should have at most {longest} characters")
        return value.strip() or None

    def time(self, key: str) -> datetime | None:
        value = self.text(key, longest=64)
        if value is None:
            return None
        return read_time(value, self.at(key))


def read_time(text: str, place: Iterable[str | int]) -> datetime:
    """ISO 8601; without an offset it is UTC, as Rhesis stores it."""
    try:
        found = parse_datetime(text) or parse_datetime(f"{text}T00:00:00")
    except ValueError:
        found = None
    if found is None or not 1 < found.year < 9999:
        raise Invalid("datetime_parsing", place, "Input should be a valid datetime")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}
