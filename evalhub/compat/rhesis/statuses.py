"""Statuses by readable codes, and the values of Rhesis' lists: what is fixed in code, beside the organisation's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Case, CharField, F, Q, TextField, Value, When
from django.db.models.expressions import Combinable

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import parse_uuid
from results.models import Outcome
from runs.models import Lookup, Task, TestRun

REVIEW_MARK: Final = "rhesis_status"  # in a result's attributes: its sender asked for a review


@dataclass(frozen=True, slots=True)
class Status:
    """``code`` is its id on the wire, ``shown`` the name that the SDK accepts in place of ``name``."""

    entity: str
    code: str
    name: str
    shown: str = ""

    @property
    def wire(self) -> dict[str, Any]:
        return {"id": self.code, "name": self.shown or self.name, "description": None}


RUN: Final[dict[str, Status]] = {  # by our own word
    TestRun.Status.QUEUED: Status("TestRun", "queued", "Queued", "Progress"),
    TestRun.Status.RUNNING: Status("TestRun", "progress", "Progress"),
    TestRun.Status.COMPLETED: Status("TestRun", "completed", "Completed"),
    TestRun.Status.PARTIAL: Status("TestRun", "partial", "Partial"),
    TestRun.Status.FAILED: Status("TestRun", "failed", "Failed"),
    TestRun.Status.CANCELLED: Status("TestRun", "cancelled", "Cancelled", "Partial"),
}
RESULT: Final[dict[str, Status]] = {  # by code
    "passed": Status("TestResult", "passed", "Pass"),
    "failed": Status("TestResult", "failed", "Fail"),
    "error": Status("TestResult", "error", "Error"),
    "review": Status("TestResult", "review", "Review"),
}
TASK: Final[dict[str, Status]] = {
    Task.Status.OPEN: Status("Task", "open", "Open"),
    Task.Status.IN_PROGRESS: Status("Task", "in_progress", "In Progress"),
    Task.Status.COMPLETED: Status("Task", "completed", "Completed"),
    Task.Status.CANCELLED: Status("Task", "cancelled", "Cancelled"),
}
FIXED: Final[tuple[Status, ...]] = (
    *RUN.values(),
    *RESULT.values(),
    *TASK.values(),
    *(Status("Test", name.lower(), name) for name in ("New", "Review")),
    *(Status("TestSet", name.lower(), name) for name in ("New", "Review", "Approved")),
    *(Status("General", name.lower(), name) for name in ("Active", "Inactive", "Archived")),
)
CLOSED: Final = ("TestRun", "TestResult", "Task")  # what no status can be added to
ALIASES: Final = {"pass": "passed", "fail": "failed", "running": "progress", "in progress": "in_progress"}
OF_PEOPLE: Final = {True: RESULT["passed"], False: RESULT["failed"], None: RESULT["review"]}


def code_in(text: str) -> str:
    """A code or a name as a code."""
    word = text.strip().lower()
    return ALIASES.get(word, word.replace(" ", "_"))


# --- runs -------------------------------------------------------------------------------------------------------------


def run_states(text: str) -> list[str]:
    """What a status id means for a run: our own words."""
    code = code_in(text)
    return [state for state, status in RUN.items() if status.code == code]


def run_states_shown_as(text: str) -> list[str]:
    word = text.strip().lower()
    return [state for state, status in RUN.items() if word in (status.name.lower(), (status.shown or "").lower())]


def run_state_given(text: str) -> str | None:
    found = run_states(text)
    return found[0] if found else None


# --- results ----------------------------------------------------------------------------------------------------------


def result_code(outcome: str, attributes: Any) -> str:
    """A result's status: nobody judged it counts as an error, unless its sender asked for a review."""
    if outcome in (Outcome.PASSED, Outcome.FAILED):
        return outcome
    if outcome == Outcome.UNJUDGED and isinstance(attributes, dict) and attributes.get(REVIEW_MARK) == "review":
        return "review"
    return "error"


def result_codes(text: str) -> list[str]:
    code = code_in(text)
    return [code] if code in RESULT else []


def result_codes_named(text: str) -> list[str]:
    word = text.strip().lower()
    return [code for code, status in RESULT.items() if word == status.name.lower()]


