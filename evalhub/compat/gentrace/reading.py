"""What the clients send: read field by field, refused with a sentence that names the place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from evalhub.accounts.tenancy import parse_uuid
from results.records import Judgement, StepRecord
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator

KNOWN_METADATA = {"string": ("value", str), "url": ("url", str), "boolean": ("value", bool)}
LONGEST_ID = 200


class Refusal(Exception):
    """The request cannot be served; ``errors`` are further sentences."""

    def __init__(self, message: str, status: int = 400, errors: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message, self.status, self.errors = message, status, list(errors)


class Body:
    """An object of the request, with its place for messages."""

    def __init__(self, value: Any, place: str = "") -> None:
        if not isinstance(value, dict):
            raise Refusal(f"{place or 'The body'} must be an object.")
        self.value: dict[str, Any] = value
        self.place = place

    def named(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def text(self, key: str, *, required: bool = False, longest: int = 100_000) -> str:
        value = self.value.get(key)
        if value is None:
            if required:
                raise Refusal(f"{self.named(key)} is missing.")
            return ""
        if not isinstance(value, str):
            raise Refusal(f"{self.named(key)} must be a string.")
        if required and not value.strip():
            raise Refusal(f"{self.named(key)} is empty.")
        if len(value) > longest:
            raise Refusal(f"{self.named(key)} is longer than {longest:,} characters.")
        return value

    def flag(self, key: str) -> bool | None:
        value = self.value.get(key)
        if value is not None and not isinstance(value, bool):
            raise Refusal(f"{self.named(key)} must be true or false.")
        return value

    def number(self, key: str, *, least: float | None = None, most: float | None = None) -> float | None:
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Refusal(f"{self.named(key)} must be a number.")
        if (least is not None and value < least) or (most is not None and value > most):
            raise Refusal(f"{self.named(key)} must be between {least:g} and {most:g}.")
        return float(value)

    def mapping(self, key: str, *, required: bool = False) -> dict[str, Any] | None:
        value = self.value.get(key)
        if value is None:
            if required:
                raise Refusal(f"{self.named(key)} is missing.")
            return None
        if not isinstance(value, dict):
            raise Refusal(f"{self.named(key)} must be an object.")
        return value

    def items(self, key: str, *, required: bool = False) -> list[Body]:
        value = self.value.get(key)
        if value is None and not required:
            return []
        if not isinstance(value, list):
            raise Refusal(f"{self.named(key)} must be a list.")
        return [Body(item, f"{self.named(key)}[{n}]") for n, item in enumerate(value)]

    def uuid(self, key: str, *, required: bool = False) -> UUID | None:
        value = self.text(key, required=required, longest=LONGEST_ID)
        if not value:
            return None
        found = parse_uuid(value)
        if found is None:
            raise Refusal(f"{self.named(key)} must be a UUID.")
        return found

    def time(self, key: str) -> datetime | None:
        """ISO 8601; a time without zone is UTC, as the clients mean it."""
        value = self.value.get(key)
        if value is None:
            return None
        try:
            parsed = parse_datetime(value) if isinstance(value, str) else None
        except ValueError:
            parsed = None
        if parsed is None:
            raise Refusal(f"{self.named(key)} must be a time in ISO 8601.")
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)

    def seconds(self, key: str) -> datetime | None:
        value = self.number(key)
        if value is None:
            return None
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise Refusal(f"{self.named(key)} must be a time in seconds since 1970.") from None

    def metadata(self, key: str) -> dict[str, Any]:
        """{key: {type, ...}}; entries of a known type must be whole, other types are kept as they are."""
        found = self.mapping(key) or {}
        for name, entry in found.items():
            place = f"{self.named(key)}.{name[:60]}"
            if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
                raise Refusal(f"{place} must be an object with a type.")
            known = KNOWN_METADATA.get(entry["type"])
            if known and not isinstance(entry.get(known[0]), known[1]):
                raise Refusal(f"{place} has the type {entry['type']} and needs a {known[1].__name__} as {known[0]}.")
        return found


def read_step(step: Body) -> StepRecord:
    """One StepRun; ``elapsedTime`` is in milliseconds."""
    context = step.mapping("context") or {}
    return StepRecord(
        name=step.text("invocation")[:300],
        provider=step.text("providerName")[:300],
        parameters=step.mapping("modelParams") or {},
        inputs=step.mapping("inputs") or {},
        outputs=step.mapping("outputs") or {},
        context=context,
        error=step.text("error"),
        latency_ms=step.number("elapsedTime"),
        started_at=step.time("startTime"),
        finished_at=step.time("endTime"),
    )


def html_key(steps: Iterable[StepRecord]) -> str:
    """The output that holds HTML to show: the last one that a step's context names."""
    found = ""
    for step in steps:
        render = step.context.get("render")
        if isinstance(render, dict) and render.get("type") == "html":
            found = str(render.get("key") or "html")
    return found[:200]


def read_local_evaluation(evaluation: Body) -> Judgement:
    """A judgement that the sender's own code made: {name, value, label?, debug?}."""
    name = evaluation.text("name", required=True, longest=200)
    value = evaluation.number("value")
    if value is None:
        raise Refusal(f"{evaluation.named('value')} is missing.")
    debug = evaluation.mapping("debug")
    failure = (debug or {}).get("error")
    shared = {"evaluator": EvaluatorSpec(name=name, value_type=Evaluator.ValueType.PERCENTAGE), "debug": debug}
    if isinstance(failure, dict) and failure.get("message"):
        return Judgement(**shared, state="error", error=str(failure["message"]))  # type: ignore[arg-type]
    return Judgement(**shared, value=value, label=evaluation.text("label") or None)  # type: ignore[arg-type]


def read_path(item: Body) -> list[dict[str, Any]] | None:
    path = [{"type": section.text("type"), "name": section.text("name")} for section in item.items("path")]
    return path or None


# --- deep filters -----------------------------------------------------------------------------------------------------

_BRACKETS = re.compile(r"^(\w+)((?:\[[^\[\]]+\])+)$")
Conditions = list[tuple[tuple[str, ...], list[str]]]


def deep_filters(query: Iterable[tuple[str, list[str]]], name: str) -> Conditions:
    """The filters on ``name`` in both spellings: ``createdAt[gt]=1`` and ``createdAt.gt=1`` give (("gt",), ["1"])."""
    found: Conditions = []
    for key, values in query:
        bracketed = _BRACKETS.match(key)
        parts = [bracketed[1], *re.findall(r"\[([^\[\]]+)\]", bracketed[2])] if bracketed else key.split(".")
        if parts[0] == name and len(parts) > 1:
            # A metadata key may hold dots itself: the operator is the last part.
            found.append(((".".join(parts[1:-1]), parts[-1]) if len(parts) > 2 else (parts[1],), values))
    return found


def seconds_filter(conditions: Conditions, name: str) -> dict[str, datetime]:
    """createdAt gt, gte, lt, lte in unix seconds, as lookups."""
    lookups: dict[str, datetime] = {}
    for path, values in conditions:
        if len(path) != 1 or path[0] not in ("gt", "gte", "lt", "lte"):
            raise Refusal(f"{name} takes gt, gte, lt and lte.")
        try:
            lookups[f"created_at__{path[0]}"] = datetime.fromtimestamp(float(values[-1]), UTC)
        except (ValueError, OverflowError, OSError):
            raise Refusal(f"{name}.{path[0]} must be a time in seconds since 1970.") from None
    return lookups


def as_number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refusal(f"{place} must be a number.")
    return value
