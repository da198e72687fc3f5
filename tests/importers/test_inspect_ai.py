"""Inspect AI logs, one test for each thing that an importer gets wrong."""

import json

import pytest

from results.models import Evaluation, TestResult
from results.recounting import recount
from tests.factories import make_project
from tests.importers.building import (
    NAN,
    bring_in,
    make_header,
    make_sample,
    make_score,
    write_eval,
    write_log,
    zipfile,
)

pytestmark = pytest.mark.django_db


def results_of(one):
    return list(TestResult.objects.filter(run=one.run).order_by("position"))


def evaluations_of(one, **filters):
    rows = Evaluation.objects.filter(run=one.run, **filters).select_related("evaluator")
    return sorted(rows, key=lambda row: (row.evaluator.name if row.evaluator else "", row.source, row.nth))


def scored(one):
    return {
        row.evaluator.name: (row.state, row.value, row.label, row.passed)
        for row in evaluations_of(one, source="machine")
    }


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_ZSTANDARD])
def test_an_eval_file_is_read_whatever_its_compression(tmp_path, method):
    samples = [make_sample(1), make_sample(2, scores={"match": {"value": "I"}})]
    header = make_header([make_score(accuracy=0.5, scored=2, unscored=0)], total=2)

    one = bring_in(write_eval(tmp_path, samples, header, method=method))

    assert one.message == "2 samples, 1 scorer, match accuracy 0.500 as in the log."
    assert (one.run.name, one.run.model, one.run.status) == ("arithmetic", "mock/model", "completed")
    assert (one.run.passed, one.run.failed, one.run.total_tokens, one.run.via) == (1, 1, 30, "import")
    assert one.warnings == []
    assert recount(one.run.pk, repair=False) == []


def test_a_json_log_is_the_same_run_as_its_eval_file(tmp_path):
    project = make_project()
    first = bring_in(write_eval(tmp_path, [make_sample(1)]), project)

    second = bring_in(write_log(tmp_path, [make_sample(1)]), project)

    assert second.run == first.run
    assert [result.input_preview for result in results_of(second)] == ["What is 1?"]


def test_ids_and_epochs_come_from_the_json_and_not_from_the_member_s_name(tmp_path):
    odd = make_sample("control/slash\\id ?&#%")
    one = bring_in(write_eval(tmp_path, [odd]))

    (result,) = results_of(one)

    assert (result.name, result.attributes["sample_id"]) == ("control/slash\\id ?&#%", "control/slash\\id ?&#%")


def test_one_and_the_text_one_are_different_samples(tmp_path):
    number, word = make_sample(1, input="Same?"), make_sample("1", input="Same?")

    one = bring_in(write_log(tmp_path, [number, word]))

    assert [result.attributes["sample_id"] for result in results_of(one)] == [1, "1"]
    assert one.run.case_count == 2


def test_a_log_whose_writer_was_killed_brings_what_it_holds(tmp_path):
    one = bring_in(write_eval(tmp_path, [make_sample(1)], killed=True))

    assert (one.run.status, one.run.result_count) == ("partial", 1)
    assert one.warnings == ["The run had not ended when this log was written: what it held is imported."]


def test_a_header_that_was_written_again_counts_as_written_last(tmp_path):
    path = write_eval(tmp_path, [make_sample(1)], make_header(status="started"))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("header.json", json.dumps(make_header(status="cancelled")))

    one = bring_in(path)

    assert one.run.status == "cancelled"


def test_samples_come_in_the_order_of_the_data_set(tmp_path):
    header = make_header(spec={"dataset": {"name": "sums", "sample_ids": ["b", "a"]}})

    one = bring_in(write_eval(tmp_path, [make_sample("a"), make_sample("b", 2), make_sample("b")], header))

    assert [(result.name, result.repetition) for result in results_of(one)] == [("b", 1), ("b", 2), ("a", 1)]


def test_log_versions_2_and_3_both_come_in(tmp_path):
    header = make_header(version=3)

    one = bring_in(write_eval(tmp_path, [make_sample(1)], header))

    assert one.run.result_count == 1


def test_a_log_without_samples_keeps_its_totals(tmp_path):
    header = make_header([make_score(accuracy=0.75)], total=4)

    one = bring_in(write_log(tmp_path, None, header))

    assert (one.run.status, one.run.result_count) == ("completed", 0)
    assert one.run.declared["scores"][0]["metrics"] == {"accuracy": 0.75}
    assert one.warnings == ["The log holds no samples, only totals."]


