"""Cases that arrive with results, and changes of cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.expressions import Combinable
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import Organization
from evalhub.audit.models import record_event
from evalhub.database.copying import array_text, copy_rows, json_text
from evalhub.database.ids import new_id
from evalhub.database.lookups import count_of, looked_up
from evalhub.database.prepared import instance_of
from evalhub.web.errors import Refused
from runs.changing import apply_changes, locked, save_changes
from runs.models import Case, CaseRevision, Project, Shard, TestRun, TestSet, TestSetCase
from runs.models.cases import Word
from runs.naming import free_slug


def live_members() -> QuerySet[TestSetCase]:
    return TestSetCase.objects.filter(case__deleted_at__isnull=True)


def count_of_members() -> Combinable:
    """How many cases the outer test set has. The deleted ones, which are few, are counted apart by their own index."""
    deleted = TestSetCase.objects.filter(case__deleted_at__isnull=False)
    return count_of(TestSetCase.objects.all(), "test_set") - count_of(deleted, "test_set")


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
            found |= _cases_by_external_id(project, [spec.external_id for spec in missing])
            missing = [spec for spec in missing if spec.external_id not in found]
            made = _copy_cases(project, zip(numbers, missing, strict=False))
            found |= {case.external_id or "": case for case in made}
            if test_set is not None and made:
                add_to_test_set(test_set, made)
    return found


def create_test_set(project: Project, *, by: Actor, name: str, **fields: Any) -> TestSet:
    """A new, empty set of the project, with a slug that no other of its live sets has."""
    fields.setdefault("owner", by.user)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # or two sets take one slug
        slug = free_slug(TestSet.objects.filter(project=project, deleted_at__isnull=True), name, fallback="test-set")
        test_set = TestSet.objects.create(
            organization_id=project.organization_id, project=project, name=name, slug=slug, **fields
        )
        record_event("testset.created", test_set, by=by)
    return test_set


def change_test_set(test_set: TestSet, *, by: Actor, **changes: Any) -> TestSet:
    with transaction.atomic():
        test_set = locked(test_set)
        save_changes(test_set, apply_changes(test_set, changes), by=by)
    return test_set


def add_to_test_set(test_set: TestSet, cases: Iterable[Case], *, by: Actor | None = None) -> int:
    """Put cases at the end of a set (those already in it stay where they are); says how many are new."""
    with transaction.atomic():
        TestSet.objects.select_for_update().get(pk=test_set.pk)
        members = TestSetCase.objects.filter(test_set=test_set)
        asked = {case.pk: case for case in cases}
        named = TestSetCase.objects.filter(test_set=looked_up(test_set), case__among=list(asked))  # a set may be large
        present = set(named.values_list("case_id", flat=True))
        last = members.aggregate(last=Max("position"))["last"] or 0
        new = {pk: case for pk, case in asked.items() if pk not in present}
        TestSetCase.objects.bulk_create(
            [TestSetCase(test_set=test_set, case=case, position=last + n) for n, case in enumerate(new.values(), 1)]
        )
        if new:
            test_set.bump()
            if by is not None:
                record_event("testset.cases_added", test_set, by=by, count=len(new))
    return len(new)


def remove_from_test_set(test_set: TestSet, case_ids: Iterable[UUID], *, by: Actor | None = None) -> int:
    """Take cases out of a set, the cases themselves stay; says how many were in it."""
    with transaction.atomic():
        TestSet.objects.select_for_update().get(pk=test_set.pk)
        removed, _ = TestSetCase.objects.filter(test_set=test_set, case_id__in=list(case_ids)).delete()
        if removed:
            test_set.bump()
            if by is not None:
                record_event("testset.cases_removed", test_set, by=by, count=removed)
    return removed


def move_in_test_set(test_set: TestSet, case_ids: Iterable[UUID], *, to: int, by: Actor) -> int:
    """Move cases, in the order that they have, so that the first of them gets the place ``to`` (from 1).

    Says how many places changed. What is asked stays the same, so the revision does too.
    """
    wanted = set(case_ids)
    with transaction.atomic():
        TestSet.objects.select_for_update().get(pk=test_set.pk)
        members = list(TestSetCase.objects.filter(test_set=test_set).order_by("position", "id"))
        moving = [member for member in members if member.case_id in wanted]
        order = [member for member in members if member.case_id not in wanted]
        place = min(max(to - 1, 0), len(order))
        order[place:place] = moving
        changed = []
        for position, member in enumerate(order, 1):
            if member.position != position:
                member.position = position
                changed.append(member)
        TestSetCase.objects.bulk_update(changed, ["position"], batch_size=1000)
        if changed and moving:
            record_event("testset.cases_moved", test_set, by=by, count=len(moving), to=place + 1)
    return len(changed)


def create_case(project: Project, *, by: Actor, test_sets: Iterable[TestSet] = (), **fields: Any) -> Case:
    """A new case of the project, at the end of the sets that are named."""
    with transaction.atomic():
        (number,) = project.take_numbers("last_case_number", 1)
        case = Case.objects.create(
            organization_id=project.organization_id, project=project, number=number, **{"owner": by.user, **fields}
        )
        record_event("case.created", case, by=by)
        for test_set in test_sets:
            add_to_test_set(test_set, [case])
    return case


def create_cases_of(project: Project, values: Sequence[dict[str, Any]], *, by: Actor) -> list[Case]:
    """New cases of the project from columns' values, in their order and in few queries."""
    with transaction.atomic():
        numbers = project.take_numbers("last_case_number", len(values))
        cases = [
            Case(
                organization_id=project.organization_id, project=project, number=number, **{"owner": by.user, **fields}
            )
            for number, fields in zip(numbers, values, strict=True)
        ]
        Case.objects.bulk_create(cases, batch_size=500)
        if cases:
            record_event("case.created", cases[0], by=by, count=len(cases))
    return cases


