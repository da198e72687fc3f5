import pytest
from django.utils import timezone

from results.models import TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord
from results.reviewing import Correction, submit_review
from results.summary import (
    BINS,
    Line,
    by_evaluator,
    by_tag,
    by_variant,
    clusters_of_machine,
    interval_of,
    nice,
    round_axis,
    score_histograms,
    value_histograms,
    worst_first,
)
from runs.evaluators import EvaluatorSpec, change_evaluator
from runs.launching import snapshots_of
from runs.models import Evaluator, Shard, Variant
from runs.rates import wilson
from tests.factories import make_case, make_evaluator, make_run, make_user

GRADE = EvaluatorSpec(name="grade", value_type="percentage", threshold=0.5)
TONE = EvaluatorSpec(name="tone", threshold=3, min_score=1, max_score=5)
WORDS = EvaluatorSpec(name="words", threshold=120, operator="<=", direction="lower")
KIND = EvaluatorSpec(name="kind", value_type="label", options=[{"label": "a", "value": 1, "passes": True}])


@pytest.fixture
def run(db):
    return make_run()


def record(run, *records):
    record_results(run, [ResultRecord(**each) for each in records])
    run.refresh_from_db()


def judged(spec, *values, **shared):
    return [{"evaluations": [Judgement(evaluator=spec, value=value)], **shared} for value in values]


def test_the_worst_line_comes_first_and_the_unjudged_last():
    lines = [Line("good", 9, 1), Line("nothing", 0, 0), Line("bad", 1, 9), Line("bad too", 10, 90), Line("best", 10, 0)]

    assert [line.label for line in worst_first(lines)] == ["bad too", "bad", "good", "best", "nothing"]


def test_a_line_knows_its_rate_and_interval():
    line = Line("tag", passed=3, failed=1, errors=2, unjudged=4)

    assert (line.total, line.judged, line.rate) == (10, 4, 0.75)
    assert (round(line.low, 3), round(line.high, 3)) == (0.301, 0.954)
    assert (Line("none", 0, 0).rate, Line("none", 0, 0).low) == (None, None)


def test_a_result_counts_for_each_of_its_tags(run):
    record(
        run, *judged(GRADE, 0.9, 0.1, tags=["a", "b"]), *judged(GRADE, 0.9, tags=["b"]), {"tags": ["c"], "error": "no"}
    )

    lines = {line.label: (line.passed, line.failed, line.errors) for line in by_tag(run)}

    assert lines == {"a": (1, 1, 0), "b": (2, 1, 0), "c": (0, 0, 1)}


def test_variants_keep_their_own_order(run):
    for position, label in enumerate(("zero", "few")):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=label, provider="x")
    case = make_case(run.project).pk
    record(run, *judged(GRADE, 0.9, case=case, variant=0), *judged(GRADE, 0.1, case=case, variant=1))

    assert [(line.label, line.key, line.passed, line.failed) for line in by_variant(run)] == [
        ("zero", 0, 1, 0),
        ("few", 1, 0, 1),
    ]


def test_an_evaluator_is_one_line_whatever_the_variant(run):
    for position in (0, 1):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=str(position))
    case = make_case(run.project).pk
    record(run, *judged(GRADE, 0.9, case=case, variant=0), *judged(GRADE, 0.1, case=case, variant=1))

    [line] = by_evaluator(run)

    assert (line.passed, line.failed, line.mean, line.value_min, line.value_max) == (1, 1, 0.5, 0.1, 0.9)


# Four cases, three results each, all alike within a case; two cases pass. The rate is 6/12; with p passed of j = 3
# sum((p - j/2)^2) = 9, the variance 4/3 * 9 / 12^2 = 1/12, so n = 0.25 * 12 = 3, and Wilson of 1.5 of 3 is:
ALIKE = (0.1253, 0.8747)
# Had they been twelve cases, Wilson of 6 of 12 would be narrower:
TWELVE = (0.2538, 0.7462)


