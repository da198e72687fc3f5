"""Rhesis' filter language, a subset of OData 4: our own parser, and two ways to apply what it read.

What people send becomes a tree of known operations on known fields. Names that are not on a resource's list are
refused, and values only ever travel as parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

from django.db.models import CharField, F, FloatField, IntegerField, Q, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Concat, Length, Lower, StrIndex, Trim, Upper
from django.db.models.lookups import (
    Contains,
    EndsWith,
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNull,
    LessThan,
    LessThanOrEqual,
    StartsWith,
)
from django.utils.dateparse import parse_datetime

LONGEST: Final = 10_000  # characters
DEEPEST: Final = 32
MOST_PARTS: Final = 500


class BadFilter(ValueError):
    """The filter cannot be read or applied; the message is a sentence."""


class TooLarge(BadFilter):
    """Nobody tries to read it another way."""


# --- what a filter is made of -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any  # str, int, float, bool, datetime or None


@dataclass(frozen=True, slots=True)
class Path:
    name: str  # status/name


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Among:
    left: Node
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    operator: str  # and, or
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


type Node = Literal | Path | Call | Compare | Among | Joined | Not

OPERATORS: Final = ("eq", "ne", "gt", "ge", "lt", "le")
TESTS: Final = ("contains", "startswith", "endswith")
FUNCTIONS: Final = {
    "tolower": 1, "toupper": 1, "trim": 1, "length": 1, "concat": 2, "indexof": 2, **dict.fromkeys(TESTS, 2),
}  # fmt: skip
FLIPPED: Final = {"gt": "lt", "lt": "gt", "ge": "le", "le": "ge", "eq": "eq", "ne": "ne"}
OPPOSITE: Final = {"gt": "le", "le": "gt", "lt": "ge", "ge": "lt", "eq": "ne", "ne": "eq"}

# --- reading ----------------------------------------------------------------------------------------------------------

TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})(?![\w-])
    | (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}
        (?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?)(?![\w:.-])
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\w.])
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<sign>[(),])
    )""",
    re.VERBOSE | re.ASCII,
)
LONE: Final = re.compile(r"\s*(tolower\(name\)|[a-z_]+) eq '(.*)'\s*", re.DOTALL)
GOES_ON: Final = re.compile(r"'\s*\)*\s*(?:and|or)\b")
CONSTANTS: Final = {"true": True, "false": False, "null": None}


def read_filter(text: str) -> Node:
    """The tree of a filter.

    The SDK puts a name between quotes as it is, ``tolower(name) eq 'o'brien'``: what cannot be read, but is one
    comparison with one text, means that text.
    """
    if len(text) > LONGEST:
        raise BadFilter(f"The filter has {len(text):,} characters, and {LONGEST:,} are allowed.")
    try:
        return _Reader(text).whole()
    except TooLarge:
        raise
    except BadFilter:
        lone = LONE.fullmatch(text)
        if lone is None or "\0" in text or (lone[1] != "tolower(name)" and GOES_ON.search(lone[2])):
            raise
    doubled = lone[2].replace("'", "''")
    return _Reader(f"{lone[1]} eq '{doubled}'").whole()