def result_code_expression(prefix: str = "") -> Combinable:
    marked = {f"{prefix}outcome": Outcome.UNJUDGED, f"{prefix}attributes__{REVIEW_MARK}": "review"}
    return Case(
        When(**{f"{prefix}outcome__in": (Outcome.PASSED, Outcome.FAILED)}, then=F(f"{prefix}outcome")),
        When(**marked, then=Value("review")),
        default=Value("error"),
        output_field=CharField(),
    )


def name_expression(column: str, names: dict[str, str]) -> Combinable:
    """The name for a column that holds a code."""
    whens = [When(**{column: code}, then=Value(name)) for code, name in names.items()]
    return Case(*whens, default=Value(""), output_field=TextField())


def result_name_expression() -> Combinable:
    review = {"outcome": Outcome.UNJUDGED, f"attributes__{REVIEW_MARK}": "review"}
    return Case(
        When(outcome=Outcome.PASSED, then=Value("Pass")),
        When(outcome=Outcome.FAILED, then=Value("Fail")),
        When(**review, then=Value("Review")),
        default=Value("Error"),
        output_field=TextField(),
    )


def outcome_given(code: str) -> tuple[str, dict[str, str]]:
    """What we keep of a status that a sender gives a result: its own word, and the mark."""
    if code == "review":
        return Outcome.UNJUDGED, {REVIEW_MARK: "review"}
    return code, {}


# --- everything else: a column that holds a code or the id of an own status -------------------------------------------


def own_statuses(actor: Actor, entity: str | None = None) -> list[Lookup]:
    found = Lookup.objects.visible_to(actor).filter(family__startswith="status:")
    if entity is not None:
        found = found.filter(family=f"status:{entity}")
    return list(found.order_by("created_at", "id"))


def status_given(actor: Actor, entity: str, text: str) -> str | None:
    """The stored word of a status that is given by id, code or name; those for everything (General) count too."""
    code = code_in(text)
    for status in FIXED:
        if status.entity in (entity, "General") and status.code == code:
            return status.code
    for row in own_statuses(actor):
        if row.family in (f"status:{entity}", "status:General") and (
            text in (str(row.pk), row.external_id) or row.name.lower() == text.strip().lower()
        ):
            return str(row.pk)
    return None


def status_shown(stored: str, entity: str, own: dict[str, str]) -> dict[str, Any] | None:
    """{id, name} of a stored word; ``own``: names of own statuses by id."""
    if not stored:
        return None
    for status in FIXED:
        if status.entity in (entity, "General") and status.code == stored:
            return status.wire
    return {"id": stored, "name": own.get(stored, stored), "description": None}


def own_names(actor: Actor, stored: Sequence[str]) -> dict[str, str]:
    ids = [pk for pk in map(parse_uuid, stored) if pk]
    if not ids:
        return {}
    return {str(pk): name for pk, name in Lookup.objects.visible_to(actor).filter(pk__in=ids).values_list("pk", "name")}


def is_seeded(entity: str) -> Q:
    return Q(family=f"status:{entity}")


# --- lists of values --------------------------------------------------------------------------------------------------

ENTITIES: Final = (
    "TestRun", "TestResult", "TestConfiguration", "TestSet", "Test", "Prompt", "Endpoint", "Project", "Metric", "Task",
    "Comment", "Requirement", "Category", "Topic", "Trace", "General",
)  # fmt: skip
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "TestType": ("Single-Turn", "Multi-Turn"),
    "TestSetType": ("Single-Turn", "Multi-Turn"),
    "TaskPriority": ("Low", "Medium", "High"),
    "ScoreType": ("binary", "numeric", "categorical"),
    "MetricType": ("custom-prompt", "framework", "custom-code", "grading", "api-call"),
    "BackendType": ("custom", "rhesis", "deepeval", "ragas", "garak", "sdk"),
    "EndpointConnectionType": ("REST", "WebSocket", "GRPC", "SDK"),
    "EntityType": ENTITIES,
}


def value_id(family: str, value: str) -> str:
    """The id of a value in code: testtype-single-turn."""
    return f"{family}-{value}".lower().replace(" ", "-")


def value_in(family: str, text: str) -> str | None:
    """A value of a list in code, by its id or itself."""
    word = text.strip().lower()
    for value in VALUES[family]:
        if word in (value.lower(), value_id(family, value)):
            return value
    return None
