"""What users of the application say of single calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from results.models import Feedback, TestResult
from runs.changing import apply_changes, locked, save_changes


def give_feedback(result: TestResult, *, by: Actor, score: float, recorded_at: datetime, details: str = "") -> Feedback:
    """``score`` is between 0 and 1."""
    feedback = Feedback.objects.create(
        organization_id=result.organization_id, result=result, score=score, recorded_at=recorded_at, details=details
    )
    record_event("feedback.given", feedback, by=by, result=str(result.pk))
    return feedback


def change_feedback(feedback: Feedback, *, by: Actor, **changes: Any) -> Feedback:
    with transaction.atomic():
        feedback = locked(feedback)
        save_changes(feedback, apply_changes(feedback, changes), by=by)
    return feedback
