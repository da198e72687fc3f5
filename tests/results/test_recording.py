from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from results.models import Evaluation, Rollup, Step, TestResult
from results.recording import RecordingError, record_results
from results.records import Judgement, ResultRecord, StepRecord
from results.recounting import recount
from runs.cases import CaseSpec
from runs.evaluators import EvaluatorSpec
from tests.factories import make_case, make_project, make_result, make_run

pytestmark = pytest.mark.django_db


def counters(run):
    run.refresh_from_db()
    return (run.result_count, run.passed, run.failed, run.errors, run.unjudged)


def test_a_batch_is_kept_with_its_steps_and_evaluations():
    run = make_run()

    (recorded,) = record_results(
        run,
        [
            ResultRecord(
                external_id="r-1",
                case=CaseSpec(external_id="c-1", name="Greeting", inputs={"input": "hi"}, tags=["smoke"]),
                output={"output": "hello"},
                latency_ms=12.5,
                cost=0.25,
                usage={"m": {"input": 3, "output": 4}},
                steps=[StepRecord(kind="tool", name="look up", inputs={"q": 1}, outputs={"a": 2})],
                evaluations=[
                    Judgement(evaluator=EvaluatorSpec(name="tone", threshold=0.8), value=0.9, explanation="Warm."),
                    Judgement(evaluator="speed", value=3.0),
                ],
            )
        ],
    )

    result = TestResult.objects.get(pk=recorded.id)
    assert (recorded.public_id, recorded.created) == ("r-1", True)
    assert (result.name, result.inputs, result.tags, result.outcome, result.tokens) == (
        "Greeting",
        {"input": "hi"},
        ["smoke"],
        "passed",
        7,
    )
    assert list(Step.objects.values_list("kind", "name", "inputs", "outputs")) == [
        ("tool", "look up", {"q": 1}, {"a": 2})
    ]
    assert list(Evaluation.objects.order_by("evaluator__name").values_list("evaluator__name", "value", "passed")) == [
        ("speed", 3.0, None),
        ("tone", 0.9, True),
    ]
    assert counters(run) == (1, 1, 0, 0, 0)
    assert (run.total_cost, run.total_tokens, run.total_latency_ms) == (0.25, 7, 12.5)


def test_the_same_batch_again_changes_nothing():
    run = make_run()
    batch = [
        ResultRecord(external_id="a", case=CaseSpec(external_id="c-1"), reported_outcome="failed"),
        ResultRecord(case=CaseSpec(external_id="c-2"), reported_outcome="passed"),
    ]
    first = record_results(run, batch)

    second = record_results(run, batch)

    assert [one.id for one in second] == [one.id for one in first]
    assert [one.created for one in second] == [False, False]
    assert counters(run) == (2, 1, 1, 0, 0)


def test_a_repetition_is_a_result_of_its_own():
    run = make_run()
    case = make_case(run.project)

    record_results(run, [ResultRecord(case=case.pk, repetition=n, reported_outcome="passed") for n in (1, 2, 3)])

    run.refresh_from_db()
    assert (run.result_count, run.case_count, run.judged_cases, run.judged_squares) == (3, 1, 1, 9)


def test_a_senders_id_takes_the_next_free_repetition():
    run = make_run()
    case = make_case(run.project)

    record_results(run, [ResultRecord(case=case.pk, external_id=name) for name in ("x", "y")])

    assert list(run.results.order_by("position").values_list("external_id", "repetition")) == [("x", 1), ("y", 2)]


def test_an_id_of_another_run_is_refused_and_nothing_is_kept():
    other = make_result(external_id="taken")
    run = make_run(other.run.project)

    with pytest.raises(RecordingError) as refused:
        record_results(run, [ResultRecord(external_id="new"), ResultRecord(external_id="TAKEN".lower())])

    assert (refused.value.index, refused.value.field) == (1, "id")
    assert counters(run) == (0, 0, 0, 0, 0)


def test_the_same_id_in_another_organisation_is_somebody_elses():
    make_result(external_id="shared")

    mine = make_result(external_id="shared")

    assert mine.external_id == "shared"


@pytest.mark.parametrize(
    ("judgements", "outcome"),
    [
        ([], "unjudged"),
        ([Judgement(evaluator="a", passed=True, value=1)], "passed"),
        ([Judgement(evaluator="a", passed=True), Judgement(evaluator="b", passed=False)], "failed"),
        ([Judgement(evaluator="a", passed=True), Judgement(evaluator="b", state="error", error="down")], "error"),
        ([Judgement(evaluator="a", passed=True), Judgement(evaluator="b", state="pending")], "unjudged"),
        ([Judgement(evaluator="a", value=0.4)], "unjudged"),
        ([Judgement(evaluator="a", passed=True), Judgement(evaluator="b", passed=False, turn=2)], "passed"),
    ],
)
def test_the_outcome_follows_the_evaluations(judgements, outcome):
    assert make_result(evaluations=judgements).outcome == outcome


