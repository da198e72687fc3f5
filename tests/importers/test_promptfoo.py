"""promptfoo results, one test for each thing that an importer gets wrong."""

import json

import pytest

from results.models import Evaluation, TestResult
from results.recounting import recount
from tests.factories import make_project
from tests.importers.building import bring_in, make_component, make_export, make_row, write_json, write_text

pytestmark = pytest.mark.django_db


def results_of(one):
    rows = TestResult.objects.filter(run=one.run).select_related("variant").order_by("position")
    return list(rows)


def judged(result):
    """Evaluator -> (value, verdict) of the machine's evaluations."""
    rows = result.evaluations.filter(source="machine").select_related("evaluator")
    return {row.evaluator.name: (row.value, row.passed) for row in rows}


def column(label, provider="echo", **metrics):
    return {"label": label, "raw": label, "provider": provider, "metrics": metrics}


# --- the run ----------------------------------------------------------------------------------------------------------


def test_an_export_comes_in_with_its_totals(tmp_path):
    rows = [
        make_row(0),
        make_row(1, success=False, score=0.5),
        make_row(2, success=False, failureReason=2, gradingResult=None, error="timeout"),
    ]
    stats = {"successes": 1, "failures": 1, "errors": 1, "tokenUsage": {"total": 15}}
    prompts = [column("Greet {{name}}", testPassCount=1, testFailCount=1, testErrorCount=1, score=1.5, cost=0.003)]

    one = bring_in(write_json(tmp_path, make_export(rows, stats=stats, prompts=prompts)))

    assert one.message == "3 results, 2 evaluators, all 9 totals as in the file."
    assert (one.run.name, one.run.model, one.run.status) == ("Greetings", "echo", "partial")
    assert (one.run.passed, one.run.failed, one.run.errors, one.run.total_tokens) == (1, 1, 1, 15)
    assert one.run.external_id == "promptfoo-eval-abc-2026-05-01T10:00:00"
    assert recount(one.run.pk, repair=False) == []


def test_the_matrix_of_prompts_and_providers_is_one_run_with_variants(tmp_path):
    prompts = [column("short", "small"), column("short", "large"), column("long", "small")]
    rows = [make_row(test, place) for test in range(2) for place in range(3)]

    one = bring_in(write_json(tmp_path, make_export(rows, prompts=prompts)))

    assert [variant.label for variant in one.run.variants.all()] == ["small · short", "large · short", "small · long"]
    assert [(r.name, r.variant.position) for r in results_of(one)] == [
        ("Ann 0", 0),
        ("Ann 0", 1),
        ("Ann 0", 2),
        ("Ann 1", 0),
        ("Ann 1", 1),
        ("Ann 1", 2),
    ]
    assert (one.run.case_count, one.run.configuration.name) == (2, "Greetings")


def test_a_single_column_is_no_variant(tmp_path):
    one = bring_in(write_json(tmp_path, make_export([make_row(0)])))

    assert (one.run.variants.count(), results_of(one)[0].variant) == (0, None)


def test_repeats_of_a_test_are_repetitions_of_one_case(tmp_path):
    same = {"name": "Ann"}
    rows = [make_row(n, variables=same) for n in (2, 0, 1)] + [make_row(3, variables={"name": "Bob"})]

    one = bring_in(write_json(tmp_path, make_export(rows)))

    assert [(r.inputs, r.repetition, r.attributes["row"]) for r in results_of(one)] == [
        (same, 1, "row-0-0"),
        (same, 2, "row-1-0"),
        (same, 3, "row-2-0"),
        ({"name": "Bob"}, 1, "row-3-0"),
    ]
    assert one.run.case_count == 2


def test_cases_are_told_apart_by_variables_and_description_and_not_by_their_index(tmp_path):
    project = make_project()
    bring_in(write_json(tmp_path, make_export([make_row(0), make_row(1)])), project)
    later = {
        **make_export([make_row(0, variables={"name": "new"}), make_row(1, variables={"name": "Ann 0"})]),
        "evalId": "eval-2",
    }

    bring_in(write_json(tmp_path, later), project)

    assert sorted(project.cases.values_list("name", flat=True)) == ["Ann 0", "Ann 1", "new"]


# --- errors and outcomes ----------------------------------------------------------------------------------------------


def test_the_error_text_of_a_failed_assertion_is_no_error(tmp_path):
    row = make_row(0, success=False, score=0.5, error="Aggregate score 0.50 < 0.9 threshold")

    one = bring_in(write_json(tmp_path, make_export([row])))

    (result,) = results_of(one)
    assert (result.error, result.outcome) == ("", "failed")


