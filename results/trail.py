"""Who did what in a review, for the audit trail."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import User
from evalhub.audit.models import AuditEvent, event_of
from evalhub.database.writing import insert_row
from results.models import Evaluation, ReviewAssignment, TestResult

By = User | Actor
"""Whoever acts: an actor where a request is behind it (the trail then names the token), else a user."""


def person(by: By) -> User:
    return by.user if isinstance(by, Actor) else by


def note(action: str, entity: models.Model, by: By | None, *, organization_id: UUID, **data: Any) -> None:
    insert_row(noted(action, entity, by, organization_id=organization_id, **data))


def noted(action: str, entity: models.Model, by: By | None, *, organization_id: UUID, **data: Any) -> AuditEvent:
    """The event, to be kept with what it tells of."""
    return event_of(
        action,
        entity,
        by=by if isinstance(by, Actor) else None,
        organization_id=organization_id,
        user_id=person(by).pk if by else None,
        label=label_of(entity),
        **data,
    )


def label_of(entity: models.Model) -> str | None:
    """Of what has no name of its own: the result's, and whose, or what of it."""
    if isinstance(entity, ReviewAssignment):
        return f"{_result_of(entity)} for {entity.reviewer or 'whoever takes it'}"
    if isinstance(entity, Evaluation):
        turn = "whole result" if entity.turn is None else f"turn {entity.turn}"
        return f"{_result_of(entity)}, {entity.evaluator or turn}"
    return None


def _result_of(entity: ReviewAssignment | Evaluation) -> TestResult:
    return TestResult.objects.only("name", "position").get(pk=entity.result_id)
