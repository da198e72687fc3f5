"""What the clients send: read field by field, refused with a sentence that names the place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from evalhub.accounts.tenancy import parse_uuid
from evalhub.compat.gentrace.words import METADATA_TYPES, is_typed
from results.models import Evaluation
from results.records import Judgement, StepRecord
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator

LONGEST_ID = 200
LONGEST_STEP = 1e12  # milliseconds
NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


class Refusal(Exception):
    """The request cannot be served; ``errors`` are further sentences."""

    def __init__(
        self, message: str, status: int = 400, errors: Iterable[str] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.errors, self.headers = message, status, list(errors), headers


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
        """ISO 8601 with its offset, as the clients send it."""
        value = self.value.get(key)
        if value is None:
            return None
        try:
            parsed = parse_datetime(value) if isinstance(value, str) and value.isascii() else None
            if parsed is not None and parsed.tzinfo is not None:
                return parsed.astimezone(UTC)
        except (ValueError, OverflowError):  # no such day, or outside of the years 1 to 9999
            pass
        raise Refusal(f"{self.named(key)} must be a time in ISO 8601 with its offset, such as 2026-01-05T10:00:00Z.")

    def seconds(self, key: str) -> datetime | None:
        value = self.number(key)
        return None if value is None else moment(value, self.named(key))

    def metadata(self, key: str) -> dict[str, Any]:
        """{key: {type, ...}}; entries of a known type must be whole, other types are kept as they are."""
        found = self.mapping(key) or {}
        for name, entry in found.items():
            place = f"{self.named(key)}.{name[:60]}"
            if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
                raise Refusal(f"{place} must be an object with a type.")
            if entry["type"] in METADATA_TYPES and not is_typed(entry):
                needs = " and ".join(
                    f"{part} ({kind.__name__})" for part, kind in METADATA_TYPES[entry["type"]].items()
                )
                raise Refusal(f"{place} has the type {entry['type']} and needs {needs}.")
        return found


def read_step(step: Body) -> StepRecord:
    """One StepRun; ``elapsedTime`` is in milliseconds, and below zero where a clock was set back."""
    context = step.mapping("context") or {}
    elapsed = step.number("elapsedTime", least=-LONGEST_STEP, most=LONGEST_STEP)
    return StepRecord(
        name=step.text("invocation")[:300],
        provider=step.text("providerName")[:300],
        parameters=step.mapping("modelParams") or {},
        inputs=step.mapping("inputs") or {},
        outputs=step.mapping("outputs") or {},
        context=context,
        error=step.text("error"),
        latency_ms=None if elapsed is None else max(elapsed, 0),
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


def local_evaluator(evaluation: Body) -> EvaluatorSpec:
    """What stands for the sender's own code, which has no evaluator on the wire."""
    return EvaluatorSpec(
        name=evaluation.text("name", required=True, longest=200), value_type=Evaluator.ValueType.PERCENTAGE
    )


def read_local_evaluation(evaluation: Body, evaluators: Mapping[str, Evaluator]) -> Judgement:
    """A judgement that the sender's own code made: {name, value, label?, debug?}."""
    value = evaluation.number("value")
    if value is None:
        raise Refusal(f"{evaluation.named('value')} is missing.")
    debug = evaluation.mapping("debug")
    failure = (debug or {}).get("error")
    judgement = Judgement(evaluator=evaluators[evaluation.text("name")], debug=debug)
    if isinstance(failure, dict) and failure.get("message"):
        judgement.state, judgement.error = Evaluation.State.ERROR, str(failure["message"])
    else:
        judgement.value, judgement.label = value, evaluation.text("label") or None
    return judgement


def read_path(item: Body) -> list[dict[str, Any]] | None:
    sections = item.items("path")
    for section in sections:
        if section.text("type", required=True) != "suite":
            raise Refusal(f"{section.named('type')} must be suite.")
    return [{"type": "suite", "name": section.text("name", required=True)} for section in sections] or None


def moment(seconds: float, place: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise Refusal(f"{place} must be a time in seconds since 1970.") from None


def as_number(text: str, place: str) -> float:
    if not NUMBER.fullmatch(text):
        raise Refusal(f"{place} must be a number.")
    return float(text)
