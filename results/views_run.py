"""One run: its four numbers, its results with the drawer beside them, its summary, its reviews, its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.accounts.models import Membership
from evalhub.accounts.rights import REVIEWERS
from evalhub.accounts.tenancy import find_row, parse_uuid
from evalhub.database.prepared import Prepared
from evalhub.web import formats
from evalhub.web.exports import download
from evalhub.web.pages import POSITION, fragment_target, render_page, wants_fragment
from evalhub.web.paging import EXACT_UP_TO, Order, Page, count_rows, estimate_rows, read_page
from evalhub.web.paging import Count as RowCount
from evalhub.web.parts import OUTCOMES, Link, Stat, face
from results.filters import REVIEWS, VERDICTS, ResultFilter
from results.listing import FIELDS, SHOWN, judgements_of, judgements_to_walk, read_results, reviewers_of
from results.models import Outcome, Review, ReviewAssignment, ReviewRound, Rollup, TestResult
from results.reading import OPERATORS, shown_metadata
from results.summary import (
    by_evaluator,
    by_tag,
    by_variant,
    clusters_of_machine,
    interval_of,
    score_histograms,
    value_histograms,
    worst_first,
)
from results.views_result import drawer_of
from runs.current import ask_about_current_project
from runs.models import Endpoint, Evaluator, Import, SavedView, Shard, TestRun, TestSet, Variant
from runs.saved_views import MOST_VIEWS, views_for

TABS: Final = (("", "Results"), ("summary", "Summary"), ("reviews", "Reviews"), ("configuration", "Configuration"))
MOST_MARKS: Final = 12  # that find room in a row
MARKS_BEFORE_MORE: Final = 10
TITLE: Final = 90  # characters of a name in a row
MARKS: Final = {"error": "e", "unscored": "n", "pending": "n"}


@requires()
@require_safe
def run_detail(request: MemberRequest, run_id: str) -> HttpResponse:
    run = find_run(request, run_id)
    tab = request.GET.get("tab", "")
    if tab not in dict(TABS):
        tab = ""
    if wants_fragment(request) and fragment_target(request) == "run-figures":
        figures = figures_of(run)
        if "empty" in request.GET and (run.result_count or not figures["moves"]):
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})  # its lists are there to be shown now
        context = {
            "run": run,
            "tab": tab,
            "facts": facts_of(run),
            "has_ended": not figures["moves"],
            **figures,
        }
        return render_page(request, "results/run_base.html", context, fragment="moved")
    context = {
        "run": run,
        "tab": tab,
        **figures_of(run),
        "tabs": tabs_of(run, tab),
        "crumbs": [Link("Runs", reverse("runs:run-list")), Link(f"#{run.number}")],
        "current_project": run.project,
        "keys_template": "results/_keys.html",
        "facts": facts_of(run),
        **{
            f"may_{action}": request.actor.may(action) for action in ("assign", "archive", "launch", "review", "export")
        },
    }
    make = {"": results_tab, "summary": summary_tab, "reviews": reviews_tab, "configuration": configuration_tab}[tab]
    context |= make(request, run)
    return render_page(request, f"results/run_{tab or 'results'}.html", context)


@requires("export")
@require_safe
def run_results_export(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """The results that the list shows, or the ticked ones, one line each."""
    run = find_run(request, run_id)
    found = filtered(request, run)
    results = found.qs
    ticked = [pk for pk in request.GET.getlist("result") if pk]
    if ticked and request.GET.get("select") != "all":
        results = results.filter(pk__in=ids_of(ticked))
    evaluators = by_evaluator(run)
    names = columns_of(evaluators)
    lines = lines_of(results.order_by("position", "id"), names)
    columns = [*EXPORTED, *(name for pair in names.values() for name in pair)]
    return download(lines, columns, name=f"evalhub-run-{run.number}", kind=request.GET.get("format", "csv"))


def find_run(request: MemberRequest, run_id: str) -> TestRun:
    run: TestRun | None = find_row(TestRun, request.actor.organization_id, run_id, with_what_the_head_shows)
    if run is None:
        raise Http404
    return run


def with_what_the_head_shows(runs: QuerySet[Any]) -> QuerySet[Any]:
    return runs.select_related(
        "project", "configuration__endpoint", "configuration__test_set", "created_by", "owner", "assignee"
    )


def filtered(request: MemberRequest, run: TestRun) -> ResultFilter:
    return ResultFilter(request.GET, TestResult.objects.visible_to(request.actor), actor=request.actor, run=run)


# --- head -------------------------------------------------------------------------------------------------------------


def being_judged(run: TestRun) -> int:
    """How many of its results workers are still to judge again."""
    waiting = Shard.objects.filter(run=run, kind=Shard.Kind.JUDGE, done_at__isnull=True)
    return waiting.aggregate(results=Sum("size"))["results"] or 0


def figures_of(run: TestRun) -> dict[str, Any]:
    """The numbers, and whether they still move by themselves: results arrive, or are judged again."""
    judging = being_judged(run)
    return {"stats": stats_of(run), "being_judged": judging, "moves": run.is_active or judging > 0}


def stats_of(run: TestRun) -> list[Stat]:
    """The numbers to decide by; each leads to its evidence."""
    address = reverse("results:run-detail", args=[run.pk])
    judged = run.passed + run.failed
    outcomes = [f"{formats.count(run.passed)} of {formats.count(judged)}"] if judged else ["nothing judged yet"]
    outcomes += [
        f"{formats.count(n)} {word}"
        for n, word in ((run.errors, "error" if run.errors == 1 else "errors"), (run.unjudged, "unjudged"))
        if n
    ]
    if 0 < judged < run.result_count:
        outcomes.append(f"{formats.rate(judged / run.result_count)} judged")
    effective = Stat(
        "Pass rate" if run.reviewed else "Pass rate, judge only",
        formats.rate(run.pass_rate),
        "" if run.pass_low is None else formats.interval(run.pass_low, run.pass_high, run.pass_rate),
        " · ".join(outcomes),
        f"{address}?outcome=failed&outcome=passed" if judged else f"{address}?",
        lead=True,
    )
    by_machine = run.machine_passed + run.machine_failed
    judges = interval_of(run.machine_passed, by_machine, clusters_of_machine(run))
    machine = Stat(
        "Judge alone",
        formats.rate(run.machine_passed / by_machine if by_machine else None),
        formats.interval(*judges, run.machine_passed / by_machine) if judges else "",
        f"{formats.count(run.machine_passed)} of {formats.count(by_machine)}" if by_machine else "no machine verdict",
        f"{address}?machine_outcome=failed&machine_outcome=passed",
    )
    notes = []
    if run.corrected:
        notes.append(f"{formats.count(run.corrected)} corrected")
    if run.conflicts:
        notes.append(f"{formats.count(run.conflicts)} conflict{'s' if run.conflicts > 1 else ''}")
    reviewed = Stat(
        "Reviews" if run.reviews_required else "Reviewed",
        formats.count(run.reviews_done if run.reviews_required else run.reviewed),
        f"/ {formats.count(run.reviews_required)}" if run.reviews_required else "",
        " · ".join(notes)
        or (
            "nothing corrected"
            if run.reviewed
            else "nobody was asked yet"
            if not run.reviews_required
            else "none done yet"
        ),
        f"{address}?tab=reviews",
    )
    return [effective, machine, reviewed, change_of(run)]


def previous_of(run: TestRun) -> TestRun | None:
    """The last run of the same configuration before this one that was carried out, whole or with errors.

    A run without a configuration names the run that it is compared with, or none.
    """
    earlier = TestRun.objects.visible_in(run.organization_id).listed().filter(pass_rate__isnull=False)
    if run.configuration_id is None:
        found = earlier.filter(pk=run.reference_id) if run.reference_id else earlier.none()
    else:
        found = earlier.filter(
            configuration=run.configuration_id,
            status__in=(TestRun.Status.COMPLETED, TestRun.Status.PARTIAL),
            created_at__lt=run.created_at,
        )
    return found.newest_first().only("id", "number", "pass_rate", "created_at").first()


def carried_out(run: TestRun) -> str:
    return f"{formats.count(run.result_count)} of {formats.count(run.planned_count)} results"


def change_of(run: TestRun) -> Stat:
    if run.result_count < run.planned_count and run.status != TestRun.Status.COMPLETED:
        return Stat("Change", formats.NONE, "", carried_out(run))  # the rest may be no better or worse than these are
    previous = previous_of(run)
    if previous is None or previous.pass_rate is None:
        note = "first run of its configuration" if run.configuration_id else "no configuration to compare by"
        return Stat("Change", formats.NONE, "", note)
    note = f"{formats.rate(previous.pass_rate)}, {formats.when(previous.created_at)}"
    url = reverse("results:run-detail", args=[previous.pk])
    if run.pass_rate is None:
        return Stat(f"Against #{previous.number}", formats.NONE, "", note, url)
    return Stat(f"Against #{previous.number}", formats.delta(run.pass_rate - previous.pass_rate), "", note, url)


def tabs_of(run: TestRun, tab: str) -> list[Link]:
    numbers = {"": run.result_count, "reviews": (run.reviews_done if run.reviews_required else run.reviewed) or None}
    address = reverse("results:run-detail", args=[run.pk])
    return [
        Link(label, f"{address}?tab={name}" if name else address, name == tab, numbers.get(name))
        for name, label in TABS
    ]


def facts_of(run: TestRun) -> dict[str, Any]:
    """The provenance line: what was asked, of whom, and what it took; as it was when the run started."""
    snapshot = run.snapshot if isinstance(run.snapshot, dict) else {}
    configuration = run.configuration
    endpoint = part(snapshot, "endpoint").get("name")
    test_set = part(snapshot, "test_set")
    if not endpoint and configuration and configuration.endpoint:
        endpoint = configuration.endpoint.name
    if not test_set.get("name") and configuration and configuration.test_set:
        test_set = {"name": configuration.test_set.name, "revision": configuration.test_set.revision}
    evaluators = snapshot.get("evaluators")
    return {
        "endpoint": endpoint,
        "test_set": test_set,
        "evaluator_count": len(evaluators) if isinstance(evaluators, list) else 0,
        "cost_each": run.total_cost / run.costed_count if run.costed_count else None,
        "latency_each": run.total_latency_ms / run.timed_count if run.timed_count else None,
        "duration": run.duration_ms,
    }


def part(snapshot: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = snapshot.get(name)
    return found if isinstance(found, dict) else {}


# --- results ----------------------------------------------------------------------------------------------------------


def results_tab(request: MemberRequest, run: TestRun) -> dict[str, Any]:
    found = filtered(request, run)
    page = read_results(found, cursor=request.GET.get("cursor"))
    rollups = ROLLUPS(run.pk)
    evaluators = evaluators_in(rollups)
    chosen = found.one("evaluator")
    complete(page.rows, evaluators, chosen)
    numbers, total = tally(found, run)
    judged = sum(row["judged"] for row in rollups if chosen and row["evaluator_id"] == chosen.pk)
    if found.sorts_by_score and judged < run.result_count:  # what was not judged has no place in that order
        total = count_rows(judgements_to_walk(found))
    chips = found.chips(request.GET)
    opened = opened_result(request, run, page.rows)
    return {
        **(drawer_of(request, opened) if opened else {}),
        **table_of(request, found),
        "found": found,
        "page": page,
        "total": total,
        "segments": segments(request.GET, found, numbers),
        "chips": chips,
        "chosen": chosen,
        "filters_url": f"{reverse('results:run-results-filters', args=[run.pk])}?{list_query(request.GET).urlencode()}",
        "counted": counted(total, run.result_count, found),
        "opened": opened.pk if opened else None,
        "nothing_text": nothing_found(found, len(chips)),
        "has_variants": any(row["variant_id"] for row in page.rows),
        "has_repetitions": any(row["repetition"] > 1 for row in page.rows),
    }


SORT_WORDS: Final = {
    "outcome": "worst first",
    "-outcome": "best first",
    "position": "as they arrived",
    "-position": "last arrived first",
    "latency": "fastest first",
    "-latency": "slowest first",
    "created": "oldest first",
    "-created": "newest first",
    "score": "lowest score first",
    "-score": "highest score first",
}


def table_of(request: MemberRequest, found: ResultFilter) -> dict[str, Any]:
    """What the table's own forms and heads need to know of the list."""
    query = list_query(request.GET)
    kept = pairs_in(query)
    return {
        "given": request.GET,
        "query": query.urlencode(),
        "kept_by_bulk": [pair for pair in kept if pair[0] != "run"],
        "kept_by_search": [pair for pair in kept if pair[0] != "q"],
        "default_sort": "outcome" if found.run_id else "-created",
        "sorted_words": SORT_WORDS[found.sorted_by],
    }


