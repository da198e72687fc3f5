"""What a project's application answered in production, as its clients report it."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet

from evalhub.accounts.actor import Actor
from results.models import Feedback, TestResult
from runs.models import Project, TestRun

SHOWN: Final = ("feedback", "errors")


def calls_of(project: Project, actor: Actor, shown: str = "") -> QuerySet[TestResult, Any]:
    """The calls; ``shown`` narrows them to those with feedback, or to errors."""
    calls = TestResult.objects.visible_to(actor).filter(run__project=project, run__kind=TestRun.Kind.PRODUCTION)
    if shown == "errors":
        return calls.errored()
    if shown == "feedback":
        return calls.filter(Exists(Feedback.objects.filter(result=OuterRef("pk"))))
    return calls


def feedback_of(project: Project, actor: Actor) -> QuerySet[Feedback]:
    return Feedback.objects.visible_to(actor).filter(
        result__run__project=project, result__run__kind=TestRun.Kind.PRODUCTION
    )