def create_cases(
    project: Project, specs: Sequence[CaseSpec], *, by: Actor, test_set: TestSet | None = None
) -> tuple[list[Case], int]:
    """The cases of the specs in their order, and how many of them are new.

    A spec without ``external_id`` is always new; an existing case of that id keeps what it says. All join the set.
    """
    with transaction.atomic():
        numbers = iter(project.take_numbers("last_case_number", len(specs)))  # locks, see ensure_cases
        found = _cases_by_external_id(project, [spec.external_id for spec in specs if spec.external_id])
        for case in found.values():
            if case.project_id != project.pk:
                raise Refused(f"The id “{case.external_id}” belongs to a case of another project.")
        made: list[Case] = []
        cases: list[Case] = []
        for spec in specs:
            if spec.external_id and spec.external_id in found:
                cases.append(found[spec.external_id])
                continue
            case = _case_made_from(spec, project, next(numbers))
            case.owner = by.user
            made.append(case)
            cases.append(case)
            if spec.external_id:
                found[spec.external_id] = case
        Case.objects.bulk_create(made, batch_size=500)
        if made:
            record_event("case.created", made[0], by=by, count=len(made))
        if test_set is not None:
            add_to_test_set(test_set, cases, by=by)
    return cases, len(made)


def change_case(case: Case, *, by: Actor | None = None, **changes: Any) -> Case:
    """Change a case; one that results already used keeps its old inputs and expectation as a revision."""
    with transaction.atomic():
        case = locked(case)
        before = {"inputs": case.inputs, "expected": case.expected}
        changed = apply_changes(case, changes)
        asks_differently = "inputs" in changed or "expected" in changed
        if asks_differently and (Case.objects.filter(pk=case.pk, results__isnull=False).exists() or _is_planned(case)):
            CaseRevision.objects.create(organization_id=case.organization_id, case=case, number=case.revision, **before)
            case.revision += 1
            changed.append("revision")
        save_changes(case, changed, by=by)
        if asks_differently:
            for test_set in TestSet.objects.filter(cases=case):
                test_set.bump()
    return case


def _is_planned(case: Case) -> bool:
    """Whether a launched run is still going to ask it: as it was when the run was launched."""
    waiting = Shard.objects.filter(organization_id=case.organization_id, done_at__isnull=True)
    named = {"cases": [[str(case.pk)]]}
    return waiting.filter(run__status__in=TestRun.ACTIVE, kind=Shard.Kind.ASK, work__contains=named).exists()


def ensure_word[W: Word](model: type[W], organization: Organization, name: str) -> W | None:
    """The organisation's category, topic or requirement of that name, made when first used; None for no name."""
    if not name:
        return None
    rows: Any = model._default_manager
    word: W = rows.get_or_create(organization=organization, name=name)[0]
    return word


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


def make_golden(test_set: TestSet, *, by: Actor) -> TestSet:
    """Make a set its project's one golden set, in place of the one that is."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=test_set.project_id)  # or two sets become golden at once
        test_set = locked(test_set)
        if test_set.is_golden:
            return test_set
        if test_set.archived_at is not None:
            raise Refused("An archived set cannot take the cases that have no other set. Restore it first.")
        TestSet.objects.filter(project=test_set.project_id, is_golden=True).update(is_golden=False)
        save_changes(test_set, apply_changes(test_set, {"is_golden": True}), by=by)
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


def _copy_cases(project: Project, specs: Iterable[tuple[int, CaseSpec]]) -> list[Case]:
    """New cases with their numbers; what they have by default stays in the database until somebody asks."""
    now = timezone.now()
    as_text: dict[Any, Any] = {dict: json_text, list: array_text}
    made, rows = [], []
    for number, spec in specs:
        values = (
            new_id(),
            now,
            now,
            project.organization_id,
            spec.external_id or None,
            spec.tags,
            spec.metadata,
            spec.attributes,
            project.pk,
            number,
            spec.name[:300],
            TestSet.Kind.SINGLE_TURN.value,
            spec.inputs,
            spec.expected,
            1,
            "",
        )
        made.append(instance_of(Case, zip(_COLUMNS, values, strict=True)))
        rows.append([as_text[type(value)](value) if type(value) in as_text else value for value in values])
    copy_rows(Case._meta.db_table, _COLUMNS, rows)
    return made


def _cases_by_external_id(project: Project, wanted: Iterable[str]) -> dict[str, Case]:
    cases = Case.objects.filter(
        organization_id=project.organization_id, external_id__among=list(wanted), deleted_at__isnull=True
    ).annotate(gone=Q(project__deleted_at__isnull=False))
    found = {case.external_id or "": case for case in cases.defer("metadata", "attributes", "plan")}
    if gone := [key for key, case in found.items() if case.gone]:
        Case.objects.release(project.organization_id, gone)
    return {key: case for key, case in found.items() if key not in gone}


def _case_made_from(spec: CaseSpec, project: Project, number: int) -> Case:
    return Case(
        organization_id=project.organization_id,
        project=project,
        number=number,
        external_id=spec.external_id or None,
        name=spec.name[:300],
        inputs=spec.inputs,
        expected=spec.expected,
        tags=spec.tags,
        metadata=spec.metadata,
        attributes=spec.attributes,
    )