ROLLUPS: Final = Prepared(
    lambda run_id: (
        Rollup.objects.filter(run=run_id)
        .order_by("evaluator__name", "evaluator_id")
        .values("evaluator_id", "evaluator__name", judged=F("pending") + F("scored") + F("unscored") + F("errors"))
    ),
    UUID,
)


def evaluators_of(run: TestRun) -> dict[UUID, str]:
    """The names of the evaluators that judged in a run, in order."""
    return evaluators_in(ROLLUPS(run.pk))


def evaluators_in(rollups: Iterable[Mapping[str, Any]]) -> dict[UUID, str]:
    return {row["evaluator_id"]: row["evaluator__name"] for row in rollups}


def complete(rows: list[dict[str, Any]], names: Mapping[UUID, str], chosen: Evaluator | None = None) -> None:
    """Give rows what a cell shows beside their columns: marks, a score, reviewers, the human's word."""
    ids = [row["id"] for row in rows]
    judgements, reviewers = judgements_of(ids), reviewers_of(ids)
    order = {evaluator_id: place for place, evaluator_id in enumerate(names)}
    home = reverse("results:result-list")
    for row in rows:
        found = judgements.get(row["id"], {})
        row["url"] = f"{home}{row['id']}/"
        row["marks"], row["more_marks"], row["marks_say"] = marks_of(found, names, order)
        if chosen is not None:
            row["score_shown"] = score_in(found.get(chosen.pk))
        row["title"] = (row["name"] or row["input_start"] or "Result")[:TITLE]
        people = reviewers.get(row["id"], [])
        row["reviewers"] = [face(person["id"], person["name"]) for person in people[:2]]
        row["more_reviewers"] = max(len(people) - 2, 0)
        for name in ("input_start", "output_start"):
            row[name] += "…" if len(row[name]) == SHOWN else ""
        row["number"] = row["case__number"] or row["position"]
        row["judge"] = OUTCOMES[row["machine_outcome"]].word
        row["human"] = human_of(row)
        row["human_word"] = HUMAN_WORDS[row["human"]]
        row["latency"] = "" if row["latency_ms"] is None else formats.duration(row["latency_ms"])