def test_samples_without_scores_come_in_unjudged(tmp_path):
    one = bring_in(write_log(tmp_path, [make_sample(1, scores={})]))

    assert (one.run.status, one.run.unjudged, one.message) == ("completed", 1, "1 sample, 0 scorers.")


# --- messages, attachments, events ------------------------------------------------------------------------------------


def test_attachments_are_put_back_where_messages_input_output_and_scores_refer_to_them(tmp_path):
    long = "attachment://" + "a" * 32
    answer = {"id": "x", "role": "assistant", "content": long}
    sample = make_sample(
        1,
        input=long,
        messages=[{"id": "q", "role": "user", "content": long}, answer],
        output={"choices": [{"message": answer}], "completion": long},
        scores={"match": {"value": "C", "explanation": long}},
        attachments={"a" * 32: "a long text"},
    )

    one = bring_in(write_log(tmp_path, [sample]))

    (result,), (evaluation,) = results_of(one), evaluations_of(one)
    (step,) = result.steps.all()
    assert (result.inputs, result.output) == ({"input": "a long text"}, {"output": "a long text"})
    assert evaluation.explanation == "a long text"
    assert step.inputs["messages"][0]["content"] == "a long text"
    assert step.outputs["message"]["content"] == "a long text"


def test_a_reference_to_a_missing_attachment_stays_as_text(tmp_path):
    one = bring_in(write_log(tmp_path, [make_sample(1, input="attachment://gone")]))

    assert results_of(one)[0].inputs == {"input": "attachment://gone"}
    assert one.warnings == ["1 reference to an attachment could not be resolved, and stays as text."]


def test_the_inputs_of_a_judge_s_model_call_are_found_by_their_ranges(tmp_path):
    judged = {
        "event": "model",
        "model": "mock/grader",
        "span_id": "s",
        "input": [],
        "input_refs": [[1, 2]],
        "output": {
            "choices": [{"message": {"id": "g2", "role": "assistant", "content": "GRADE: C"}}],
            "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        },
    }
    sample = make_sample(
        1,
        events=[{"event": "span_begin", "id": "s", "name": "model_graded_qa"}, judged],
        events_data={
            "messages": [
                {"id": "q1", "role": "user", "content": "What?"},
                {"id": "g1", "role": "user", "content": "Grade it."},
            ]
        },
    )

    one = bring_in(write_log(tmp_path, [sample]))

    steps = list(results_of(one)[0].steps.all())
    assert [(step.name, step.context) for step in steps] == [
        ("mock/model", {}),
        ("mock/grader", {"span": "model_graded_qa"}),
    ]
    assert steps[1].inputs == {"messages": [{"id": "g1", "role": "user", "content": "Grade it."}]}
    assert steps[1].usage == {"mock/grader": {"input": 7, "output": 3, "total": 10}}


def test_tool_calls_become_steps_and_turns_with_the_tool_s_answer_or_error(tmp_path):
    messages = [
        {"id": "1", "role": "system", "content": "Help."},
        {"id": "2", "role": "user", "content": "Where is my order?"},
        {
            "id": "3",
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"id": "c1", "function": "lookup", "arguments": {"order": 1}},
                {"id": "c2", "function": "refund", "arguments": {"order": 1}},
            ],
        },
        {"id": "4", "role": "tool", "tool_call_id": "c1", "function": "lookup", "content": "delayed"},
        {
            "id": "5",
            "role": "tool",
            "tool_call_id": "c2",
            "function": "refund",
            "content": "",
            "error": {"type": "permission", "message": "not allowed"},
        },
        {"id": "6", "role": "assistant", "content": "It is late."},
        {"id": "7", "role": "user", "content": "When then?"},
        {"id": "8", "role": "assistant", "content": "Friday."},
    ]

    one = bring_in(write_log(tmp_path, [make_sample(1, messages=messages)]))

    (result,) = results_of(one)
    assert [(turn["turn"], [m["role"] for m in turn["messages"]]) for turn in result.conversation] == [
        (1, ["system", "user", "assistant", "tool", "tool", "assistant"]),
        (2, ["user", "assistant"]),
    ]
    assert [(s.kind, s.name, s.turn, s.error) for s in result.steps.all()] == [
        ("llm", "model", 1, ""),
        ("tool", "lookup", 1, ""),
        ("tool", "refund", 1, "not allowed"),
        ("llm", "model", 1, ""),
        ("llm", "model", 2, ""),
    ]
    assert [s.outputs for s in result.steps.filter(kind="tool")] == [{"output": "delayed"}, {"output": ""}]


