"""Opening a run for results that will arrive."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from evalhub.accounts.models import User
from runs.models import Evaluator, Project, TestConfiguration, TestRun


def open_run(
    project: Project,
    *,
    name: str = "",
    configuration: TestConfiguration | None = None,
    by: User | None = None,
    status: str = TestRun.Status.RUNNING,
    **fields: Any,
) -> TestRun:
    """A new run with the project's next number and a snapshot of what the configuration says now."""
    with transaction.atomic():
        (number,) = project.take_numbers("last_run_number", 1)
        finished = status in TestRun.FINISHED
        fields.setdefault("started_at", None if status == TestRun.Status.QUEUED else timezone.now())
        fields.setdefault("finished_at", timezone.now() if finished else None)
        if configuration is not None and "snapshot" not in fields:
            fields["snapshot"] = snapshot_of(configuration)
        return TestRun.objects.create(
            organization_id=project.organization_id,
            project=project,
            configuration=configuration,
            number=number,
            name=(name or f"Run {number}")[:300],
            status=status,
            created_by=by,
            owner=fields.pop("owner", by),
            **fields,
        )


def snapshot_of(configuration: TestConfiguration) -> dict[str, Any]:
    """What a run remembers of its configuration: endpoint, test set with revision, evaluators with versions."""
    test_set = configuration.test_set
    return {
        "configuration": {"id": str(configuration.pk), "name": configuration.name},
        "endpoint": configuration.endpoint.snapshot() if configuration.endpoint else None,
        "test_set": {"id": str(test_set.pk), "name": test_set.name, "revision": test_set.revision}
        if test_set
        else None,
        "evaluators": [
            {"id": str(evaluator.pk), "version": evaluator.version, **evaluator.snapshot()}
            for evaluator in Evaluator.objects.filter(configurations=configuration).order_by("name")
        ],
        "parameters": configuration.parameters,
    }