def score_in(judgement: Mapping[str, Any] | None) -> str:
    if judgement is None:
        return ""
    return judgement["label"] or formats.NONE if judgement["value"] is None else formats.score(judgement["value"])


def marks_of(
    found: Mapping[UUID, Mapping[str, Any]], names: Mapping[UUID, str], order: Mapping[UUID, int]
) -> tuple[str, int, str]:
    """One letter per evaluator (pass, fail, error, no score), how many more there are, and what to know of them."""
    letters, loud, silent = [], [], 0
    for evaluator_id in sorted(found, key=lambda one: order.get(one, len(order))):
        judgement = found[evaluator_id]
        letter = MARKS.get(judgement["state"]) or {True: "p", False: "f", None: "n"}[judgement["effective"]]
        letters.append(letter)
        silent += letter == "n"
        if letter in "fe":
            loud.append(f"{names.get(evaluator_id, 'An evaluator')} {'fail' if letter == 'f' else 'error'}")
    if not letters:
        return "", 0, ""
    words = ", ".join(loud) or ("All pass" if not silent else f"{len(letters) - silent} pass, {silent} without verdict")
    if len(letters) <= MOST_MARKS:
        return "".join(letters), 0, words
    letters.sort(key="fenp".index)  # what is hidden must be what nobody looks for
    return "".join(letters[:MARKS_BEFORE_MORE]), len(letters) - MARKS_BEFORE_MORE, words


