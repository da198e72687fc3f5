"""Bodies and query strings, read strictly."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import IO, Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from evalhub.api.problems import INVALID, Problem, invalid
from evalhub.api.shapes import TIME, Field, Misfit, Path, Schema, printable
from evalhub.web import json
from evalhub.web.filters import TenantFilterSet

USUAL_BODY: Final = 2 * 1024 * 1024
LARGEST_BODY: Final = 32 * 1024 * 1024
CHUNK: Final = 256 * 1024
LONGEST_VALUE: Final = 300  # of a filter
MOST_CHOICES: Final = 40  # that a message lists

NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class StrictJson(BaseParser):
    """JSON in UTF-8, with limits. The view says how large a body may be."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", media_type or "", re.IGNORECASE)
        if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType(media_type or "", detail="JSON is read as UTF-8 only.")
        context = parser_context or {}
        view = context.get("view")
        raw = read_limited(
            stream, context["request"].META.get("CONTENT_LENGTH"), getattr(view, "largest_body", USUAL_BODY)
        )
        if view is not None:
            view.body_digest = hashlib.sha256(raw).digest()
        try:
            return json.loads_strict(raw)
        except json.BadJson as bad:
            raise Problem(400, str(bad), kind=INVALID, title="Invalid request") from None


def read_limited(stream: IO[bytes], announced: str | None, limit: int) -> bytes:
    """All of the body, or 413; what is too much is read on for a while, so that the sender gets to see the answer."""
    too_large = Problem(413, f"The body is larger than {limit // (1024 * 1024)} MiB.", kind=INVALID)
    if announced and announced.isascii() and announced.isdigit() and int(announced) > limit:
        for _ in range(4 * limit // CHUNK):
            if not stream.read(CHUNK):
                break
        raise too_large
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise too_large
    return raw


class FastJson(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else json.dumps(data)


# --- query strings ----------------------------------------------------------------------------------------------------


def read_query(fields: Mapping[str, Field], filters: type[TenantFilterSet] | None, given: QueryDict) -> dict[str, Any]:
    """The parameters that are ``fields``, read; those of ``filters`` checked for what forms let pass. Else 400."""
    values: dict[str, Any] = {}
    problems: list[tuple[Path, str]] = []
    known = filters.base_filters if filters else {}
    for name, texts in given.lists():
        try:
            if name in fields:
                if len(texts) > 1:
                    raise Misfit([((), "is given more than once")])
                refuse_control_characters(texts)
                values[name] = fields[name].parse(texts[0])
            elif name in known:
                check_filter(known[name], texts)
            else:
                raise Misfit([((), "is not a parameter here")])
        except Misfit as wrong:
            problems += wrong.at(printable(name))
    missing = [((name,), "is required") for name, field in fields.items() if field.required and name not in given]
    if problems or missing:
        raise invalid([*problems, *missing][:25])
    return values


def refuse_control_characters(texts: list[str]) -> None:
    if any("\x00" in text or "\ufffd" in text for text in texts):
        raise Misfit([((), "holds characters that cannot be read")])


def check_filter(wanted: django_filters.Filter, texts: list[str]) -> None:
    """What Django's form fields accept and we don't: silent nonsense, foreign digits, times without offset."""
    refuse_control_characters(texts)
    if len(texts) > 1 and not isinstance(wanted, django_filters.MultipleChoiceFilter):
        raise Misfit([((), "is given more than once")])
    for text in texts:
        if not 1 <= len(text) <= LONGEST_VALUE:
            raise Misfit([((), f"must have 1 to {LONGEST_VALUE} characters")])
        if isinstance(wanted, django_filters.BooleanFilter) and text not in ("true", "false"):
            raise Misfit([((), "must be true or false")])
        if isinstance(wanted, django_filters.NumberFilter) and not NUMBER.fullmatch(text):
            raise Misfit([((), "must be a number")])
        if isinstance(wanted, django_filters.IsoDateTimeFilter) and not (TIME.fullmatch(text) or DAY.fullmatch(text)):
            raise Misfit([((), "must be a date, or a time with its offset, such as 2026-06-18T08:00:00Z")])


def filter_problems(found: TenantFilterSet) -> Problem:
    """400 with what the form says."""
    return invalid(
        [
            ((name if name != "__all__" else "",), said(found.form.fields.get(name), wrong))
            for name, wrongs in found.form.errors.as_data().items()
            for one in wrongs
            for wrong in one.error_list
        ]
    )


def said(field: forms.Field | None, wrong: ValidationError) -> str:
    """Words that follow the name of a parameter."""
    if wrong.code == "invalid_choice" and isinstance(field, forms.ChoiceField):
        choices: Any = field.choices
        known = [str(value) for value, _ in choices if value]
        return f"must be one of {', '.join(known)}" if len(known) <= MOST_CHOICES else "is not known here"
    return " ".join(wrong.messages).rstrip(".").replace("This field", "it")


def parameters_of(filters: type[TenantFilterSet]) -> list[Schema]:
    """A FilterSet as OpenAPI parameters."""
    return [
        {
            "name": name,
            "in": "query",
            "schema": filter_schema(wanted),
            "description": " ".join(filter(None, [f"{wanted.label}.", wanted.extra.get("help_text", "")])),
        }
        for name, wanted in filters.base_filters.items()
    ]


def filter_schema(wanted: django_filters.Filter) -> Schema:
    choices = [str(value) for value, _ in wanted.extra.get("choices", ())]
    one: Schema = (
        {"type": "string", "enum": choices}
        if choices
        else {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE}
    )
    if isinstance(wanted, django_filters.MultipleChoiceFilter):
        return {"type": "array", "items": one}
    if isinstance(wanted, django_filters.NumberFilter):
        return {"type": "integer" if wanted.extra.get("decimal_places") == 0 else "number"}
    if isinstance(wanted, django_filters.BooleanFilter):
        return {"type": "boolean"}
    if isinstance(wanted, django_filters.IsoDateTimeFilter):
        return {"type": "string", "format": "date-time"}
    return one
