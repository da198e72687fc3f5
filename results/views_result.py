"""One result: beside its list, as a page of its own, and the frame that shows its HTML."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final
from uuid import UUID

import nh3
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import NoReverseMatch, reverse
from django.utils.csp import CSP
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.audit.models import record_event
from evalhub.database.prepared import Prepared
from evalhub.web import formats
from evalhub.web.errors import Refused
from evalhub.web.pages import back_to, fragment_target, go_to, path_of, render_page, say, wants_fragment
from evalhub.web.parts import Link
from results.forms_review import CommentForm
from results.models import Review, ReviewAssignment, Step, TestResult
from results.reading import (
    activity_of,
    answer_of,
    calls_of,
    goal_of,
    history_of,
    judgements_by_evaluator,
    last_answer,
    named_inputs,
    note_on,
    note_on_history,
    shown_metadata,
    siblings_of,
    tokens_in,
    turns_of,
    usage_lines,
)
from runs.models import Comment
from runs.models.notes import EntityType
from runs.views_setup import find

MOST_FEEDBACK: Final = 20
VIEWS: Final = (("", "Read"), ("raw", "Raw"), ("json", "JSON"), ("diff", "Diff"))


@requires()
@require_safe
def result_detail(request: MemberRequest, result_id: str) -> HttpResponse:
    """The page; the drawer's content or only the output where htmx asks for those."""
    result = find_result(request, result_id)
    target = fragment_target(request)
    context = drawer_of(request, result)
    if wants_fragment(request) and target.startswith("output-"):
        return render_page(request, "results/result_detail.html", context, fragment="output")
    if wants_fragment(request) and target == "drawer":
        return render_page(request, "results/result_detail.html", context, fragment="drawer")
    run = result.run
    context |= {
        "crumbs": [
            Link("Runs", reverse("runs:run-list")),
            Link(str(run), reverse("results:run-detail", args=[run.pk])),
            Link(context["title_short"]),
        ],
        "current_project": run.project,
        "keys_template": "results/_keys.html",
        **neighbours_of(result),
    }
    return render_page(request, "results/result_detail.html", context)


def find_result(request: MemberRequest, result_id: str) -> TestResult:
    results = TestResult.objects.visible_to(request.actor)
    return find(results.select_related("run", "run__project", "case", "variant"), result_id)


_COMMENTS: Final = Prepared(
    lambda organization, result: (
        Comment.objects.visible_in(organization)
        .filter(entity_type=EntityType.RESULT, entity_id=result)
        .select_related("author")
        .order_by("created_at", "id")
    ),
    *(UUID, UUID),
)


def drawer_of(request: MemberRequest, result: TestResult) -> dict[str, Any]:
    """Everything that the drawer and the page show of a result."""
    judged, unnamed = judgements_by_evaluator(result)
    reviews = list(
        Review.objects.filter(result=result, is_current=True).select_related("reviewer").order_by("created_at", "id")
    )
    assignments = list(
        ReviewAssignment.objects.filter(result=result)
        .select_related("reviewer", "round", "assigned_by")
        .defer("draft", "round__rubric", "round__selection")
        .order_by("slot", "id")
    )
    comments = _COMMENTS(request.actor.organization_id, result.pk)
    calls = calls_of(result)
    history = history_of(result)
    turns = turns_of(result)
    by_turn = defaultdict(list)
    for comment in comments:
        by_turn[comment.turn].append(comment)
    for turn in turns:
        turn.comments = by_turn.get(turn.number, [])
        turn.evaluations = [one for one in judged if one.turn == turn.number]
        turn.verdicts = [one for one in unnamed if one.turn == turn.number]
        if not turn.outcome:
            turn.outcome = outcome_of_turn(turn.evaluations)
    answer = answer_of(result, turns)
    me = request.user.pk
    mine = next((one for one in assignments if one.reviewer_id == me and one.is_open), None)
    live = [one for one in assignments if one.state in ReviewAssignment.LIVE]
    number = f"Case {result.case.number}" if result.case else f"Result {result.position}"
    return {
        "result": result,
        "run": result.run,
        "title": result.name or number,
        "title_short": number,
        "show": shown_as(request, answer, result),
        "views": views_of(result, turns, answer),
        "turns": turns,
        "goal": goal_of(result),
        "answer": answer,
        "final": answer if turns and answer != last_answer(turns) else "",
        "about_turn": number_in(request.GET.get("turn", "")),
        "expected": result.expected_text,
        "input": result.input_text,
        "inputs": named_inputs(result.inputs),
        "whole_output": result.conversation or result.output,
        "judged": judged,
        "judged_note": note_on(judged),
        "people_judged": any(one.verdicts for one in judged),
        "reviews": reviews,
        "my_review": next((one for one in reviews if one.reviewer_id == me), None),
        "my_assignment": mine,
        "asked": live,
        "human": human_of(result),
        "calls": calls,
        "has_steps": bool(calls),
        "history": history if len(history) > 1 else [],
        "history_note": note_on_history(history) if len(history) > 1 else "",
        "siblings": siblings_of(result),
        "usage": usage_lines(result.usage),
        "tokens": result.tokens if result.tokens is not None else tokens_in(result.usage),
        "feedback": result.feedback.order_by("-recorded_at", "-id").values("score", "details")[:MOST_FEEDBACK],
        "metadata": shown_metadata(result.metadata),
        "attributes": shown_metadata(result.attributes),
        "activity": activity_of(result, reviews, assignments, comments, judged, unnamed),
        "comment_count": len(comments),
        "quick_url": address_of("results:quick-review", result.pk),
        "review_url": address_of("results:review", mine.pk) if mine else "",
        "assign_url": f"{address}?result={result.pk}" if (address := address_of("results:assignment-create")) else "",
        "has_html": bool(html_of(result)),
        **{f"may_{action}": request.actor.may(action) for action in ("review", "comment", "assign", "archive")},
    }