HUMAN_WORDS: Final = {
    "": formats.NONE,
    "conflict": "Conflict",
    "open": "Open",
    "reviewed": "Can’t tell",
    **{outcome: OUTCOMES[outcome].word for outcome in Outcome.values},
}


def human_of(row: Mapping[str, Any]) -> str:
    if row["review_state"] == TestResult.ReviewState.CONFLICT:
        return "conflict"
    if row["human_verdict"]:
        return str(row["human_verdict"])
    if row["reviews_done"] < row["reviews_required"]:
        return "open"
    return "reviewed" if row["review_count"] else ""


def tally(found: ResultFilter, run: TestRun) -> tuple[dict[str, int], RowCount]:
    """How many results each outcome would show, and how many are shown; from the run's counters where they know."""
    values = found.values
    outcomes, reviews = values.get("outcome", []), values.get("review", [])
    if not (values.keys() - {"outcome", "sort", "evaluator"}) or not (
        values.keys() - {"review", "sort", "evaluator"} or reviews != ["conflict"]
    ):
        numbers = {
            "passed": run.passed,
            "failed": run.failed,
            "error": run.errors,
            "unjudged": run.unjudged,
            "conflict": run.conflicts,
        }
        if reviews:
            return numbers | {"all": run.result_count}, RowCount(run.conflicts)
        shown = sum(numbers[outcome] for outcome in outcomes) if outcomes else run.result_count
        return numbers | {"all": run.result_count}, RowCount(shown)
    rest = found.data.copy()
    for name in ("outcome", "sort"):
        rest.pop(name, None)
    if reviews == ["conflict"]:
        rest.pop("review", None)
    others = ResultFilter(rest, found.queryset, actor=found.actor, run=run)
    others.named = dict(found.named)
    rows = others.qs.order_by().values("outcome", "review_state")[: EXACT_UP_TO + 1]
    wanted = {word: Count("outcome", filter=Q(outcome=word)) for word in Outcome.values}
    is_conflict = Q(review_state="conflict")
    numbers = rows.aggregate(
        all=Count("outcome"),
        conflict=Count("outcome", filter=is_conflict),
        # An empty list would make Django answer 0 to all of it.
        both=Count("outcome", filter=is_conflict & Q(outcome__in=outcomes or Outcome.values)),
        **wanted,
    )
    if numbers["all"] > EXACT_UP_TO:
        return {}, count_rows(found.qs)
    if outcomes:
        shown = numbers["both"] if reviews == ["conflict"] else sum(numbers[outcome] for outcome in outcomes)
        return numbers, RowCount(shown)
    return numbers, RowCount(numbers["conflict"] if reviews == ["conflict"] else numbers["all"])


