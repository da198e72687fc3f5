import pytest

from results.dealing import new_seed
from results.filters import ResultFilter
from results.listing import judgements_of, read_results, reviewers_of
from results.models import Evaluation, Review, ReviewAssignment, ReviewRound, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.reviewing import Correction, submit_review
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator, Variant
from tests.factories import make_actor, make_case, make_evaluator, make_project, make_result, make_run, make_user

pytestmark = pytest.mark.django_db

GRADE = EvaluatorSpec(name="grade", threshold=0.5)


def record(run, *records, **shared):
    return [one.id for one in record_results(run, [ResultRecord(**{**shared, **each}) for each in records])]


def results_for(actor, run=None, **query):
    results = ResultFilter(query, TestResult.objects.visible_to(actor), actor=actor, run=run)
    assert results.is_valid(), results.errors
    return results


def found(actor, run=None, **query):
    return [row["name"] for row in read_results(results_for(actor, run, **query)).rows]


@pytest.fixture
def actor():
    return make_actor()


@pytest.fixture
def run(actor):
    return make_run(make_project(actor.organization))


def test_what_a_form_leaves_empty_asks_for_nothing(actor, run):
    record(run, {"name": "any"})

    assert found(actor, run, **dict.fromkeys(ResultFilter.base_filters.keys() - {"run"}, "")) == ["any"]


def graded(name, value, **fields):
    return {"name": name, "evaluations": [Judgement(evaluator=GRADE, value=value)], **fields}


def grade_of(run):
    return Evaluator.objects.get(project=run.project, name="grade")


def test_a_run_shows_its_worst_results_first_and_then_as_they_arrived(actor, run):
    record(
        run,
        graded("good", 0.9),
        graded("bad", 0.1),
        {"name": "broken", "error": "timeout"},
        {"name": "open"},
        graded("worse", 0.0),
    )

    assert found(actor, run) == ["broken", "bad", "worse", "good", "open"]
    assert found(actor, run, sort="position") == ["good", "bad", "broken", "open", "worse"]


def test_outcomes_can_be_asked_for_together(actor, run):
    record(run, graded("good", 0.9), graded("bad", 0.1), {"name": "broken", "error": "timeout"})

    assert found(actor, run, outcome=["failed", "error"]) == ["broken", "bad"]
    assert found(actor, run, machine_outcome="passed") == ["good"]


def test_a_person_changes_the_outcome_but_not_what_the_machine_said(actor, run):
    record(run, graded("good", 0.9), graded("bad", 0.1))
    submit_review(TestResult.objects.get(name="good"), by=actor.user, verdict="failed")

    assert found(actor, run, outcome="failed") == ["good", "bad"]
    assert found(actor, run, machine_outcome="failed") == ["bad"]
    assert found(actor, run, review="corrected") == ["good"]
    assert found(actor, run, review=["reviewed", "none"]) == ["good", "bad"]


def test_an_evaluators_verdict_counts_after_corrections(actor, run):
    record(run, graded("good", 0.9), graded("bad", 0.1), graded("bad too", 0.2))
    grade = grade_of(run)
    correction = Correction(evaluator=grade, passed=True)
    submit_review(TestResult.objects.get(name="bad"), by=actor.user, verdict="", corrections=[correction])

    assert found(actor, run, evaluator=grade.pk, verdict="failed") == ["bad too"]
    assert found(actor, run, evaluator=grade.pk, verdict="passed") == ["good", "bad"]
    assert found(actor, run, evaluator=grade.pk, verdict=["passed", "failed"]) == ["bad too", "good", "bad"]


def test_a_human_evaluators_verdicts_are_what_people_said(actor, run):
    tone = make_evaluator(run.project, name="tone", who="human", threshold=None)
    asked = [Judgement(evaluator=tone, source="human", state="pending")]
    record(run, *({"name": name, "evaluations": asked} for name in ("polite", "rude", "open", "disputed")))
    said = {"polite": [True], "rude": [False], "open": [], "disputed": [True, False]}
    for name, verdicts in said.items():
        for passed in verdicts:
            corrections = [Correction(evaluator=tone, passed=passed)]
            submit_review(run.results.get(name=name), by=make_user(), verdict="", corrections=corrections)

    shown = {
        verdict: sorted(found(actor, run, evaluator=tone.pk, verdict=verdict))
        for verdict in ("passed", "failed", "pending")
    }

    assert shown == {"passed": ["disputed", "polite"], "failed": ["disputed", "rude"], "pending": ["open"]}


def test_what_people_gave_is_no_order(actor, run):
    tone = make_evaluator(run.project, name="tone", who="human")

    results = ResultFilter(
        {"evaluator": tone.pk, "sort": "score"}, TestResult.objects.visible_to(actor), actor=actor, run=run
    )

    assert (results.is_valid(), list(results.errors)) == (False, ["sort"])