def repeat(run, cases, **shared):
    for case, value in cases:
        for _ in range(3):
            number = run.result_count + 1
            record(run, *judged(GRADE, value, case=case.pk if case else None, repetition=number, **shared))


def four_cases(run):
    return [(make_case(run.project), value) for value in (0.9, 0.9, 0.1, 0.1)]


def intervals(lines):
    return {line.label: tuple(round(end, 4) for end in line.interval) for line in lines}


def test_repetitions_are_not_taken_for_cases(run):
    repeat(run, four_cases(run), tags=["a", "b"])

    assert intervals(by_tag(run)) == {"a": ALIKE, "b": ALIKE}
    assert intervals(by_evaluator(run)) == {"grade": ALIKE}
    assert interval_of(run.machine_passed, 12, clusters_of_machine(run)) == pytest.approx(ALIKE, abs=5e-5)
    assert (run.pass_low, run.pass_high) == pytest.approx(ALIKE, abs=5e-5)


def test_each_tag_has_the_clusters_of_its_own_results(run):
    repeat(run, four_cases(run), tags=["repeated"])
    record(run, *judged(GRADE, *[0.9] * 6, *[0.1] * 6, tags=["each once"]))

    assert intervals(by_tag(run)) == {"repeated": ALIKE, "each once": TWELVE}


def test_each_variant_has_the_clusters_of_its_own_results(run):
    for position, label in enumerate(("zero", "few", "once")):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=label)
    cases = four_cases(run)
    repeat(run, cases, variant=0)
    repeat(run, cases, variant=1)
    record(run, *judged(GRADE, *[0.9] * 6, *[0.1] * 6, variant=2))

    assert intervals(by_variant(run)) == {"zero": ALIKE, "few": ALIKE, "once": TWELVE}


def test_an_evaluator_has_one_cluster_per_case_whatever_the_variant(run):
    for position in range(3):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=str(position))
    for case, value in four_cases(run):
        record(run, *[line for n in range(3) for line in judged(GRADE, value, case=case.pk, variant=n)])

    assert intervals(by_variant(run)) == {str(n): tuple(round(end, 4) for end in wilson(2, 4)) for n in range(3)}
    assert intervals(by_evaluator(run)) == {"grade": ALIKE}


def test_what_people_corrected_counts_in_the_clusters(run):
    repeat(run, [(case, 0.1) for case, _ in four_cases(run)])
    for result in TestResult.objects.filter(run=run, position__lte=6):
        grade = result.evaluations.get().evaluator
        submit_review(
            result, by=make_user(run.organization), verdict="", corrections=[Correction(evaluator=grade, passed=True)]
        )
    run.refresh_from_db()

    assert intervals(by_evaluator(run)) == {"grade": ALIKE}


def test_two_peoples_answers_about_one_result_are_two_that_share_a_case(run):
    """Of four answers 2 pass: sum((p - j/2)^2) = 2 of two clusters, so the variance is 2 * 2 / 4^2 and n = 1."""
    tone = make_evaluator(run.project, name="tone", who="human", threshold=None)
    for passed in (True, False):
        record(run, {"output": {"output": "Hello."}})
        result = TestResult.objects.get(run=run, position=run.result_count)
        for _ in range(2):
            person = make_user(run.organization)
            submit_review(result, by=person, verdict="", corrections=[Correction(evaluator=tone, passed=passed)])

    [line] = by_evaluator(run)

    assert (line.passed, line.failed, intervals([line])) == (2, 2, {"tone": (0.0546, 0.9454)})


def test_shares_are_drawn_from_nothing_to_one_and_scales_from_end_to_end(run):
    record(run, *judged(GRADE, 0.05, 0.95, 1.0), *judged(TONE, 2, 5))

    grade, tone = sorted(score_histograms(run, by_evaluator(run)), key=lambda one: one.label)

    assert (grade.low, grade.high, grade.bins[1], grade.bins[19]) == (0, 1, 1, 2)
    assert (tone.low, tone.high, tone.bins[5], tone.bins[19]) == (1, 5, 1, 1)