def test_images_and_reasoning_are_parts_of_their_own(tmp_path):
    answer = {
        "id": "a",
        "role": "assistant",
        "content": [{"type": "reasoning", "reasoning": "a pixel", "signature": "s"}, {"type": "text", "text": "Red."}],
    }
    question = {
        "role": "user",
        "content": [{"type": "text", "text": "Which?"}, {"type": "image", "image": "data:image/png;base64,AA"}],
    }
    sample = make_sample(
        1, input=[question], messages=[{**question, "id": "q"}, answer], output={"choices": [{"message": answer}]}
    )

    one = bring_in(write_log(tmp_path, [sample]))

    (result,) = results_of(one)
    (step,) = result.steps.all()
    assert result.inputs["input"] == "Which?\n[image]"
    assert result.inputs["messages"][0]["parts"] == [{"type": "image", "image": "data:image/png;base64,AA"}]
    assert (result.output, step.outputs["message"]["reasoning"]) == ({"output": "Red."}, "a pixel")


def test_events_are_not_stored(tmp_path):
    one = bring_in(write_log(tmp_path, [make_sample(1, events=[{"event": "info", "data": "canary"}])]))

    (result,) = results_of(one)
    assert "canary" not in json.dumps([result.attributes, result.conversation, list(result.steps.values("inputs"))])


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("C", ("scored", 1.0, "C", True)),
        ("P", ("scored", 0.5, "P", False)),
        ("I", ("scored", 0.0, "I", False)),
        ("N", ("scored", 0.0, "N", False)),
        ("yes", ("scored", 1.0, "yes", True)),
        ("False", ("scored", 0.0, "False", False)),
        (True, ("scored", 1.0, "true", True)),
        ("0.25", ("scored", 0.25, "0.25", None)),
        ("a category", ("scored", None, "a category", None)),
        (3, ("scored", 3.0, None, None)),
        (0.7, ("scored", 0.7, None, None)),
        (["C", "I"], ("scored", None, '["C", "I"]', None)),
        (NAN, ("unscored", None, None, None)),
        (None, ("unscored", None, None, None)),
        (1e400, ("unscored", None, None, None)),
    ],
)
def test_a_score_keeps_its_raw_value_as_label_and_its_number_as_score(tmp_path, value, stored):
    one = bring_in(write_log(tmp_path, [make_sample(1, scores={"match": {"value": value}})]))

    assert scored(one) == {"match": stored}


def test_a_dict_of_scores_is_one_evaluation_for_each_key(tmp_path):
    scores = {"rubric": {"value": {"helpful": 4, "polite": "C", "length": NAN}, "explanation": "three parts"}}

    one = bring_in(write_log(tmp_path, [make_sample(1, scores=scores)]))

    assert scored(one) == {
        "rubric.helpful": ("scored", 4.0, None, None),
        "rubric.polite": ("scored", 1.0, "C", True),
        "rubric.length": ("unscored", None, None, None),
    }


def test_an_unscored_evaluation_says_why_and_counts_in_no_mean(tmp_path):
    unread = {"value": NAN, "explanation": "grader output could not be parsed", "reason": "parse_error"}
    samples = [make_sample(1, scores={"graded": {"value": 0.5}}), make_sample(2, scores={"graded": unread})]
    header = make_header([make_score("graded", mean=0.5, scored=1, unscored=1)], total=2)

    one = bring_in(write_log(tmp_path, samples, header))

    missing = evaluations_of(one, state="unscored")[0]
    assert (missing.explanation, missing.metadata) == ("grader output could not be parsed", {"reason": "parse_error"})
    assert one.message == "2 samples, 1 scorer, graded mean 0.500 as in the log."
    assert one.run.rollups.get().mean == 0.5


def test_a_number_of_a_scorer_with_accuracy_passes_at_one(tmp_path):
    samples = [make_sample(1, scores={"match": {"value": 1}}), make_sample(2, scores={"match": {"value": 0.5}})]

    one = bring_in(write_log(tmp_path, samples, make_header([make_score(accuracy=0.75)])))

    assert [result.machine_outcome for result in results_of(one)] == ["passed", "failed"]


