import csv
import io
import json
import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from results.assigning import assign_reviewers
from results.models import ReviewAssignment, ReviewRound, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.reviewing import Correction, submit_review
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator, Import, TestRun, Variant
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_project,
    make_result,
    make_results,
    make_run,
    make_test_set,
    make_user,
)

pytestmark = pytest.mark.django_db

GRADE = EvaluatorSpec(name="Groundedness", who="ai", value_type="percentage", threshold=0.8)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def actor():
    return make_actor()


@pytest.fixture
def run(actor):
    return make_run(make_project(actor.organization, name="Support bot"), name="Nightly", status="completed")


@pytest.fixture
def lead(client, actor):
    client.force_login(actor.user)
    return client


def record(run, *values, **shared):
    records = [
        ResultRecord(
            case=make_case(run.project, name=f"case {value}").pk,
            inputs={"input": f"What is {value}?"},
            output={"output": f"It is {value}."},
            evaluations=[Judgement(evaluator=GRADE, value=value)],
            **shared,
        )
        for value in values
    ]
    ids = [one.id for one in record_results(run, records)]
    run.refresh_from_db()
    return [TestResult.objects.get(pk=pk) for pk in ids]


def page(client, run, status=200, **query):
    response = client.get(f"/runs/{run.pk}/", query)
    assert response.status_code == status
    return response.content.decode()


# --- the head ---------------------------------------------------------------------------------------------------------


def test_strangers_get_the_same_404_as_a_typo(lead):
    theirs = make_run()

    for path in (f"/runs/{theirs.pk}/", "/runs/01a2158b-2b75-4f3c-98ee-3fcb935d016b/", "/runs/run-123/"):
        response = lead.get(path)

        assert (response.status_code, "This page isn’t here" in response.content.decode()) == (404, True), path


def test_a_run_is_found_by_the_senders_own_id(lead, actor):
    run = make_run(make_project(actor.organization), external_id="facb6642-4725-4fae-9323-634e72533c89")

    response = lead.get("/runs/FACB6642-4725-4FAE-9323-634E72533C89/")

    assert response.context["run"] == run


def test_the_first_number_is_the_pass_rate_with_its_interval_and_its_evidence(lead, run):
    make_results(run, passed=3, failed=1)

    stat = lead.get(f"/runs/{run.pk}/").context["stats"][0]

    assert (stat.label, stat.value, stat.note) == ("Pass rate, judge only", "75.0\u202f%", "3 of 4")
    assert stat.small == "[30.1, 95.4]"
    assert stat.url == f"/runs/{run.pk}/?outcome=failed&outcome=passed"


def test_after_a_correction_the_judge_stands_beside_the_effective_rate(lead, run):
    results = make_results(run, passed=3, failed=1)
    submit_review(results[0], by=make_user(run.organization), verdict="failed")

    effective, judge, reviewed, _ = lead.get(f"/runs/{run.pk}/").context["stats"]

    assert (effective.label, effective.value) == ("Pass rate", "50.0\u202f%")
    assert (judge.value, judge.note) == ("75.0\u202f%", "3 of 4")
    assert (reviewed.value, reviewed.note) == ("1", "1 corrected")


def test_neither_rate_takes_repetitions_for_cases(lead, run):
    for passed in (True, False):
        case = make_case(run.project).pk
        make_result(run, passed=passed, case=case)
        make_result(run, passed=passed, case=case, repetition=2)

    effective, judge, _, _ = lead.get(f"/runs/{run.pk}/").context["stats"]

    assert (effective.small, judge.small) == ("± 44.5", "± 44.5")


def test_reviews_count_what_was_asked_for(lead, run):
    make_results(run, passed=2)
    TestRun.objects.filter(pk=run.pk).update(reviews_required=2, reviews_done=1, reviewed=1, conflicts=1, corrected=0)

    reviewed = lead.get(f"/runs/{run.pk}/").context["stats"][2]

    assert (reviewed.label, reviewed.value, reviewed.small, reviewed.note) == ("Reviews", "1", "/ 2", "1 conflict")


