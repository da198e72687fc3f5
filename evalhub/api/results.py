"""Results: listed as on the pages, one with everything that belongs to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Lower
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.api.finding import get, get_values
from evalhub.api.operations import PAGING, ApiView, Operation, pages_of
from evalhub.api.rows import (
    Object,
    Of,
    Row,
    Shown,
    Values,
    choice,
    computed,
    flag,
    list_of,
    moment,
    number,
    person,
    public_id,
    raw,
    reference,
    text,
    texts,
    uuid,
    whole,
)
from evalhub.api.set_up import CASES
from evalhub.api.shapes import Choice, Choices, Field, Text, Whole
from evalhub.database.prepared import Prepared
from evalhub.web.paging import Page
from results.filters import ResultFilter
from results.listing import read_results, whole_judgements
from results.models import Evaluation, Outcome, Review, Step, TestResult
from runs.models import Case, TestRun

PREVIEW: Final = 300  # characters, all that is stored

CASE_NAME: Final = Object("CaseName", {"id": Text(), "number": Whole(), "name": Text()})
RESULT_REVIEW: Final = Object(
    "ResultReview",
    {
        "state": Choice(of=tuple(TestResult.ReviewState.values)),
        "required": Whole(doc="Live assignments, done ones included."),
        "done": Whole(),
        "count": Whole(doc="Current reviews, asked for or not."),
    },
)
SCORE: Final = Row(
    "Score",
    {
        "evaluator": reference("evaluator"),
        "state": choice("state", Evaluation.State.values),
        "value": number("value"),
        "label": text("label", null=True),
        "passed": flag("passed", "The machine's verdict; null: none.", null=True),
        "effective": flag("effective", "The verdict after people's corrections.", null=True),
    },
    doc="What a machine's evaluator says of the whole result, in short.",
)
OUTCOMES: Final = tuple(Outcome.values)


def _case(values: Values) -> dict[str, Any] | None:
    if values["case_id"] is None:
        return None
    return {
        "id": values["case__external_id"] or str(values["case_id"]),
        "number": values["case__number"],
        "name": values["case__name"],
    }


def _variant(values: Values) -> dict[str, Any] | None:
    if values["variant_id"] is None:
        return None
    return {"position": values["variant__position"], "label": values["variant__label"]}


def _review(values: Values) -> dict[str, Any]:
    return {
        "state": values["review_state"],
        "required": values["reviews_required"],
        "done": values["reviews_done"],
        "count": values["review_count"],
    }


_variant_name = Object("ResultVariant", {"position": Whole(), "label": Text()})
_result_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "run": reference("run"),
    "case": computed(
        Of(what=CASE_NAME, null=True), ("case_id", "case__external_id", "case__number", "case__name"), _case
    ),
    "variant": computed(
        Of(what=_variant_name, null=True), ("variant_id", "variant__position", "variant__label"), _variant
    ),
    "repetition": whole("repetition"),
    "position": whole("position", "Order of arrival in the run."),
    "name": text("name"),
    "outcome": choice("outcome", OUTCOMES, "Effective: what people say counts, else what machines say."),
    "machine_outcome": choice("machine_outcome", OUTCOMES),
    "human_verdict": choice(
        "human_verdict", ("", *OUTCOMES), "What the reviewers agree on; empty: none, or they differ."
    ),
    "corrected": flag("corrected"),
    "review": computed(
        Of(what=RESULT_REVIEW), ("review_state", "reviews_required", "reviews_done", "review_count"), _review
    ),
    "error_code": text("error_code"),
    "latency_ms": number("latency_ms"),
    "cost": number("cost", "US dollars."),
    "tokens": whole("tokens", null=True),
    "tags": texts("tags"),
    "created_at": moment("created_at", null=False),
    "archived_at": moment("archived_at"),
}


class ResultRow(Row):
    """A row with the scores that are fetched beside it."""

    def __init__(self, name: str, keys: dict[str, Shown], more: dict[str, Field], optional: tuple[str, ...]) -> None:
        super().__init__(name, keys)
        self.more, self.optional = more, optional

    def schema(self) -> dict[str, Any]:
        schema = Row.schema(self)
        more = {name: kind.schema() for name, kind in self.more.items()}
        required = [*schema["required"], *(name for name in self.more if name not in self.optional)]
        return {**schema, "properties": {**schema["properties"], **more}, "required": required}


RESULT: Final = ResultRow(
    "Result",
    {
        **_result_row,
        "input": text("input_start", f"The first {PREVIEW} characters."),
        "output": text("output_start", f"The first {PREVIEW} characters."),
    },
    {"scores": list_of(SCORE)},
    (),
)
LISTED: Final = tuple(column for column in RESULT.columns if column not in ("input_start", "output_start"))

STEP: Final = Row(
    "Step",
    {
        "position": whole("position"),
        "turn": whole("turn", null=True),
        "kind": choice("kind", Step.Kind.values),
        "name": text("name"),
        "provider": text("provider"),
        "parameters": raw("parameters", only=dict),
        "inputs": raw("inputs", only=dict),
        "outputs": raw("outputs", only=dict),
        "context": raw("context", only=dict),
        "error": text("error"),
        "usage": raw("usage", only=dict),
        "cost": number("cost"),
        "latency_ms": number("latency_ms"),
        "started_at": moment("started_at"),
        "finished_at": moment("finished_at"),
    },
)
EVALUATION: Final = Row(
    "Evaluation",
    {
        "id": uuid("id"),
        "evaluator": reference("evaluator", "Null: a person's verdict on the whole result.", null=True),
        "evaluator_version": whole("evaluator_version", null=True),
        "turn": whole("turn", null=True),
        "source": choice("source", Evaluation.Source.values),
        "author": person("author"),
        "author_name": text("author_name", "A person of an imported file."),
        "state": choice("state", Evaluation.State.values),
        "value": number("value"),
        "label": text("label", null=True),
        "passed": flag("passed", "Null: no verdict.", null=True),
        "effective": flag("effective", "The verdict after people's corrections.", null=True),
        "threshold": number("threshold"),
        "explanation": text("explanation"),
        "error": text("error"),
        "is_current": flag("is_current", "The newest of its evaluator, turn and author, and not withdrawn."),
        "usage": raw("usage", only=dict),
        "cost": number("cost"),
        "latency_ms": number("latency_ms"),
        "debug": raw("debug", null=True),
        "metadata": raw("metadata", only=dict),
        "via": choice("via", TestRun.Via.values),
        "review": uuid("review_id", "The review that it is part of.", null=True),
        "resolved_at": moment("resolved_at", "When a person's verdict was told to be settled."),
        "resolved_by": person("resolved_by"),
        "created_at": moment("created_at", null=False),
        "withdrawn_at": moment("withdrawn_at"),
    },
)
REVIEW: Final = Row(
    "Review",
    {
        "id": uuid("id"),
        "result": reference("result"),
        "reviewer": person("reviewer"),
        "assignment": uuid("assignment_id", "The assignment that it answers.", null=True),
        "verdict": choice("verdict", Review.Verdict.values, "Empty: no overall verdict."),
        "comment": text("comment"),
        "via": choice("via", TestRun.Via.values),
        "is_current": flag("is_current", "Neither replaced nor withdrawn."),
        "seconds": number("seconds", "From opening to submitting."),
        "created_at": moment("created_at", null=False),
        "withdrawn_at": moment("withdrawn_at"),
    },
)
CASE_OF: Final = Prepared(lambda pk: CASES.shown.select(Case.objects.filter(pk=pk)), UUID)
SCORES_OF: Final = Prepared(lambda ids: SCORE.select(whole_judgements(ids), "result_id"), list)
STEPS_OF: Final = Prepared(lambda pk: STEP.select(Step.objects.filter(result=pk).order_by("position", "id")), UUID)
EVALUATIONS_OF: Final = Prepared(
    lambda pk: EVALUATION.select(
        Evaluation.objects.filter(result=pk).order_by(
            F("turn").asc(nulls_first=True), Lower("evaluator__name"), "created_at", "id"
        )
    ),
    UUID,
)
REVIEWS_OF: Final = Prepared(
    lambda pk: REVIEW.select(Review.objects.filter(result=pk).order_by("-created_at", "-id")), UUID
)
EXPANSIONS: Final[dict[str, Field]] = {
    "steps": list_of(STEP),
    "evaluations": list_of(EVALUATION, "All of them: of machines and people, of turns, earlier ones too."),
    "reviews": list_of(REVIEW, "Newest first."),
    "case_details": Of(what=CASES.shown, null=True),
}
RESULT_DETAIL: Final = ResultRow(
    "ResultDetail",
    {
        **_result_row,
        "inputs": raw("inputs", only=dict),
        "expected": raw("expected", null=True),
        "output": raw("output", null=True),
        "conversation": raw("conversation", only=list),
        "error": text("error"),
        "reported_outcome": choice("reported_outcome", ("", *OUTCOMES), "The sender's own word."),
        "case_revision": whole("case_revision", null=True),
        "wall_ms": number("wall_ms"),
        "usage": raw("usage", only=dict),
        "started_at": moment("started_at"),
        "finished_at": moment("finished_at"),
        "session_id": text("session_id"),
        "render_html_key": text("render_html_key"),
        "path": raw("path", "Gentrace's suites, from the outermost: [{type, name}].", null=True),
        "previous_run_id": uuid("previous_run_id", "Gentrace's: the production call before it.", null=True),
        "collection_method": text("collection_method", "Gentrace's word."),
        "metadata": raw("metadata", only=dict),
        "attributes": raw("attributes", only=dict),
        "updated_at": moment("updated_at", null=False),
    },
    {"scores": list_of(SCORE), **EXPANSIONS},
    tuple(EXPANSIONS),
)
EXPAND: Final = Choices(
    of=("steps", "evaluations", "reviews", "case"),
    doc="What else to answer, separated by commas; `case` is `case_details`.",
)


# --- lists ------------------------------------------------------------------------------------------------------------


class ResultsPage(ApiView):
    """Lists of results, with their scores in one more query."""

    def listed(self, found: ResultFilter) -> Response:
        page = read_results(found, cursor=self.query.get("cursor"), size=self.limit, fields=LISTED, preview=PREVIEW)
        return self.paged(page, shown_with_scores(page))


def shown_with_scores(page: Page[dict[str, Any]]) -> list[dict[str, Any]]:
    scores = scores_of([row["id"] for row in page.rows])
    return [{**RESULT.show(row), "scores": scores.get(row["id"], [])} for row in page.rows]


def scores_of(result_ids: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """result -> what machines' evaluators say of the whole result, by the evaluators' names."""
    ids = list(result_ids)
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    if not ids:
        return found
    for row in SCORES_OF(ids):
        found[row["result_id"]].append(SCORE.show(row))
    for scores in found.values():
        scores.sort(key=by_name)
    return found


def by_name(score: dict[str, Any]) -> tuple[str, str]:
    return score["evaluator"]["name"].lower(), score["evaluator"]["id"]


class ResultList(ResultsPage):
    operations = {
        "GET": Operation(
            summary="List results",
            action="read",
            doc="The filters are those of the pages. Inputs and outputs are cut; a result's own address has all.",
            query=PAGING,
            filters=ResultFilter,
            answer=pages_of(RESULT, "ResultPage"),
        )
    }

    def get(self, request: Request) -> Response:
        results = TestResult.objects.visible_to(self.actor)
        if "run" not in request.query_params:
            results = results.filter(run__kind=TestRun.Kind.TEST)  # as the pages: not what hidden runs hold
        return self.listed(self.filtered(ResultFilter, results))


class ResultsOfRun(ResultsPage):
    operations = {
        "GET": Operation(
            summary="List a run's results",
            action="read",
            doc="As `/api/results/?run=...`: worst outcome first where no order is named.",
            query=PAGING,
            filters=ResultFilter,
            answer=pages_of(RESULT, "RunResultPage"),
        )
    }

    def get(self, request: Request, id: str) -> Response:
        run = get(TestRun, self.actor, id)
        return self.listed(self.filtered(ResultFilter, TestResult.objects.visible_to(self.actor), run=run))


# --- one --------------------------------------------------------------------------------------------------------------


class ResultDetail(ApiView):
    operations = {
        "GET": Operation(
            summary="Read a result",
            action="read",
            query={"expand": EXPAND},
            answer=RESULT_DETAIL,
        )
    }

    def get(self, request: Request, id: str) -> Response:
        expand = self.query.get("expand", ())
        values = get_values(RESULT_DETAIL, TestResult, self.actor, id)
        pk = values["id"]
        shown = RESULT_DETAIL.show(values)
        if "evaluations" in expand:
            shown["evaluations"] = evaluations_of(pk)
            shown["scores"] = in_short(shown["evaluations"])
        else:
            shown["scores"] = scores_of([pk]).get(pk, [])
        if "steps" in expand:
            shown["steps"] = STEP.show_all(STEPS_OF(pk))
        if "reviews" in expand:
            shown["reviews"] = reviews_of(pk)
        if "case" in expand:
            cases = CASES.shown.show_all(CASE_OF(values["case_id"])) if values["case_id"] else []
            shown["case_details"] = cases[0] if cases else None
        return Response(shown)


def evaluations_of(result_id: UUID) -> list[dict[str, Any]]:
    return EVALUATION.show_all(EVALUATIONS_OF(result_id))


def reviews_of(result_id: UUID) -> list[dict[str, Any]]:
    return REVIEW.show_all(REVIEWS_OF(result_id))


def in_short(evaluations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores among all evaluations of a result."""
    keys = list(SCORE.keys)
    return sorted(
        (
            {key: one[key] for key in keys}
            for one in evaluations
            if one["source"] == Evaluation.Source.MACHINE and one["is_current"] and one["turn"] is None
        ),
        key=by_name,
    )


urlpatterns: list[URLPattern] = [
    path("results/", ResultList.as_view(), name="result-list"),
    path("results/<ident:id>/", ResultDetail.as_view(), name="result-detail"),
]
