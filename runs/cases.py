"""Cases that arrive with results, and changes of cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from evalhub.database.copying import copy_rows, json_text
from runs.models import Case, CaseRevision, Project, TestSet, TestSetCase


@dataclass(slots=True, kw_only=True)
class CaseSpec:
    """A case as a sender describes it. ``external_id`` is what makes it the same case next time (required)."""

    external_id: str
    name: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] | None = None
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


def ensure_cases(project: Project, specs: Iterable[CaseSpec], *, test_set: TestSet | None = None) -> dict[str, Case]:
    """The project's cases by external id, missing ones made; an existing one keeps what it says.

    With ``test_set`` the new cases join it. Runs in the caller's transaction, else in its own.
    """
    wanted = {spec.external_id: spec for spec in specs}
    if not wanted:
        return {}
    with transaction.atomic():
        found = _cases_by_external_id(project, wanted)
        missing = [spec for key, spec in wanted.items() if key not in found]
        if missing:
            numbers = project.take_numbers("last_case_number", len(missing))  # locks: others wait, then find ours
            found = _cases_by_external_id(project, wanted)
            missing = [spec for spec in missing if spec.external_id not in found]
            made = [
                Case(
                    organization_id=project.organization_id,
                    project=project,
                    number=number,
                    external_id=spec.external_id,
                    name=spec.name[:300],
                    inputs=spec.inputs,
                    expected=spec.expected,
                    tags=spec.tags,
                    metadata=spec.metadata,
                    attributes=spec.attributes,
                )
                for number, spec in zip(numbers, missing, strict=False)
            ]
            _copy_cases(made)
            found |= {case.external_id or "": case for case in made}
            if test_set is not None and made:
                add_to_test_set(test_set, made)
    return found


def add_to_test_set(test_set: TestSet, cases: Iterable[Case]) -> int:
    """Put cases at the end of a set (those already in it stay where they are); says how many are new."""
    with transaction.atomic():
        TestSet.objects.select_for_update().get(pk=test_set.pk)
        members = TestSetCase.objects.filter(test_set=test_set)
        present = set(members.values_list("case_id", flat=True))
        last = members.aggregate(last=Max("position"))["last"] or 0
        new = [case for case in cases if case.pk not in present]
        TestSetCase.objects.bulk_create(
            [TestSetCase(test_set=test_set, case=case, position=last + n) for n, case in enumerate(new, 1)]
        )
        if new:
            test_set.bump()
    return len(new)


def remove_from_test_set(test_set: TestSet, case_ids: Iterable[UUID]) -> int:
    with transaction.atomic():
        removed, _ = TestSetCase.objects.filter(test_set=test_set, case_id__in=list(case_ids)).delete()
        if removed:
            test_set.bump()
    return removed


def change_case(case: Case, **changes: Any) -> Case:
    """Change a case; one that results already used keeps its old inputs and expectation as a revision."""
    with transaction.atomic():
        case = Case.objects.select_for_update().get(pk=case.pk)
        content_changes = any(
            name in changes and changes[name] != getattr(case, name) for name in ("inputs", "expected")
        )
        if content_changes and Case.objects.filter(pk=case.pk, results__isnull=False).exists():
            CaseRevision.objects.create(
                organization_id=case.organization_id,
                case=case,
                number=case.revision,
                inputs=case.inputs,
                expected=case.expected,
            )
            case.revision += 1
        for name, value in changes.items():
            setattr(case, name, value)
        case.save()
        if content_changes:
            for test_set in TestSet.objects.filter(cases=case):
                test_set.bump()
    return case


def golden_set(project: Project) -> TestSet:
    """The project's one golden set, made when first needed."""
    test_set, _ = TestSet.objects.get_or_create(
        organization_id=project.organization_id,
        project=project,
        is_golden=True,
        deleted_at=None,
        defaults={"name": f"{project.name}: golden set", "slug": "golden"},
    )
    return test_set


_COLUMNS = (
    "id",
    "created_at",
    "updated_at",
    "organization_id",
    "external_id",
    "tags",
    "metadata",
    "attributes",
    "project_id",
    "number",
    "name",
    "kind",
    "inputs",
    "expected",
    "revision",
    "status",
)


def _copy_cases(cases: Iterable[Case]) -> None:
    now = timezone.now()
    rows = []
    for case in cases:
        case.created_at = case.updated_at = now
        values = {name: getattr(case, name) for name in _COLUMNS}
        for name in ("metadata", "attributes", "inputs"):
            values[name] = json_text(values[name])
        values["expected"] = None if case.expected is None else json_text(case.expected)
        rows.append(tuple(values.values()))
    copy_rows(Case._meta.db_table, _COLUMNS, rows)


def _cases_by_external_id(project: Project, wanted: Iterable[str]) -> dict[str, Case]:
    cases = Case.objects.filter(
        organization_id=project.organization_id, external_id__in=list(wanted), deleted_at__isnull=True
    )
    return {case.external_id or "": case for case in cases.defer("metadata", "attributes", "plan")}
