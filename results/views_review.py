"""Asking for reviews, the rounds, and reviewing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Avg, Count, F, Max, Q
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import Actor, MemberRequest
from evalhub.web import formats
from evalhub.web.pages import back_to, fragment_target, go_to, is_here, path_of, render_page, say, wants_fragment
from evalhub.web.paging import BadCursor, Order, count_rows, read_page
from evalhub.web.parts import Link, Stat
from results.assigning import (
    AssigningError,
    Preview,
    Rule,
    Share,
    assign_reviewers,
    claim_slot,
    close_round,
    count_parts,
    decline,
    keep_draft,
    open_work,
    pick,
    possible_reviewers,
    preview_deal,
    start,
    withdraw,
    withdraw_round,
)
from results.choosing import Choice
from results.dealing import new_seed, sample_size
from results.filters import ResultFilter
from results.forms_review import (
    AssignForm,
    DeclineForm,
    Question,
    QuickForm,
    ReviewForm,
    answers_of,
    draft_of,
    questions_of,
)
from results.listing import judgements_to_walk, read_results
from results.models import Review, ReviewAssignment, ReviewRound, TestResult
from results.queues import (
    Queue,
    Work,
    asked_rounds,
    most_urgent,
    next_open,
    queue_of,
    recent_reviews,
    rounds_of,
    shared_rounds,
    titled,
    waiting_for,
    work_of,
)
from results.reading import answer_of, calls_of, last_answer, turns_of
from results.reviewing import ReviewConflict, submit_review, withdraw_review
from results.views_result import drawer_of, find_result, html_of, shown_as, views_of
from results.views_run import complete, counted, evaluators_of, figures_of, segments, tabs_of, tally
from runs.models import TestRun

State = ReviewAssignment.State
LONGEST_REVIEW = timedelta(hours=4)


# --- asking -----------------------------------------------------------------------------------------------------------


@requires("assign")
@require_http_methods(["GET", "HEAD", "POST"])
def assignment_create(request: MemberRequest) -> HttpResponse:
    actor = request.actor
    query = QueryDict(request.POST.get("selection", "")) if request.method == "POST" else request.GET
    choice = Choice(actor, query)
    people = possible_reviewers(actor.organization)
    counts = count_parts(choice.results)
    if request.method != "POST":
        form = AssignForm(initial=_first_offer(actor, choice, counts), people=people, ticked=choice.is_ticked)
        return _show_dialog(request, choice, form, counts)
    form = AssignForm(request.POST, people=people, ticked=choice.is_ticked)
    if "preview" in request.POST:
        return _show_dialog(request, choice, form, counts, only_preview=True)
    if not form.is_valid():
        return _show_dialog(request, choice, form, counts, status=422)
    overlap, percent = form.overlapping
    seed = form.cleaned_data["seed"]
    try:
        made = assign_reviewers(
            pick(choice.results, form.rule, seed=seed),
            form.chosen_reviewers,
            by=actor,
            overlap=overlap,
            overlap_percent=percent,
            due_at=form.cleaned_data["due_at"],
            name=form.cleaned_data["name"],
            rubric=form.cleaned_data["rubric"],
            selection=_remembered(choice, form),
            seed=seed,
        )
    except AssigningError as error:
        form.add_error(None, str(error))
        return _show_dialog(request, choice, form, counts, status=422)
    asked = made.assignments.live().aggregate(reviews=Count("pk"), people=Count("reviewer", distinct=True))
    say(request, _assigned(**asked), undo=reverse("results:round-withdraw", args=[made.pk]))
    return go_to(request, back_to(request, "results:round-detail", made.pk))


def _first_offer(actor: Actor, choice: Choice, counts: dict[str, int]) -> dict[str, Any]:
    """What the form proposes: what needs people most, by the organisation's reviewers."""
    parts = [part for part in ("conflicts", "failed", "unjudged", "passed") if counts[part]]
    reviewers = actor.organization.memberships.filter(role="reviewer", user__is_active=True)
    return {
        "name": _proposed_name(choice),
        "what": ["everything"] if choice.is_narrowed else parts,
        "passed_percent": 20,
        "reviewers": [str(user_id) for user_id in reviewers.values_list("user_id", flat=True)],
        "overlap": "1:100",
        "seed": new_seed(),
        "selection": choice.address,
    }


