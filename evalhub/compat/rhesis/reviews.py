"""Human review in both generations: reviews inside a test result (to 0.16), annotations of their own (from 0.17).

Both are verdicts of ``results.annotating``; a review's or annotation's id is that of the evaluation it became.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.text import slugify

from evalhub.accounts.rights import Role
from evalhub.accounts.tenancy import parse_uuid
from evalhub.audit.models import record_event
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import find, keys_of, meaning_of, meaning_of_user
from evalhub.compat.rhesis.listing import chosen_keys, page_of, send
from evalhub.compat.rhesis.odata import Field, Fields, as_query, read_filter
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal, not_found, read_time
from evalhub.compat.rhesis.statuses import OF_PEOPLE, code_in, name_expression, result_codes
from evalhub.compat.rhesis.words import (
    CASE_COLUMNS,
    CONTEXT_COLUMNS,
    EVALUATION_COLUMNS,
    VERDICT_COLUMNS,
    Row,
    Words,
    as_annotation,
    as_review,
    as_test_annotation,
    context_of,
    own_id,
)
from results.annotating import Target, annotate, change_annotation, resolve_annotation, withdraw_annotation
from results.models import Evaluation, TestResult
from runs.models import Case, CaseVerdict, Endpoint, Evaluator, Requirement, TestRun, TestSet

KEYS: Final = (
    "id", "nano_id", "entity_type", "entity_id", "target_type", "target_reference", "status_id", "status", "comments",
    "resolved", "resolved_at", "resolved_by_id", "resolved_by", "user_id", "user", "attributes", "organization_id",
    "created_at", "updated_at", "context",
)  # fmt: skip
TARGETS: Final = ("test_result", "test", "trace", "metric", "turn")
LATEST_TURN: Final = 2**31 - 1
VERDICTS: Final = {"passed": True, "failed": False, "review": None}


# --- what is sent -----------------------------------------------------------------------------------------------------


def verdict_given(body: Body) -> bool | None:
    """True, False, or None for "cannot tell" (the status Review)."""
    ident = body.ident("status_id")
    codes = result_codes(ident or "")
    if not codes:
        raise Refusal(f"Status not found: {ident}")
    if codes[0] not in VERDICTS:
        raise Refusal("A person's verdict is Pass, Fail or Review.")
    return VERDICTS[codes[0]]


def target_given(body: Body, result: TestResult) -> Target:
    """``target``: the whole result, a metric by its name (or its slug), or a turn by the number in its label."""
    target = body.inner("target")
    if target is None:
        return Target()
    kind = target.choice("type", TARGETS) or "test_result"
    if kind not in ("metric", "turn"):
        return Target()
    name = target.ident("reference")
    if name is None:
        raise Invalid("missing", target.at("reference"), "Field required")
    if kind == "turn":
        digits = re.sub(r"[^0-9]", "", name)
        if not digits or len(digits) > 9:
            raise Refusal(f"“{name[:60]}” names no turn: write Turn 2.")
        return Target(turn=int(digits))
    return Target(evaluator=evaluator_named(result, name))


def evaluator_named(result: TestResult, name: str) -> Evaluator:
    judged = Evaluator.objects.filter(evaluations__result=result).distinct()
    known = list(judged.order_by("created_at"))
    slug = slugify(name)
    fits: Sequence[Callable[[Evaluator], bool]] = (
        lambda one: one.name == name,
        lambda one: name in (str(one.pk), one.external_id),
        lambda one: bool(slug) and slugify(one.name) == slug,
    )
    for fit in fits:
        for evaluator in known:
            if fit(evaluator):
                return evaluator
    own = Evaluator.objects.filter(project=result.run.project, name=name, deleted_at__isnull=True).first()
    if own is None:
        raise Refusal(f"Metric not found: {name[:80]}")
    return own


def add_review(call: Call, result: TestResult, body: Body) -> Evaluation:
    call.must("review")
    metadata = {"attributes": body.mapping("attributes")} if "attributes" in body else None
    row = annotate(
        result,
        by=call.actor,
        target=target_given(body, result),
        passed=verdict_given(body),
        comment=body.text("comments", longest=100_000) or "",
        metadata=metadata,
        via=TestRun.Via.RHESIS,
    )
    if body.flag("resolved"):
        resolve_annotation(row, True, by=call.actor)
    return row


def _change(call: Call, row: Evaluation, body: Body) -> None:
    """Any of status_id, comments, target; ``resolved`` alone may be anybody's."""
    call.must("review")
    if any(key in body for key in ("status_id", "comments", "target")):
        if row.author_id != call.actor.user.pk:
            raise Refusal("This is somebody else's review.", 403)
        change_annotation(
            row,
            by=call.actor,
            passed=verdict_given(body) if "status_id" in body else row.passed,
            comment=body.text("comments", longest=100_000) or "" if "comments" in body else row.explanation,
            target=target_given(body, row.result) if "target" in body else Target(row.evaluator, row.turn),
        )
    resolved = body.flag("resolved")
    if resolved is not None:
        resolve_annotation(Evaluation.objects.get(pk=row.pk), resolved, by=call.actor)