def test_change_is_against_the_previous_run_of_the_configuration_that_was_carried_out(lead, run):
    configuration = make_configuration(run.project)
    earlier = []
    for passed, status in ((4, "completed"), (2, "partial"), (4, "cancelled")):
        made = make_run(run.project, configuration=configuration, status=status)
        make_results(made, passed=passed, failed=4 - passed)
        earlier.append(made)
    now = make_run(run.project, configuration=configuration, status="completed")
    make_results(now, passed=3, failed=1)

    stat = lead.get(f"/runs/{now.pk}/").context["stats"][3]

    assert (stat.label, stat.value, stat.url) == (
        f"Against #{earlier[1].number}",
        "+25.0 pt",
        f"/runs/{earlier[1].pk}/",
    )


def test_a_run_that_was_not_carried_out_whole_shows_no_change(lead, run):
    configuration = make_configuration(run.project)
    make_results(make_run(run.project, configuration=configuration, status="completed"), passed=4)
    now = make_run(run.project, configuration=configuration, status="cancelled", planned_count=5)
    make_results(now, passed=1, failed=1)

    shown = {}
    for status in ("running", "cancelled", "partial", "completed"):
        finished_at = None if status == "running" else timezone.now()
        TestRun.objects.filter(pk=now.pk).update(status=status, finished_at=finished_at)
        stat = lead.get(f"/runs/{now.pk}/").context["stats"][3]
        shown[status] = (stat.value, stat.note.split(",")[0])

    part, whole = ("–", "2 of 5 results"), ("\N{MINUS SIGN}50.0 pt", "100.0\u202f%")
    assert shown == {"running": part, "cancelled": part, "partial": part, "completed": whole}


def test_a_row_is_open_where_somebody_was_asked(lead, run):
    tone = make_evaluator(run.project, name="tone", who="human", threshold=None)
    question = Judgement(evaluator=tone, source="human", state="pending")
    records = [ResultRecord(name=name, evaluations=[question]) for name in ("asked", "unasked", "reviewed")]
    record_results(run, records)
    asked, _, reviewed = TestResult.objects.filter(run=run).order_by("position")
    assign_reviewers(TestResult.objects.filter(pk=asked.pk), [make_user(run.organization)], by=make_user())
    submit_review(reviewed, by=make_user(run.organization), verdict="failed")

    rows = lead.get(f"/runs/{run.pk}/").context["page"].rows

    words = {row["name"]: row["human_word"] for row in rows}
    assert words == {"asked": "Open", "unasked": "–", "reviewed": "Fail"}


def test_without_a_configuration_there_is_nothing_to_compare_with(lead, run):
    stat = lead.get(f"/runs/{run.pk}/").context["stats"][3]

    assert (stat.value, stat.note, stat.url) == ("–", "no configuration to compare by", "")


def test_without_a_configuration_it_is_against_the_run_that_is_named(lead, run):
    make_results(run, passed=1, failed=1)
    now = make_run(run.project, reference=run, status="completed")
    make_results(now, passed=2)

    stat = lead.get(f"/runs/{now.pk}/").context["stats"][3]
    run.mark_deleted()
    gone = lead.get(f"/runs/{now.pk}/").context["stats"][3]

    assert (stat.label, stat.value, stat.url) == (f"Against #{run.number}", "+50.0 pt", f"/runs/{run.pk}/")
    assert (gone.value, gone.note) == ("–", "no configuration to compare by")


def test_a_run_without_results_says_so(lead, run):
    text = page(lead, run)

    assert "No result arrived" in text
    assert "nothing judged yet" in text


def test_a_run_says_what_share_was_judged(lead, run):
    make_results(run, passed=2, failed=1)
    whole = lead.get(f"/runs/{run.pk}/").context["stats"][0].note
    record_results(run, [ResultRecord(case=make_case(run.project).pk, error="down", error_code="timeout")])

    part = lead.get(f"/runs/{run.pk}/").context["stats"][0].note

    assert (whole, part) == ("2 of 3", "2 of 3 · 1 error · 75.0\u202f% judged")