def _proposed_name(choice: Choice) -> str:
    today = formats.when(timezone.localdate().replace()) if not choice.runs else ""
    if not choice.runs:
        return f"Review of {today}"
    first = choice.runs[0]
    if len(choice.runs) > 1:
        return f"{first.name} and others"[:200]
    rounds = ReviewRound.objects.filter(run=first, withdrawn_at__isnull=True).count()
    return f"{first}, round {rounds + 1}"[:200] if rounds else str(first)[:200]


def _remembered(choice: Choice, form: AssignForm) -> dict[str, Any]:
    rule = form.rule
    return {
        "ticked": choice.is_ticked,
        "query": "" if choice.is_ticked else choice.address,
        "everything": rule.everything,
        "conflicts": rule.conflicts,
        "failed": rule.failed,
        "unjudged": rule.unjudged,
        "passed_percent": rule.passed_percent,
    }


def _show_dialog(
    request: MemberRequest,
    choice: Choice,
    form: AssignForm,
    counts: dict[str, int],
    *,
    only_preview: bool = False,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    preview, problem = _preview(actor, choice, form)
    each = _usual_seconds(actor)
    work = open_work(actor.organization_id, [user.pk for user in form.people.values()])
    context = {
        "form": form,
        "choice": choice,
        "counts": counts,
        "sample_size": sample_size(counts["passed"], form.percent),
        "people": [
            {"user": user, "open": work[user.pk], "chosen": user in form.chosen_reviewers}
            for user in form.people.values()
        ],
        "preview": preview,
        "problem": problem,
        "nothing": "Nothing of this is left to ask for: everybody chosen has it open, or has reviewed it."
        if form.rule != Rule()
        else "Choose what is to be reviewed.",
        "shares": [_bar(share) for share in preview.shares] if preview else [],
        "each": each * 1000 if each else None,
        "likely": each * 1000 * len(preview.deal.hands) if each and preview else None,
        "total": counts["everything"],
        "oob": only_preview and wants_fragment(request),
        "next": _where_from(request),
        "crumbs": _crumbs_of(choice.runs),
        **({"current_project": choice.project} if choice.project else {}),
        "is_dialog": wants_fragment(request),
    }
    fragment = "preview" if only_preview else "dialog"
    return render_page(request, "results/assign.html", context, fragment=fragment, status=status)


def _preview(actor: Actor, choice: Choice, form: AssignForm) -> tuple[Preview | None, str]:
    reviewers = form.chosen_reviewers
    seed = str(form["seed"].value() or "")
    if not seed.isdecimal() or not (reviewers or form.is_shared):
        return None, ""
    overlap, percent = form.overlapping
    ids = pick(choice.results, form.rule, seed=int(seed))
    try:
        return (
            preview_deal(
                ids,
                reviewers,
                organization=actor.organization,
                seed=int(seed),
                overlap=overlap,
                overlap_percent=percent,
            ),
            "",
        )
    except AssigningError as error:
        return None, str(error)


def _bar(share: Share) -> dict[str, Any]:
    return {
        "user": share.reviewer,
        "new": share.new,
        "total": share.total,
        "parts": [("acc2", share.open), ("acc", share.new)],
        "label": f"{share.open} open now, {share.new} new",
    }


def _usual_seconds(actor: Actor) -> float | None:
    """What a review took the organisation's people lately."""
    timed = Review.objects.visible_to(actor).filter(seconds__isnull=False).order_by("-created_at")
    seconds = [value for value in timed.values_list("seconds", flat=True)[:200] if value is not None]
    return median(seconds) if len(seconds) >= 5 else None


def _where_from(request: MemberRequest) -> str:
    """The page that the dialog lies over, to go back to it."""
    given = request.POST.get("next") or request.GET.get("next") or ""
    if not given and wants_fragment(request):
        given = path_of(request.headers.get("HX-Current-URL", ""))
    return given if is_here(request, given) else ""


def _crumbs_of(runs: Sequence[TestRun]) -> list[Link]:
    crumbs = [Link("Runs", reverse_or_nothing("runs:run-list"))]
    if len(runs) == 1:
        crumbs.append(Link(f"#{runs[0].number}", reverse_or_nothing("results:run-detail", runs[0].pk)))
    return [*crumbs, Link("Assign reviewers")]


def _assigned(reviews: int, people: int) -> str:
    return (
        f"Assigned {_number(reviews, 'review')} to {_number(people, 'person', 'people')}."
        if people
        else (f"{_number(reviews, 'review')} wait in the shared queue.")
    )


def _number(count: int, word: str, plural: str = "") -> str:
    return f"{formats.count(count)} {word if count == 1 else plural or word + 's'}"


def reverse_or_nothing(name: str, *args: Any) -> str:
    """A link into a room that may not be built yet."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


# --- rounds -----------------------------------------------------------------------------------------------------------

SHOWN = {
    "": (),
    "open": ReviewAssignment.OPEN,
    "done": (State.DONE,),
    "declined": (State.DECLINED,),
    "withdrawn": (State.WITHDRAWN,),
}


@requires("read")
@require_safe
def round_detail(request: MemberRequest, round_id: UUID) -> HttpResponse:
    actor = request.actor
    review_round = _round(actor, round_id)
    assignments = ReviewAssignment.objects.visible_to(actor).filter(round=review_round)
    shown = request.GET.get("state", "")
    if shown not in SHOWN:
        shown = ""
    rows = assignments.filter(state__in=SHOWN[shown]) if shown else assignments
    page = read_page(
        rows.values(
            "id",
            "state",
            "due_at",
            "finished_at",
            "decline_reason",
            "reviewer_id",
            "reviewer__name",
            "reviewer__email",
            "result_id",
            "result__name",
            "result__position",
            "result__input_preview",
            "result__case__number",
            "result__outcome",
            "result__review_state",
            "review__verdict",
        ),
        Order("id"),
        request.GET.get("cursor"),
        size=50,
    )
    figures = _figures_of(assignments)
    context = {
        "round": review_round,
        "rows": [
            {
                **titled(row),
                "reviewer": _person(row, "reviewer"),
                "url": reverse_or_nothing("results:result-detail", row["result_id"]),
            }
            for row in page.rows
        ],
        "dealt": _dealt_words(review_round),
        "run_url": reverse_or_nothing("results:run-detail", review_round.run.pk) if review_round.run else "",
        "page": page,
        "people": _people_of(assignments),
        "figures": figures,
        "stats": _round_stats(review_round, figures),
        "segments": _segments_of(figures, shown),
        "total": {"": figures["all"]}.get(shown, figures.get(shown, figures["all"])),
        "may_assign": actor.may("assign"),
        "may_claim": actor.may("review") and review_round.state == ReviewRound.State.OPEN and figures["free"] > 0,
        "crumbs": [
            Link("Runs", reverse_or_nothing("runs:run-list")),
            *(
                [Link(f"#{review_round.run.number}", reverse_or_nothing("results:run-detail", review_round.run.pk))]
                if review_round.run
                else []
            ),
            Link("Round"),
        ],
        "current_project": review_round.project,
        "now": timezone.now(),
    }
    return render_page(request, "results/round_detail.html", context)


def _round(actor: Actor, round_id: UUID) -> ReviewRound:
    rounds = ReviewRound.objects.visible_to(actor).filter(
        project__deleted_at__isnull=True, run__deleted_at__isnull=True
    )
    return get_object_or_404(rounds.select_related("run", "project", "created_by"), pk=round_id)


def _dealt_words(review_round: ReviewRound) -> str:
    if review_round.overlap == 1:
        return "1 reviewer each"
    percent = review_round.selection.get("overlap_percent", 100)
    share = "each" if percent == 100 else f"on {percent} % of results"
    return f"{review_round.overlap} reviewers {share}"


def _figures_of(assignments: Any) -> dict[str, Any]:
    now = timezone.now()
    is_open = Q(state__in=ReviewAssignment.OPEN)
    found: dict[str, Any] = assignments.aggregate(
        all=Count("pk"),
        open=Count("pk", filter=is_open),
        started=Count("pk", filter=Q(state=State.STARTED)),
        done=Count("pk", filter=Q(state=State.DONE)),
        declined=Count("pk", filter=Q(state=State.DECLINED)),
        withdrawn=Count("pk", filter=Q(state=State.WITHDRAWN)),
        overdue=Count("pk", filter=is_open & Q(due_at__lt=now)),
        free=Count("pk", filter=is_open & (Q(reviewer__isnull=True) | Q(lease_until__lte=now))),
        results=Count("result", distinct=True, filter=Q(state__in=ReviewAssignment.LIVE)),
        conflicts=Count("result", distinct=True, filter=Q(result__review_state=TestResult.ReviewState.CONFLICT)),
        seconds=Avg("review__seconds"),
    )
    return found


def _round_stats(review_round: ReviewRound, figures: dict[str, Any]) -> list[Stat]:
    asked = figures["open"] + figures["done"]
    due = formats.when(review_round.due_at) if review_round.due_at else formats.NONE
    seconds = figures["seconds"]
    return [
        Stat(
            "Reviewed",
            formats.count(figures["done"]),
            f"/ {formats.count(asked)}",
            _percent(figures["done"], asked),
            lead=True,
        ),
        Stat("Open", formats.count(figures["open"]), "", f"{formats.count(figures['started'])} started", "?state=open"),
        Stat("Results", formats.count(figures["results"]), "", f"{formats.count(figures['conflicts'])} in conflict"),
        Stat(
            "Declined",
            formats.count(figures["declined"]),
            "",
            f"{formats.count(figures['free'])} free to take" if figures["free"] else "",
            "?state=declined" if figures["declined"] else "",
        ),
        Stat(
            "Due",
            due,
            "",
            f"{formats.count(figures['overdue'])} overdue" if figures["overdue"] else "",
        ),
        Stat("Mean time", formats.duration(seconds * 1000) if seconds else formats.NONE, "", "a review"),
    ]


def _percent(part: int, whole: int) -> str:
    return f"{formats.percent(part / whole)}{formats.THIN}%" if whole else ""


def _segments_of(figures: dict[str, Any], shown: str) -> list[Link]:
    words = {"": "All", "open": "Open", "done": "Done", "declined": "Declined", "withdrawn": "Withdrawn"}
    return [
        Link(label, f"?state={key}" if key else "?", key == shown, figures[key or "all"])
        for key, label in words.items()
        if key in ("", "open", "done", shown) or figures[key]
    ]


def _people_of(assignments: Any) -> list[dict[str, Any]]:
    now = timezone.now()
    is_open = Q(state__in=ReviewAssignment.OPEN)
    rows = (
        assignments.order_by()
        .values("reviewer_id", "reviewer__name", "reviewer__email")
        .annotate(
            done=Count("pk", filter=Q(state=State.DONE)),
            open=Count("pk", filter=is_open),
            started=Count("pk", filter=Q(state=State.STARTED)),
            overdue=Count("pk", filter=is_open & Q(due_at__lt=now)),
            declined=Count("pk", filter=Q(state=State.DECLINED)),
            last=Max("finished_at", filter=Q(state=State.DONE)),
            seconds=Avg("review__seconds"),
        )
        .order_by(F("reviewer__name").asc(nulls_last=True), "reviewer_id")
    )
    return [
        {
            **row,
            "person": _person(row, "reviewer"),
            "total": row["open"] + row["done"],
            "milliseconds": row["seconds"] * 1000 if row["seconds"] else None,
        }
        for row in rows
    ]


def _person(row: dict[str, Any], path: str) -> dict[str, Any] | None:
    if row[f"{path}_id"] is None:
        return None
    return {"id": row[f"{path}_id"], "name": row[f"{path}__name"] or row[f"{path}__email"]}


@requires("assign")
@require_POST
def round_withdraw(request: MemberRequest, round_id: UUID) -> HttpResponse:
    """Undo of an assignment: what nobody has started."""
    review_round = _round(request.actor, round_id)
    withdrawn = withdraw_round(review_round, by=request.actor)
    left = review_round.assignments.live().count()
    text = f"Withdrew {_number(withdrawn, 'review')}." if withdrawn else "There was nothing left to withdraw."
    if left:
        text += f" {_number(left, 'review')} had been started or done and {'stays' if left == 1 else 'stay'}."
    say(request, text)
    return go_to(request, back_to(request, "results:round-detail", review_round.pk))


@requires("assign")
@require_POST
def round_close(request: MemberRequest, round_id: UUID) -> HttpResponse:
    review_round = _round(request.actor, round_id)
    withdrawn = close_round(review_round, by=request.actor)
    say(
        request,
        f"Closed the round. {_number(withdrawn, 'review')} not done {'was' if withdrawn == 1 else 'were'} withdrawn.",
    )
    return go_to(request, back_to(request, "results:round-detail", review_round.pk))


@requires("review")
@require_POST
def round_claim(request: MemberRequest, round_id: UUID) -> HttpResponse:
    """Take the next free result of a shared queue, and look at it."""
    actor = request.actor
    review_round = _round(actor, round_id)
    slot = claim_slot(review_round, actor.user)
    if slot is not None:
        return go_to(request, "results:review", slot.pk)
    say(request, "Nothing is free for you in this round any more.")
    return go_to(request, back_to(request, "results:review-list"))


@requires("assign")
@require_POST
def assignment_withdraw(request: MemberRequest, assignment_id: UUID) -> HttpResponse:
    actor = request.actor
    assignment = get_object_or_404(
        ReviewAssignment.objects.visible_to(actor).select_related("reviewer"), pk=assignment_id
    )
    try:
        withdraw(assignment, by=actor)
    except AssigningError as error:
        say(request, str(error), level=messages.WARNING)
    else:
        say(request, f"Withdrew the review{f' from {assignment.reviewer}' if assignment.reviewer else ''}.")
    return go_to(request, back_to(request, "results:round-detail", assignment.round_id))


# --- my reviews -------------------------------------------------------------------------------------------------------


@requires("read")
@require_safe
def review_list(request: MemberRequest) -> HttpResponse:
    actor = request.actor
    finished = request.GET.get("show") == "finished"
    work = work_of(actor)
    waiting = most_urgent(actor)
    rounds = rounds_of(actor, finished=finished)
    context = {
        "work": work,
        "stats": _my_stats(work, waiting, 0 if finished else len(rounds)),
        "waiting": waiting,
        "more": max(work.open - len(waiting), 0),
        "first": waiting[0]["id"] if waiting else None,
        "rounds": [{**row, "next": _first_of(waiting, row["round_id"])} for row in rounds],
        "finished": finished,
        "shared": shared_rounds(actor) if actor.may("review") else [],
        "recent": recent_reviews(actor),
        "asked": asked_rounds(actor) if actor.may("assign") else [],
        "segments": [Link("Open", "?", not finished), Link("Finished", "?show=finished", finished)],
        "now": timezone.now(),
    }
    return render_page(request, "results/my_reviews.html", context)


def _first_of(waiting: Sequence[dict[str, Any]], round_id: UUID) -> UUID | None:
    return next((row["id"] for row in waiting if row["round_id"] == round_id), None)


def _my_stats(work: Work, waiting: Sequence[dict[str, Any]], rounds: int) -> list[Stat]:
    first = reverse("results:review", args=[waiting[0]["id"]]) if waiting else ""
    return [
        Stat(
            "To review", formats.count(work.open), "", f"in {_number(rounds, 'round')}" if rounds else "", first, True
        ),
        Stat(
            "Overdue",
            formats.count(work.overdue),
            "",
            "first in the list" if work.overdue else "",
            tone="down" * bool(work.overdue),
        ),
        Stat("Due today", formats.count(work.due_today)),
        Stat("Done this week", formats.count(work.done_this_week), "", f"{formats.count(work.done_today)} today"),
        Stat(
            "Median time",
            formats.duration(work.median_seconds * 1000) if work.median_seconds else formats.NONE,
            "",
            "a review" if work.median_seconds else "",
        ),
    ]


@requires("review")
@require_safe
def round_work(request: MemberRequest, round_id: UUID) -> HttpResponse:
    """The way into one's own work of a round: the next open result, else what was achieved."""
    actor = request.actor
    review_round = _round(actor, round_id)
    first = waiting_for(actor).filter(round=review_round).order_by("pk").values_list("pk", flat=True).first()
    if first:
        return go_to(request, "results:review", first)
    return _show_done(request, review_round)


def _show_done(request: MemberRequest, review_round: ReviewRound) -> HttpResponse:
    actor = request.actor
    mine = ReviewAssignment.objects.visible_to(actor).filter(round=review_round, reviewer=actor.user)
    if not mine.exists():
        return go_to(request, "results:round-detail", review_round.pk)
    reviews = Review.objects.visible_to(actor).filter(assignment__in=mine)
    timed = [value for value in reviews.values_list("seconds", flat=True) if value is not None]
    done = mine.filter(state=State.DONE)
    conflicts = done.filter(result__review_state=TestResult.ReviewState.CONFLICT).count()
    context = {
        "round": review_round,
        "done": done.count(),
        "stats": [
            Stat("Reviewed", formats.count(done.count()), lead=True),
            Stat("Median time", formats.duration(median(timed) * 1000) if timed else formats.NONE, "", "a review"),
            Stat(
                "Corrected",
                formats.count(done.filter(result__corrected=True).count()),
                "",
                "outcomes changed by people",
            ),
            Stat("Conflicts", formats.count(conflicts), "", "reviewers differ"),
            Stat("Declined", formats.count(mine.filter(state=State.DECLINED).count())),
        ],
        "next_round": next(iter(rounds_of(actor)), None),
        "shared": [row for row in shared_rounds(actor) if row["round_id"] == review_round.pk],
    }
    return render_page(request, "results/review_done.html", context)


# --- one review -------------------------------------------------------------------------------------------------------


@requires("review")
@require_http_methods(["GET", "HEAD", "POST"])
def review(request: MemberRequest, assignment_id: UUID) -> HttpResponse:
    actor = request.actor
    assignment = _my_assignment(actor, assignment_id)
    questions = questions_of(assignment.result)
    mine = _my_review(actor, assignment.result)
    if request.method == "POST":
        return _take_review(request, assignment, questions, mine)
    if assignment.is_open and request.method == "GET" and start(assignment):
        assignment.refresh_from_db()
    initial: dict[str, Any] = {"opened": int(time.time()), "replaces": mine.pk if mine else None}
    if mine is not None:
        initial |= answers_of(mine, questions)
    elif assignment.draft:
        initial |= assignment.draft
    form = ReviewForm(initial=initial, questions=questions)
    return _show_review(request, assignment, form, mine)


def _my_assignment(actor: Actor, assignment_id: UUID) -> ReviewAssignment:
    mine = ReviewAssignment.objects.visible_to(actor).filter(reviewer=actor.user)
    return get_object_or_404(
        mine.select_related("round", "round__project", "result", "result__run", "result__case", "result__variant"),
        pk=assignment_id,
    )


def _my_review(actor: Actor, result: TestResult) -> Review | None:
    return Review.objects.visible_to(actor).filter(result=result, reviewer=actor.user, is_current=True).first()


def _take_review(
    request: MemberRequest, assignment: ReviewAssignment, questions: Sequence[Question], mine: Review | None
) -> HttpResponse:
    actor = request.actor
    form = ReviewForm(request.POST, questions=questions)
    if not form.is_valid():
        return _show_review(request, assignment, form, mine, status=422)
    replaced = form.cleaned_data["replaces"]
    asked = assignment if assignment.is_open or not (mine or form.cleaned_data["unasked"]) else None
    try:
        made = submit_review(
            assignment.result,
            by=actor,
            verdict=form.cleaned_data["verdict"],
            comment=form.cleaned_data["comment"],
            corrections=form.corrections,
            assignment=asked,
            replaces=Review.objects.visible_to(actor).filter(pk=replaced, reviewer=actor.user).first()
            if replaced
            else None,
            seconds=_seconds(form.cleaned_data["opened"]),
        )
    except ReviewConflict as error:
        assignment.refresh_from_db()
        mine = _my_review(actor, assignment.result)
        return _show_review(request, assignment, form, mine, problem=str(error), status=409)
    say(
        request,
        f"{made.get_verdict_display()} saved for {_title_of(assignment.result)}.",
        undo=reverse("results:review-withdraw", args=[made.pk]),
    )
    return _go_on(request, assignment)


def _go_on(request: MemberRequest, assignment: ReviewAssignment) -> HttpResponse:
    following = next_open(request.actor, assignment)
    if following:
        return go_to(request, "results:review", following)
    return go_to(request, "results:round-work", assignment.round_id)


def _seconds(opened: int | None) -> float | None:
    """From opening to submitting; nothing where the clock says something impossible."""
    if opened is None:
        return None
    seconds = time.time() - opened
    return seconds if 0 <= seconds <= LONGEST_REVIEW.total_seconds() else None


def _title_of(result: TestResult) -> str:
    return result.name or (f"Case {result.case.number}" if result.case else f"Result {result.position}")


def _show_review(
    request: MemberRequest,
    assignment: ReviewAssignment,
    form: ReviewForm,
    mine: Review | None,
    *,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    queue = queue_of(actor, assignment)
    context = _subject_of(request, assignment.result) | {
        "assignment": assignment,
        "round": assignment.round,
        "run": assignment.result.run,
        "form": form,
        "questions": [_asked(form, question) for question in form.questions],
        "queue": queue,
        "mine": mine,
        "problem": problem,
        "replaces": mine.pk if mine else "",
        "unasked": not assignment.is_open and mine is None,
        "due": _due_words(queue),
        "keys_template": "results/_review_keys.html",
        "keys_alone": True,
        "progress_label": f"{queue.done_count} of {queue.total} reviewed",
    }
    return render_page(request, "results/review.html", context, status=status)


def _subject_of(request: MemberRequest, result: TestResult) -> dict[str, Any]:
    """What is reviewed, as the result's own page shows it, without what anybody said of it."""
    turns = turns_of(result)
    answer = answer_of(result, turns)
    return {
        "result": result,
        "title": _title_of(result),
        "show": shown_as(request, answer, result),
        "views": views_of(result, turns, answer),
        "turns": turns,
        "answer": answer,
        "final": answer if turns and answer != last_answer(turns) else "",
        "expected": result.expected_text,
        "input": result.input_text,
        "whole_output": result.conversation or result.output,
        "tokens": result.tokens,
        "calls": calls_of(result),
        "has_html": bool(html_of(result)),
    }


def _asked(form: ReviewForm, question: Question) -> dict[str, Any]:
    chosen = form[question.key].value()
    return {
        "question": question,
        "field": form[question.key],
        "chosen": "" if chosen is None else str(chosen),
        "why": form[question.reason_key].value() or "",
        "errors": form[question.key].errors,
        "low": getattr(form.fields[question.key], "min_value", None),
        "high": getattr(form.fields[question.key], "max_value", None),
    }


def _due_words(queue: Queue) -> str:
    words = []
    if queue.overdue:
        words.append(f"{formats.count(queue.overdue)} overdue")
    if queue.due_today:
        words.append(f"{formats.count(queue.due_today)} due today")
    return " · ".join(words)


@requires("review")
@require_POST
def review_draft(request: MemberRequest, assignment_id: UUID) -> HttpResponse:
    """Keep what was typed so far: by itself every moment, or by the button where there is no script."""
    assignment = _my_assignment(request.actor, assignment_id)
    kept = keep_draft(assignment, draft_of(request.POST, questions_of(assignment.result)))
    if not wants_fragment(request):
        say(request, "Draft saved." if kept else "This review is no longer open, so the draft was not saved.")
        return go_to(request, "results:review", assignment.pk)
    return render_page(
        request,
        "results/review.html",
        {"kept": kept, "at": timezone.now()},
        fragment="saved",
        status=200 if kept else 409,
    )


@requires("review")
@require_http_methods(["GET", "HEAD", "POST"])
def review_decline(request: MemberRequest, assignment_id: UUID) -> HttpResponse:
    actor = request.actor
    assignment = _my_assignment(actor, assignment_id)
    form = DeclineForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            successor = decline(assignment, by=actor, reason=form.cleaned_data["reason"])
        except AssigningError as error:
            form.add_error(None, str(error))
        else:
            passed_on = successor is not None and successor.reviewer_id is not None
            say(
                request,
                "Declined. " + ("Another reviewer has it now." if passed_on else "It waits for whoever takes it."),
            )
            return _go_on(request, assignment)
    context = {
        "form": form,
        "assignment": assignment,
        "result": assignment.result,
        "dialog": wants_fragment(request),
    }
    status = 422 if form.errors else 200
    return render_page(request, "results/review_decline.html", context, fragment="dialog", status=status)


@requires("review")
@require_POST
def review_withdraw(request: MemberRequest, review_id: UUID) -> HttpResponse:
    """Undo of one's own review: what was said is the assignment's draft again."""
    actor = request.actor
    made = get_object_or_404(
        Review.objects.visible_to(actor).select_related("assignment", "result"), pk=review_id, reviewer=actor.user
    )
    assignment = made.assignment
    said = answers_of(made, questions_of(made.result))
    withdraw_review(made, by=actor)
    say(request, f"Took back “{made.get_verdict_display()}”.")
    if assignment is not None:
        keep_draft(assignment, said)
        came_from = request.POST.get("next") or ""
        if came_from.startswith(
            (reverse("results:review-list"), reverse("results:round-detail", args=[assignment.round_id]))
        ):
            return go_to(request, "results:review", assignment.pk)
    return go_to(request, back_to(request, "results:review-list"))


# --- the quick verdict in the drawer ----------------------------------------------------------------------------------


@requires("review")
@require_POST
def quick_review(request: MemberRequest, result_id: str) -> HttpResponse:
    """A verdict by one key, beside the list; it also does an assignment that one has for the result."""
    result = find_result(request, result_id)
    form = QuickForm(request.POST)
    if not form.is_valid():
        say(request, "Choose pass, fail or can’t tell.", level=messages.WARNING)
        return _beside_the_list(request, result, status=422)
    replaced = form.cleaned_data["replaces"]
    mine = _my_review(request.actor, result)
    try:
        made = submit_review(
            result,
            by=request.actor,
            verdict=form.cleaned_data["verdict"],
            comment=form.cleaned_data["comment"],
            replaces=mine if mine is not None and mine.pk == replaced else None,
        )
    except ReviewConflict as error:
        mine = _my_review(request.actor, result)
        text = str(error)
        if mine is not None:
            at = formats.when(mine.created_at)
            text = f"You reviewed this already, at {at}: {mine.get_verdict_display()}. Press again to replace that."
        say(request, text, level=messages.WARNING)
        return _beside_the_list(request, find_result(request, result_id), status=409)
    say(
        request,
        f"{made.get_verdict_display()} saved for {_title_of(result)}.",
        undo=reverse("results:review-withdraw", args=[made.pk]),
    )
    return _beside_the_list(request, find_result(request, result_id), did=made.assignment is not None)


def _beside_the_list(
    request: MemberRequest, result: TestResult, *, status: int = 200, did: bool = False
) -> HttpResponse:
    """The drawer anew, and out of band what changed with it: the row, the run's figures and all that counts them."""
    if not (wants_fragment(request) and fragment_target(request) == "drawer"):
        return go_to(request, back_to(request, "results:result-detail", result.pk))
    run = result.run
    table = _table_behind(request, run)
    (row,) = read_results(_listed(request, run, pk=result.pk)).rows
    chosen = table.found.one("evaluator")
    complete([row], evaluators_of(run), chosen)
    numbers, total = tally(table.found, run)
    if table.found.sorts_by_score:
        total = count_rows(judgements_to_walk(table.found))
    context = drawer_of(request, result) | {
        "row": row,
        "opened": result.pk,
        "chosen": chosen,
        "has_variants": any(other["variant_id"] for other in table.rows),
        "has_repetitions": any(other["repetition"] > 1 for other in table.rows),
        **figures_of(run),
        "tabs": tabs_of(run, ""),
        "segments": segments(table.query, table.found, numbers),
        "counted": counted(total, run.result_count, table.found),
        "assignment_done": did,
        "oob": True,
    }
    return render_page(request, "results/quick_review.html", context, fragment="changed", status=status)


@dataclass(frozen=True, slots=True)
class _Table:
    query: QueryDict
    found: ResultFilter
    rows: Sequence[dict[str, Any]]


def _table_behind(request: MemberRequest, run: TestRun) -> _Table:
    """The list that the drawer lies over, as its address describes it: its columns are those of the row."""
    query = QueryDict(path_of(request.headers.get("HX-Current-URL", "")).partition("?")[2])
    found = _listed(request, run, query)
    try:
        return _Table(query, found, read_results(found, cursor=query.get("cursor")).rows)
    except BadCursor:
        return _Table(query, found, ())


def _listed(request: MemberRequest, run: TestRun, query: QueryDict | None = None, **conditions: Any) -> ResultFilter:
    visible = TestResult.objects.visible_to(request.actor).filter(**conditions)
    return ResultFilter(query if query is not None else {}, visible, actor=request.actor, run=run)
