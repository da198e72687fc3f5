"""Insights: one question about one kind of thing, grouped and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, ExtractMonth, ExtractYear

from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.reading import Body, Refusal
from evalhub.compat.rhesis.scope import FILTERS, LONGEST_PERIOD, Scope, pass_rate, period
from evalhub.compat.rhesis.statuses import RESULT, RUN, value_id
from evalhub.compat.rhesis.words import Words
from results.models import Evaluation, Outcome

USUAL: Final = ("count", "passed", "failed", "pass_rate")
MEASURES: Final[dict[str, tuple[str, ...]]] = {
    "test_result": USUAL,
    "metric": (*USUAL, "automated_passed", "automated_failed", "human_review_count"),
    "test_run": USUAL,
    "test": (*USUAL, "unrun_count", "run_count"),
}
OUTCOMES: Final = ("pass", "fail", "all")
MOST_QUESTIONS: Final = 50
MOST_ROWS: Final = 10_000


@dataclass(slots=True)
class Question:
    entity: str
    dimensions: list[str]
    measures: list[str]
    scope: Scope


# --- dimensions -------------------------------------------------------------------------------------------------------


def _wire(path: str) -> Any:
    """The id on the wire of what is related."""
    return Coalesce(F(f"{path}__external_id"), Cast(F(f"{path}_id"), CharField()), output_field=CharField())


def _times() -> dict[str, Any]:
    return {"year": ExtractYear("created_at"), "month": ExtractMonth("created_at")}


def _of_case(prefix: str) -> dict[str, Any]:
    words = {"requirement": "requirement", "behavior": "requirement", "category": "category", "topic": "topic"}
    names = {key: F(f"{prefix}{path}__name") for key, path in words.items()}
    return {**names, **{f"{key}_id": _wire(f"{prefix}{path}") for key, path in words.items()}}


def dimensions_of(entity: str) -> dict[str, Any]:
    if entity == "test_result":
        status = Case(
            *(When(code=code, then=Value(status.name)) for code, status in RESULT.items()), output_field=CharField()
        )
        return {**_of_case("case__"), "test_run": F("run__name"), "status": status, **_times()}
    if entity == "metric":
        requirement = "result__case__requirement"
        return {
            "metric_name": F("evaluator__name"),
            "requirement": F(f"{requirement}__name"),
            "requirement_id": _wire(requirement),
            **_times(),
        }
    if entity == "test_run":
        names = [When(status=state, then=Value(status.shown or status.name)) for state, status in RUN.items()]
        return {
            "status": Case(*names, output_field=CharField()),
            "test_set": F("configuration__test_set__name"),
            "executor": F("created_by__name"),
            **_times(),
        }
    kinds = {kind: value_id("TestType", kind) for kind in ("Single-Turn", "Multi-Turn")}
    test_type = Case(*(When(kind=kind, then=Value(ident)) for kind, ident in kinds.items()), output_field=CharField())
    return {
        **_of_case(""),
        "test_type_id": test_type,
        "status_id": F("status"),
        "is_unrun": Case(When(results_in_scope=0, then=Value(True)), default=Value(False)),
        **_times(),
    }


# --- answers ----------------------------------------------------------------------------------------------------------


def answer(question: Question) -> Words:
    rows = {"test_result": _results, "metric": _metrics, "test_run": _runs, "test": _tests}[question.entity](question)
    return {
        "entity": question.entity,
        "dimensions": question.dimensions,
        "measures": question.measures,
        "rows": [_row(row, question) for row in rows],
    }


def _row(row: Mapping[str, Any], question: Question) -> Words:
    numbers = {name.removeprefix("n_"): number or 0 for name, number in row.items() if name.startswith("n_")}
    numbers["pass_rate"] = pass_rate(numbers["passed"], numbers["failed"])
    measured = {name: numbers[name] for name in question.measures}
    return {**{name: row[f"by_{name}"] for name in question.dimensions}, **measured}


def _grouped(rows: QuerySet[Any], question: Question, **counts: Any) -> list[Mapping[str, Any]]:
    measures = {f"n_{name}": count for name, count in counts.items()}  # no column has such a name
    known = dimensions_of(question.entity)
    named = {f"by_{name}": known[name] for name in question.dimensions}
    keys = list(named)
    if "test_run" in question.dimensions:  # runs of one name stay apart
        keys.append("run_id")
    if not keys:
        return [rows.order_by().aggregate(**measures)]
    grouped = rows.annotate(**named).order_by().values(*keys).annotate(**measures)
    return list(grouped.order_by(*keys)[:MOST_ROWS])


def _results(question: Question) -> list[Mapping[str, Any]]:
    return _grouped(
        question.scope.results(),
        question,
        count=Count("pk"),
        passed=Count("pk", filter=Q(outcome=Outcome.PASSED)),
        failed=Count("pk", filter=Q(outcome=Outcome.FAILED)),
    )


def _metrics(question: Question) -> list[Mapping[str, Any]]:
    reviewed = Exists(
        Evaluation.objects.filter(
            result=OuterRef("result"), evaluator=OuterRef("evaluator"), source=Evaluation.Source.HUMAN,
            is_current=True, turn__isnull=True, passed__isnull=False,
        )
    )  # fmt: skip
    return _grouped(
        question.scope.judgements().annotate(is_reviewed=reviewed),
        question,
        count=Count("pk"),
        passed=Count("pk", filter=Q(effective=True)),
        failed=Count("pk", filter=Q(effective=False)),
        automated_passed=Count("pk", filter=Q(passed=True)),
        automated_failed=Count("pk", filter=Q(passed=False)),
        human_review_count=Count("pk", filter=Q(is_reviewed=True)),
    )


def _runs(question: Question) -> list[Mapping[str, Any]]:
    """``count`` counts runs; the others count their results."""
    return _grouped(question.scope.runs(), question, count=Count("pk"), passed=Sum("passed"), failed=Sum("failed"))


def _tests(question: Question) -> list[Mapping[str, Any]]:
    """``count`` counts tests, ``passed`` and ``failed`` their results."""
    results = question.scope.results().filter(case=OuterRef("pk")).order_by().values("case")

    def number(condition: Q) -> Any:
        counted = results.annotate(n=Count("pk", filter=condition)).values("n")
        return Coalesce(Subquery(counted, output_field=IntegerField()), 0)

    cases = question.scope.cases().annotate(
        results_in_scope=number(Q()),
        results_passed=number(Q(outcome=Outcome.PASSED)),
        results_failed=number(Q(outcome=Outcome.FAILED)),
    )
    return _grouped(
        cases,
        question,
        count=Count("pk"),
        unrun_count=Count("pk", filter=Q(results_in_scope=0)),
        run_count=Count("pk", filter=Q(results_in_scope__gt=0)),
        passed=Sum("results_passed"),
        failed=Sum("results_failed"),
    )


# --- questions --------------------------------------------------------------------------------------------------------


def _question(
    call: Call,
    entity: str | None,
    dimensions: Sequence[str],
    measures: Sequence[str],
    filters: Mapping[str, Sequence[str]],
    months: int | None,
    start: str | None,
    end: str | None,
) -> Question:
    if entity not in MEASURES:
        raise Refusal(f"Unknown entity “{str(entity)[:60]}”: use {', '.join(MEASURES)}.")
    known = dimensions_of(entity)
    for name in dimensions:
        if name not in known:
            raise Refusal(f"Unknown dimension “{name[:60]}” of {entity}: use {', '.join(known)}.")
    for name in measures:
        if name not in MEASURES[entity]:
            raise Refusal(f"Unknown measure “{name[:60]}” of {entity}: use {', '.join(MEASURES[entity])}.")
    for name in filters:
        if name not in FILTERS:
            raise Refusal(f"Unknown filter “{name[:60]}”: use {', '.join(FILTERS)}.")
    if months is not None and not 0 < months <= LONGEST_PERIOD:
        raise Refusal(f"months must be between 1 and {LONGEST_PERIOD}.")
    first, last = period(months, start, end)
    return Question(
        entity,
        list(dict.fromkeys(dimensions)),
        list(dict.fromkeys(measures)) or ["count"],
        Scope(call, filters, first, last),
    )


PARAMETERS: Final = ("entity", "group_by", "measures", "months", "start_date", "end_date")


def _asked(call: Call, *more: str) -> Question:
    given = {name: call.parameters(name) for name in call.request.GET if name not in (*PARAMETERS, *more)}
    return _question(
        call,
        call.parameter("entity"),
        call.parameters("group_by"),
        call.parameters("measures"),
        given,
        call.whole("months"),
        call.parameter("start_date"),
        call.parameter("end_date"),
    )


def insights(call: Call) -> Words:
    return answer(_asked(call))


def insight_ids(call: Call) -> Words:
    """The tests behind the numbers."""
    question = _asked(call, "outcome")
    outcome = call.parameter("outcome") or "all"
    if outcome not in OUTCOMES:
        raise Refusal(f"Unknown outcome “{outcome[:60]}”: use {', '.join(OUTCOMES)}.")
    entity, scope = question.entity, question.scope
    if outcome != "all" and entity not in ("test_result", "metric"):
        raise Refusal(f"The tests of {entity} have no outcome: use all.")
    if entity == "test":
        cases = scope.cases()
    else:
        if entity == "test_run":
            results = Scope(call).results().filter(run__in=scope.runs().order_by().values("pk"))
        elif entity == "metric":
            judged = scope.judgements()
            if outcome != "all":
                judged = judged.filter(effective=outcome == "pass")
            results = scope.results().filter(pk__in=judged.order_by().values("result"))
        else:
            results = scope.results()
            if outcome != "all":
                results = results.filter(outcome=Outcome.PASSED if outcome == "pass" else Outcome.FAILED)
        cases = Scope(call).cases().filter(pk__in=results.order_by().values("case"))
    rows = cases.order_by("created_at", "pk").values_list("external_id", "pk")
    return {"entity": entity, "ids": [external_id or str(pk) for external_id, pk in rows]}


def insight_queries(call: Call) -> Words:
    """Several questions at once, each under a label."""
    body = call.body()
    if len(body.value) > MOST_QUESTIONS:
        raise Refusal(f"At most {MOST_QUESTIONS} questions are answered at once.")
    return {label: answer(_question_in(call, Body(value, body.at(label)))) for label, value in body.value.items()}


def _question_in(call: Call, body: Body) -> Question:
    filters = body.inner("filters")
    given = {name: filters.texts(name, longest=1000) for name in filters.value if name in filters} if filters else {}
    return _question(
        call,
        body.text("entity", longest=80),
        body.texts("group_by", longest=80),
        body.texts("measures", longest=80) or ["count"],
        given,
        body.whole("months", most=LONGEST_PERIOD),
        body.text("start_date", longest=64),
        body.text("end_date", longest=64),
    )