def segments(query: QueryDict, found: ResultFilter, numbers: Mapping[str, int]) -> list[Link]:
    chosen = query.getlist("outcome")
    conflicts = query.getlist("review") == ["conflict"]

    def link(label: str, icon: str, outcome: str = "", review: str = "") -> Link:
        rest = list_query(query)
        rest.pop("outcome", None)
        if conflicts or review:
            rest.pop("review", None)
        if outcome:
            rest["outcome"] = outcome
        if review:
            rest["review"] = review
        current = (
            conflicts and not chosen if review else chosen == [outcome] if outcome else not chosen and not conflicts
        )
        return Link(label, f"?{rest.urlencode()}", current, numbers.get(review or outcome or "all"), icon)

    links = [
        link("All", ""),
        link("Fail", "fail", "failed"),
        link("Error", "error", "error"),
        link("Pass", "pass", "passed"),
    ]
    if numbers.get("unjudged") or chosen == ["unjudged"]:
        links.append(link("Unjudged", "pending", "unjudged"))
    if numbers.get("conflict") or conflicts:
        links.append(link("Conflict", "conflict", review="conflict"))
    return links


def opened_result(request: MemberRequest, run: TestRun, rows: Sequence[Mapping[str, Any]]) -> TestResult | None:
    """The result that the address shows in the drawer; one of another run, or nobody's, opens nothing.

    Who steps over the end of a page asks for the next one's first row, or the last of the one before.
    """
    wanted = request.GET.get("result", "")
    if wanted in ("first", "last") and rows:
        wanted = str(rows[0 if wanted == "first" else -1]["id"])
    if not wanted:
        return None
    return TestResult.objects.visible_to(request.actor).filter(run=run).by_id(wanted)


@requires()
@require_safe
def run_results_filters(request: MemberRequest, run_id: str) -> HttpResponse:
    """The filters of a run's results, as a dialog over the list or as a page."""
    run = find_run(request, run_id)
    return filter_dialog(request, run, reverse("results:run-detail", args=[run.pk]))


@requires()
@require_safe
def result_filters(request: MemberRequest) -> HttpResponse:
    return filter_dialog(request, None, reverse("results:result-list"))


def filter_dialog(request: MemberRequest, run: TestRun | None, list_url: str) -> HttpResponse:
    context = {
        "form_template": "results/_filter_fields.html",
        "list_url": list_url,
        "button": "Show results",
        "given": request.GET,
        "run": run,
        "options": options_of(request, run),
    }
    return render_page(request, "components/filter_dialog.html", context, fragment="dialog")


IN_THE_FORM: Final = (
    "evaluator",
    "verdict",
    "score_min",
    "score_max",
    "machine_outcome",
    "review",
    "reviewer",
    "tag",
    "latency_min",
    "latency_max",
    "variant",
    "repetition",
    "sort",
    "archived",
)


def options_of(request: MemberRequest, run: TestRun | None) -> dict[str, Any]:
    """What the filter form offers."""
    names = evaluators_of(run) if run else {}
    inside = (*IN_THE_FORM, *(() if run else ("outcome",)))
    return {
        "kept": [pair for pair in pairs_in(list_query(request.GET)) if pair[0] not in inside],
        "evaluators": [(str(pk), name) for pk, name in names.items()],
        "verdicts": [(value, label.capitalize()) for value, label in VERDICTS],
        "reviews": REVIEWS,
        "outcomes": Outcome.choices,
        "variants": list(Variant.objects.filter(run=run).values_list("position", "label")[:100]) if run else [],
        "reviewers": reviewers_in(request),
        "sorts": [
            ("", "Worst first"),
            ("position", "Order of arrival"),
            ("-latency", "Slowest first"),
            ("score", "Lowest score of the evaluator"),
            ("-score", "Highest score of the evaluator"),
        ]
        if run
        else [],
    }