def _withdraw(call: Call, row: Evaluation) -> None:
    call.must("review")
    if row.author_id != call.actor.user.pk and call.actor.role != Role.ADMIN:
        raise Refusal("This is somebody else's review.", 403)
    withdraw_annotation(row, by=call.actor)


# --- reviews ----------------------------------------------------------------------------------------------------------


def spoken(call: Call) -> QuerySet[Evaluation]:
    """People's verdicts, as both generations list them."""
    rows = Evaluation.objects.visible_to(call.actor).by_people().filter(withdrawn_at__isnull=True)
    rows = rows.exclude(state=Evaluation.State.PENDING).filter(Q(is_current=True) | Q(via=TestRun.Via.RHESIS))
    return rows if call.project is None else rows.filter(run__project=call.project)


def _review_row(pk: UUID) -> Row:
    return Evaluation.objects.filter(pk=pk).values(*EVALUATION_COLUMNS).get()


def find_spoken(call: Call, ident: str, what: str, rows: QuerySet[Evaluation] | None = None) -> Evaluation:
    pk = parse_uuid(ident)
    rows = spoken(call) if rows is None else rows
    found = rows.select_related("result__run__project", "evaluator").filter(pk=pk).first() if pk else None
    if found is None:
        raise not_found(what, ident)
    return found


def list_reviews(call: Call, ident: str) -> list[Words]:
    result = find(call, TestResult, ident)
    rows = spoken(call).filter(result=result).order_by("created_at", "id").values(*EVALUATION_COLUMNS)
    return [as_review(row) for row in rows]


def create_review(call: Call, ident: str) -> Words:
    body = call.body()
    result = find(call, TestResult, ident)
    body.need("status_id")
    return as_review(_review_row(add_review(call, result, body).pk))


def _of_result(call: Call, ident: str, review_ident: str) -> Evaluation:
    result = find(call, TestResult, ident)
    return find_spoken(call, review_ident, "Review", spoken(call).filter(result=result))


def read_review(call: Call, ident: str, review: str) -> Words:
    return as_review(_review_row(_of_result(call, ident, review).pk))


def change_review(call: Call, ident: str, review: str) -> Words:
    row = _of_result(call, ident, review)
    _change(call, row, call.body())
    return as_review(_review_row(row.pk))


def remove_review(call: Call, ident: str, review: str) -> Words:
    row = _of_result(call, ident, review)
    words = as_review(_review_row(row.pk))
    _withdraw(call, row)
    return {"message": "Review deleted successfully", "review_id": str(row.pk), "deleted_review": words}


# --- annotations ------------------------------------------------------------------------------------------------------


def annotation_fields(call: Call) -> Fields:
    user = meaning_of_user(call)
    passed = Field("ident", "passed", _passed_by_code, name_expression("passed", _by_verdict("code")))
    return {
        "id": Field("ident", "pk", lambda text: [pk] if (pk := parse_uuid(text)) else []),
        "entity_id": Field("ident", "result_id", meaning_of(call, TestResult)),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "comments": Field("text", "explanation"),
        "user_id": Field("ident", "author_id", user),
        "user/name": Field("text", "author__name"),
        "resolved_at": Field("time", "resolved_at"),
        "resolved_by_id": Field("ident", "resolved_by_id", user),
        "status_id": passed,
        "status/name": passed,
        "target_reference": Field("text", "evaluator__name"),
    }


def test_annotation_fields(call: Call) -> Fields:
    """The same for verdicts on cases, which have no metric."""
    moved = {"entity_id": Field("ident", "case_id", meaning_of(call, Case)), "comments": Field("text", "comment")}
    nothing = {"target_reference": Field("text", "external_id")}
    return {**annotation_fields(call), **moved, **nothing}