def test_a_result_that_people_judged_is_reviewed_though_a_question_to_them_has_no_answer():
    asked = Judgement(evaluator="tone", source="human", state="pending")
    answered = Judgement(evaluator="clarity", source="human", passed=True, author_name="Ann")

    states = [make_result(evaluations=given).review_state for given in ([asked], [asked, answered], [answered])]

    assert states == ["open", "reviewed", "reviewed"]


def test_an_errored_result_is_an_error_whatever_its_evaluations_say():
    result = make_result(error="timeout", evaluations=[Judgement(evaluator="a", passed=True)])

    assert (result.outcome, result.output_preview) == ("error", "An answer.")


def test_the_senders_own_word_wins():
    assert (
        make_result(reported_outcome="passed", evaluations=[Judgement(evaluator="a", passed=False)]).outcome == "passed"
    )


def test_nan_is_unscored_and_in_no_mean():
    run = make_run()
    for value in (float("nan"), 1.0, 3.0):
        make_result(run, evaluations=[Judgement(evaluator="clarity", value=value)])

    rollup = Rollup.objects.get(run=run)
    assert (rollup.scored, rollup.unscored, rollup.mean, rollup.value_min, rollup.value_max) == (2, 1, 2.0, 1.0, 3.0)


def test_the_newest_of_two_judgements_of_one_pair_counts():
    result = make_result(evaluations=[Judgement(evaluator="a", passed=False), Judgement(evaluator="a", passed=True)])

    rows = result.evaluations.order_by("nth").values_list("nth", "is_current", "passed")
    assert (result.outcome, list(rows)) == ("passed", [(0, False, False), (1, True, True)])


def test_a_weightless_evaluator_gives_no_verdict():
    spec = EvaluatorSpec(name="info", weight=0, threshold=0.5)

    result = make_result(evaluations=[Judgement(evaluator=spec, value=0.1, passed=False)])

    assert (result.outcome, result.evaluations.get().passed) == ("unjudged", None)


def test_integers_beyond_64_bits_survive():
    result = make_result(attributes={"big": 12345678901234567890123})

    assert result.attributes == {"big": 12345678901234567890123}


def test_evaluators_with_endless_names_are_kept_apart_and_found_again():
    names = ["x" * 300, "x" * 300 + "y"]
    judged = [Judgement(evaluator=name, value=1.0) for name in names]
    run = make_run()

    record_results(run, [ResultRecord(evaluations=judged)])
    record_results(run, [ResultRecord(evaluations=[Judgement(evaluator=EvaluatorSpec(name=names[0]), value=0.0)])])

    assert sorted(Rollup.objects.filter(run=run).values_list("scored", flat=True)) == [1, 2]
    assert {len(name) for name in Evaluation.objects.values_list("evaluator__name", flat=True)} == {200}


@pytest.mark.parametrize("column", ["run_id", "organization_id"])
def test_what_an_evaluation_repeats_of_its_result_cannot_differ(column):
    run, other = make_run(), make_run(make_project())
    make_result(run, evaluations=[Judgement(evaluator="tone", value=1.0)])
    elsewhere = {"run_id": other.pk, "organization_id": other.organization_id}[column]

    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.filter(run=run).update(**{column: elsewhere})
        connection.check_constraints()


def test_a_result_cannot_be_in_another_organisation_than_its_run():
    result, other = make_result(), make_run(make_project())

    with pytest.raises(IntegrityError), transaction.atomic():
        TestResult.objects.filter(pk=result.pk).update(organization=other.organization_id)
        connection.check_constraints()


def test_all_stored_numbers_are_what_the_rows_say():
    run = make_run()
    case = make_case(run.project).pk
    for n in range(1, 6):
        make_result(run, case=case, repetition=n, passed=n % 2 == 0, cost=0.1 * n, latency_ms=3.0 * n)
    make_result(run, passed=None, case=None)

    assert recount(run.pk, repair=False) == []


@pytest.mark.django_db(transaction=True)
def test_two_hundred_records_over_four_threads_are_counted_exactly():
    run = make_run(make_project())
    batches = [
        [
            ResultRecord(
                case=CaseSpec(external_id=f"case-{n % 40}"),
                repetition=n // 40 + 1,
                evaluations=[Judgement(evaluator=f"e{k}", value=n, passed=n % 3 != 0) for k in range(3)],
            )
            for n in range(start, start + 10)
        ]
        for start in range(0, 200, 10)
    ]

    def record(batch):
        try:
            record_results(run, batch)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, batches))

    assert counters(run) == (200, 133, 67, 0, 0)
    assert recount(run.pk, repair=False) == []
    assert run.project.evaluators.count() == 3


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (TestResult, "outcome"),
        (TestResult, "machine_outcome"),
        (TestResult, "reported_outcome"),
        (TestResult, "human_verdict"),
        (TestResult, "review_state"),
        (Evaluation, "source"),
        (Evaluation, "state"),
        (Evaluation, "outcome"),
    ],
)
def test_the_database_itself_refuses_words_that_nobody_knows(model, column):
    record_results(make_run(), [ResultRecord(evaluations=[Judgement(evaluator="tone", value=1.0)])])

    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.update(**{column: "maybe"})