def reviewers_in(request: MemberRequest) -> list[tuple[str, str]]:
    """Who may review in the organisation; oneself first."""
    me = request.user.pk
    rows = (
        Membership.objects.filter(organization=request.actor.organization, role__in=REVIEWERS)
        .order_by("user__name", "user_id")
        .values_list("user_id", "user__name", "user__email")[:200]
    )
    others = [(str(pk), name or email) for pk, name, email in rows if pk != me]
    return [("me", "Me"), *others]


def pairs_in(query: QueryDict) -> list[tuple[str, str]]:
    return [(name, value) for name, values in query.lists() for value in values]


EXACT_ACROSS_RUNS: Final = 1_000  # results; to count more than these would mean to read them
SEARCHED: Final = "searched: the first 2,000 characters of inputs and output"


def counted(total: RowCount, whole: int | None, found: ResultFilter) -> str:
    """12 of 420 results · worst first"""
    number = formats.count(total.value, about=not total.exact)
    if whole is not None and total.value != whole:
        number += f" of {formats.count(whole)}"
    words = f"{number} result{'' if total.value == 1 and number == '1' else 's'} · {SORT_WORDS[found.sorted_by]}"
    return f"{words} · {SEARCHED}" if whole is None or found.values.get("q") else words


def list_query(query: QueryDict) -> QueryDict:
    """What the list shows, without where in it one is."""
    rest = query.copy()
    for name in POSITION:
        rest.pop(name, None)
    return rest


def nothing_found(found: ResultFilter, chips: int) -> str:
    filters = chips + ("outcome" in found.values)
    if not filters:
        return ""
    return f"{filters} filter{'s are' if filters > 1 else ' is'} on. Take one off, or clear them all."


def ids_of(values: Iterable[str]) -> list[UUID]:
    found = []
    for value in values:
        try:
            found.append(UUID(value))
        except ValueError:
            continue
    return found


def total_of(found: ResultFilter, page: Page[Any]) -> RowCount:
    """Of all runs: exact where they are few, unless a search had to find all of them once more for it."""
    if not (page.next or page.previous):
        return RowCount(len(page.rows))
    if "q" in found.values:
        return RowCount(max(int(estimate_rows(found.qs)), page.last + bool(page.next)), exact=False)
    return count_rows(found.qs, EXACT_ACROSS_RUNS, order=("-created_at", "-id"))


@requires()
@require_safe
def result_list(request: MemberRequest) -> HttpResponse:
    """Results of all runs, newest first."""
    ask_about_current_project(request)
    listed = TestResult.objects.visible_to(request.actor).filter(run__kind=TestRun.Kind.TEST)
    found = ResultFilter(request.GET, listed, actor=request.actor)
    page = read_results(found, cursor=request.GET.get("cursor"), fields=(*FIELDS, "run__name", "run__number"))
    chosen = found.one("evaluator")
    complete(page.rows, names_of(page.rows), chosen)
    chips = found.chips(request.GET)
    total = total_of(found, page)
    context = {
        **table_of(request, found),
        "found": found,
        "page": page,
        "total": total,
        "chips": chips,
        "chosen": chosen,
        "filters_url": f"{reverse('results:result-filters')}?{list_query(request.GET).urlencode()}",
        "counted": counted(total, None, found),
        "nothing_text": nothing_found(found, len(chips)),
        "nothing_here": not page.rows and not chips,
        "views": views_for(request.actor, SavedView.Page.RESULTS)[:MOST_VIEWS],
        "has_variants": any(row["variant_id"] for row in page.rows),
        "has_repetitions": any(row["repetition"] > 1 for row in page.rows),
        "may_assign": request.actor.may("assign"),
    }
    return render_page(request, "results/result_list.html", context)


def names_of(rows: list[dict[str, Any]]) -> dict[UUID, str]:
    """The evaluators of the runs that the rows are of."""
    runs = {row["run_id"] for row in rows}
    rollups = Rollup.objects.filter(run__in=runs).order_by("evaluator__name", "evaluator_id")
    return dict(rollups.values_list("evaluator_id", "evaluator__name").distinct())