def test_a_row_with_failure_reason_2_is_an_error_and_its_score_0_is_no_score(tmp_path):
    row = make_row(
        0,
        success=False,
        score=0,
        failureReason=2,
        gradingResult=None,
        error="timed out",
        response={"error": "timed out"},
    )

    one = bring_in(write_json(tmp_path, make_export([row])))

    (result,) = results_of(one)
    assert (result.error, result.outcome, result.output) == ("timed out", "error", None)
    assert Evaluation.objects.filter(run=one.run).count() == 0


def test_an_old_row_with_an_error_and_no_grading_is_an_error(tmp_path):
    row = make_row(0, success=False, gradingResult=None, error="API error")
    del row["failureReason"]

    one = bring_in(write_json(tmp_path, make_export([row])))

    assert results_of(one)[0].outcome == "error"


def test_passing_is_what_promptfoo_says_and_not_a_score_of_at_least_a_half(tmp_path):
    row = make_row(0, success=False, score=0.8533)

    one = bring_in(write_json(tmp_path, make_export([row])))

    (result,) = results_of(one)
    assert (result.outcome, judged(result)["overall score"]) == ("failed", (0.8533, False))


@pytest.mark.parametrize("score", [7.5, -1])
def test_scores_have_no_bounds(tmp_path, score):
    one = bring_in(write_json(tmp_path, make_export([make_row(0, score=score)])))

    assert judged(results_of(one)[0])["overall score"] == (score, True)


def test_a_row_that_promptfoo_lost_is_a_warning(tmp_path):
    rows = [make_row(0), make_row(2)]
    prompts = [column("Greet {{name}}", testPassCount=3, score=None)]

    one = bring_in(write_json(tmp_path, make_export(rows, stats={"successes": 3, "failures": 0}, prompts=prompts)))

    assert one.run.warnings == ["successes: the file says 3, and holds 2.", "passed: the file says 3, and holds 2."]


# --- assertions -------------------------------------------------------------------------------------------------------


def test_evaluators_are_named_by_metric_or_else_by_the_kind_of_assertion(tmp_path):
    components = [make_component("contains", metric="names"), make_component("regex", 0), make_component("regex")]

    one = bring_in(write_json(tmp_path, make_export([make_row(0, components=components)])))

    assert judged(results_of(one)[0]) == {
        "names": (1, True),
        "regex": (0, False),
        "regex (2)": (1, True),
        "overall score": (1, True),
    }


def test_a_set_whose_children_stand_beside_it_counts_its_children_once(tmp_path):
    children = [make_component("icontains", 0), make_component("contains-any", 1)]
    parent = {
        "pass": False,
        "score": 0.5,
        "reason": "Aggregate score 0.50 < 0.9 threshold",
        "componentResults": children,
        "metadata": {"assertionSet": {"metric": "set"}},
    }
    row = make_row(0, components=[parent, *children], namedScores={"set": 0.5})

    one = bring_in(write_json(tmp_path, make_export([row])))

    assert judged(results_of(one)[0]) == {
        "icontains": (0, False),
        "contains-any": (1, True),
        "set": (0.5, False),
        "overall score": (1, True),
    }


def test_a_set_whose_children_stand_inside_it_only_counts_them_as_well(tmp_path):
    parent = {"pass": True, "score": 1, "reason": "", "assertion": None, "componentResults": [make_component("regex")]}

    one = bring_in(write_json(tmp_path, make_export([make_row(0, components=[parent])])))

    assert judged(results_of(one)[0]) == {"regex": (1, True), "overall score": (1, True)}


def test_named_scores_of_scripts_are_evaluations_where_no_assertion_has_the_name(tmp_path):
    row = make_row(0, components=[make_component("python", metric="tone")], namedScores={"tone": 1, "py_len": 0.71})

    one = bring_in(write_json(tmp_path, make_export([row])))

    assert judged(results_of(one)[0]) == {"tone": (1, True), "py_len": (0.71, None), "overall score": (1, True)}


def test_weighted_sums_of_named_scores_and_derived_metrics_are_kept_as_declared_only(tmp_path):
    metrics = {"namedScores": {"tone": 64, "both": 100}, "namedScoreWeights": {"tone": 68}}

    one = bring_in(write_json(tmp_path, make_export([make_row(0)], prompts=[column("Greet {{name}}", **metrics)])))

    assert one.run.declared["prompts"][0]["metrics"] == metrics
    assert judged(results_of(one)[0]) == {"contains": (1, True), "overall score": (1, True)}


