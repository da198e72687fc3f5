"""What a body may hold: one declaration reads it strictly, and describes itself for OpenAPI.

Not serializers: these read a batch of a thousand results with their evaluations in milliseconds, take no value for
another ("1" is no number, 1 no text), and name every misfit by its place: ``evaluations[2].value``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from uuid import UUID

from evalhub.accounts.tenancy import parse_uuid

type Path = tuple[str | int, ...]
type Schema = dict[str, Any]

MOST_PROBLEMS: Final = 25  # told at once; a thousand broken results have one cause
LONGEST_TEXT: Final = 1_000_000
MOST_MEMBERS: Final = 10_000  # of one array or object in free JSON
WHOLE: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
UNPRINTABLE: Final = re.compile(r"[\x00\ud800-\udfff]")

COMPONENTS: Final[dict[str, Described]] = {}


class Misfit(Exception):
    """Values that do not fit: each with its place and a message that goes on after the field's name."""

    def __init__(self, problems: Iterable[tuple[Path, str]]) -> None:
        self.problems = list(problems)
        super().__init__(self.problems[:3])

    def at(self, *step: str | int) -> Iterable[tuple[Path, str]]:
        return [((*step, *path), message) for path, message in self.problems]


def misfit(message: str, *path: str | int) -> NoReturn:
    raise Misfit([(path, message)])


def spelled(path: Path) -> str:
    """evaluations[2].value"""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step[:100]}" if text else step[:100]
    return text