def test_provenance_is_what_the_snapshot_says(lead, actor, run):
    endpoint = make_endpoint(run.project, name="bot as it was")
    test_set = make_test_set(run.project, name="Regression")
    configuration = make_configuration(run.project, endpoint=endpoint, test_set=test_set)
    made = make_run(run.project, configuration=configuration, branch="main", commit="9f3a2c1", model="gpt-x")
    endpoint.name = "renamed"
    endpoint.save()

    text = page(lead, made)

    assert "bot as it was" in text
    assert "Regression · r1" in text
    assert "<code>9f3a2c1</code>" in text
    assert "renamed" not in text


def test_an_active_run_asks_for_its_figures_again(lead, run):
    made = make_run(run.project, status="running", planned_count=4)
    make_results(made, passed=1)

    text = page(lead, made)
    fragment = lead.get(f"/runs/{made.pk}/", headers={**HTMX, "HX-Target": "div#run-figures"}).content.decode()

    assert 'hx-trigger="every 5s"' in text
    assert fragment.strip().startswith('<div id="run-figures"')
    assert "1 of 4" in fragment


def test_a_page_without_rows_is_drawn_anew_once_there_are_some(lead, actor):
    run = make_run(make_project(actor.organization), planned_count=2)
    figures = {**HTMX, "HX-Target": "div#run-figures"}
    asks = f'hx-get="/runs/{run.pk}/?tab=&amp;empty=1"'

    text = page(lead, run)
    waiting = lead.get(f"/runs/{run.pk}/?tab=&empty=1", headers=figures)
    make_results(run, passed=1)
    arrived = lead.get(f"/runs/{run.pk}/?tab=&empty=1", headers=figures)

    assert (asks in text, asks in waiting.content.decode(), asks in page(lead, run)) == (True, True, False)
    assert (waiting.status_code, arrived.status_code, arrived.headers["HX-Refresh"]) == (200, 204, "true")


def test_a_page_without_rows_is_drawn_anew_once_the_run_has_ended_without_any(lead, run):
    response = lead.get(f"/runs/{run.pk}/?empty=1", headers={**HTMX, "HX-Target": "div#run-figures"})

    assert response.headers["HX-Refresh"] == "true"


def test_status_and_counts_move_with_the_figures(lead, run):
    make_results(run, passed=3)

    response = lead.get(f"/runs/{run.pk}/?tab=summary", headers={**HTMX, "HX-Target": "div#run-figures"})

    text = response.content.decode()
    assert "Completed" in text.split('<hx-partial hx-target="#main h1" hx-swap="innerHTML">')[1]
    count = '<hx-partial hx-target="#main .tabs a:first-child .tabs__count" hx-swap="innerHTML">3</hx-partial>'
    assert count in text


# --- results ----------------------------------------------------------------------------------------------------------


def test_rows_show_marks_scores_judge_and_human(lead, run):
    good, bad = record(run, 0.9, 0.1)
    submit_review(good, by=make_user(run.organization), verdict="failed")

    rows = lead.get(f"/runs/{run.pk}/").context["page"].rows

    shown = [
        (row["title"], row["marks"], row["marks_say"], row["judge"], row["human_word"], row["corrected"])
        for row in rows
    ]
    assert shown == [
        ("case 0.9", "p", "All pass", "Pass", "Fail", True),
        ("case 0.1", "f", "Groundedness fail", "Fail", "–", False),
    ]
    assert bad.pk == rows[1]["id"]


def test_more_marks_than_find_room_are_counted_and_no_failure_is_among_the_hidden(lead, run):
    names = [f"Judge {number:02}" for number in range(1, 16)]
    specs = [EvaluatorSpec(name=name, who="ai", value_type="percentage", threshold=0.8) for name in names]
    judgements = [Judgement(evaluator=spec, value=0.1 if spec is specs[-1] else 0.9) for spec in specs]
    record_results(run, [ResultRecord(output="x", evaluations=judgements)])

    (row,) = lead.get(f"/runs/{run.pk}/").context["page"].rows

    assert (row["marks"], row["more_marks"], row["marks_say"]) == ("fppppppppp", 5, "Judge 15 fail")