def test_edits_of_a_score_are_judgements_of_people(tmp_path):
    history = [
        {"value": "I", "answer": "x", "explanation": "no match", "metadata": {}, "provenance": None},
        {
            "value": "C",
            "answer": "UNCHANGED",
            "explanation": "UNCHANGED",
            "provenance": {"author": "ann", "reason": "it is right", "timestamp": "2026-05-02T09:00:00+00:00"},
        },
    ]
    sample = make_sample(1, scores={"match": {"value": "C", "history": history}})

    one = bring_in(write_log(tmp_path, [sample], make_header([make_score(accuracy=1.0)], total=1)))

    human, machine = evaluations_of(one)
    assert (machine.source, machine.label, machine.passed, machine.explanation) == ("machine", "I", False, "no match")
    assert (human.source, human.author_name, human.label, human.passed) == ("human", "ann", "C", True)
    assert (human.explanation, human.created_at.isoformat()) == ("it is right", "2026-05-02T09:00:00+00:00")
    (result,) = results_of(one)
    assert (result.machine_outcome, result.outcome, result.corrected) == ("failed", "passed", True)
    assert one.message == "1 sample, 1 scorer, match accuracy 1.000 as in the log."


def test_an_invalidated_sample_has_a_person_s_word_on_the_whole_result(tmp_path):
    note = {"author": "bob", "reason": "broken sandbox", "timestamp": "2026-05-02T09:00:00+00:00"}
    sample = make_sample(1, invalidation=note)

    one = bring_in(write_log(tmp_path, [sample], make_header([make_score(accuracy=1.0)], total=1)))

    (word,) = evaluations_of(one, evaluator=None)
    assert (word.source, word.label, word.passed, word.author_name) == ("human", "invalid", None, "bob")
    assert word.explanation == "broken sandbox"
    assert one.message.endswith("match accuracy 1.000 as in the log.")  # the file's figures still count it


# --- figures ----------------------------------------------------------------------------------------------------------


def epochs(*values):
    """Samples with their scores by epoch; None for an epoch that failed."""
    return [
        make_sample(n, epoch, error={"message": "X('broken')"}, scores={}, output={}, messages=[])
        if value is None
        else make_sample(n, epoch, scores={"match": {"value": value}})
        for n, of_sample in enumerate(values, 1)
        for epoch, value in enumerate(of_sample, 1)
    ]


def test_accuracy_is_the_mean_over_samples_of_their_reduced_epochs(tmp_path):
    samples = epochs(["C", "C", "I"], ["I", None, None])
    header = make_header([make_score(reducer="mean", accuracy=1 / 3, scored=2, unscored=0)], total=6, completed=4)

    one = bring_in(write_log(tmp_path, samples, header))

    assert [check.as_json() for check in one.checks if not check.agrees] == []
    assert one.message == "6 samples, 1 scorer, match accuracy (mean) 0.333 as in the log."
    assert [(result.repetition, result.outcome) for result in results_of(one)][:3] == [
        (1, "passed"),
        (2, "passed"),
        (3, "failed"),
    ]


@pytest.mark.parametrize(
    ("reducer", "accuracy"),
    [
        ("mean", (2 / 3 + 1 / 3) / 2),
        ("median", 0.5),
        ("mode", 0.5),
        ("max", 1.0),
        ("at_least_2", 0.5),
        ("pass_at_2", (1 + 2 / 3) / 2),
        ("pass_k_2", 1 / 6),
    ],
)
def test_every_reducer_is_counted_again(tmp_path, reducer, accuracy):
    samples = epochs(["C", "C", "I"], ["I", "C", "I"])

    one = bring_in(write_log(tmp_path, samples, make_header([make_score(reducer=reducer, accuracy=accuracy)])))

    assert [(check.name, check.agrees) for check in one.checks] == [(f"match accuracy ({reducer})", True)]


def test_several_reducers_give_several_figures_of_one_name(tmp_path):
    scores = [make_score(reducer="mean", accuracy=0.5), make_score(reducer="max", accuracy=1.0)]

    one = bring_in(write_log(tmp_path, epochs(["C", "I"]), make_header(scores)))

    assert [(check.name, check.agrees) for check in one.checks] == [
        ("match accuracy (mean)", True),
        ("match accuracy (max)", True),
    ]


def test_a_sample_without_any_score_drops_out_of_a_reduced_figure(tmp_path):
    samples = epochs(["C", NAN], [NAN, NAN])
    header = make_header([make_score(reducer="max", accuracy=1.0, scored=1, unscored=1)])

    one = bring_in(write_log(tmp_path, samples, header))

    assert [check.agrees for check in one.checks] == [True, True, True]