# --- the other tabs ---------------------------------------------------------------------------------------------------


def summary_tab(request: MemberRequest, run: TestRun) -> dict[str, Any]:
    evaluators = by_evaluator(run)
    tags, variants = by_tag(run), by_variant(run)
    lines = (*tags, *variants, *evaluators)
    lows = [low for low in (line.rate if line.low is None else line.low for line in lines) if low is not None]
    axis = max(0.0, int(min(lows, default=0.0) * 10) / 10)  # a round tenth at or below all that is drawn
    for line in tags:
        line.query = urlencode({"tag": line.key})
        # Only what lies below the run's own rate for certain is shown as bad.
        line.is_bad = line.high is not None and run.pass_rate is not None and line.high < run.pass_rate
    return {
        "by_tag": tags,
        "by_variant": variants,
        "by_evaluator": worst_first(evaluators),
        "histograms": score_histograms(run, evaluators),
        "values": value_histograms(run),
        "axis": axis,
        "axis_label": f"{axis * 100:.0f}",
    }


def reviews_tab(request: MemberRequest, run: TestRun) -> dict[str, Any]:
    live = ReviewAssignment.objects.visible_to(request.actor).filter(result__run=run).live()
    done = Count("pk", filter=Q(state=ReviewAssignment.State.DONE))
    rounds = {row["round_id"]: row for row in live.order_by().values("round_id").annotate(asked=Count("pk"), done=done)}
    named = ReviewRound.objects.filter(pk__in=rounds).select_related("created_by").order_by("-created_at")
    people = (
        live.filter(reviewer__isnull=False)
        .order_by()
        .values("reviewer_id", "reviewer__name", "reviewer__email")
        .annotate(asked=Count("pk"), done=done)
        .order_by("reviewer__name", "reviewer_id")
    )
    reviews: QuerySet[Any, Any] = (
        Review.objects.visible_to(request.actor)
        .filter(result__run=run, is_current=True)
        .values(
            "id",
            "created_at",
            "verdict",
            "comment",
            "seconds",
            "result_id",
            "result__name",
            "result__position",
            "result__case__number",
            "result__machine_outcome",
            "result__outcome",
            "result__review_state",
            "reviewer_id",
            "reviewer__name",
            "reviewer__email",
        )
    )
    page = read_page(reviews, Order("-created_at"), request.GET.get("cursor"))
    for row in page.rows:
        row["person"] = {
            "id": row["reviewer_id"],
            "name": row["reviewer__name"] or row["reviewer__email"] or "Somebody",
        }
        row["against"] = row["verdict"] in ("passed", "failed") and row["verdict"] != row["result__machine_outcome"]
    return {
        "rounds": [{"round": one, **rounds[one.pk]} for one in named],
        "now": timezone.now(),
        "people": [
            {
                **row,
                "open": row["asked"] - row["done"],
                "person": {"id": row["reviewer_id"], "name": row["reviewer__name"] or row["reviewer__email"]},
            }
            for row in people
        ],
        "page": page,
        "total": count_rows(reviews),
    }


def configuration_tab(request: MemberRequest, run: TestRun) -> dict[str, Any]:
    """What was asked, as it was at the start; and of an import, the file's own totals beside what it holds here."""
    snapshot = run.snapshot if isinstance(run.snapshot, dict) else {}
    evaluators = snapshot.get("evaluators")
    then = [one for one in evaluators if isinstance(one, dict)] if isinstance(evaluators, list) else []
    judged = by_evaluator(run)
    imported = import_of(run)
    configuration = run.configuration
    return {
        "snapshot": snapshot,
        "endpoint": still_there(
            Endpoint.objects.visible_to(request.actor),
            part(snapshot, "endpoint"),
            configuration and configuration.endpoint,
        ),
        "test_set": still_there(
            TestSet.objects.visible_to(request.actor),
            part(snapshot, "test_set"),
            configuration and configuration.test_set,
        ),
        "then": then,
        "judged_by": judged,
        "shown_evaluators": described(then or [line.evaluator for line in judged]),
        "imported": imported,
        "checks": checks_of(run, imported),
        "variants": list(Variant.objects.filter(run=run)[:50]),
        "more": {key: value for key, value in snapshot.items() if key not in KNOWN_PARTS and value},
        "metadata": shown_metadata(run.metadata),
        "attributes": shown_metadata(run.attributes),
    }