def test_an_evaluator_in_the_address_adds_its_column(lead, run):
    record(run, 0.9, 0.1)
    grade = Evaluator.objects.get(name="Groundedness")

    text = page(lead, run, evaluator=grade.pk, sort="-score")

    assert '<td class="num c-keep">0.90</td>' in text
    assert 'aria-sort="descending"><a href="?evaluator=' in text


def test_segments_count_with_the_other_filters_on(lead, run):
    record(run, 0.9, 0.1, tags=["red"])
    record(run, 0.2, tags=["blue"])

    links = {
        link.label: (link.count, link.current)
        for link in lead.get(f"/runs/{run.pk}/?tag=red&outcome=failed").context["segments"]
    }

    assert links == {"All": (2, False), "Fail": (1, True), "Error": (0, False), "Pass": (1, False)}


def test_segments_without_filters_come_from_the_runs_counters(lead, run):
    results = record(run, 0.9, 0.1)
    submit_review(results[0], by=make_user(run.organization), verdict="passed")
    submit_review(results[0], by=make_user(run.organization), verdict="failed")

    response = lead.get(f"/runs/{run.pk}/?review=conflict")

    links = {link.label: (link.count, link.current) for link in response.context["segments"]}
    assert links == {
        "All": (2, False),
        "Fail": (1, False),
        "Error": (0, False),
        "Pass": (1, False),
        "Conflict": (1, True),
    }
    assert response.context["counted"] == "1 of 2 results · worst first"


@pytest.mark.parametrize(
    ("query", "count"),
    [("tag=slow", 2), ("review=none", 3), ("latency_min=1000", 2), ("machine_outcome=failed", 1), ("q=It+is", 3),
     ("tag=slow&outcome=passed", 1), ("tag=slow&review=conflict", 0), ("tag=none", 0)],
)  # fmt: skip
def test_any_filter_counts_what_it_shows(lead, run, query, count):
    record(run, 0.9)
    record(run, 0.8, 0.1, tags=["slow"], latency_ms=2000)

    context = lead.get(f"/runs/{run.pk}/?{query}").context

    shown = len(context["page"].rows)
    assert (shown, context["counted"].split()[0]) == (count, str(count))


def test_conflicts_of_one_outcome_are_counted_as_such(lead, run):
    results = record(run, 0.9, 0.1, 0.2)
    submit_review(results[1], by=make_user(run.organization), verdict="passed")
    submit_review(results[1], by=make_user(run.organization), verdict="failed")

    response = lead.get(f"/runs/{run.pk}/?outcome=failed&outcome=passed&review=conflict")

    assert len(response.context["page"].rows) == 1
    assert response.context["counted"] == "1 of 3 results · worst first"


def test_assigning_from_a_filtered_list_means_what_it_shows(lead, run):
    record(run, 0.2, tags=["refunds"])
    record(run, 0.9, 0.95)
    shown = page(lead, run, tag="refunds")
    address = unescape(
        re.search(r'<a class="btn btn--primary" href="([^"]+)" data-dialog data-key="a">', shown).group(1)
    )

    said = lead.get(address).text

    assert f"1 result of {run}" in said


def test_the_drawer_is_open_where_the_address_says_so(lead, run):
    results = record(run, 0.9, 0.1)

    text = page(lead, run, result=results[0].pk)

    assert f'<tr id="result-{results[0].pk}" data-row class="is-open" aria-current="true">' in text
    assert '<div class="drawer__head">' in text
    assert "It is 0.9." in text


def test_the_drawer_stays_shut_for_a_result_of_another_run(lead, actor, run):
    record(run, 0.9)
    other, stranger = make_result(make_run(run.project)), make_result()

    for result in (other, stranger):
        assert '<div class="drawer__head">' not in page(lead, run, result=result.pk)