def test_no_score_error_and_pending_stay_apart(actor, run):
    states = Evaluation.State
    record(
        run,
        graded("scored", 0.9),
        {"name": "nothing", "evaluations": [Judgement(evaluator=GRADE, state=states.UNSCORED)]},
        {"name": "broke", "evaluations": [Judgement(evaluator=GRADE, state=states.ERROR, error="no judge")]},
        {"name": "waits", "evaluations": [Judgement(evaluator=GRADE, state=states.PENDING)]},
        {"name": "not judged by it"},
    )
    grade = grade_of(run)

    assert found(actor, run, evaluator=grade.pk, verdict="unscored") == ["nothing"]
    assert found(actor, run, evaluator=grade.pk, verdict="error") == ["broke"]
    assert found(actor, run, evaluator=grade.pk, verdict="pending") == ["waits"]


def test_scores_have_bounds(actor, run):
    record(run, graded("low", 0.1), graded("middle", 0.5), graded("high", 0.9))
    grade = grade_of(run)

    assert found(actor, run, evaluator=grade.pk, score_min="0.4", score_max="0.6") == ["middle"]
    assert found(actor, run, evaluator=grade.pk, score_min="0.5", sort="position") == ["middle", "high"]


def test_a_score_sorts_with_nothing_last(actor, run):
    record(
        run,
        graded("middle", 0.5),
        {"name": "nothing", "evaluations": [Judgement(evaluator=GRADE, state="unscored")]},
        graded("high", 0.9),
        graded("low", 0.1),
    )
    grade = grade_of(run)

    assert found(actor, run, evaluator=grade.pk, sort="-score") == ["high", "middle", "low", "nothing"]
    assert found(actor, run, evaluator=grade.pk, sort="score") == ["low", "middle", "high", "nothing"]
    assert found(actor, run, evaluator=grade.pk, sort="-score", outcome="failed") == ["low"]
    assert found(actor, run, evaluator=grade.pk, sort="-score", verdict="passed") == ["high", "middle"]
    assert found(actor, run, evaluator=grade.pk, sort="-score", score_max="0.6") == ["middle", "low"]


def test_a_score_sorts_page_by_page(actor, run):
    record(
        run,
        *[graded(f"{n}", n / 10) for n in (3, 1, 5, 2, 4)],
        {"name": "none", "evaluations": [Judgement(evaluator=GRADE, state="unscored")]},
    )
    results = results_for(actor, run, evaluator=grade_of(run).pk, sort="-score")

    pages, cursor = [], None
    while cursor or not pages:
        page = read_results(results, cursor=cursor, size=2)
        pages.append([row["name"] for row in page.rows])
        cursor = page.next

    assert pages == [["5", "4"], ["3", "2"], ["1", "none"]]


def test_the_score_sort_obeys_every_other_filter(actor, run):
    record(run, graded("cheap", 0.9, tags=["a"]), graded("dear", 0.8, tags=["b"]))
    grade = grade_of(run)

    assert found(actor, run, evaluator=grade.pk, sort="-score", tag="b") == ["dear"]


def test_sorting_by_a_score_needs_to_know_whose(actor, run):
    results = ResultFilter({"sort": "-score"}, TestResult.objects.visible_to(actor), actor=actor, run=run)

    assert not results.is_valid()
    assert results.errors == {"sort": ["Sorting by a score needs one run and one evaluator of it that is no person."]}


def test_a_verdict_needs_to_know_whose(actor, run):
    results = ResultFilter(
        {"verdict": "failed", "score_min": "1"}, TestResult.objects.visible_to(actor), actor=actor, run=run
    )

    assert not results.is_valid()
    assert list(results.errors) == ["verdict", "score_min"]


def test_review_states(actor, run):
    one, two = make_user(actor.organization), make_user(actor.organization)
    record(run, graded("not asked", 0.9), graded("open", 0.9), graded("reviewed", 0.9), graded("conflict", 0.9))
    by_name = {result.name: result for result in TestResult.objects.all()}
    TestResult.objects.filter(name="open").update(review_state="open")
    submit_review(by_name["reviewed"], by=one, verdict="passed")
    submit_review(by_name["conflict"], by=one, verdict="passed")
    submit_review(by_name["conflict"], by=two, verdict="failed")

    assert found(actor, run, review="none") == ["not asked"]
    assert found(actor, run, review="open") == ["open"]
    assert found(actor, run, review="reviewed") == ["reviewed"]
    assert found(actor, run, review="conflict") == ["conflict"]


