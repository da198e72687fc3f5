"""Deep filters in both spellings: ``createdAt[gt]=1`` of the OpenAPI document, and Node's ``createdAt.gt=1``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Case, CharField, F, FloatField, Func, Q, Value, When
from django.db.models.functions import Cast

from evalhub.compat.gentrace.reading import NUMBER, Refusal, as_number, moment

Query = Iterable[tuple[str, list[str]]]  # QueryDict.lists()
Condition = tuple[str, str, list[str]]  # key (of metadata, else empty), operator, values

_BRACKETS = re.compile(r"(\w+)((?:\[[^\[\]]+\])+)")
_ORDER = ("gt", "gte", "lt", "lte")
_TEXT = {"contains": "contains", "search": "icontains", "startsWith": "startswith", "endsWith": "endswith"}


def deep_filters(query: Query, name: str, *, keyed: bool = False) -> Iterator[Condition]:
    """The conditions on ``name``; ``keyed`` ones name a key first, which may hold dots itself."""
    for parameter, values in query:
        bracketed = _BRACKETS.fullmatch(parameter)
        if parameter.startswith(f"{name}[") and bracketed is None:
            raise Refusal(f"{parameter[:80]} is no filter: its brackets hold nothing, or do not close.")
        parts = [bracketed[1], *bracketed[2][1:-1].split("][")] if bracketed else parameter.split(".")
        if parts[0] != name or len(parts) == 1:
            continue
        key, operator = ".".join(parts[1:-1]), parts[-1]
        if bool(key) != keyed:
            raise Refusal(f"{parameter[:80]} is no filter: write {name}.{'KEY.' * keyed}OPERATOR.")
        yield key, operator, values


def slug_filter(query: Query) -> Q:
    conditions = list(deep_filters(query, "slug"))
    mode = next((values[-1] for _, operator, values in conditions if operator == "mode"), "default")
    if mode not in ("default", "insensitive"):
        raise Refusal("slug.mode must be default or insensitive.")
    wanted = Q()
    for _, operator, values in conditions:
        if operator in _TEXT:
            lookup = _TEXT[operator]
            insensitive = mode == "insensitive" and lookup != "icontains"
            wanted &= Q(**{f"slug__{'i' * insensitive}{lookup}": values[-1]})
        elif operator in ("in", "notIn"):
            exact = "iexact" if mode == "insensitive" else "exact"
            named = Q(*(Q(**{f"slug__{exact}": value}) for value in values), _connector=Q.OR)
            wanted &= named if operator == "in" else ~named
        elif operator != "mode":
            raise Refusal("slug takes contains, search, startsWith, endsWith, in, notIn and mode.")
    return wanted


def created_filter(query: Query) -> Q:
    """createdAt in unix seconds: itself (that second), gt, gte, lt, lte."""
    query = list(query)
    wanted = Q()
    for _, operator, values in deep_filters(query, "createdAt"):
        if operator not in _ORDER:
            raise Refusal("createdAt takes gt, gte, lt and lte.")
        place = f"createdAt.{operator}"
        wanted &= Q(**{f"created_at__{operator}": moment(as_number(values[-1], place), place)})
    for name, values in query:
        if name == "createdAt":
            begin = moment(as_number(values[-1], name), name).replace(microsecond=0)
            wanted &= Q(created_at__gte=begin, created_at__lt=begin + timedelta(seconds=1))
    return wanted


class _Entry(Func):
    """metadata[key][part] as text."""

    function = "jsonb_extract_path_text"
    output_field = CharField()

    def __init__(self, key: str, part: str) -> None:
        super().__init__(F("metadata"), Value(key, CharField()), Value(part, CharField()))


def metadata_filter(query: Query) -> Q:
    """metadata.KEY exists, contains, equals, gt, gte, lt, lte: on the entry's value, or its url."""
    wanted = Q()
    for key, operator, values in deep_filters(query, "metadata", keyed=True):
        text, value = values[-1], _Entry(key, "value")
        if operator == "exists":
            exists = Q(metadata__has_key=key)
            wanted &= ~exists if text.lower() == "false" else exists
        elif operator == "contains":
            wanted &= _any("icontains", text, value, _Entry(key, "url"))
        elif operator == "equals":
            same = _any("exact", text, value, _Entry(key, "url"))
            wanted &= same | _number("exact", text, value) if NUMBER.fullmatch(text) else same
        elif operator in _ORDER:
            wanted &= _number(operator, text, value) if NUMBER.fullmatch(text) else _any(operator, text, value)
        else:
            raise Refusal("metadata takes exists, contains, equals, gt, gte, lt and lte.")
    return wanted


def _any(lookup: str, text: str, *entries: _Entry) -> Q:
    wanted = Q()
    for entry in entries:
        wanted |= Q(_compare(lookup, entry, text))
    return wanted


def _number(lookup: str, text: str, entry: _Entry) -> Q:
    """Compared as numbers, where the entry is one (there is no number type: they are strings)."""
    looks_like_one = _compare("regex", entry, f"^(?:{NUMBER.pattern})$")
    number = Case(When(looks_like_one, then=Cast(entry, FloatField())), output_field=FloatField())
    return Q(_compare(lookup, number, float(text)))


def _compare(lookup: str, left: Any, right: Any) -> Any:
    return left.output_field.get_lookup(lookup)(left, right)