def test_variants_and_repetitions_are_columns_when_there_are_any(lead, run):
    Variant.objects.create(organization=run.organization, run=run, position=0, label="short prompt")
    case = make_case(run.project)
    record_results(run, [ResultRecord(case=case.pk, variant=0, repetition=n) for n in (1, 2)])
    run.refresh_from_db()

    text = page(lead, run)

    assert '<td class="p3">short prompt</td>' in text
    assert '<td class="num p3">2</td>' in text


def test_filters_that_find_nothing_can_be_cleared(lead, run):
    record(run, 0.9)

    text = page(lead, run, q="nowhere")

    assert "No result fits" in text


def test_a_mistake_in_a_filter_is_said_and_the_rest_is_shown(lead, run):
    record(run, 0.9)

    text = page(lead, run, verdict="failed")

    assert "Name the evaluator whose judgements are meant." in text
    assert "case 0.9" in text


def test_model_text_in_a_row_stays_text(lead, run):
    make_result(
        run,
        name="<img src=x onerror=alert(1)>",
        inputs={"input": "<script>alert(1)</script>"},
        output={"output": "<b>x</b>"},
    )

    text = page(lead, run)

    assert "<script>alert(1)</script>" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


@pytest.mark.parametrize("query", [{}, {"outcome": "failed"}, {"tag": "red"}, {"sort": "-latency"}])
def test_one_row_or_three_ask_the_database_equally_often(
    lead, run, query, django_assert_num_queries, django_assert_max_num_queries
):
    record(run, 0.1, tags=["red"])
    with django_assert_max_num_queries(14) as captured:
        lead.get(f"/runs/{run.pk}/", query)
    results = record(run, 0.2, 0.3, tags=["red"])
    review_round = ReviewRound.objects.create(organization=run.organization, project=run.project, name="r", seed=1)
    for result in results:
        ReviewAssignment.objects.create(
            organization=run.organization, round=review_round, result=result, reviewer=make_user(run.organization)
        )

    with django_assert_num_queries(len(captured)):
        lead.get(f"/runs/{run.pk}/", query)


def test_fifty_rows_weigh_less_than_60_kilobytes(lead, run):
    specs = [EvaluatorSpec(name=name, threshold=0.5) for name in ("Groundedness", "Policy accuracy", "Tone", "Refusal")]
    words = "the parcel left our warehouse on Monday and should reach you within three working days " * 4
    record_results(
        run,
        [
            ResultRecord(
                case=make_case(run.project, name=f"Refund after 30 days, sale item {n}").pk,
                inputs={"input": words},
                output={"output": words},
                latency_ms=1234,
                evaluations=[Judgement(evaluator=spec, value=0.9) for spec in specs],
            )
            for n in range(50)
        ],
    )

    assert len(lead.get(f"/runs/{run.pk}/").content) < 60_000


def test_the_filter_form_offers_the_runs_evaluators_and_keeps_the_segment(lead, run):
    record(run, 0.9)
    grade = Evaluator.objects.get(name="Groundedness")

    response = lead.get(f"/runs/{run.pk}/filters/", {"outcome": "failed", "evaluator": str(grade.pk), "case": "c"})

    text = response.content.decode()
    assert f'<option value="{grade.pk}" selected>Groundedness</option>' in text
    assert '<input type="hidden" name="outcome" value="failed">' in text
    assert '<input type="hidden" name="case" value="c">' in text


# --- summary ----------------------------------------------------------------------------------------------------------


def test_the_summary_breaks_down_by_tag_and_evaluator_worst_first(lead, run):
    record(run, 0.9, 0.9, tags=["good"])
    record(run, 0.1, 0.9, tags=["bad"])

    response = lead.get(f"/runs/{run.pk}/?tab=summary")

    tags = [(line.label, line.passed, line.failed) for line in response.context["by_tag"]]
    evaluators = [(line.label, line.passed, line.failed) for line in response.context["by_evaluator"]]
    grade = Evaluator.objects.get(name="Groundedness")
    assert tags == [("bad", 1, 1), ("good", 2, 0)]
    assert evaluators == [("Groundedness", 3, 1)]
    text = response.content.decode()
    assert f'href="/runs/{run.pk}/?tag=bad"' in text
    assert f'href="/runs/{run.pk}/?evaluator={grade.pk}&amp;verdict=failed"' in text