def address_of(name: str, *arguments: Any) -> str:
    """Where a page lives; nothing while there is no such page."""
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def number_in(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def outcome_of_turn(judged: list[Any]) -> str:
    outcomes = {one.outcome for one in judged}
    return next((word for word in ("failed", "error", "passed") if word in outcomes), "")


def human_of(result: TestResult) -> str:
    if result.review_state == TestResult.ReviewState.CONFLICT:
        return "conflict"
    return result.human_verdict or ("open" if result.reviews_done < result.reviews_required else "")


def shown_as(request: MemberRequest, answer: str, result: TestResult) -> str:
    wanted = request.GET.get("show", "")
    return wanted if wanted in dict(VIEWS) and (wanted != "diff" or (answer and result.expected_text)) else ""


def views_of(result: TestResult, turns: list[Any], answer: str) -> list[tuple[str, str]]:
    """The ways to see the output, as (value, word)."""
    first = "Chat" if turns else "Markdown"
    views = [("", first), *VIEWS[1:]]
    return views if answer and result.expected_text else [view for view in views if view[0] != "diff"]


def neighbours_of(result: TestResult) -> dict[str, UUID | None]:
    """The results before and after this one in its run, as they arrived."""
    there = TestResult.objects.filter(run=result.run_id, deleted_at__isnull=True, archived_at__isnull=True)
    before = there.filter(position__lt=result.position).order_by("-position", "-id").values_list("pk", flat=True)
    after = there.filter(position__gt=result.position).order_by("position", "id").values_list("pk", flat=True)
    return {"previous": before.first(), "next": after.first()}


@requires()
@require_safe
def step_detail(request: MemberRequest, result_id: str, position: int) -> HttpResponse:
    """One step whole: what the drawer cuts short."""
    result = find_result(request, result_id)
    step = get_object_or_404(Step, result=result, position=position)
    crumbs = [
        Link("Runs", reverse("runs:run-list")),
        Link(str(result.run), reverse("results:run-detail", args=[result.run_id])),
        Link(str(result), reverse("results:result-detail", args=[result.pk])),
        Link(f"Step {step.position}"),
    ]
    parts = [
        ("Inputs", step.inputs),
        ("Outputs", step.outputs),
        ("Parameters", step.parameters),
        ("Context", step.context),
    ]
    context = {
        "result": result,
        "step": step,
        "parts": [part for part in parts if part[1]],
        "usage": usage_lines(step.usage),
        "crumbs": crumbs,
        "current_project": result.run.project,
    }
    return render_page(request, "results/step_detail.html", context)


# --- HTML that a sender wants to be seen ------------------------------------------------------------------------------

FRAME_TAGS: Final = nh3.ALLOWED_TAGS | {
    "section",
    "article",
    "header",
    "footer",
    "main",
    "figure",
    "figcaption",
    "style",
    "font",
    "label",
}
FRAME_ATTRIBUTES: Final = {
    "*": {"style", "class", "id", "title", "lang", "dir", "align", "valign", "width", "height", "colspan", "rowspan"}
    | {"bgcolor", "color", "border", "cellpadding", "cellspacing", "size", "face", "start", "open"}
}
FRAME_POLICY: Final[dict[str, Any]] = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.UNSAFE_INLINE],
    "frame-ancestors": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.NONE],
    "sandbox": True,
}


STYLE_SHEET: Final = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
ADDRESS: Final = re.compile(
    r"@import\b[^;}]*;?|(?:url|src|image|image-set|cross-fade|element)\s*\([^)]*\)?", re.IGNORECASE
)


def without_addresses(css: str) -> str:
    """The style without what would ask for another file; its escapes go first, since they can spell url."""
    css = css.replace("\\", "")
    while (shorter := ADDRESS.sub("", css)) != css:  # what is left may spell it anew
        css = shorter
    return css


def html_of(result: TestResult) -> str:
    """The output that the sender marked as HTML to show."""
    key = result.render_html_key
    found = result.output.get(key) if key and isinstance(result.output, dict) else None
    return found if isinstance(found, str) else ""