class Described:
    """Something with a name of its own in the OpenAPI document."""

    def __init__(self, name: str) -> None:
        self.name = name
        assert name not in COMPONENTS, name
        COMPONENTS[name] = self

    def reference(self) -> Schema:
        return {"$ref": f"#/components/schemas/{self.name}"}

    def schema(self) -> Schema:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One value. ``read`` takes what JSON gave; ``parse`` what a query string gave."""

    required: bool = False
    null: bool = False
    doc: str = ""
    example: Any = None

    def read(self, value: Any) -> Any:
        if value is None:
            if self.null:
                return None
            misfit("must not be null")
        return self.fit(value)

    def fit(self, value: Any) -> Any:
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        return self.fit(text)

    def schema(self) -> Schema:
        schema = self.kind()
        if self.null:
            schema = nullable(schema)
        if self.doc:
            schema = {**schema, "description": self.doc}
        if self.example is not None:
            schema = {**schema, "examples": [self.example]}
        return schema

    def kind(self) -> Schema:
        raise NotImplementedError


def nullable(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema["type"]] if "type" in schema else None
    if kinds is None:
        return schema  # anything, null included
    known = {**schema, "type": [*kinds, "null"]}
    if "enum" in schema:
        known["enum"] = [*schema["enum"], None]
    return known


@dataclass(frozen=True, kw_only=True, slots=True)
class Text(Field):
    least: int = 0
    most: int = LONGEST_TEXT
    line: bool = False  # without line breaks and other control characters

    def fit(self, value: Any) -> str:
        if type(value) is not str:
            misfit("must be a text")
        if len(value) > self.most:
            misfit(f"is longer than {self.most:,} characters")
        if self.least and len(value.strip()) < self.least:
            misfit("must not be empty" if self.least == 1 else f"is shorter than {self.least} characters")
        if self.line and CONTROL.search(value):
            misfit("must not hold line breaks or other control characters")
        return value

    def kind(self) -> Schema:
        schema: Schema = {"type": "string", "maxLength": self.most}
        if self.least:
            schema["minLength"] = self.least
        return schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Ident(Text):
    """An id: ours, or the one that the client gave to the thing."""

    least: int = 1
    most: int = 255
    line: bool = True

    def fit(self, value: Any) -> str:
        text = Text.fit(self, value)
        if text != text.strip():
            misfit("must not begin or end with a space")
        return text


@dataclass(frozen=True, kw_only=True, slots=True)
class NewId(Ident):
    """An id that the client gives to a new thing; it becomes part of addresses."""

    def fit(self, value: Any) -> str:
        text = Ident.fit(self, value)
        if "/" in text or text in (".", ".."):
            misfit("must not hold a slash, nor be . or ..")
        return text.lower() if parse_uuid(text) else text


@dataclass(frozen=True, kw_only=True, slots=True)
class Uuid(Field):
    def fit(self, value: Any) -> UUID:
        found = parse_uuid(value) if type(value) is str else None
        return found or misfit("must be a UUID")

    def kind(self) -> Schema:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole(Field):
    least: int = 0
    most: int = 2_147_483_647

    def fit(self, value: Any) -> int:
        if type(value) is not int:
            misfit("must be a whole number")
        if not self.least <= value <= self.most:
            misfit(f"must be from {self.least:,} to {self.most:,}")
        return value

    def parse(self, text: str) -> int:
        if not WHOLE.fullmatch(text):
            misfit("must be a whole number")
        return self.fit(int(text))

    def kind(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, kw_only=True, slots=True)
class Number(Field):
    least: float | None = None
    most: float | None = None

    def fit(self, value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            misfit("must be a number")
        if not math.isfinite(value):
            misfit("must be a finite number")
        if (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            low, high = self.least, self.most
            misfit(f"must be at least {low:g}" if high is None else f"must be from {low or 0:g} to {high:g}")
        return float(value)

    def parse(self, text: str) -> float:
        try:
            number = float(text) if text.isascii() and len(text) <= 40 and "_" not in text else math.nan
        except ValueError:
            number = math.nan
        return self.fit(number) if math.isfinite(number) else misfit("must be a number")

    def kind(self) -> Schema:
        schema: Schema = {"type": "number"}
        if self.least is not None:
            schema["minimum"] = self.least
        if self.most is not None:
            schema["maximum"] = self.most
        return schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag(Field):
    def fit(self, value: Any) -> bool:
        if type(value) is not bool:
            misfit("must be true or false")
        return value

    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            misfit("must be true or false")
        return text == "true"

    def kind(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice(Field):
    of: tuple[str, ...]

    def fit(self, value: Any) -> str:
        if type(value) is not str or value not in self.of:
            misfit(f"must be one of: {', '.join(known or '(empty)' for known in self.of)}")
        return value

    def kind(self) -> Schema:
        return {"type": "string", "enum": list(self.of)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices(Choice):
    """Several of a list: in a query string separated by commas."""

    def fit(self, value: Any) -> Any:
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        return [Choice.fit(self, part) for part in text.split(",")]

    def kind(self) -> Schema:
        return {"type": "array", "items": {"type": "string", "enum": list(self.of)}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment(Field):
    """A point in time: with an offset, or it could be any of twenty-four."""

    example: Any = "2026-06-18T08:00:00Z"

    def fit(self, value: Any) -> datetime:
        if type(value) is not str or not TIME.fullmatch(value):
            misfit("must be a time with its offset, such as 2026-06-18T08:00:00Z or 2026-06-18T10:00:00+02:00")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            misfit("is not a time that exists in the years 1 to 9999")

    def kind(self) -> Schema:
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Json(Field):
    """Any JSON value, or any object: kept as it comes."""

    only: type | None = None  # dict or list

    def fit(self, value: Any) -> Any:
        if self.only is not None and type(value) is not self.only:
            misfit("must be an object" if self.only is dict else "must be an array")
        refuse_wide(value)
        return value

    def read(self, value: Any) -> Any:
        if value is None and self.only is None:
            return None
        return Field.read(self, value)

    def kind(self) -> Schema:
        if self.only is dict:
            return {"type": "object", "additionalProperties": True}
        if self.only is list:
            return {"type": "array", "items": {}}
        return {}


def refuse_wide(value: Any) -> None:
    """Depth and numbers are the parser's work; this one counts members."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            if len(item) > MOST_MEMBERS:
                misfit(f"has an object with more than {MOST_MEMBERS:,} keys")
            waiting.extend(item.values())
        elif type(item) is list:
            if len(item) > MOST_MEMBERS:
                misfit(f"has an array with more than {MOST_MEMBERS:,} items")
            waiting.extend(item)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said(Field):
    """An object, or a text that stands for one with a single key."""

    key: str

    def fit(self, value: Any) -> dict[str, Any]:
        if type(value) is str:
            return {self.key: value}
        if type(value) is not dict:
            misfit("must be an object or a text")
        refuse_wide(value)
        return value

    def kind(self) -> Schema:
        return {"anyOf": [{"type": "object", "additionalProperties": True}, {"type": "string"}]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Items(Field):
    of: Field
    least: int = 0
    most: int = 1000
    once: bool = False  # no two equal ones

    def fit(self, value: Any) -> list[Any]:
        if type(value) is not list:
            misfit("must be an array")
        if len(value) > self.most:
            misfit(f"has {len(value):,} items, and {self.most:,} are allowed")
        if len(value) < self.least:
            misfit("must not be empty" if self.least == 1 else f"needs at least {self.least} items")
        of, found = self.of, []
        problems: list[tuple[Path, str]] = []
        for n, item in enumerate(value):
            try:
                found.append(of.read(item) if item is None else of.fit(item))
            except Misfit as wrong:
                problems += wrong.at(n)
                if len(problems) >= MOST_PROBLEMS:
                    break
        if problems:
            raise Misfit(problems)
        if self.once and len(set(found)) < len(found):
            misfit("holds the same item twice")
        return found

    def kind(self) -> Schema:
        schema: Schema = {"type": "array", "items": self.of.schema(), "maxItems": self.most}
        if self.least:
            schema["minItems"] = self.least
        if self.once:
            schema["uniqueItems"] = True
        return schema


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOf(Field):
    """A text (an id or a name) or an object that describes the thing."""

    text: Field
    described: Shape

    def fit(self, value: Any) -> Any:
        if type(value) is str:
            return self.text.read(value)
        if type(value) is dict:
            return self.described.read(value)
        misfit("must be a text or an object")

    def kind(self) -> Schema:
        return {"anyOf": [self.text.schema(), self.described.reference()]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested(Field):
    shape: Described

    def fit(self, value: Any) -> Any:
        assert isinstance(self.shape, Shape)
        return self.shape.read(value)

    def kind(self) -> Schema:
        return self.shape.reference()


class Shape(Described):
    """An object with known keys."""

    def __init__(self, name: str, fields: Mapping[str, Field], *, doc: str = "", partial: bool = False) -> None:
        super().__init__(name)
        self.fields = dict(fields)
        self.doc = doc
        self.required = frozenset() if partial else frozenset(key for key, field in fields.items() if field.required)

    def read(self, body: Any) -> dict[str, Any]:
        """The values that the body holds; Misfit with everything that is wrong."""
        if not isinstance(body, dict):
            misfit("must be an object")
        fields, values = self.fields, {}
        problems: list[tuple[Path, str]] = []
        for key, value in body.items():
            field = fields.get(key)
            if field is None:
                problems.append(((printable(key),), "is not known here"))
                continue
            try:
                values[key] = field.read(value) if value is None else field.fit(value)
            except Misfit as wrong:
                problems += wrong.at(key)
            if len(problems) >= MOST_PROBLEMS:
                break
        if not self.required <= body.keys():
            problems += [((key,), "is required") for key in fields if key in self.required and key not in body]
        if problems:
            raise Misfit(problems[:MOST_PROBLEMS])
        return values

    def schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {key: field.schema() for key, field in self.fields.items()},
            "additionalProperties": False,
        }
        if self.required:
            schema["required"] = [key for key in self.fields if key in self.required]
        if self.doc:
            schema["description"] = self.doc
        return schema


def printable(key: str) -> str:
    return UNPRINTABLE.sub("\ufffd", key[:100])