def test_a_question_that_nobody_was_asked_does_not_keep_open_what_people_have_reviewed(actor, run):
    ann, ben = make_user(actor.organization), make_user(actor.organization)
    tone = make_evaluator(run.project, name="tone", who="human", threshold=None)
    question = Judgement(evaluator=tone, source="human", state="pending")
    names = ("nobody asked", "reviewed", "half reviewed")
    record(run, *({"name": name, "evaluations": [question]} for name in names))
    by_name = {result.name: result for result in TestResult.objects.all()}
    ask(by_name["half reviewed"], ann)
    TestResult.objects.filter(name="half reviewed").update(reviews_required=1)
    submit_review(by_name["reviewed"], by=ben, verdict="failed")
    submit_review(by_name["half reviewed"], by=ben, verdict="failed")

    shown = {state: sorted(found(actor, run, review=state)) for state in ("open", "reviewed")}
    both = found(actor, run, review=["open", "reviewed"])

    assert shown == {"open": ["half reviewed", "nobody asked"], "reviewed": ["reviewed"]}
    assert sorted(both) == sorted(names)
    rows = read_results(results_for(actor, run)).rows
    assert {row["name"]: row["review_state"] for row in rows} == {
        "nobody asked": "open",
        "reviewed": "reviewed",
        "half reviewed": "open",
    }


def test_a_reviewer_was_asked_or_has_reviewed(actor, run):
    ann = make_user(actor.organization, name="Ann")
    record(run, graded("asked", 0.9), graded("reviewed", 0.9), graded("declined", 0.9), graded("neither", 0.9))
    by_name = {result.name: result for result in TestResult.objects.all()}
    ask(by_name["asked"], ann)
    ask(by_name["declined"], ann, state="declined")
    submit_review(by_name["reviewed"], by=ann, verdict="passed")

    assert found(actor, run, reviewer=ann.pk) == ["asked", "reviewed"]
    assert found(actor, run, reviewer="me") == []
    assert found(actor, run, reviewer="nobody") == []


def ask(result, user, state="open"):
    review_round = ReviewRound.objects.create(
        organization=result.organization, project=result.run.project, name="Round", seed=new_seed()
    )
    return ReviewAssignment.objects.create(
        organization=result.organization, round=review_round, result=result, reviewer=user, state=state
    )


def test_text_is_found_in_inputs_and_output_whatever_its_case(actor, run):
    record(
        run,
        {"name": "in", "inputs": {"input": "Where is my PARCEL?"}},
        {"name": "out", "output": {"output": "The parcel left."}},
        {"name": "else"},
    )

    assert found(actor, run, q="parcel") == ["in", "out"]
    assert found(actor, run, q="par_el") == []
    assert found(actor, run, q="100%") == []


def test_a_number_finds_its_case_too(actor, run):
    case = make_case(run.project)
    record(run, {"name": "of the case", "case": case.pk}, {"name": "other"})

    assert found(actor, run, q=f"#{case.number:02}") == ["of the case"]
    assert found(actor, run, q=str(case.number).zfill(2)) == ["of the case"]
    assert found(actor, run=None, q=f"#{case.number:02}") == ["of the case"]


def test_across_runs_a_mere_number_is_looked_for_in_the_text(actor, run):
    case = make_case(run.project)
    says_it = {"name": "says it", "output": {"output": f"00{case.number} kg"}}
    record(run, {"name": "of the case", "case": case.pk}, says_it)

    assert found(actor, run=None, q=f"00{case.number}") == ["says it"]


def test_across_runs_two_letters_are_too_short_to_search_for(actor):
    results = ResultFilter({"q": "ab"}, TestResult.objects.visible_to(actor), actor=actor)

    assert not results.is_valid()
    assert results.form.errors == {"q": ["Across runs a search needs at least 3 characters."]}


def test_one_letter_is_too_short_to_search_for(actor, run):
    results = ResultFilter({"q": "a"}, TestResult.objects.visible_to(actor), actor=actor, run=run)

    assert not results.is_valid()
    assert list(results.errors) == ["q"]


def test_tags_variants_repetitions_latency_and_case(actor, run):
    case = make_case(run.project, external_id="case-7")
    for position, label in enumerate(("short", "long")):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=label)
    record(
        run,
        {"name": "a", "case": case.pk, "variant": 0, "latency_ms": 100, "tags": ["red"]},
        {"name": "b", "case": case.pk, "variant": 1, "latency_ms": 900, "tags": ["red", "blue"]},
        {"name": "c", "case": case.pk, "variant": 1, "repetition": 2},
    )

    assert found(actor, run, tag=["blue", "green"]) == ["b"]
    assert found(actor, run, variant="1") == ["b", "c"]
    assert found(actor, run, repetition="2") == ["c"]
    assert found(actor, run, latency_min="500") == ["b"]
    assert found(actor, run, latency_max="500") == ["a"]
    assert found(actor, run, case="case-7", sort="-latency") == ["b", "a", "c"]
    assert found(actor, run, sort="latency") == ["a", "b", "c"]