@requires()
@require_safe
@xframe_options_sameorigin
@csp_override(FRAME_POLICY)
def result_html(request: MemberRequest, result_id: str) -> HttpResponse:
    """A document of its own for the sandboxed frame: no script, no picture, no link, no call to anywhere.

    Links and whatever else could leave the frame are taken out; its policy and the frame's sandbox would stop them too.
    """
    html = html_of(find_result(request, result_id))
    if not html:
        raise Http404
    clean = nh3.clean(
        html,
        tags=FRAME_TAGS - {"a", "img", "area", "map"},
        clean_content_tags={"script", "iframe", "object", "noscript", "template"},
        attributes={name: set(values) for name, values in FRAME_ATTRIBUTES.items()},
        attribute_filter=lambda tag, attribute, value: without_addresses(value) if attribute == "style" else value,
        strip_comments=True,
        link_rel=None,
    )
    clean = STYLE_SHEET.sub(lambda sheet: f"<style>{without_addresses(sheet.group(1))}</style>", clean)
    body = f'<!doctype html><html><head><meta charset="utf-8"><title>Output</title></head><body>{clean}</body></html>'
    return HttpResponse(body, headers={"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})


# --- comments ---------------------------------------------------------------------------------------------------------


@requires("comment")
@require_POST
def comment_create(request: MemberRequest) -> HttpResponse:
    """Add a comment on a result, or on one of its turns."""
    result = find_result(request, request.POST.get("result", ""))
    text = request.POST.get("text", "").strip()
    if not text:
        raise Refused("A comment needs some text.")
    if len(text) > Comment.LONGEST:
        raise Refused(f"A comment can have {formats.count(Comment.LONGEST)} characters at most.")
    comment = Comment.objects.create(
        organization=result.organization,
        entity_type=EntityType.RESULT,
        entity_id=result.pk,
        author=request.user,
        text=text.replace("\0", ""),
        turn=number_in(request.POST.get("turn", "")),
    )
    record_event("comment.created", result, by=request.actor, comment=str(comment.pk))
    return answer_with(request, result)


@requires("comment")
@require_http_methods(["GET", "HEAD", "POST"])
def comment_edit(request: MemberRequest, comment_id: UUID) -> HttpResponse:
    """Say one's own comment in other words."""
    comment = own_comment(request, comment_id)
    result = find_result(request, str(comment.entity_id))
    form = CommentForm(request.POST if request.method == "POST" else None, initial={"text": comment.text})
    if form.is_bound and form.is_valid():
        if comment.rewrite(form.cleaned_data["text"]):
            record_event("comment.changed", comment, by=request.actor)
        return go_to(request, back_to(request, "results:result-detail", result.pk))
    context = {
        "form": form,
        "comment": comment,
        "result": result,
        "next": path_of(request.headers.get("HX-Current-URL", "")),
        "dialog": wants_fragment(request),
    }
    status = 422 if form.errors else 200
    return render_page(request, "results/comment_edit.html", context, fragment="dialog", status=status)


def own_comment(request: MemberRequest, comment_id: UUID) -> Comment:
    comments = Comment.objects.visible_to(request.actor).filter(author=request.user, entity_type=EntityType.RESULT)
    return get_object_or_404(comments, pk=comment_id)


@requires("comment")
@require_POST
def comment_delete(request: MemberRequest, comment_id: UUID) -> HttpResponse:
    """Take back one's own comment."""
    comment = own_comment(request, comment_id)
    result = find_result(request, str(comment.entity_id))
    comment.deleted_at = comment.updated_at
    comment.save(update_fields=["deleted_at", "updated_at"])
    record_event("comment.deleted", result, by=request.actor, comment=str(comment.pk))
    say(request, "Comment deleted.", undo=reverse("results:comment-restore", args=[comment.pk]))
    return answer_with(request, result)


@requires("comment")
@require_POST
def comment_restore(request: MemberRequest, comment_id: UUID) -> HttpResponse:
    gone = Comment.objects.filter(organization=request.actor.organization, author=request.user)
    comment = get_object_or_404(gone, pk=comment_id, deleted_at__isnull=False, entity_type=EntityType.RESULT)
    result = find_result(request, str(comment.entity_id))
    comment.deleted_at = None
    comment.save(update_fields=["deleted_at", "updated_at"])
    record_event("comment.restored", result, by=request.actor, comment=str(comment.pk))
    return go_to(request, back_to(request, "results:result-detail", result.pk))


def answer_with(request: MemberRequest, result: TestResult) -> HttpResponse:
    """After a change: the drawer anew where htmx fills it, else back to where one was."""
    if wants_fragment(request) and fragment_target(request) == "drawer":
        request.GET = QueryDict()
        return render_page(request, "results/result_detail.html", drawer_of(request, result), fragment="drawer")
    return go_to(request, back_to(request, "results:result-detail", result.pk))
