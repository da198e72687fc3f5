"""Rows by the ids of the clients; every fetch starts from ``visible_to``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django.db.models import CharField, Q, QuerySet, Value
from django.db.models.functions import Cast, Replace, Right

from evalhub.accounts.models import Membership, User
from evalhub.accounts.tenancy import parse_uuid
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.reading import LONGEST_ID, Body, Invalid, not_found
from results.models import TestResult
from runs.models import (
    Attachment,
    Case,
    Category,
    Comment,
    Endpoint,
    EntityType,
    Evaluator,
    Lookup,
    Project,
    Prompt,
    Requirement,
    Tag,
    Task,
    TestConfiguration,
    TestRun,
    TestSet,
    Topic,
)

WHAT: Final[dict[Any, str]] = {
    Project: "Project", Endpoint: "Endpoint", TestConfiguration: "Test configuration", TestSet: "Test set",
    Case: "Test", Prompt: "Prompt", Category: "Category", Topic: "Topic", Requirement: "Requirement",
    Evaluator: "Metric", TestRun: "Test run", TestResult: "Test result", Task: "Task", Tag: "Tag", User: "User",
    Comment: "Comment", Attachment: "File", Lookup: "Status",
}  # fmt: skip
NANO: Final = Right(Replace(Cast("id", CharField()), Value("-"), Value("")), 12)
PROJECT_PATH: Final[dict[Any, str]] = {
    Project: "pk", TestResult: "run__project", **dict.fromkeys(
        (Endpoint, TestConfiguration, TestSet, Case, TestRun), "project"
    ),
}  # fmt: skip


def visible(call: Call, model: Any) -> QuerySet[Any]:
    """The model's rows that the actor may see; within the call's project, where it names one."""
    rows: QuerySet[Any] = model.objects.visible_to(call.actor)
    if model is TestConfiguration:  # the SDK cannot read one without an endpoint
        rows = rows.filter(endpoint__isnull=False)
    elif model is TestRun:
        rows = rows.filter(kind=TestRun.Kind.TEST)
    if call.project is None:
        return rows
    if model is Evaluator:  # templates belong to every project
        return rows.filter(Q(project=call.project) | Q(project__isnull=True))
    path = PROJECT_PATH.get(model)
    return rows.filter(**{path: call.project.pk}) if path else rows


def find(call: Call, model: Any, ident: str, *, rows: QuerySet[Any] | None = None, status: int = 404) -> Any:
    """The visible row of that id, ours or the client's, else a refusal."""
    found = _find(visible(call, model) if rows is None else rows, ident)
    if found is None:
        raise not_found(WHAT.get(model, "Row"), ident, status)
    return found


def find_or_none(call: Call, model: Any, ident: str) -> Any | None:
    return _find(visible(call, model), ident)


def _find(rows: QuerySet[Any], ident: str) -> Any | None:
    if len(ident) > LONGEST_ID:
        return None
    return rows.by_id(ident)  # type: ignore[attr-defined]


def find_test_set(call: Call, ident: str) -> TestSet:
    """By id, handle or slug."""
    found = _find(visible(call, TestSet), ident)
    if found is None and len(ident) <= LONGEST_ID and "\0" not in ident:
        named = visible(call, TestSet).annotate(nano=NANO).filter(Q(slug=ident) | Q(nano=ident.lower()))
        found = named.order_by("created_at").first()
    if found is None:
        raise not_found("Test set", ident)
    return found


def referred(call: Call, body: Body, key: str, model: Any) -> Any | None:
    """The row that a key of the body names; None where it names none, 400 where there is no such row."""
    ident = body.ident(key)
    return None if ident is None else find(call, model, ident, status=400)


def needed(call: Call, body: Body, key: str, model: Any) -> Any:
    """The same where the key has to be there."""
    body.need(key)
    return find(call, model, body.ident(key) or "", status=400)


def member(call: Call, ident: str, status: int = 400) -> User:
    """A colleague by id or e-mail address."""
    members = Membership.objects.filter(organization=call.actor.organization).select_related("user")
    own = parse_uuid(ident)
    membership = members.filter(user_id=own).first() if own else members.filter(user__email=ident.lower()).first()
    if membership is None:
        raise not_found("User", ident, status)
    return membership.user


def colleague(call: Call, body: Body, key: str) -> User | None:
    ident = body.ident(key)
    return None if ident is None else member(call, ident)


def meaning_of(call: Call, model: Any) -> Any:
    """For filters: which keys of the model an id stands for."""

    def keys(ident: str) -> list[UUID]:
        if len(ident) > LONGEST_ID or "\0" in ident:
            return []
        rows: QuerySet[Any] = model.objects.filter(organization=call.actor.organization)
        return list(rows.with_id(ident).values_list("pk", flat=True)[:10])  # type: ignore[attr-defined]

    return keys


def meaning_of_user(call: Call) -> Any:
    def keys(ident: str) -> list[UUID]:
        own = parse_uuid(ident)
        if own is not None:
            return [own]
        members = Membership.objects.filter(organization=call.actor.organization, user__email=ident.lower())
        return list(members.values_list("user_id", flat=True))

    return keys


def keys_of(call: Call, model: Any, idents: Iterable[str]) -> list[UUID]:
    """The keys of all these ids, in one query; unknown ones stand for nothing."""
    names = {ident for ident in idents if len(ident) <= LONGEST_ID and "\0" not in ident}
    if not names:
        return []
    rows: QuerySet[Any] = model.objects.filter(organization=call.actor.organization).with_ids(names)
    return list(rows.values_list("pk", flat=True))


# --- things that notes are about --------------------------------------------------------------------------------------

ENTITIES: Final[dict[str, tuple[str, Any]]] = {  # Rhesis' word -> ours, and the model
    "Project": (EntityType.PROJECT, Project),
    "Endpoint": (EntityType.ENDPOINT, Endpoint),
    "TestSet": (EntityType.TEST_SET, TestSet),
    "Test": (EntityType.CASE, Case),
    "Metric": (EntityType.EVALUATOR, Evaluator),
    "TestConfiguration": (EntityType.CONFIGURATION, TestConfiguration),
    "TestRun": (EntityType.RUN, TestRun),
    "TestResult": (EntityType.RESULT, TestResult),
}
ENTITY_NAME: Final = {ours: name for name, (ours, _) in ENTITIES.items()}
_BY_WORD: Final = {name.lower(): name for name in ENTITIES}


def entity_word(text: str, place: Iterable[str | int]) -> str:
    """Rhesis' word for a kind of thing, from test_run, TestRun or testrun."""
    found = _BY_WORD.get(text.replace("_", "").replace("-", "").lower())
    if found is None:
        expected = ", ".join(f"'{name}'" for name in ENTITIES)
        raise Invalid("enum", place, f"Input should be {expected}")
    return found


def find_entity(call: Call, word: str, ident: str, status: int = 404) -> tuple[str, Any]:
    """Our word for the kind, and the row."""
    ours, model = ENTITIES[word]
    return ours, find(call, model, ident, status=status)


def entity_ids(rows: Iterable[tuple[str, UUID | None]]) -> dict[UUID, str]:
    """The ids on the wire of things that notes are about."""
    by_model: dict[Any, set[UUID]] = {}
    for ours, pk in rows:
        if ours and pk is not None:
            by_model.setdefault(ENTITIES[ENTITY_NAME[ours]][1], set()).add(pk)
    found: dict[UUID, str] = {}
    for model, pks in by_model.items():
        for pk, external_id in model.objects.filter(pk__in=pks).values_list("pk", "external_id"):
            found[pk] = external_id or str(pk)
    return found