def test_an_assertion_of_weight_0_informs_and_gives_no_verdict(tmp_path):
    components = [make_component("latency", 0, ok=True, weight=0)]

    one = bring_in(write_json(tmp_path, make_export([make_row(0, components=components)])))

    assert judged(results_of(one)[0])["latency"] == (0, None)


def test_thresholds_of_time_and_money_are_no_thresholds_of_a_score(tmp_path):
    components = [make_component("latency", threshold=5000), make_component("similar", threshold=0.8)]

    one = bring_in(write_json(tmp_path, make_export([make_row(0, components=components)])))

    rows = Evaluation.objects.filter(run=one.run).order_by("evaluator__name")
    assert list(rows.values_list("evaluator__name", "threshold")) == [
        ("latency", None),
        ("overall score", None),
        ("similar", 0.8),
    ]


def test_an_assertion_without_a_score_keeps_its_verdict(tmp_path):
    one = bring_in(
        write_json(tmp_path, make_export([make_row(0, components=[make_component("regex", None, ok=True)])]))
    )

    assert judged(results_of(one)[0])["regex"] == (None, True)


def test_a_grader_that_failed_is_an_errored_evaluation(tmp_path):
    component = {**make_component("llm-rubric", 0), "metadata": {"graderError": True}, "reason": "API error 500"}

    one = bring_in(write_json(tmp_path, make_export([make_row(0, components=[component], success=False)])))

    evaluation = Evaluation.objects.get(run=one.run, evaluator__name="llm-rubric")
    assert (evaluation.state, evaluation.value, evaluation.error) == ("error", None, "API error 500")
    assert evaluation.evaluator.who == "ai"


def test_a_manual_verdict_is_a_person_s_word_on_the_whole_result(tmp_path):
    components = [make_component("contains", 0), {**make_component("human", 1), "reason": "Manual result"}]
    row = make_row(0, components=components, success=True)
    row["gradingResult"]["comment"] = "fine by me"

    one = bring_in(write_json(tmp_path, make_export([row])))

    (result,) = results_of(one)
    word = result.evaluations.get(evaluator=None)
    assert (word.source, word.passed, word.explanation) == ("human", True, "fine by me")
    assert (result.machine_outcome, result.outcome) == ("failed", "passed")


def test_a_row_without_assertions_passes_as_promptfoo_says(tmp_path):
    row = make_row(0, components=[])
    row["gradingResult"]["reason"] = "No assertions"

    one = bring_in(write_json(tmp_path, make_export([row])))

    assert results_of(one)[0].outcome == "passed"


# --- shapes -----------------------------------------------------------------------------------------------------------


def old_row(body, text, prompt="Rephrase: {{body}}"):
    return {
        "prompt": {"raw": f"Rephrase: {body}", "display": prompt},
        "vars": {"body": body},
        "response": {"output": text, "tokenUsage": {"cached": 25}},
        "success": True,
    }


def test_a_file_of_version_1_has_no_indexes_scores_or_ids(tmp_path):
    data = {
        "version": 1,
        "results": [old_row("a", "A"), old_row("a", "AA", "Shout: {{body}}"), old_row("b", "B")],
        "stats": {"successes": 3, "failures": 0},
        "table": {"head": {"prompts": ["Rephrase: {{body}}", "Shout: {{body}}"], "vars": ["body"]}, "body": []},
    }

    one = bring_in(write_json(tmp_path, data))

    assert [(r.inputs["body"], r.variant.position, r.output["output"]) for r in results_of(one)] == [
        ("a", 0, "A"),
        ("a", 1, "AA"),
        ("b", 0, "B"),
    ]
    assert (one.message, one.run.passed) == ("3 results, 0 evaluators, all 2 totals as in the file.", 3)


def test_a_shared_file_holds_its_results_under_data(tmp_path):
    head = {"prompts": [column("Rephrase: {{body}}")], "vars": ["body"]}
    results = {
        "version": 2,
        "results": [old_row("a", "A")],
        "stats": {"successes": 1},
        "table": {"head": head, "body": []},
    }
    data = {
        "data": {
            "version": 3,
            "createdAt": "2026-05-01T10:00:00Z",
            "results": results,
            "config": {"description": "Old"},
        }
    }

    one = bring_in(write_json(tmp_path, data))

    assert (one.run.name, one.run.result_count) == ("Old", 1)