def test_the_summary_follows_corrections_of_people(lead, run):
    bad, *_ = record(run, 0.1, 0.9)
    grade = Evaluator.objects.get(name="Groundedness")
    submit_review(
        bad, by=make_user(run.organization), verdict="", corrections=[Correction(evaluator=grade, passed=True)]
    )

    (line,) = lead.get(f"/runs/{run.pk}/?tab=summary").context["by_evaluator"]

    assert (line.passed, line.failed, line.corrected) == (2, 0, 1)


def test_scores_latency_and_cost_are_drawn(lead, run):
    record(run, 0.9, latency_ms=100, cost=0.001)
    record(run, 0.1, latency_ms=900, cost=0.009)

    response = lead.get(f"/runs/{run.pk}/?tab=summary")

    [chart] = response.context["histograms"]
    assert (chart.label, sum(chart.bins), chart.bins[2], chart.bins[18], chart.threshold) == (
        "Groundedness",
        2,
        1,
        1,
        0.8,
    )
    assert {name: sum(one.bins) + one.beyond for name, one in response.context["values"].items()} == {
        "latency": 2,
        "cost": 2,
    }
    assert response.content.decode().count('<svg class="chart"') == 3


def test_a_run_without_results_has_a_summary_that_says_so(lead, run):
    assert "Nothing to sum up yet" in page(lead, run, tab="summary")


# --- reviews ----------------------------------------------------------------------------------------------------------


def test_the_reviews_tab_lists_rounds_reviewers_and_reviews(lead, run):
    ann = make_user(run.organization, name="Ann")
    results = record(run, 0.9, 0.1)
    assign_reviewers(results, [ann], by=ann, name="First look")
    submit_review(results[0], by=ann, verdict="failed", comment="No refund was issued.")

    response = lead.get(f"/runs/{run.pk}/?tab=reviews")

    assert [(one["round"].name, one["done"], one["asked"]) for one in response.context["rounds"]] == [
        ("First look", 1, 2)
    ]
    assert [(one["person"]["name"], one["open"]) for one in response.context["people"]] == [("Ann", 1)]
    assert [(row["verdict"], row["against"]) for row in response.context["page"].rows] == [("failed", True)]
    assert "No refund was issued." in response.content.decode()


def test_a_search_says_how_far_it_reads(lead, run):
    record(run, 0.9)
    whole, searched = (lead.get(f"/runs/{run.pk}/{query}").context["counted"] for query in ("", "?q=refund"))

    assert whole == "1 result · worst first"
    assert searched == "0 of 1 results · worst first · searched: the first 2,000 characters of inputs and output"


def test_a_round_is_overdue_until_all_of_it_is_done(lead, run):
    ann = make_user(run.organization, name="Ann")
    (result,) = record(run, 0.9)
    late = timezone.now() - timedelta(hours=1)
    assign_reviewers([result], [ann], by=ann, due_at=late)
    open_page = lead.get(f"/runs/{run.pk}/?tab=reviews").content.decode()

    submit_review(result, by=ann, verdict="passed")
    done_page = lead.get(f"/runs/{run.pk}/?tab=reviews").content.decode()

    assert ("overdue since" in open_page, "overdue since" in done_page) == (True, False)


def test_an_unreviewed_run_says_that_the_judge_stands_alone(lead, run):
    record(run, 0.9)

    assert "Nobody has reviewed this run" in page(lead, run, tab="reviews")


# --- configuration ----------------------------------------------------------------------------------------------------