def test_across_runs_the_newest_comes_first(actor, run):
    other = make_run(make_project(actor.organization))
    record(run, {"name": "older"})
    record(other, {"name": "newer"})
    make_result(name="a stranger's")

    assert found(actor) == ["newer", "older"]
    assert found(actor, run=None, q="newer") == []
    assert [row["name"] for row in read_results(results_for(actor, run=None, sort="created")).rows] == [
        "older",
        "newer",
    ]


def test_a_run_can_be_named_like_any_other_filter(actor, run):
    record(run, graded("mine", 0.9))
    stranger = make_result()

    by_query = ResultFilter({"run": str(run.pk)}, TestResult.objects.visible_to(actor), actor=actor)
    theirs = ResultFilter({"run": str(stranger.run_id)}, TestResult.objects.visible_to(actor), actor=actor)

    assert [row["name"] for row in read_results(by_query).rows] == ["mine"]
    assert by_query.sorted_by == "outcome"
    assert list(theirs.qs) == []


def test_archived_results_are_left_out(actor, run):
    record(run, graded("kept", 0.9), graded("put away", 0.8))
    TestResult.objects.get(name="put away").archive()

    assert found(actor, run) == ["kept"]
    assert found(actor, run, archived="true") == ["put away"]
    assert found(actor, run, evaluator=grade_of(run).pk, sort="-score") == ["kept"]


def test_an_evaluator_of_another_organisation_finds_nothing(actor, run):
    record(run, graded("mine", 0.9))
    theirs = make_evaluator(make_project())

    assert found(actor, run, evaluator=theirs.pk, verdict="passed") == []


def test_what_is_not_understood_is_a_chip_that_says_so(actor, run):
    results = ResultFilter({"outcome": "nosuch", "tag": "a"}, TestResult.objects.all(), actor=actor, run=run)

    chips = results.chips(results.data)

    assert [(chip.key, chip.value, chip.remove_url) for chip in chips] == [
        ("Tag", "a", "?outcome=nosuch"),
        ("outcome", "“nosuch” is not understood and filters nothing", "?tag=a"),
    ]


def test_chips_say_the_evaluator_and_its_conditions_in_one(actor, run):
    record(run, graded("mine", 0.9))
    grade = grade_of(run)
    results = results_for(actor, run, evaluator=grade.pk, verdict="failed", score_max="0.5", tag=["a", "b"])

    chips = results.chips(results.data)

    assert [(chip.key, chip.value) for chip in chips] == [("grade", "fail and ≤ 0.5"), ("Tag", "a, b")]
    assert chips[0].remove_url == "?tag=a&tag=b"


def test_lists_never_load_the_heavy_columns(actor, run, django_assert_num_queries):
    record(run, graded("mine", 0.9))
    results = results_for(actor, run)

    with django_assert_num_queries(1) as captured:
        read_results(results)

    sql = captured.captured_queries[0]["sql"].split(" FROM ")[0]
    assert [name for name in TestResult.HEAVY if f'."{name}"' in sql] == []


def test_judgements_and_reviewers_of_many_rows_are_one_query_each(actor, run, django_assert_num_queries):
    ids = record(run, *[graded(f"{n}", n / 10) for n in range(3)])
    ann = make_user(actor.organization, name="Ann")
    ask(TestResult.objects.get(pk=ids[0]), ann)
    ask(TestResult.objects.get(pk=ids[1]), ann, state="declined")

    with django_assert_num_queries(2):
        judgements, reviewers = judgements_of(ids), reviewers_of(ids)

    assert [judgements[pk][grade_of(run).pk]["value"] for pk in ids] == [0.0, 0.1, 0.2]
    assert reviewers == {ids[0]: [{"id": ann.pk, "name": "Ann", "state": "open"}]}


def test_reviews_of_a_withdrawn_opinion_do_not_make_a_reviewer(actor, run):
    ids = record(run, graded("mine", 0.9))
    submit_review(TestResult.objects.get(pk=ids[0]), by=actor.user, verdict="passed")
    Review.objects.update(is_current=False)

    assert found(actor, run, reviewer="me") == []


def test_results_of_a_project_are_those_of_its_runs(actor, run):
    other = make_run(make_project(actor.organization, slug="other"))
    record(run, {"name": "mine"})
    record(other, {"name": "of the other"})

    assert found(actor, project="other") == ["of the other"]
    assert found(actor, project=str(run.project_id)) == ["mine"]
    assert found(actor, project="nowhere") == []