def _passed_by_code(text: str) -> list[Any]:
    return [verdict for verdict, status in OF_PEOPLE.items() if status.code == code_in(text) and verdict is not None]


def _by_verdict(name: str) -> Any:
    return {verdict: getattr(status, name) for verdict, status in OF_PEOPLE.items() if verdict is not None}


def show_annotations(ids: Sequence[UUID]) -> list[Words]:
    """Verdicts on results and on cases, in the order of their ids."""
    rows = list(Evaluation.objects.filter(pk__in=ids).values(*EVALUATION_COLUMNS))
    results = {
        row["id"]: row
        for row in TestResult.objects.filter(pk__in={row["result_id"] for row in rows}).values(*CONTEXT_COLUMNS)
    }
    case_ids = {row["case_id"] for row in results.values() if row["case_id"]}
    cases = {case["id"]: case for case in Case.objects.filter(pk__in=case_ids).values(*CASE_COLUMNS)}
    said: dict[UUID, Words] = {}
    for row in rows:
        result = results[row["result_id"]]
        said[row["id"]] = as_annotation(row, own_id(result), context_of(result, cases.get(result["case_id"])))
    if len(said) < len(ids):
        for row in CaseVerdict.objects.filter(pk__in=ids).values(*VERDICT_COLUMNS):
            said[row["id"]] = as_test_annotation(row)
    return [said[pk] for pk in ids if pk in said]


def list_annotations(call: Call) -> HttpResponseBase:
    rows, on_tests = spoken(call), case_verdicts(call)
    of_runs = {  # what only results can belong to
        "test_run_id": ("run_id__in", TestRun),
        "test_set_id": ("run__configuration__test_set__in", TestSet),
        "endpoint_id": ("run__configuration__endpoint__in", Endpoint),
    }
    for name, (path, model) in of_runs.items():
        idents = call.parameters(name)
        if idents:
            rows, on_tests = rows.filter((path, keys_of(call, model, idents))), on_tests.none()
    if call.parameter("trace_id"):
        rows, on_tests = rows.none(), on_tests.none()
    metrics = call.parameters("metric")
    if metrics:
        named = Q(evaluator__name__in=metrics) | Q(evaluator__in=keys_of(call, Evaluator, metrics))
        rows, on_tests = rows.filter(named), on_tests.none()
    annotators = call.parameters("annotator_id")
    if annotators:
        people = [pk for ident in annotators for pk in meaning_of_user(call)(ident)]
        rows, on_tests = rows.filter(author__in=people), on_tests.filter(author__in=people)
    requirements = call.parameters("requirement_id")
    if requirements:
        wanted = keys_of(call, Requirement, requirements)
        rows = rows.filter(result__case__requirement__in=wanted)
        on_tests = on_tests.filter(case__requirement__in=wanted)
    between = _between(call)
    return _answer(call, rows.filter(between), on_tests.filter(between))


def _between(call: Call) -> Q:
    """Updated from ``date_from`` to ``date_to``; a day counts to its end."""
    wanted = Q()
    first, last = call.parameter("date_from"), call.parameter("date_to")
    if first is not None:
        wanted &= Q(updated_at__gte=read_time(first, ("query", "date_from")))
    if last is not None:
        until = read_time(last, ("query", "date_to"))
        wanted &= Q(updated_at__lt=until + timedelta(days=1)) if len(last) <= 10 else Q(updated_at__lte=until)
    return wanted


def annotations_of(call: Call, kind: str, ident: str) -> HttpResponseBase:
    word = kind.lower()
    if word == "testresult":
        result = find(call, TestResult, ident)
        return _answer(call, spoken(call).filter(result=result), CaseVerdict.objects.none())
    if word == "test":
        case = find(call, Case, ident)
        return _answer(call, Evaluation.objects.none(), case_verdicts(call).filter(case=case))
    if word == "trace":
        raise not_found("Trace", ident)
    raise Invalid("enum", ("path", "entity_type"), "Input should be 'TestResult', 'Trace', 'Test'")


def case_verdicts(call: Call) -> QuerySet[CaseVerdict]:
    rows = CaseVerdict.objects.visible_to(call.actor)
    return rows if call.project is None else rows.filter(case__project=call.project)


