"""What a reader says of the run in a file, before and after its results."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from results.records import ResultRecord


@dataclass(slots=True, kw_only=True)
class VariantDescription:
    label: str
    provider: str = ""
    prompt: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class RunDescription:
    """A run as its file describes it.

    ``run_id``: what makes it the same run next time; ``settings_id``: what makes it the same configuration.
    ``status`` None: the counters decide. ``finished``: whether the file is the run's last word. ``test_set``: its name.
    ``planned``: results that the run was to have; ``held``: records in the file, where that is known beforehand.
    ``repeats``: its tool asks a case several times on purpose.
    """

    tool: str
    run_id: str
    name: str
    settings_id: str
    configuration: str
    parameters: dict[str, Any] = field(default_factory=dict)
    test_set: str = ""
    model: str = ""
    status: str | None = None
    finished: bool = True
    error: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    branch: str = ""
    commit: str = ""
    tags: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    variants: list[VariantDescription] = field(default_factory=list)
    planned: int | None = None
    held: int | None = None
    repeats: bool = False
    declared: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, str] = ("results", "evaluators")


@dataclass(frozen=True, slots=True)
class Check:
    """One of the file's own totals beside what EvalHub counts after the import."""

    name: str
    declared: float
    imported: float
    headline: bool = False

    @property
    def agrees(self) -> bool:
        return math.isclose(self.declared, self.imported, rel_tol=1e-6, abs_tol=1e-9)

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "declared": self.declared, "imported": self.imported, "agrees": self.agrees}


@dataclass(frozen=True, slots=True)
class Judged:
    """A stored judgement that counts: the machine's, or the newest of a person that replaced it."""

    case: object
    repetition: int
    variant: int | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What the database holds of a run after its import."""

    results: int
    cases: int
    passed: int
    failed: int
    errors: int
    tokens: int
    cost: float
    evaluators: list[str]
    judged: Callable[[str], Iterator[Judged]]  # of an evaluator by its name, one case after the other
    by_variant: dict[int | None, dict[str, float]] = field(default_factory=dict)


class RunReader(Protocol):
    """The run of a file. ``warnings`` grows while ``records`` is read."""

    description: RunDescription
    warnings: list[str]

    def records(self) -> Iterator[ResultRecord]: ...

    def checks(self, imported: Imported) -> list[Check]: ...


def digest_of(*parts: Any) -> str:
    """The same 40 characters for the same data, whatever the order of its keys."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def moment(value: object) -> datetime | None:
    """An aware time from ISO text or a Unix number; None for anything else. Times without a zone are UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        try:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        except (OverflowError, ValueError, OSError):
            return None
    if not isinstance(value, str) or not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def number(value: object) -> float | None:
    """A finite number, else None; booleans are not numbers here."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            as_float = float(value)
        except OverflowError:
            return None
        return as_float if math.isfinite(as_float) else None
    return None


def text(value: object) -> str:
    """Text as it is, nothing for None, and compact JSON for the rest."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def counted(count: int, one: str, many: str) -> str:
    """`1 row repeats ...` or `12 rows repeat ...`."""
    return f"{count:,} {one if count == 1 else many}"


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