def still_there(visible: QuerySet[Any], shot: Mapping[str, Any], own: Any) -> Any:
    """The row that a snapshot names, to link to; of a snapshot that names none, the configuration's own."""
    pk = parse_uuid(str(shot.get("id") or ""))
    if own is not None and pk in (None, own.pk):
        return own if own.deleted_at is None else None
    return visible.filter(pk=pk).first() if pk else None


WHO: Final[dict[Any, Any]] = dict(Evaluator.Who.choices)
KINDS: Final[dict[Any, Any]] = dict(Evaluator.ValueType.choices)


def described(evaluators: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Evaluators with what passes in words: ≥ 0.80, or the labels that pass."""
    shown = []
    for one in evaluators:
        options = one.get("options")
        options = [option for option in options if isinstance(option, dict)] if isinstance(options, list) else []
        labels = [str(option.get("label")) for option in options if option.get("passes")]
        limit = one.get("threshold")
        if labels:
            passes = " or ".join(labels)
        elif isinstance(limit, int | float):
            passes = f"{OPERATORS.get(str(one.get('operator')), '≥')} {formats.score(limit)}"
        else:
            passes = formats.NONE
        who, kind = WHO.get(one.get("who"), one.get("who")), KINDS.get(one.get("value_type"), one.get("value_type"))
        shown.append({**one, "who": who, "kind": kind, "passes": passes})
    return shown


KNOWN_PARTS: Final = ("configuration", "endpoint", "test_set", "evaluators", "parameters")


def import_of(run: TestRun) -> Import | None:
    """The import that brought the run; one file may bring several."""
    named = Q(run=run) | Q(report__contains={"runs": [{"run": str(run.pk)}]})
    return Import.objects.filter(named, organization_id=run.organization_id).order_by("-id").first()


SIDES: Final = ("declared", "imported")


def checks_of(run: TestRun, imported: Import | None) -> list[dict[str, Any]]:
    """The totals that the file states itself: name, declared, imported, agrees."""
    report = imported.report if imported else {}
    for entry in report.get("runs", []) if isinstance(report, dict) else []:
        if isinstance(entry, dict) and entry.get("run") == str(run.pk):
            checks = [check for check in entry.get("checks", []) if isinstance(check, dict)]
            return [{**check, **{key: formats.exact(check.get(key)) for key in SIDES}} for check in checks]
    return []


# --- export -----------------------------------------------------------------------------------------------------------

EXPORTED: Final = (
    "position",
    "id",
    "external_id",
    "case",
    "name",
    "variant",
    "repetition",
    "input",
    "expected",
    "output",
    "error",
    "outcome",
    "judge",
    "human",
    "review_state",
    "corrected",
    "latency_ms",
    "cost",
    "tokens",
    "tags",
)


def columns_of(evaluators: Iterable[Any]) -> dict[UUID, tuple[str, str]]:
    return {line.key: (f"{line.label}: score", f"{line.label}: verdict") for line in evaluators}


def lines_of(results: QuerySet[TestResult], names: Mapping[UUID, tuple[str, str]], size: int = 500) -> Any:
    """Read in portions, each with its judgements, so that a large run needs little memory."""
    portion: list[TestResult] = []
    for result in results.select_related("case", "variant").iterator(size):
        portion.append(result)
        if len(portion) == size:
            yield from lines_of_portion(portion, names)
            portion = []
    yield from lines_of_portion(portion, names)


def lines_of_portion(results: list[TestResult], names: Mapping[UUID, tuple[str, str]]) -> Iterable[dict[str, Any]]:
    judgements = judgements_of([result.pk for result in results])
    for result in results:
        line = {
            "position": result.position,
            "id": str(result.pk),
            "external_id": result.external_id,
            "case": result.case.number if result.case else None,
            "name": result.name,
            "variant": result.variant.label if result.variant else None,
            "repetition": result.repetition,
            "input": result.input_text,
            "expected": result.expected_text,
            "output": result.output_text or (result.conversation or None),
            "error": result.error,
            "outcome": result.outcome,
            "judge": result.machine_outcome,
            "human": result.human_verdict,
            "review_state": result.review_state,
            "corrected": result.corrected,
            "latency_ms": result.latency_ms,
            "cost": result.cost,
            "tokens": result.tokens,
            "tags": result.tags,
        }
        for evaluator_id, (score, verdict) in names.items():
            judgement = judgements[result.pk].get(evaluator_id)
            if judgement:
                line[score] = judgement["label"] if judgement["value"] is None else judgement["value"]
                line[verdict] = {True: "passed", False: "failed"}.get(judgement["effective"], judgement["state"])
        yield line