def test_grouped_metrics_have_free_names(tmp_path):
    score = make_score(scored=1, unscored=0)
    score["metrics"] = {name: {"name": name, "value": 0.5} for name in ("+", "-", "all", "stderr")}

    one = bring_in(write_log(tmp_path, [make_sample(1)], make_header([score], total=1)))

    assert one.run.declared["scores"][0]["metrics"] == {"+": 0.5, "-": 0.5, "all": 0.5, "stderr": 0.5}
    assert one.message == "1 sample, 1 scorer, all 4 totals as in the file."


def test_totals_that_the_file_does_not_hold_are_a_warning_on_the_run(tmp_path):
    header = make_header([make_score(accuracy=0.9)], total=1, usage={"mock/model": {"total_tokens": 99}})

    one = bring_in(write_log(tmp_path, [make_sample(1)], header))

    assert one.run.warnings == [
        "tokens: the file says 99, and holds 15.",
        "match accuracy: the file says 0.9, and holds 1.",
    ]
    assert one.message == "1 sample, 1 scorer; 2 of the file's 4 totals differ from what it holds."
    assert one.run.declared["checks"][-1] == {
        "name": "match accuracy",
        "declared": 0.9,
        "imported": 1.0,
        "agrees": False,
    }


def test_the_size_of_the_data_set_is_not_taken_for_the_number_of_samples(tmp_path):
    header = make_header(total=1, spec={"dataset": {"name": "sums", "samples": 100}})

    one = bring_in(write_log(tmp_path, [make_sample(1)], header))

    assert (one.run.planned_count, one.warnings) == (1, [])


# --- states -----------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_comes_in_as_far_as_it_went(tmp_path):
    samples = [make_sample(1), make_sample(2, scores={}, error={"message": "CancelledError()"})]
    header = make_header(status="cancelled", total=4, completed=1)

    one = bring_in(write_log(tmp_path, samples, header))

    assert (one.run.status, one.run.result_count, one.run.errors) == ("cancelled", 2, 1)
    assert one.warnings == ["samples: the file says 4, and holds 2."]


def test_a_failed_run_says_why(tmp_path):
    header = make_header(status="error", error={"message": "ValueError('no model')", "traceback": "..."})

    one = bring_in(write_log(tmp_path, [make_sample(1)], header))

    assert (one.run.status, one.run.error) == ("failed", "ValueError('no model')")


def test_a_sample_with_an_error_is_an_error_and_keeps_its_traceback(tmp_path):
    error = {"message": "RuntimeError('boom')", "traceback": "Traceback ...", "traceback_ansi": "\x1b[31mTraceback"}
    sample = make_sample(1, error=error, scores={}, output={"choices": [], "completion": ""})

    one = bring_in(write_log(tmp_path, [sample]))

    (result,) = results_of(one)
    assert (result.outcome, result.error, result.error_code) == ("error", "RuntimeError('boom')", "RuntimeError")
    assert (result.output, result.attributes["traceback"]) == (None, "Traceback ...")
    assert one.run.status == "failed"  # nothing else came back


def test_earlier_failures_of_a_sample_that_succeeded_are_kept_beside_it(tmp_path):
    retries = [{"message": "TimeoutError()"}]

    one = bring_in(write_log(tmp_path, [make_sample(1, error_retries=retries, limit={"type": "message", "limit": 3})]))

    (result,) = results_of(one)
    assert (result.outcome, result.error) == ("passed", "")
    assert (result.attributes["error_retries"], result.attributes["limit"]) == (
        retries,
        {"type": "message", "limit": 3},
    )


def test_a_timeout_that_the_solver_swallowed_is_a_scored_empty_answer(tmp_path):
    sample = make_sample(1, output={"choices": [], "completion": ""}, scores={"match": {"value": "I"}})

    one = bring_in(write_log(tmp_path, [sample]))

    (result,) = results_of(one)
    assert (result.outcome, result.error, result.output) == ("failed", "", {"output": ""})