class _Reader:
    """Recursive descent: or, and, not, comparison, operand."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = self.parts = self.depth = 0

    def whole(self) -> Node:
        node = self.either()
        if self.at < len(self.tokens):
            raise BadFilter(f"The filter cannot be read from “{self.tokens[self.at][1][:40]}” on.")
        _check_condition(node)
        return node

    def either(self) -> Node:
        return self._joined("or", self.both)

    def both(self) -> Node:
        return self._joined("and", self.negated)

    def _joined(self, word: str, inner: Callable[[], Node]) -> Node:
        parts = [inner()]
        while self._take("name", word):
            parts.append(inner())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def negated(self) -> Node:
        if self._take("name", "not"):
            return Not(self._deeper(self.negated))
        return self.comparison()

    def comparison(self) -> Node:
        left = self.operand()
        kind, word = self._peek()
        if kind == "name" and word in OPERATORS:
            self.at += 1
            return Compare(word, left, self.operand())
        if kind == "name" and word == "in":
            self.at += 1
            return Among(left, tuple(self._list()))
        return left

    def operand(self) -> Node:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise TooLarge(f"The filter has more than {MOST_PARTS} parts.")
        kind, word = self._peek()
        self.at += 1
        if kind == "sign" and word == "(":
            node = self._deeper(self.either)
            self._expect(")")
            return node
        if kind == "name":
            if self._peek() == ("sign", "("):
                return self._call(word)
            if word in CONSTANTS:
                return Literal(CONSTANTS[word])
            if word in (*OPERATORS, "and", "or", "not", "in"):
                raise BadFilter(f"The filter has “{word}” where a field or a value is expected.")
            return Path(word)
        if kind in ("text", "uuid", "time", "number"):
            return Literal(_value(kind, word))
        raise BadFilter("The filter ends too early." if not kind else f"The filter has “{word}” in a wrong place.")

    def _call(self, function: str) -> Node:
        if function not in FUNCTIONS:
            raise BadFilter(f"There is no function “{function[:40]}”: use {', '.join(FUNCTIONS)}.")
        self._expect("(")
        arguments = [self._deeper(self.either)]
        while self._take("sign", ","):
            arguments.append(self._deeper(self.either))
        self._expect(")")
        if len(arguments) != FUNCTIONS[function]:
            raise BadFilter(f"“{function}” takes {FUNCTIONS[function]} arguments, not {len(arguments)}.")
        return Call(function, tuple(arguments))

    def _list(self) -> Iterator[Literal]:
        self._expect("(")
        while True:
            item = self.operand()
            if not isinstance(item, Literal):
                raise BadFilter("After “in” only values are allowed: name in ('a', 'b').")
            yield item
            if not self._take("sign", ","):
                break
        self._expect(")")

    def _deeper(self, inner: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise TooLarge(f"The filter is nested more than {DEEPEST} levels deep.")
        node = inner()
        self.depth -= 1
        return node

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")

    def _take(self, kind: str, word: str) -> bool:
        if self._peek() != (kind, word):
            return False
        self.at += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._take("sign", sign):
            raise BadFilter(f"The filter lacks a “{sign}”.")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    if "\0" in text:
        raise BadFilter("The filter holds a NUL character.")
    at, end = 0, len(text.rstrip())
    while at < end:
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise BadFilter(f"The filter cannot be read from “{text[at : at + 40].strip()}” on.")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def _value(kind: str, word: str) -> Any:
    if kind == "text":
        return word[1:-1].replace("''", "'")
    if kind == "number":
        return _number(word)
    if kind == "time":
        return as_time(word)
    return word.lower()


def _number(word: str) -> int | float:
    try:
        number = float(word)
        if "." not in word and "e" not in word.lower() and abs(number) < 2**53:
            return int(word)
    except (ValueError, OverflowError):
        raise BadFilter(f"“{word[:40]}” is not a number.") from None
    if number in (float("inf"), float("-inf")):
        raise BadFilter(f"The number {word[:40]} is too large.")
    return number


def as_time(word: str) -> datetime:
    """An ISO date or date-time; without an offset it is UTC."""
    try:
        found = parse_datetime(word) or datetime.combine(date.fromisoformat(word), time())
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadFilter(f"“{word[:40]}” is not a date or time.") from None


def _check_condition(node: Node) -> None:
    """Refuse what is no condition: ``name``, ``'a' eq 'b'``, ``name eq (a or b)``."""
    if isinstance(node, Joined):
        for part in node.parts:
            _check_condition(part)
    elif isinstance(node, Not):
        _check_condition(node.part)
    elif isinstance(node, Compare):
        _check_value(node.left)
        _check_value(node.right)
        if not any(_has_path(side) for side in (node.left, node.right)):
            raise BadFilter("The filter compares two values: name a field.")
    elif isinstance(node, Among):
        _check_value(node.left)
    elif isinstance(node, Call) and node.function in TESTS:
        for argument in node.arguments:
            _check_value(argument)
    elif not isinstance(node, Path):  # a lone field has to be true or false, which its kind decides
        raise BadFilter("The filter is a value, and a condition is expected: name eq 'x'.")


def _check_value(node: Node) -> None:
    if isinstance(node, Call) and node.function not in TESTS:
        for argument in node.arguments:
            _check_value(argument)
    elif not isinstance(node, Literal | Path):
        raise BadFilter("The filter has a condition where a value is expected.")


def _has_path(node: Node) -> bool:
    return isinstance(node, Path) or (isinstance(node, Call) and any(map(_has_path, node.arguments)))


# --- applying it to the database --------------------------------------------------------------------------------------

type Meaning = Callable[[str], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a filter may name. ``column``: a path or an expression of the model.

    ``kind``: text, number, time, flag, or ident: then ``meaning`` says which values of the column a text stands for
    (an id of ours or the client's, a status by code or name), and ``shown`` is its text for functions. ``absent``:
    when it is null on the wire, where that is not when the column is.
    """

    kind: str
    column: str | Combinable
    meaning: Meaning | None = None
    shown: str | Combinable | None = None
    absent: Q | None = None

    @property
    def expression(self) -> Any:
        return F(self.column) if isinstance(self.column, str) else self.column

    @property
    def is_null(self) -> Q:
        return Q(IsNull(self.expression, True)) if self.absent is None else self.absent

    @property
    def text(self) -> Any:
        shown = self.column if self.shown is None else self.shown
        return F(shown) if isinstance(shown, str) else shown


