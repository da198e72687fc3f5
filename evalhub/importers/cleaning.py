"""Makes records storable: characters, numbers, lengths and depth that the database takes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from evalhub.database.storable import Replaced, TooDeep, storable
from evalhub.importers.description import digest_of
from evalhub.importers.problems import ImportProblem, Limits
from results.recording import MOST_TOKENS
from results.records import ResultRecord
from runs.evaluators import EvaluatorSpec

LONGEST_NAME = 200
LONGEST_TAG = 80


class Cleaner:
    """Cleans in place, and counts what it had to replace."""

    def __init__(self) -> None:
        self.depth = Limits.current().depth
        self.replaced = Replaced()

    def clean[T](self, thing: T, place: str) -> T:
        """The same dataclass, storable."""
        try:
            self._clean(thing)
        except (TooDeep, RecursionError) as error:
            raise ImportProblem("is nested too deeply", place=place) from error
        return thing

    def record(self, record: ResultRecord, number: int) -> ResultRecord:
        self.clean(record, f"Result {number:,} ({record.name[:80]})")
        if record.tokens is not None and not 0 <= record.tokens <= MOST_TOKENS:
            record.tokens = None
        record.tags = [tag[:LONGEST_TAG] for tag in record.tags if tag]
        for judgement in record.evaluations:
            if isinstance(judgement.evaluator, EvaluatorSpec):
                judgement.evaluator.name = fitting(judgement.evaluator.name)
        return record

    def _clean(self, thing: Any) -> None:
        for field in fields(thing):
            value = getattr(thing, field.name)
            if is_dataclass(value):
                self._clean(value)
            elif isinstance(value, list) and value and is_dataclass(value[0]):
                for item in value:
                    self._clean(item)
            elif isinstance(value, str | dict | list):
                setattr(thing, field.name, storable(value, self.replaced, max_depth=self.depth))


def fitting(name: str) -> str:
    """A name that fits the column; two long ones stay two."""
    if len(name) <= LONGEST_NAME:
        return name or "unnamed"
    return f"{name[:180]} … {digest_of(name)[:10]}"
