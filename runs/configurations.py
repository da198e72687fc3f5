"""Setting up configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from runs.changing import apply_changes, locked, save_changes
from runs.models import ConfigurationEvaluator, Evaluator, Project, TestConfiguration


def create_configuration(
    project: Project, *, by: Actor, name: str, evaluators: Sequence[Evaluator] = (), **fields: Any
) -> TestConfiguration:
    with transaction.atomic():
        configuration = TestConfiguration.objects.create(
            organization_id=project.organization_id, project=project, name=name, **{"owner": by.user, **fields}
        )
        _use_evaluators(configuration, evaluators)
        record_event("testconfiguration.created", configuration, by=by)
    return configuration


def change_configuration(
    configuration: TestConfiguration, *, by: Actor, evaluators: Sequence[Evaluator] | None = None, **changes: Any
) -> TestConfiguration:
    """Change a configuration; ``evaluators`` are all of them, in their order. Its runs keep their snapshot."""
    with transaction.atomic():
        configuration = locked(configuration)
        changed = apply_changes(configuration, changes)
        if evaluators is not None and _use_evaluators(configuration, evaluators):
            changed.append("evaluators")
        save_changes(configuration, changed, by=by)
    return configuration


def evaluators_of(configuration: TestConfiguration) -> list[Evaluator]:
    """The evaluators in their order."""
    rows = ConfigurationEvaluator.objects.filter(configuration=configuration, evaluator__deleted_at__isnull=True)
    return [row.evaluator for row in rows.select_related("evaluator")]


def _use_evaluators(configuration: TestConfiguration, evaluators: Sequence[Evaluator]) -> bool:
    """Make the configuration use exactly these, in this order; says whether that is a change."""
    wanted = [evaluator.pk for evaluator in evaluators]
    rows = ConfigurationEvaluator.objects.filter(configuration=configuration)
    if list(rows.values_list("evaluator_id", flat=True)) == wanted:
        return False
    rows.delete()
    ConfigurationEvaluator.objects.bulk_create(
        [
            ConfigurationEvaluator(configuration=configuration, evaluator=evaluator, position=position)
            for position, evaluator in enumerate(evaluators, 1)
        ]
    )
    return True