def test_the_configuration_leads_to_what_is_still_there(lead, run):
    endpoint, test_set = make_endpoint(run.project, name="support-bot"), make_test_set(run.project, name="Core")
    configuration = make_configuration(run.project, endpoint=endpoint, test_set=test_set)
    made = make_run(run.project, configuration=configuration)
    links = [f'href="/endpoints/{endpoint.pk}/"', f'href="/test-sets/{test_set.pk}/"']

    before = page(lead, made, tab="configuration")
    endpoint.deleted_at = timezone.now()
    endpoint.save()
    after = page(lead, made, tab="configuration")

    assert [link in before for link in links] == [True, True]
    assert [link in after for link in links] == [False, True]
    assert "support-bot" in after


def test_a_snapshot_that_names_a_strangers_rows_leads_nowhere(lead, run):
    theirs = make_endpoint(make_project(), name="theirs")
    made = make_run(run.project, snapshot={"endpoint": {"id": str(theirs.pk), "name": "theirs"}})

    assert str(theirs.pk) not in page(lead, made, tab="configuration")


def test_the_configuration_is_what_it_was_at_the_start(lead, run):
    evaluator = make_evaluator(run.project, name="Tone", threshold=3.5)
    configuration = make_configuration(run.project, parameters={"temperature": 0.2})
    configuration.evaluators.add(evaluator)
    made = make_run(run.project, configuration=configuration)
    evaluator.threshold = 4
    evaluator.save()

    text = page(lead, made, tab="configuration")

    assert "≥ 3.5" in text
    assert "temperature" in text


def test_declared_totals_stand_beside_what_was_counted(lead, actor, run):
    TestRun.objects.filter(pk=run.pk).update(declared={"total_samples": 412}, warnings=["Two samples had no score."])
    Import.objects.create(
        organization=actor.organization,
        project=run.project,
        filename="log.eval",
        run=run,
        report={
            "runs": [
                {
                    "run": str(run.pk),
                    "checks": [{"name": "accuracy", "declared": 0.731, "imported": 0.7, "agrees": False}],
                }
            ]
        },
    )

    text = page(lead, run, tab="configuration")

    row = text.partition('title="accuracy"')[2].partition("</tr>")[0]
    assert [figure in row for figure in ("0.731", "0.7<", "differs")] == [True, True, True]
    assert "Two samples had no score." in text
    assert "total_samples" in text


# --- export -----------------------------------------------------------------------------------------------------------


def test_results_leave_as_csv_with_a_column_pair_for_each_evaluator(lead, run):
    record(run, 0.9, 0.1)

    response = lead.get(f"/runs/{run.pk}/export/", {"outcome": "failed"})

    [row] = csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode()[1:]))
    assert (row["name"], row["output"], row["outcome"]) == ("case 0.1", "It is 0.1.", "failed")
    assert (row["Groundedness: score"], row["Groundedness: verdict"]) == ("0.1", "failed")


def test_ticked_results_leave_alone(lead, run):
    first, _ = record(run, 0.9, 0.1)

    response = lead.get(f"/runs/{run.pk}/export/", {"format": "jsonl", "result": [first.pk], "select": ""})

    [line] = b"".join(response.streaming_content).splitlines()
    assert json.loads(line)["id"] == str(first.pk)


def test_all_that_match_leave_together(lead, run):
    first, _ = record(run, 0.9, 0.1)

    response = lead.get(f"/runs/{run.pk}/export/", {"format": "jsonl", "result": [first.pk], "select": "all"})

    assert len(b"".join(response.streaming_content).splitlines()) == 2


# --- results of all runs ----------------------------------------------------------------------------------------------


def test_results_of_all_runs_come_newest_first_with_their_run(lead, run):
    record(run, 0.9)
    other = make_run(run.project, name="Weekly")
    record(other, 0.1)
    make_result(name="a stranger's")

    rows = lead.get("/results/").context["page"].rows

    assert [(row["title"], row["run__name"]) for row in rows] == [("case 0.1", "Weekly"), ("case 0.9", "Nightly")]


def test_results_can_be_searched_across_runs(lead, run):
    record(run, 0.9, 0.1)

    response = lead.get("/results/", {"q": "IS 0.9"})

    assert [row["title"] for row in response.context["page"].rows] == ["case 0.9"]