def test_times_usage_and_cost_of_a_sample(tmp_path):
    one = bring_in(write_log(tmp_path, [make_sample(1)]))

    (result,) = results_of(one)
    assert (result.latency_ms, result.wall_ms, result.tokens, result.cost) == (1500, 2000, 15, 0.001)
    assert result.usage == {"mock/model": {"input": 10, "output": 5, "total": 15}}
    assert (one.run.created_at.isoformat(), one.run.finished_at.isoformat()) == (
        "2026-05-01T10:00:00+00:00",
        "2026-05-01T10:05:00+00:00",
    )


# --- data -------------------------------------------------------------------------------------------------------------


def test_choices_and_several_targets_belong_to_the_case(tmp_path):
    one = bring_in(write_log(tmp_path, [make_sample(1, choices=["1", "2"], target=["A", "B"])]))

    (result,) = results_of(one)
    assert (result.inputs, result.expected) == (
        {"input": "What is 1?", "choices": ["1", "2"]},
        {"expected": ["A", "B"]},
    )


def test_the_same_id_with_another_input_is_another_case(tmp_path):
    project = make_project()
    bring_in(write_log(tmp_path, [make_sample(1)]), project)

    bring_in(write_log(tmp_path, [make_sample(1, input="Else?")], make_header(spec={"eval_id": "eval-2"})), project)

    assert project.cases.count() == 2


def test_a_second_run_of_a_task_has_the_same_cases_configuration_and_test_set(tmp_path):
    project = make_project()
    first = bring_in(write_log(tmp_path, [make_sample(1), make_sample(2)]), project)

    again = make_header(spec={"eval_id": "eval-2"})
    second = bring_in(write_log(tmp_path, [make_sample(1, input="What is 1?"), make_sample(2)], again), project)

    assert second.run != first.run
    assert (project.cases.count(), project.configurations.count(), project.test_sets.count()) == (2, 1, 1)
    assert project.test_sets.get().cases.count() == 2
    assert list(project.configurations.get().evaluators.values_list("name", flat=True)) == ["match"]


def test_long_integers_nan_and_half_characters_are_stored(tmp_path):
    metadata = {"big": 12345678901234567890, "bigger": 2**70, "nan": NAN, "text": "a\x00b\ud800"}

    one = bring_in(write_log(tmp_path, [make_sample(1, metadata=metadata)]))

    assert results_of(one)[0].attributes["metadata"] == {
        "big": 12345678901234567890,
        "bigger": str(2**70),
        "nan": "NaN",
        "text": "a\ufffdb\ufffd",
    }
    assert len(one.warnings) == 2


def test_a_large_sample_comes_in_whole(tmp_path):
    text = "x " * 350_000

    one = bring_in(write_eval(tmp_path, [make_sample(1, input=text)]))

    assert results_of(one)[0].inputs == {"input": text}


def test_hostile_text_stays_text(tmp_path):
    text = "<script>alert(1)</script>\u202e\x1b[31m\x07"

    one = bring_in(write_log(tmp_path, [make_sample(1, input=text)]))

    assert results_of(one)[0].inputs == {"input": text}


def test_secrets_in_the_model_s_arguments_are_not_kept(tmp_path):
    header = make_header(spec={"model_args": {"api_key": "sk-verysecret", "region": "eu"}})

    one = bring_in(write_log(tmp_path, [make_sample(1)], header))

    assert one.run.configuration.parameters["model_args"] == {"api_key": "[redacted]", "region": "eu"}


@pytest.mark.parametrize(
    "fields",
    [
        {"epoch": 10**30},
        {"epoch": "two"},
        {"scores": {"match": {"history": [{"provenance": {"author": ["x"]}}]}}},
        {"scores": {"match": "C"}},
        {"scores": {"match": {"value": {"a": {"b": 1}}}}},
        {
            "events": [
                {"event": "span_begin", "id": []},
                {"event": "model", "span_id": {}, "input_refs": [[0, 10**30], [1]]},
            ]
        },
        {"model_usage": {"m": {"total_tokens": 10**30, "input_tokens": "many"}}},
        {"messages": [1, {"role": ["user"]}, {"content": [None, {"type": 1}]}], "output": {"choices": [None]}},
        {"input": [None], "target": {"a": 1}, "choices": 3, "error": "text", "working_time": "long"},
        {"attachments": ["x"], "events_data": [], "metadata": "none", "invalidation": 1},
    ],
)
def test_values_of_unexpected_kinds_do_not_stop_an_import(tmp_path, fields):
    one = bring_in(write_log(tmp_path, [make_sample(1, **fields)]))

    assert one.run.result_count == 1
    assert recount(one.run.pk, repair=False) == []