def test_an_evaluation_object_may_hold_only_totals(tmp_path):
    data = {
        "id": "eval-9",
        "config": {"description": "Totals"},
        "results": [],
        "prompts": [column("a", testPassCount=4)],
    }

    one = bring_in(write_json(tmp_path, data))

    assert (one.run.external_id, one.run.result_count) == ("promptfoo-eval-9", 0)
    assert one.warnings == ["The file holds no results, only totals."]
    assert one.run.declared["prompts"] == [{"label": "a", "provider": "echo", "metrics": {"testPassCount": 4}}]


def test_a_stub_without_results_is_an_empty_run(tmp_path):
    one = bring_in(write_json(tmp_path, {"results": {"results": [], "timestamp": None}}))

    assert (one.run.result_count, one.run.status, one.warnings) == (0, "completed", ["The file holds no results."])


def test_jsonl_has_rows_and_no_header(tmp_path):
    prompt = {"raw": "x", "label": "short"}
    rows = [make_row(0, 0, prompt=prompt), make_row(0, 1, prompt=prompt, provider={"id": "large"})]
    text = "\n".join(json.dumps(row) for row in rows)

    one = bring_in(write_text(tmp_path, text, "out.jsonl"))

    assert one.run.name == "out"
    assert [variant.label for variant in one.run.variants.all()] == ["echo · short", "large · short"]
    assert one.run.result_count == 2


# --- data -------------------------------------------------------------------------------------------------------------


def test_its_csv_is_a_table_whose_matrix_repeats_the_headings_of_each_column(tmp_path):
    of_column = "{},Status,Score,Named Scores,Metric: tone"
    heading = "name," + ",".join(of_column.format(f"[{provider}] Greet") for provider in ("echo", "small"))
    rows = 'Ann,Hello,PASS,1.00,"{""tone"":1}",1.00,Hi,FAIL,0.25,"{""tone"":0.25}",0.25\n'
    path = tmp_path / "out.csv"
    path.write_text(f"{heading}\n{rows}", encoding="utf-8")
    columns = {"name": "input", "[echo] Greet": "output", "Status": "outcome", "Score (2)": "score"}

    one = bring_in(path, mapping={"layout": "wide", "columns": columns})

    (result,) = results_of(one)
    assert (result.inputs, result.output, result.outcome) == ({"input": "Ann"}, {"output": "Hello"}, "passed")
    assert [(e.evaluator.name, e.value) for e in Evaluation.objects.filter(run=one.run)] == [("Score (2)", 0.25)]


@pytest.mark.parametrize(
    ("output", "stored"),
    [
        ("text", {"output": "text"}),
        ({"a": 1}, {"a": 1}),
        (["a"], {"output": ["a"]}),
        (None, None),
        ("", {"output": ""}),
    ],
)
def test_outputs_are_texts_objects_or_nothing(tmp_path, output, stored):
    one = bring_in(write_json(tmp_path, make_export([make_row(0, response={"output": output})])))

    assert results_of(one)[0].output == stored


def test_secrets_in_the_configuration_are_not_kept(tmp_path):
    config = {
        "env": {"OPENAI_API_KEY": "sk-1", "REGION": "eu"},
        "providers": [
            {
                "id": "https",
                "config": {
                    "apiKey": "abc",
                    "headers": {"Authorization": "Bearer abc", "X-Team": "qa"},
                    "max_tokens": 10,
                    "url": "https://ann:pa55@example.com/v1",
                    "body": "token is Bearer abcdefghijkl",
                    "temperature": 0,
                },
            }
        ],
    }

    one = bring_in(write_json(tmp_path, make_export([make_row(0)], config=config)))

    kept = one.run.configuration.parameters
    assert "env" not in kept
    assert kept["providers"][0]["config"] == {
        "apiKey": "[redacted]",
        "headers": {"Authorization": "[redacted]", "X-Team": "[redacted]"},
        "max_tokens": 10,
        "url": "https://[redacted]@example.com/v1",
        "body": "token is Bearer [redacted]",
        "temperature": 0,
    }


def test_nul_characters_are_replaced_and_said(tmp_path):
    one = bring_in(write_json(tmp_path, make_export([make_row(0, response={"output": "a\x00b"})])))

    assert results_of(one)[0].output == {"output": "a\ufffdb"}
    assert one.warnings[0].startswith("Some texts held NUL characters")


def test_a_chat_prompt_is_a_step_with_messages(tmp_path):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    row = make_row(0, prompt={"raw": json.dumps(chat), "label": "chat"})

    one = bring_in(write_json(tmp_path, make_export([row])))

    (step,) = results_of(one)[0].steps.all()
    assert (step.kind, step.inputs, step.outputs) == ("llm", {"messages": chat}, {"output": "Hello"})
