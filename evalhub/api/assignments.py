"""Asking people for reviews: rounds, and the assignments in them."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import URLPattern, path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.api.finding import Member, Ref, get, get_values, look_up, member, resolve
from evalhub.api.operations import PAGING, ApiView, Operation, check_not_stale, etag_of, pages_of
from evalhub.api.problems import Problem, conflict, field_problem
from evalhub.api.reading import filter_problems, read_query
from evalhub.api.rows import (
    PERSON,
    Object,
    Of,
    Row,
    Shown,
    choice,
    computed,
    list_of,
    moment,
    person,
    public_id,
    raw,
    reference,
    text,
    uuid,
    whole,
)
from evalhub.api.shapes import (
    Choice,
    Choices,
    Field,
    Flag,
    Ident,
    Items,
    Moment,
    Nested,
    Shape,
    Text,
    Whole,
    misfit,
)
from evalhub.audit.models import record_event
from evalhub.database.lookups import count_of
from evalhub.web.paging import Order
from results.assigning import (
    AssigningError,
    Rule,
    assign_reviewers,
    claim_slot,
    close_round,
    decline,
    pick,
    preview_deal,
    withdraw,
    withdraw_round,
)
from results.dealing import new_seed
from results.filters import ResultFilter
from results.models import ReviewAssignment, ReviewRound, TestResult
from runs.changing import apply_changes
from runs.models import Project, TestRun
from runs.saved_views import clean_query

STATES: Final = tuple(ReviewAssignment.State.values)
MOST_NAMED: Final = 1000

ASSIGNMENT: Final = Row(
    "Assignment",
    {
        "id": uuid("id"),
        "round": reference("round"),
        "result": reference("result"),
        "run": computed(
            Of(what=Object("RunName", {"id": Ident(), "name": Text()})),
            ("result__run_id", "result__run__external_id", "result__run__name"),
            lambda values: {
                "id": values["result__run__external_id"] or str(values["result__run_id"]),
                "name": values["result__run__name"],
            },
        ),
        "slot": whole("slot"),
        "reviewer": person("reviewer", "Null: whoever takes it."),
        "state": choice("state", STATES),
        "due_at": moment("due_at"),
        "started_at": moment("started_at"),
        "finished_at": moment("finished_at"),
        "lease_until": moment("lease_until", "Of one that was taken from a shared queue."),
        "decline_reason": text("decline_reason"),
        "assigned_by": person("assigned_by"),
        "created_at": moment("created_at", null=False),
    },
    doc="One person is asked for one review of one result.",
)
_live = ReviewAssignment.objects.live()
_round_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "project": reference("project"),
    "run": reference("run", "Null: the results of several runs.", null=True),
    "name": text("name"),
    "rubric": text("rubric", "What the reviewers judge by; Markdown."),
    "overlap": whole("overlap", "Reviewers per result."),
    "due_at": moment("due_at"),
    "state": choice("state", ReviewRound.State.values),
    "required": Shown(Whole(), ("live_count",), None, {"live_count": count_of(_live, "round")}),
    "done": Shown(
        Whole(),
        ("done_count",),
        None,
        {"done_count": count_of(_live.filter(state=ReviewAssignment.State.DONE), "round")},
    ),
    "created_by": person("created_by"),
    "created_at": moment("created_at", null=False),
    "updated_at": moment("updated_at", null=False),
    "withdrawn_at": moment("withdrawn_at"),
}
ROUND: Final = Row("Round", _round_row)
ROUND_DETAIL: Final = Row(
    "RoundDetail",
    {
        **_round_row,
        "seed": computed(
            Text(doc="The deal was drawn with it; a text, because it has more digits than JavaScript's numbers."),
            ("seed",),
            lambda values: str(values["seed"]),
        ),
        "selection": raw("selection", "What was asked for.", only=dict),
    },
)

RULE: Final = Shape(
    "ReviewRule",
    {
        "everything": Flag(),
        "conflicts": Flag(doc="Results whose reviewers differ, or that people corrected."),
        "failed": Flag(doc="Failed and errored ones that nobody has looked at."),
        "unjudged": Flag(doc="Those without a verdict that nobody has looked at."),
        "passed_percent": Whole(most=100, doc="So much of the passed ones that nobody has looked at, at random."),
    },
    doc="Which of the results are to be reviewed.",
)
_asking: Final[dict[str, Field]] = {
    "results": Items(of=Ref(model=TestResult), most=MOST_NAMED, once=True, doc="These results."),
    "run": Ref(model=TestRun, doc="Or: the results of a run."),
    "filter": Text(most=4000, doc="Or: those that `/api/results/` shows for this query string.", example="tag=refunds"),
    "rule": Nested(shape=RULE, doc="Which of them; all where nothing is said."),
    "reviewers": Items(
        of=Member(), most=100, once=True, doc="Ids or e-mail addresses. Nobody named: whoever takes them."
    ),
    "overlap": Whole(least=1, most=20, doc="Reviewers per result; 1 where nothing is said."),
    "overlap_percent": Whole(most=100, doc="Only so much of the results get more than one reviewer; 100 is usual."),
    "seed": Text(
        most=19, doc="Of a preview: then the deal is the same. The same seed again gives back the same round."
    ),
}
DEAL: Final = Shape("NewDeal", _asking)
NEW_ROUND: Final = Shape(
    "NewRound",
    {
        **_asking,
        "due_at": Moment(null=True),
        "name": Text(most=200, line=True),
        "rubric": Text(most=20_000),
    },
)
EXAMPLE: Final = {
    "run": "nightly-42",
    "rule": {"failed": True, "passed_percent": 20},
    "reviewers": ["ann@example.com", "ben@example.com"],
    "overlap": 2,
    "due_at": "2026-06-25T16:00:00Z",
}
PREVIEW: Final = Object(
    "Deal",
    {
        "seed": Text(doc="Send it with the assignment, and it is dealt like this."),
        "results": Whole(doc="Results that somebody gets."),
        "reviews": Whole(),
        "left_out": Whole(doc="Results that none of the reviewers can take."),
        "missing": Whole(doc="Reviews that are missing because too few people can take them."),
        "shares": list_of(
            Object("Share", {"reviewer": Of(what=PERSON), "open": Whole(doc="What they owe already."), "new": Whole()})
        ),
    },
)
ORDERS: Final = {"due": Order("due_at"), "-created": Order("-created_at"), "created": Order("created_at")}


class Asking(ApiView):
    """Choosing results and people, for the preview and for the real thing."""

    def chosen(self, said: dict[str, Any], seed: int) -> list[Any]:
        """The ids of the results that the body means."""
        ways = [name for name in ("results", "run", "filter") if said.get(name) is not None]
        if len(ways) != 1:
            raise field_problem(ways[1] if ways else "results", "choose one of: results, run, filter")
        rule = Rule(**said.get("rule", {"everything": True}))
        visible = TestResult.objects.visible_to(self.actor)
        if ways == ["results"]:
            found: QuerySet[TestResult] = visible.filter(pk__in=[result.pk for result in said["results"]])
        elif ways == ["run"]:
            found = visible.filter(run=said["run"], archived_at__isnull=True)
        else:
            found = self.filtered_by(said["filter"], visible)
        return pick(found.order_by(), rule, seed=seed)

    def filtered_by(self, text: str, visible: QuerySet[TestResult]) -> QuerySet[TestResult]:
        query = QueryDict(clean_query(text))
        try:
            read_query({}, ResultFilter, query)
            found = ResultFilter(query, visible, actor=self.actor)
            if not found.is_valid():
                raise filter_problems(found)
        except Problem as wrong:
            raise field_problem("filter", wrong.detail.rstrip(".")) from None
        return found.qs

    def read(self, shape: Shape) -> tuple[dict[str, Any], int]:
        said = resolve(shape.fields, self.read_body(), self.actor)
        seed = said.pop("seed", None)
        if seed is None:
            return said, new_seed()
        if not (seed.isascii() and seed.isdigit() and 0 < int(seed) < 2**63):
            misfit("must be the seed of a preview", "seed")
        return said, int(seed)


class DealPreview(Asking):
    operations = {
        "POST": Operation(
            summary="Preview an assignment",
            action="assign",
            doc="Who would get how many. Changes nothing.",
            body=DEAL,
            answer=PREVIEW,
            example={key: value for key, value in EXAMPLE.items() if key != "due_at"},
        )
    }

    def post(self, request: Request) -> Response:
        said, seed = self.read(DEAL)
        try:
            preview = preview_deal(
                self.chosen(said, seed),
                said.get("reviewers", []),
                organization=self.actor.organization,
                seed=seed,
                overlap=said.get("overlap", 1),
                overlap_percent=said.get("overlap_percent", 100),
            )
        except AssigningError as wrong:
            raise conflict(str(wrong)) from None
        return Response(
            {
                "seed": str(seed),
                "results": preview.deal.result_count,
                "reviews": len(preview.deal.hands),
                "left_out": preview.deal.left_out,
                "missing": preview.deal.missing,
                "shares": [
                    {
                        "reviewer": {
                            "id": share.reviewer.pk,
                            "name": share.reviewer.name,
                            "email": share.reviewer.email,
                        },
                        "open": share.open,
                        "new": share.new,
                    }
                    for share in preview.shares
                ],
            }
        )


class AssignmentList(Asking):
    operations = {
        "GET": Operation(
            summary="List assignments",
            action="read",
            doc="`reviewer=me` lists your own. The most urgent first where no order is named.",
            query={
                "reviewer": Member(doc="`me`, or a colleague's id or e-mail address."),
                "state": Choices(of=STATES, doc="Any of these, separated by commas."),
                "round": Ref(model=ReviewRound),
                "run": Ref(model=TestRun),
                "result": Ref(model=TestResult),
                "overdue": Flag(doc="`true`: only open ones whose time is over."),
                "sort": Choice(of=tuple(ORDERS)),
                **PAGING,
            },
            answer=pages_of(ASSIGNMENT, "AssignmentPage"),
        ),
        "POST": Operation(
            summary="Assign reviewers",
            action="assign",
            doc="Opens a round: the results are dealt out evenly by open work, and nobody is asked twice for the same.",
            body=NEW_ROUND,
            answer=ROUND_DETAIL,
            status=201,
            example=EXAMPLE,
        ),
    }

    def get(self, request: Request) -> Response:
        query, actor = self.query, self.actor
        rows = ReviewAssignment.objects.visible_to(actor)
        for name, column in (("round", "round"), ("run", "result__run"), ("result", "result")):
            if name in query:
                kind = self.operation.query[name]
                assert isinstance(kind, Ref)
                found = look_up(kind, actor, query[name])
                rows = rows.filter(**{column: found}) if found else rows.none()
        if "reviewer" in query:
            reviewer = actor.user if query["reviewer"] == "me" else member(actor, query["reviewer"])
            rows = rows.filter(reviewer=reviewer) if reviewer else rows.none()
        if "state" in query:
            rows = rows.filter(state__in=query["state"])
        if query.get("overdue"):
            rows = rows.overdue()
        elif "overdue" in query:
            rows = rows.exclude(pk__in=ReviewAssignment.objects.overdue().values("pk"))
        return self.page(rows, ORDERS[query.get("sort", "due")], ASSIGNMENT)

    def post(self, request: Request) -> Response:
        said, seed = self.read(NEW_ROUND)
        selection = {
            key: said[key] for key in ("filter", "rule", "overlap", "overlap_percent") if said.get(key) is not None
        }
        try:
            made = assign_reviewers(
                self.chosen(said, seed),
                said.get("reviewers", []),
                by=self.actor,
                overlap=said.get("overlap", 1),
                overlap_percent=said.get("overlap_percent", 100),
                due_at=said.get("due_at"),
                name=said.get("name", ""),
                rubric=said.get("rubric", ""),
                selection=selection,
                seed=seed,
            )
        except AssigningError as wrong:
            raise conflict(str(wrong)) from None
        (shown,) = ROUND_DETAIL.fetch(ReviewRound.objects.filter(pk=made.pk))
        url = reverse("api:round-detail", args=[shown["id"]])
        return Response(shown, status=201, headers={"Location": request._request.build_absolute_uri(url)})


class OneAssignment(ApiView):
    def found(self, id: str, *, mine: bool = False) -> ReviewAssignment:
        assignment: ReviewAssignment = get(ReviewAssignment, self.actor, id)
        if mine and assignment.reviewer_id != self.actor.user.pk:
            raise Problem(403, "This is somebody else’s assignment.")
        return assignment

    def shown(self, assignment: ReviewAssignment, status: int = 200) -> Response:
        (shown,) = ASSIGNMENT.fetch(ReviewAssignment.objects.filter(pk=assignment.pk))
        return Response(shown, status=status)


class AssignmentDetail(OneAssignment):
    operations = {"GET": Operation(summary="Read an assignment", action="read", answer=ASSIGNMENT)}

    def get(self, request: Request, id: str) -> Response:
        return Response(ASSIGNMENT.show(get_values(ASSIGNMENT, ReviewAssignment, self.actor, id)))


_REASON: Final = Shape("Declination", {"reason": Text(required=True, least=1, most=2000)})


class AssignmentDeclination(OneAssignment):
    operations = {
        "POST": Operation(
            summary="Decline an assignment",
            action="review",
            doc="Your own, with a reason. Its slot goes to the next of the round's people.",
            body=_REASON,
            answer=ASSIGNMENT,
            example={"reason": "I wrote this bot."},
        )
    }

    def post(self, request: Request, id: str) -> Response:
        assignment = self.found(id, mine=True)
        reason = self.read_body()["reason"]
        try:
            decline(assignment, by=self.actor, reason=reason)
        except AssigningError as wrong:
            raise conflict(str(wrong)) from None
        return self.shown(assignment)


class AssignmentWithdrawal(OneAssignment):
    operations = {
        "POST": Operation(
            summary="Withdraw an assignment", action="assign", doc="It is no longer asked for.", answer=ASSIGNMENT
        )
    }

    def post(self, request: Request, id: str) -> Response:
        assignment = self.found(id)
        try:
            withdraw(assignment, by=self.actor)
        except AssigningError as wrong:
            raise conflict(str(wrong)) from None
        return self.shown(assignment)


# --- rounds -----------------------------------------------------------------------------------------------------------

ROUND_CHANGES: Final = Shape(
    "RoundChanges", {"name": Text(least=1, most=200, line=True), "rubric": Text(most=20_000)}, partial=True
)


class RoundList(ApiView):
    operations = {
        "GET": Operation(
            summary="List rounds",
            action="read",
            doc="Newest first. A round is opened by assigning reviewers.",
            query={
                "project": Ref(model=Project, words=("slug",)),
                "run": Ref(model=TestRun),
                "state": Choice(of=tuple(ReviewRound.State.values)),
                **PAGING,
            },
            answer=pages_of(ROUND, "RoundPage"),
        )
    }

    def get(self, request: Request) -> Response:
        rows = ReviewRound.objects.visible_to(self.actor)
        for name in ("project", "run"):
            if name in self.query:
                kind = self.operation.query[name]
                assert isinstance(kind, Ref)
                found = look_up(kind, self.actor, self.query[name])
                rows = rows.filter(**{name: found}) if found else rows.none()
        if "state" in self.query:
            rows = rows.filter(state=self.query["state"])
        return self.page(rows, Order("-created_at"), ROUND)


class OneRound(ApiView):
    def answer(self, pk: Any) -> Response:
        (shown,) = ROUND_DETAIL.fetch(ReviewRound.objects.filter(pk=pk))
        return Response(shown, headers={"ETag": etag_of(shown, ROUND_CHANGES.fields)})


class RoundDetail(OneRound):
    operations = {
        "GET": Operation(summary="Read a round", action="read", answer=ROUND_DETAIL, etag=True),
        "PATCH": Operation(
            summary="Change a round", action="assign", body=ROUND_CHANGES, answer=ROUND_DETAIL, etag=True
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        return self.answer(get(ReviewRound, self.actor, id).pk)

    def patch(self, request: Request, id: str) -> Response:
        found = get(ReviewRound, self.actor, id, lock=True)
        said = self.read_body()
        (before,) = ROUND_DETAIL.fetch(ReviewRound.objects.filter(pk=found.pk))
        check_not_stale(request, etag_of(before, ROUND_CHANGES.fields))
        changed = apply_changes(found, said)
        if changed:
            found.save(update_fields=[*changed, "updated_at"])
            record_event("round.changed", found, by=self.actor, changed=sorted(changed))
        return self.answer(found.pk)


class RoundClosure(OneRound):
    operations = {
        "POST": Operation(
            summary="Close a round", action="assign", doc="Withdraws what is not done.", answer=ROUND_DETAIL, etag=True
        )
    }

    def post(self, request: Request, id: str) -> Response:
        found = get(ReviewRound, self.actor, id)
        close_round(found, by=self.actor)
        return self.answer(found.pk)


class RoundWithdrawal(OneRound):
    operations = {
        "POST": Operation(
            summary="Withdraw a round",
            action="assign",
            doc="Withdraws what nobody has started: the undo of an assignment.",
            answer=ROUND_DETAIL,
            etag=True,
        )
    }

    def post(self, request: Request, id: str) -> Response:
        found = get(ReviewRound, self.actor, id)
        withdraw_round(found, by=self.actor)
        return self.answer(found.pk)


class RoundClaims(OneAssignment):
    operations = {
        "POST": Operation(
            summary="Take the next free review of a round",
            action="review",
            doc="It is yours for a while; a conflict where nothing is free for you.",
            answer=ASSIGNMENT,
            status=201,
        )
    }

    def post(self, request: Request, id: str) -> Response:
        slot = claim_slot(get(ReviewRound, self.actor, id), self.actor.user)
        if slot is None:
            raise conflict("There is nothing free in this round for you.")
        return self.shown(slot, 201)


urlpatterns: list[URLPattern] = [
    path("assignments/", AssignmentList.as_view(), name="assignment-list"),
    path("assignments/previews/", DealPreview.as_view(), name="assignment-preview"),
    path("assignments/<ident:id>/", AssignmentDetail.as_view(), name="assignment-detail"),
    path("assignments/<ident:id>/declination/", AssignmentDeclination.as_view(), name="assignment-declination"),
    path("assignments/<ident:id>/withdrawal/", AssignmentWithdrawal.as_view(), name="assignment-withdrawal"),
    path("rounds/", RoundList.as_view(), name="round-list"),
    path("rounds/<ident:id>/", RoundDetail.as_view(), name="round-detail"),
    path("rounds/<ident:id>/closure/", RoundClosure.as_view(), name="round-closure"),
    path("rounds/<ident:id>/withdrawal/", RoundWithdrawal.as_view(), name="round-withdrawal"),
    path("rounds/<ident:id>/claims/", RoundClaims.as_view(), name="round-claims"),
]