def test_the_search_says_how_far_it_looks(lead, run):
    record(run, 0.9)

    assert "the first 2,000 characters" in lead.get("/results/").content.decode()


def test_without_results_the_list_leads_to_the_runs(lead):
    text = lead.get("/results/").content.decode()

    assert "No result has arrived yet" in text
    assert '<div class="toolbar">' not in text


def test_results_of_all_runs_are_counted_where_they_are_few(lead, run):
    make_results(run, passed=20, failed=60)

    counted = {query: lead.get(f"/results/{query}").context["counted"] for query in ("", "?outcome=failed")}

    tail = " results · newest first · searched: the first 2,000 characters of inputs and output"
    assert counted == {"": f"80{tail}", "?outcome=failed": f"60{tail}"}


def test_a_search_through_all_runs_never_tells_less_than_it_shows(lead, run):
    make_results(run, passed=60)

    total = lead.get("/results/?q=answer").context["total"]

    assert (total.value >= 51, total.exact) == (True, False)


def test_what_a_list_of_results_shows_is_kept_as_a_view_of_results(lead, run):
    record(run, 0.9, 0.1)
    lead.post("/views/new/", {"page": "results", "query": "outcome=failed", "name": "All that failed"})
    lead.post("/views/new/", {"page": "runs", "query": "status=failed", "name": "Failed runs"})

    text = lead.get("/results/?outcome=failed").content.decode()

    assert [view.name for view in lead.get("/results/").context["views"]] == ["All that failed"]
    assert 'href="/results/?outcome=failed" aria-current="true"><span class="truncate">All that failed' in text
    assert 'href="/views/new/?page=results&amp;query=outcome%3Dfailed"' in text


def test_results_of_all_runs_ask_the_database_equally_often(
    lead, run, django_assert_num_queries, django_assert_max_num_queries
):
    record(run, 0.9)
    with django_assert_max_num_queries(12) as captured:
        lead.get("/results/")
    record(make_run(run.project), 0.1)
    record(make_run(run.project), 0.2)

    with django_assert_num_queries(len(captured)):
        lead.get("/results/")


def test_an_older_run_keeps_its_year(lead, run):
    record(run, 0.9)
    TestRun.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(days=800))

    assert str((timezone.now() - timedelta(days=800)).year) in page(lead, run)


def test_sorted_by_a_score_the_list_counts_what_the_evaluator_judged(lead, run):
    record(run, 0.9, 0.1)
    make_result(run, name="not judged by it", passed=None)
    grade = Evaluator.objects.get(name="Groundedness")

    response = lead.get(f"/runs/{run.pk}/", {"evaluator": grade.pk, "sort": "score"})

    assert response.context["counted"] == "2 of 3 results · lowest score first"


def test_people_of_the_file_are_not_nobody(lead, run):
    human = Judgement(evaluator=None, source="human", author_name="Rater 7", passed=False, explanation="Too long.")
    result = make_result(run, passed=True, evaluations=[Judgement(evaluator=GRADE, value=0.9), human])

    text = page(lead, run, tab="reviews")

    assert "1 result came with people’s judgements" in text
    assert "Rater 7" in lead.get(f"/results/{result.pk}/").content.decode()
    assert "Too long." in lead.get(f"/results/{result.pk}/").content.decode()


def test_the_owner_and_the_assignee_are_shown_and_ask_nobody_for_a_review(client, actor):
    ann, ben = make_user(actor.organization, name="Ann Aalto"), make_user(actor.organization, name="Ben Berg")
    run = make_run(make_project(actor.organization), owner=ann, assignee=ben)
    make_result(run)
    client.force_login(actor.user)

    origin = client.get(f"/runs/{run.pk}/?tab=configuration").text

    assert ("Ann Aalto" in origin, "Ben Berg" in origin) == (True, True)
    assert [run.name in client.get("/runs/", {name: ben.pk}).text for name in ("assignee", "owner")] == [True, False]
    assert ReviewAssignment.objects.count() == 0