def test_a_lower_is_better_evaluator_fails_above_its_threshold(run):
    record(run, *judged(WORDS, 10, 125))

    [chart] = score_histograms(run, by_evaluator(run))

    assert (chart.low, chart.high, chart.threshold, chart.fails_below) == (0, 160, 120, False)


def test_an_evaluator_stands_as_it_judged_then_and_not_as_it_is_today(run):
    record(run, *judged(GRADE, 0.1, 0.9))
    grade = Evaluator.objects.get(name="grade")
    run.snapshot = {"evaluators": snapshots_of([grade])}
    change_evaluator(grade, threshold=0.9, operator=">")

    [line] = by_evaluator(run)
    [chart] = score_histograms(run, [line])

    names = ("version", "threshold", "operator")
    assert ([line.evaluator[name] for name in names], chart.threshold) == ([1, 0.5, ">="], 0.5)


def test_an_evaluator_that_judged_again_stands_as_it_did_the_last_time(run):
    record(run, *judged(GRADE, 0.1, 0.9))
    grade = Evaluator.objects.get(name="grade")
    run.snapshot = {"evaluators": snapshots_of([grade])}
    for number, threshold in ((1, 0.8), (2, 0.9)):
        grade = change_evaluator(grade, threshold=threshold)
        work = {"evaluators": snapshots_of([grade]), "scoring": f"{3 - number}", "results": []}
        shard = {"run": run, "number": number, "kind": Shard.Kind.JUDGE, "work": work, "done_at": timezone.now()}
        Shard.objects.create(organization=run.organization, **shard)

    [line] = by_evaluator(run)

    assert (line.evaluator["version"], line.evaluator["threshold"]) == (3, 0.9)


def test_of_what_the_snapshot_does_not_say_today_is_shown(run):
    record(run, *judged(GRADE, 0.1, 0.9))
    grade = {"id": str(Evaluator.objects.get(name="grade").pk), "threshold": "high", "version": None}

    for snapshot in ([], {"evaluators": 1}, {"evaluators": ["x", {"threshold": 0.1}]}, {"evaluators": [grade]}):
        run.snapshot = snapshot

        [line] = by_evaluator(run)

        assert (line.evaluator["version"], line.evaluator["threshold"]) == (1, 0.5), snapshot


def test_labels_and_scores_that_do_not_differ_are_not_drawn(run):
    record(run, {"evaluations": [Judgement(evaluator=KIND, label="a")]}, *judged(GRADE, 0.7, 0.7))

    assert score_histograms(run, by_evaluator(run)) == []


def test_latencies_beyond_the_axis_are_counted_beside(run):
    record(run, *[{"latency_ms": 100.0 + n} for n in range(199)], {"latency_ms": 60_000.0})

    chart = value_histograms(run)["latency"]

    assert (sum(chart.bins), chart.beyond, chart.low, chart.high) == (199, 1, 0, 320)
    assert "cost" not in value_histograms(run)


def test_a_value_on_the_last_edge_stays_in_the_last_bin(run):
    record(run, {"cost": 0.0}, {"cost": 0.004})

    chart = value_histograms(run)["cost"]

    assert (chart.bins[0], chart.bins[BINS - 1], chart.beyond) == (1, 1, 0)


@pytest.mark.parametrize(
    ("low", "high", "ends"), [(10, 125, (0, 160)), (-3, 4, (-4, 4)), (1.5, 1.6, (1.48, 1.64)), (0, 7, (0, 8))]
)
def test_axes_end_on_round_numbers(low, high, ends):
    start, end = round_axis(low, high)

    assert (round(start, 9), round(end, 9)) == ends


def test_nice_numbers_are_those_people_count_in():
    assert [nice(number) for number in (0.9, 1, 1.2, 2.2, 3, 4.5, 6, 9, 30)] == [1, 1, 2, 2.5, 4, 5, 8, 10, 40]