type Fields = Mapping[str, Field]


def as_query(node: Node, fields: Fields) -> Q:
    """The condition for a queryset."""
    return _Conditions(fields).of(node, wanted=True)


class _Conditions:
    """``wanted`` False asks for the opposite: negation travels to the leaves, where null counts as "not so"."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields

    def of(self, node: Node, *, wanted: bool) -> Q:
        if isinstance(node, Not):
            return self.of(node.part, wanted=not wanted)
        if isinstance(node, Joined):
            parts = [self.of(part, wanted=wanted) for part in node.parts]
            combined = parts[0]
            for part in parts[1:]:
                combined = combined & part if (node.operator == "and") is wanted else combined | part
            return combined
        if isinstance(node, Compare):
            return self._compare(node, wanted)
        if isinstance(node, Among):
            return self._among(node, wanted)
        if isinstance(node, Call):
            return self._test(node, wanted)
        return self._compare(Compare("eq", node, Literal(True)), wanted)

    def field(self, name: str) -> Field:
        try:
            return self.fields[name]
        except KeyError:
            raise BadFilter(f"There is no field “{name[:60]}” to filter by: use {', '.join(self.fields)}.") from None

    def _compare(self, node: Compare, wanted: bool) -> Q:
        operator, left, right = node.operator, node.left, node.right
        if not _has_path(left):
            operator, left, right = FLIPPED[operator], right, left
        left, right = _folded(left), _folded(right)
        if isinstance(right, Literal) and right.value is None:
            return self._is_null(operator, left, wanted)
        if isinstance(left, Path) and isinstance(right, Literal) and self.field(left.name).kind == "ident":
            return self._named(self.field(left.name), operator, [right], wanted)
        if not wanted:
            operator = OPPOSITE[operator]
        value, kind = self._value(left)
        if isinstance(right, Literal):
            other: Any = _fitting(right.value, kind)
            absent = Q(IsNull(value, True))
        else:
            other, other_kind = self._value(right)
            if other_kind != kind:
                raise BadFilter("The filter compares fields of different kinds.")
            absent = Q(IsNull(value, True)) | Q(IsNull(other, True))
        if kind == "flag" and operator not in ("eq", "ne"):
            raise BadFilter("true and false can only be compared with eq and ne.")
        if operator == "eq":
            return Q(Exact(value, other))
        if operator == "ne":
            return ~Q(Exact(value, other)) | absent
        lookup = {"gt": GreaterThan, "ge": GreaterThanOrEqual, "lt": LessThan, "le": LessThanOrEqual}[operator]
        ordered = Q(lookup(value, other))
        return ordered if wanted else ordered | absent  # what is null is not greater

    def _among(self, node: Among, wanted: bool) -> Q:
        if isinstance(node.left, Path) and self.field(node.left.name).kind == "ident":
            return self._named(self.field(node.left.name), "eq", node.values, wanted)
        found = Q()
        for value in node.values:
            one = self._compare(Compare("eq", node.left, value), wanted)
            found = (found | one) if wanted else (found & one)
        return found

    def _named(self, field: Field, operator: str, values: Sequence[Literal], wanted: bool) -> Q:
        if operator not in ("eq", "ne"):
            raise BadFilter("Ids and statuses can only be compared with eq, ne and in.")
        assert field.meaning is not None
        meant: list[Any] = []
        absent = False
        for literal in values:
            if literal.value is None:
                absent = True
            elif isinstance(literal.value, bool | datetime):
                raise BadFilter("An id has to be a text.")
            else:
                meant += field.meaning(str(literal.value))
        condition = _in(field, meant)
        if absent:
            condition |= field.is_null
        positive = (operator == "eq") is wanted
        if positive:
            return condition
        return ~condition if absent else ~condition | field.is_null

    def _is_null(self, operator: str, left: Node, wanted: bool) -> Q:
        if operator not in ("eq", "ne"):
            raise BadFilter("null can only be compared with eq and ne.")
        is_null = (operator == "eq") is wanted
        if isinstance(left, Path):
            condition = self.field(left.name).is_null
            return condition if is_null else ~condition
        value, _ = self._value(left)
        return Q(IsNull(value, is_null))

    def _test(self, node: Call, wanted: bool) -> Q:
        where, what = (_folded(argument) for argument in node.arguments)
        if not isinstance(what, Literal) or not isinstance(what.value, str):
            raise BadFilter(f"“{node.function}” looks for a text: {node.function}(name, 'x').")
        value = self._text(where)
        lookup = {"contains": Contains, "startswith": StartsWith, "endswith": EndsWith}[node.function]
        found = Q(lookup(value, what.value))
        return found if wanted else ~found | Q(IsNull(value, True))

    def _value(self, node: Node) -> tuple[Any, str]:
        """An expression, and its kind."""
        if isinstance(node, Path):
            field = self.field(node.name)
            if field.kind == "ident":
                return field.expression, "ident"
            return field.expression, field.kind
        if isinstance(node, Literal):
            return Value(node.value), "text"
        assert isinstance(node, Call)
        if node.function == "length":
            return Length(self._text(node.arguments[0])), "number"
        if node.function == "indexof":
            where, what = node.arguments
            return StrIndex(self._text(where), self._text(what)) - Value(1, IntegerField()), "number"
        return self._text(node), "text"

    def _text(self, node: Node) -> Any:
        if isinstance(node, Literal):
            if not isinstance(node.value, str):
                raise BadFilter("A text is expected.")
            return Value(node.value, TextField())
        if isinstance(node, Path):
            field = self.field(node.name)
            if field.kind == "text":
                return field.text
            if field.kind == "ident":
                return Cast(field.text, TextField())
            raise BadFilter(f"“{node.name}” is not a text.")
        if not isinstance(node, Call):
            raise BadFilter("A text is expected.")
        if node.function == "concat":
            first, second = node.arguments
            return Concat(self._text(first), self._text(second), output_field=TextField())
        made = {"tolower": Lower, "toupper": Upper, "trim": Trim}.get(node.function)
        if made is None:
            raise BadFilter(f"“{node.function}” does not give a text.")
        return made(self._text(node.arguments[0]), output_field=CharField())


def _in(field: Field, values: Sequence[Any]) -> Q:
    if not values:
        return Q(pk__in=[])
    if isinstance(field.column, str):
        return Q((f"{field.column}__in", values))
    return Q(In(field.column, values))


def _folded(node: Node) -> Node:
    """Functions of values alone, applied now."""
    if not isinstance(node, Call) or node.function in TESTS or _has_path(node):
        return node
    arguments = [_folded(argument) for argument in node.arguments]
    values = [argument.value for argument in arguments if isinstance(argument, Literal)]
    if len(values) != len(arguments) or not all(isinstance(value, str) for value in values):
        raise BadFilter(f"“{node.function}” takes texts.")
    return Literal(FOLD[node.function](*values))


FOLD: Final[dict[str, Callable[..., Any]]] = {
    "tolower": str.lower,
    "toupper": str.upper,
    "trim": str.strip,
    "length": len,
    "concat": str.__add__,
    "indexof": str.find,
}


def _fitting(value: Any, kind: str) -> Any:
    """A value for a comparison with a field of that kind."""
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadFilter("The field is a number, and is compared with something else.")
        return Value(value, FloatField())
    if kind == "flag":
        if not isinstance(value, bool):
            raise BadFilter("The field is true or false, and is compared with something else.")
        return value
    if kind == "time":
        if isinstance(value, str):
            value = as_time(value)
        if not isinstance(value, datetime):
            raise BadFilter("The field is a time, and is compared with something else.")
        return value
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, bool) or not isinstance(value, str):
        raise BadFilter("The field is a text, and is compared with something else.")
    return value


# --- applying it to rows in memory ------------------------------------------------------------------------------------

type Row = Mapping[str, Any]


def matches(node: Node, row: Row, fields: Sequence[str]) -> bool:
    """Whether a row of plain values meets the condition: for the small lists that are no tables."""
    if isinstance(node, Not):
        return not matches(node.part, row, fields)
    if isinstance(node, Joined):
        each = (matches(part, row, fields) for part in node.parts)
        return all(each) if node.operator == "and" else any(each)
    if isinstance(node, Among):
        return any(matches(Compare("eq", node.left, value), row, fields) for value in node.values)
    if isinstance(node, Call):
        where, what = (value_in(argument, row, fields) for argument in node.arguments)
        if not isinstance(what, str):
            raise BadFilter(f"“{node.function}” looks for a text.")
        tests = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}
        return isinstance(where, str) and bool(tests[node.function](where, what))
    if not isinstance(node, Compare):
        return value_in(node, row, fields) is True
    left, right = value_in(node.left, row, fields), value_in(node.right, row, fields)
    if node.operator in ("eq", "ne"):
        return (left == right) is (node.operator == "eq")
    if left is None or right is None:
        return False
    try:
        return {"gt": left > right, "ge": left >= right, "lt": left < right, "le": left <= right}[node.operator]
    except TypeError:
        raise BadFilter("The filter compares a field with something else than it holds.") from None


def value_in(node: Node, row: Row, fields: Sequence[str]) -> Any:
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Path):
        if node.name not in fields:
            raise BadFilter(f"There is no field “{node.name[:60]}” to filter by: use {', '.join(fields)}.")
        return row.get(node.name)
    if not isinstance(node, Call):
        raise BadFilter("The filter has a condition where a value is expected.")
    values = [value_in(argument, row, fields) for argument in node.arguments]
    if any(value is None for value in values):
        return None
    if not all(isinstance(value, str) for value in values):
        raise BadFilter(f"“{node.function}” takes texts.")
    return FOLD[node.function](*values)
