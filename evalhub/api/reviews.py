"""What people and late machines say of a result: reviews and further evaluations."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.http import Http404
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.actor import Actor
from evalhub.accounts.rights import Role
from evalhub.accounts.tenancy import find_row, parse_uuid
from evalhub.api.arriving import EVALUATION as NEW_EVALUATION
from evalhub.api.arriving import Evaluators
from evalhub.api.finding import NO_SUCH, Ref, get
from evalhub.api.operations import PAGING, ApiView, Operation, pages_of
from evalhub.api.problems import Problem, conflict, invalid
from evalhub.api.results import EVALUATION, OUTCOMES, REVIEW, evaluations_of
from evalhub.api.rows import Object, Row, choice, flag, list_of
from evalhub.api.shapes import Choice, Flag, Items, Misfit, Nested, Number, Path, Shape, Text, Uuid, Whole
from evalhub.web.paging import Order
from results.judging import add_judgements
from results.models import Evaluation, Review, ReviewAssignment, TestResult
from results.reviewing import Correction, ReviewConflict, submit_review, withdraw_review
from results.settling import to_settle
from runs.models import Evaluator, TestRun

VERDICTS: Final = ("passed", "failed", "cant_tell")

CORRECTION: Final = Shape(
    "NewCorrection",
    {
        "evaluator": Ref(model=Evaluator, required=True),
        "passed": Flag(null=True, doc="Null: the label, the value or the evaluator's threshold decides."),
        "label": Text(null=True, most=300),
        "value": Number(null=True, least=-1e100, most=1e100),
        "explanation": Text(most=100_000),
        "turn": Whole(null=True, most=100_000),
    },
    doc="What the person says of one evaluator's judgement: agreement and correction look the same.",
)
NEW_REVIEW: Final = Shape(
    "NewReview",
    {
        "verdict": Choice(of=("", *VERDICTS), doc="Of the whole result; empty where only corrections are meant."),
        "comment": Text(most=20_000),
        "corrections": Items(of=Nested(shape=CORRECTION), most=200),
        "assignment": Uuid(null=True, doc="The assignment that it answers; your open one is found by itself."),
        "replaces": Uuid(null=True, doc="Your earlier review of the result, where you changed your mind."),
        "seconds": Number(null=True, least=0, most=1e9, doc="From opening to submitting."),
    },
)
TAKEN: Final = Row(
    "TakenReview",
    {
        **REVIEW.keys,
        "result_outcome": choice("result__outcome", OUTCOMES, "The result's effective outcome now."),
        "result_corrected": flag("result__corrected"),
    },
)
NEW_EVALUATIONS: Final = Shape(
    "NewEvaluations", {"evaluations": Items(of=Nested(shape=NEW_EVALUATION), required=True, least=1, most=1000)}
)


class ResultReviews(ApiView):
    in_transaction = False
    operations = {
        "GET": Operation(
            summary="List a result's reviews",
            action="read",
            doc="Newest first, with those that were replaced or withdrawn.",
            query=PAGING,
            answer=pages_of(REVIEW, "ReviewPage"),
        ),
        "POST": Operation(
            summary="Review a result",
            action="review",
            doc="As the token's user. The result's outcome and the run's numbers follow at once. Reviewing a second "
            "time is a conflict, unless the new review names the one that it replaces.",
            body=NEW_REVIEW,
            answer=TAKEN,
            status=201,
            example={"verdict": "failed", "comment": "The policy says 30 days, not 60."},
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        result = get(TestResult, self.actor, id)
        return self.page(Review.objects.visible_to(self.actor).filter(result=result), Order("-created_at"), REVIEW)

    def post(self, request: Request, id: str) -> Response:
        _ = request.data  # it has arrived before a lock is taken
        with transaction.atomic():
            result = find_row(TestResult, self.actor.organization_id, id, to_settle)
            if result is None:
                raise Http404
            said = self.read_body()
            corrections = corrections_of(said.pop("corrections", []), self.actor)
            replaced, assignment = said.pop("replaces", None), said.pop("assignment", None)
            if replaced is not None:
                mine = Review.objects.visible_to(self.actor).filter(result=result, reviewer=self.actor.user)
                said["replaces"] = named_or_refused(mine.filter(pk=replaced).first(), "replaces")
            if assignment is not None:
                asked = ReviewAssignment.objects.visible_to(self.actor).of(self.actor.user).filter(result=result)
                said["assignment"] = named_or_refused(asked.filter(pk=assignment).first(), "assignment")
            if not said.get("verdict") and not corrections:
                raise invalid([(("verdict",), "is required without corrections")])
            said.setdefault("verdict", "")
            try:
                review = submit_review(
                    result, by=self.actor, corrections=corrections, via=TestRun.Via.API, locked=True, **said
                )
            except ReviewConflict as wrong:
                raise conflict(str(wrong)) from None
        return Response(TAKEN.show_instance(review), status=201)


def named_or_refused[R](row: R | None, field: str) -> R:
    if row is None:
        raise invalid([((field,), NO_SUCH)])
    return row


def corrections_of(said: list[dict[str, Any]], actor: Actor) -> list[Correction]:
    if not said:
        return []
    named = [one["evaluator"] for one in said]
    found: dict[str, Evaluator] = {}
    for row in Evaluator.objects.visible_to(actor).with_ids(named).order_by():
        found[str(row.pk)] = row
        found.setdefault(row.external_id or "", row)
    problems: list[tuple[Path, str]] = []
    corrections = []
    seen: set[tuple[Any, Any]] = set()
    for n, one in enumerate(said):
        evaluator = found.get(one["evaluator"]) or found.get(one["evaluator"].lower())
        if evaluator is None:
            problems.append((("corrections", n, "evaluator"), NO_SUCH))
        elif (evaluator.pk, one.get("turn")) in seen:
            problems.append((("corrections", n, "evaluator"), "is corrected twice"))
        elif all(one.get(key) is None for key in ("passed", "label", "value")):
            problems.append((("corrections", n), "needs passed, a label or a value"))
        else:
            seen.add((evaluator.pk, one.get("turn")))
            corrections.append(Correction(**{**one, "evaluator": evaluator}))
    if problems:
        raise invalid(problems)
    return corrections


class ResultReview(ApiView):
    operations = {
        "DELETE": Operation(
            summary="Withdraw a review",
            action="review",
            doc="Your own; leads and admins withdraw anybody's. The one that it replaced counts again, and its "
            "assignment is open again. Withdrawing it twice is no mistake.",
            status=204,
            also=(409,),
        )
    }

    def delete(self, request: Request, id: str, review: str) -> Response:
        result = get(TestResult, self.actor, id)
        own = parse_uuid(review)
        found = Review.objects.visible_to(self.actor).filter(pk=own, result=result).first() if own else None
        if found is None:
            raise Http404
        if found.reviewer_id != self.actor.user.pk and self.actor.role not in (Role.ADMIN, Role.LEAD):
            raise Problem(403, "This is somebody else’s review.")
        withdraw_review(found, by=self.actor)
        return Response(status=204)


class ResultEvaluations(ApiView):
    operations = {
        "GET": Operation(
            summary="List a result's evaluations",
            action="read",
            doc="All of them: of machines and people, of turns, earlier ones too. All in one answer.",
            answer=pages_of(EVALUATION, "EvaluationPage"),
        ),
        "POST": Operation(
            summary="Add evaluations to a result",
            action="record",
            doc="Each is the newest of its evaluator and turn from now on; the outcome follows at once. Sent twice "
            "they are kept twice: name the request with `Idempotency-Key`.",
            body=NEW_EVALUATIONS,
            batch=True,
            answer=Object("AddedEvaluations", {"items": list_of(EVALUATION)}),
            status=201,
            example={"evaluations": [{"evaluator": "groundedness", "value": 0.35}]},
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        result = get(TestResult, self.actor, id)
        return Response({"items": evaluations_of(result.pk), "next": None, "previous": None})

    def post(self, request: Request, id: str) -> Response:
        result = get(TestResult, self.actor, id)
        said = self.read_body()["evaluations"]
        known = Evaluators(result.run, self.actor, said)
        judgements, problems = [], list[tuple[Path, str]]()
        for n, one in enumerate(said):
            try:
                judgements.append(known.judgement(n, one))
            except Misfit as wrong:
                problems += [(path[1:], message) for path, message in wrong.problems]
        if problems:
            raise invalid(problems, batch=True)
        added = add_judgements(result, judgements, via=TestRun.Via.API)
        rows = {row["id"]: row for row in EVALUATION.fetch(Evaluation.objects.filter(pk__in=[one.pk for one in added]))}
        return Response({"items": [rows[one.pk] for one in added]}, status=201)


urlpatterns: list[URLPattern] = [
    path("results/<ident:id>/reviews/", ResultReviews.as_view(), name="result-reviews"),
    path("results/<ident:id>/reviews/<ident:review>/", ResultReview.as_view(), name="result-review"),
    path("results/<ident:id>/evaluations/", ResultEvaluations.as_view(), name="result-evaluations"),
]
