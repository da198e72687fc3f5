"""Form fields for what people set up: texts, JSON, tags, people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import User
from evalhub.web.json import BadJson, loads_strict
from runs.pasting import LONGEST_TAG, MOST_TAGS

LONGEST_TEXT = 20_000
LONGEST_JSON = 200_000


class LongText(forms.CharField):
    """A text of several lines; browsers send CRLF, which would look like a change of every line."""

    widget = forms.Textarea

    def __init__(self, *, rows: int = 3, max_length: int = LONGEST_TEXT, mono: bool = False, **kwargs: Any) -> None:
        attrs: dict[str, Any] = {"rows": rows}
        if mono:
            attrs |= {"class": "mono", "spellcheck": "false"}
        super().__init__(max_length=max_length, widget=forms.Textarea(attrs), **kwargs)

    def to_python(self, value: Any) -> str:
        text = str(value or "").replace("\r\n", "\n").replace("\r", "\n")
        return super().to_python(text) or ""


class JsonText(LongText):
    """JSON as text, read strictly. What is empty is ``empty``; ``kind`` is the one type that is accepted."""

    def __init__(
        self,
        *,
        kind: type | None = dict,
        empty: Any = None,
        rows: int = 4,
        max_length: int = LONGEST_JSON,
        **kwargs: Any,
    ) -> None:
        self.kind, self.empty = kind, empty
        kwargs.setdefault("required", False)
        super().__init__(rows=rows, max_length=max_length, mono=True, **kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return self.empty() if callable(self.empty) else self.empty
        return read_json(text, self.kind)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return "" if value in (None, {}, []) else written_json(value)


def read_json(text: str, kind: type | None = None) -> Any:
    try:
        value = loads_strict(text)
    except BadJson as problem:
        raise ValidationError(str(problem)) from None
    if kind is dict and not isinstance(value, dict):
        raise ValidationError("This has to be a JSON object: { … }.")
    if kind is list and not isinstance(value, list):
        raise ValidationError("This has to be a JSON list: [ … ].")
    return value


def written_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


class Tags(forms.CharField):
    """Words between commas, as a list."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("help_text", "Words between commas.")
        super().__init__(max_length=(LONGEST_TAG + 2) * MOST_TAGS, **kwargs)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value)
        tags = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
        if len(tags) > MOST_TAGS:
            raise ValidationError(f"At most {MOST_TAGS} of them.")
        for tag in tags:
            if len(tag) > LONGEST_TAG:
                raise ValidationError(f"“{tag[:20]}…” has {len(tag)} characters, and {LONGEST_TAG} fit.")
        return tags

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else ", ".join(value)


def range_messages(least: float | None, most: float | None) -> dict[str, str]:
    """What is wrong with a number outside its range, said once for both ends."""
    if least is None and most is None:
        return {}
    text = f"Enter a number from {least:,} to {most:,}." if None not in (least, most) else f"Enter at least {least}."
    return {"min_value": text, "max_value": text, "invalid": text}


class Finite(forms.FloatField):
    """A number that is one: neither NaN nor infinite, nor written with underscores."""

    def __init__(self, **kwargs: Any) -> None:
        messages = range_messages(kwargs.get("min_value"), kwargs.get("max_value"))
        super().__init__(**kwargs, error_messages=messages)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and ("_" in value or not value.isascii()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        number = super().to_python(value)
        if number is not None and not math.isfinite(number):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return number


class Whole(forms.IntegerField):
    """An integer in ASCII digits."""

    def __init__(self, **kwargs: Any) -> None:
        messages = range_messages(kwargs.get("min_value"), kwargs.get("max_value"))
        super().__init__(
            **kwargs, error_messages={name: text.replace("number", "whole number") for name, text in messages.items()}
        )

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip() and not (value.strip().isascii() and value.strip().isdigit()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class Member(forms.ModelChoiceField):
    """A colleague in the actor's organisation."""

    def __init__(self, actor: Actor, **kwargs: Any) -> None:
        people = User.objects.filter(memberships__organization=actor.organization, is_active=True)
        kwargs.setdefault("required", False)
        kwargs.setdefault("empty_label", "Nobody")
        super().__init__(people, **kwargs)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, in the order of the first mapping, then of the second."""
    keys = dict.fromkeys([*before, *after])
    return [key for key in keys if before.get(key) != after.get(key)]