def _answer(call: Call, rows: QuerySet[Evaluation], on_tests: QuerySet[CaseVerdict]) -> HttpResponseBase:
    """Both kinds in one list."""
    page, chosen = page_of(call), chosen_keys(call, KEYS)
    name = call.parameter("sort_by") or "created_at"
    if name not in ("created_at", "updated_at"):
        raise Refusal(f"There is no field “{name[:60]}” to sort by.")
    direction = (call.parameter("sort_order") or "desc").lower()
    if direction not in ("asc", "desc"):
        raise Invalid("enum", ("query", "sort_order"), "Input should be 'asc', 'desc'")
    text = call.parameter("$filter")
    if text is not None:
        node = read_filter(text)
        rows = rows.filter(as_query(node, annotation_fields(call)))
        on_tests = on_tests.filter(as_query(node, test_annotation_fields(call)))
    found: list[tuple[datetime, UUID]] = [*rows.values_list(name, "pk"), *on_tests.values_list(name, "pk")]
    found.sort(reverse=direction == "desc")
    ids = [pk for _, pk in page.cut(found)]
    return send(call, ids, lambda _, piece: show_annotations(piece), len(found), chosen)


def create_annotation(call: Call) -> Words:
    body = call.body()
    body.need("entity_type", "status_id")
    kind = body.choice("entity_type", ("TestResult", "Trace", "Test"))
    ident = body.ident("entity_id")
    if kind == "Trace":
        raise not_found("Trace", ident or body.ident("trace_id") or "")
    if ident is None:
        raise Invalid("missing", body.at("entity_id"), "Field required")
    if kind == "Test":
        return _annotate_test(call, find(call, Case, ident), body)
    result = find(call, TestResult, ident)
    (words,) = show_annotations([add_review(call, result, body).pk])
    return words


def _annotate_test(call: Call, case: Case, body: Body) -> Words:
    call.must("review")
    target = body.inner("target")
    if target is not None and target.choice("type", TARGETS) not in (None, "test"):
        raise Refusal("A test is judged as a whole.")
    verdict = CaseVerdict.objects.create(
        organization=call.actor.organization,
        case=case,
        author=call.actor.user,
        passed=verdict_given(body),
        comment=body.text("comments", longest=100_000) or "",
        metadata={"attributes": body.mapping("attributes") or {}},
    )
    record_event("case.judged", case, by=call.actor, passed=verdict.passed)
    (words,) = show_annotations([verdict.pk])
    return words


def _found(call: Call, ident: str) -> Evaluation | CaseVerdict:
    pk = parse_uuid(ident)
    verdict = case_verdicts(call).filter(pk=pk).first() if pk else None
    return verdict or find_spoken(call, ident, "Annotation")


def read_annotation(call: Call, ident: str) -> Words:
    (words,) = show_annotations([_found(call, ident).pk])
    return words


def change_any(call: Call, ident: str) -> Words:
    row, body = _found(call, ident), call.body()
    if isinstance(row, CaseVerdict):
        _change_verdict(call, row, body)
    else:
        _change(call, row, body)
    (words,) = show_annotations([row.pk])
    return words


def _change_verdict(call: Call, verdict: CaseVerdict, body: Body) -> None:
    call.must("review")
    if any(key in body for key in ("status_id", "comments")) and verdict.author_id != call.actor.user.pk:
        raise Refusal("This is somebody else's annotation.", 403)
    before = {"passed": verdict.passed, "comment": verdict.comment}
    if "status_id" in body:
        verdict.passed = verdict_given(body)
    if "comments" in body:
        verdict.comment = body.text("comments", longest=100_000) or ""
    resolved = body.flag("resolved")
    if resolved is not None and (verdict.resolved_at is not None) is not resolved:
        verdict.resolved_at = timezone.now() if resolved else None
        verdict.resolved_by = call.actor.user if resolved else None
    verdict.save()
    record_event("case.judged", verdict.case, by=call.actor, before=before, passed=verdict.passed)


def remove_annotation(call: Call, ident: str) -> Words:
    row = _found(call, ident)
    (words,) = show_annotations([row.pk])
    if isinstance(row, CaseVerdict):
        call.must("review")
        if row.author_id != call.actor.user.pk and call.actor.role != Role.ADMIN:
            raise Refusal("This is somebody else's annotation.", 403)
        CaseVerdict.objects.filter(pk=row.pk).update(deleted_at=timezone.now())
        record_event("case.verdict_withdrawn", row.case, by=call.actor)
    else:
        _withdraw(call, row)
    return words
