"""Tables of any origin: the pitfalls of CSV, and what columns can mean."""

import json
import time
from collections import Counter

import pytest

from evalhub.importers.importing import import_file
from evalhub.importers.problems import ImportProblem
from evalhub.importers.updating import STAMP
from results.models import Evaluation, TestResult
from results.recounting import recount
from tests.factories import make_project
from tests.importers.building import bring_in, write_json, write_text

pytestmark = pytest.mark.django_db


def mapping(layout="wide", **columns):
    return {"layout": layout, "columns": columns}


def results_of(one):
    return list(TestResult.objects.filter(run=one.run).order_by("position"))


def judged(one, **filters):
    """(case, evaluator, source, author, state, value, label, verdict), as a table would list them."""
    rows = Evaluation.objects.filter(run=one.run, **filters).select_related("evaluator", "result")
    return sorted(
        (r.result.name, r.evaluator.name, r.source, r.author_name, r.state, r.value, r.label, r.passed) for r in rows
    )


def problem_with(path, columns):
    with pytest.raises(ImportProblem) as caught:
        bring_in(path, mapping=columns)
    assert TestResult.objects.count() == 0
    return str(caught.value)


SIMPLE = mapping(input="input", output="output")


# --- what CSV files do ------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    one = bring_in(write_text(tmp_path, "\ufeffinput,output\na,b\n"), mapping=SIMPLE)

    assert [(r.inputs, r.output) for r in results_of(one)] == [({"input": "a"}, {"output": "b"})]


def test_utf_16_with_its_mark_is_read(tmp_path):
    one = bring_in(write_text(tmp_path, "input,output\nä,b\n", encoding="utf-16"), mapping=SIMPLE)

    assert results_of(one)[0].inputs == {"input": "ä"}


def test_line_breaks_inside_quotes_stay(tmp_path):
    one = bring_in(write_text(tmp_path, 'input,output\r\n"a\r\nb","c ""d"""\r\n'), mapping=SIMPLE)

    assert [(r.inputs, r.output) for r in results_of(one)] == [({"input": "a\r\nb"}, {"output": 'c "d"'})]


def test_semicolons_decimal_commas_and_latin_1_come_together(tmp_path):
    text = "Frage;output;Güte;cost\nÄgir?;ja;0,82;0,5\nWo?;nein;1;1\n"
    columns = mapping(Frage="input", output="output", cost="cost", Güte={"role": "score"})

    one = bring_in(write_text(tmp_path, text, encoding="latin-1"), mapping=columns)

    assert judged(one) == [
        ("Wo?", "Güte", "machine", "", "scored", 1.0, None, None),
        ("Ägir?", "Güte", "machine", "", "scored", 0.82, None, None),
    ]
    assert one.run.total_cost == 1.5


def test_commas_stay_commas_where_they_separate(tmp_path):
    columns = mapping(input="input", score="score")

    one = bring_in(write_text(tmp_path, 'input,score\na,"1,5"\nb,2\n'), mapping=columns)

    assert judged(one) == [
        ("a", "score", "machine", "", "scored", None, "1,5", None),
        ("b", "score", "machine", "", "scored", 2.0, None, None),
    ]


def test_ragged_rows_come_in_and_are_named(tmp_path):
    text = "input,output,note\na,b,c\nd,e\nf,g,h,i\n"

    one = bring_in(write_text(tmp_path, text), mapping=mapping(input="input", output="output", note="metadata"))

    assert [result.attributes.get("note") for result in results_of(one)] == ["c", None, "h"]
    assert results_of(one)[2].attributes["cells beyond the header"] == ["i"]
    assert one.warnings == ["2 rows are longer or shorter than the header (Line 3, Line 4)."]


def test_blank_rows_are_no_results(tmp_path):
    one = bring_in(write_text(tmp_path, "\ninput,output\n\na,b\n,\n\n"), mapping=SIMPLE)

    assert one.run.result_count == 1


def test_an_empty_trailing_heading_is_no_column(tmp_path):
    one = bring_in(write_text(tmp_path, "input,output,\na,b,\nc,d,\n"), mapping=SIMPLE)

    assert (one.run.result_count, one.warnings) == (2, [])


def test_a_heading_left_empty_before_others_is_a_column_by_its_place(tmp_path):
    columns = mapping(input="input", output="output", **{"column 1": "case"})

    one = bring_in(write_text(tmp_path, ",input,output\ngpt,a,b\nllama,c,d\n"), mapping=columns)

    assert ([result.name for result in results_of(one)], one.warnings) == (["gpt", "llama"], [])


def test_a_heading_that_comes_twice_is_two_columns(tmp_path):
    columns = mapping(input="input", score="score", **{"score (2)": "score"})

    one = bring_in(write_text(tmp_path, "input,score,score\na,1,2\n"), mapping=columns)

    assert [row[1] for row in judged(one)] == ["score", "score (2)"]


def test_a_header_without_rows_says_so(tmp_path):
    assert problem_with(write_text(tmp_path, "input,output\n"), SIMPLE) == "The file has a header but no rows."


def test_an_empty_file_says_so(tmp_path):
    assert problem_with(write_text(tmp_path, ""), SIMPLE) == "The file is empty."


def test_a_quote_that_is_not_closed_is_named_by_its_line(tmp_path):
    path = write_text(tmp_path, 'input,output\na,b\nc,"d\ne,f\n')

    assert problem_with(path, SIMPLE) == "Line 3 is not CSV that can be read (unexpected end of data)"


def test_a_broken_jsonl_line_is_named(tmp_path):
    path = write_text(tmp_path, '{"input": "a", "output": "b"}\n{"input": "c", "outp')

    assert problem_with(path, SIMPLE).startswith("Line 2 is not valid JSON at line 1, column")


def test_a_cut_off_json_list_is_named(tmp_path):
    path = write_text(tmp_path, '[{"input": "a", "output": "b"}, {"input": "c", "outp')

    assert problem_with(path, SIMPLE) == "The file is cut off in element 2: its list does not end."


# --- values -----------------------------------------------------------------------------------------------------------


def test_rows_of_one_case_are_its_repetitions(tmp_path):
    text = "id,input,output\n1,a,x\n1,a,y\n2,b,z\n"

    one = bring_in(write_text(tmp_path, text), mapping=mapping(id="case", input="input", output="output"))

    assert [(r.name, r.repetition, r.output["output"]) for r in results_of(one)] == [
        ("1", 1, "x"),
        ("1", 2, "y"),
        ("2", 1, "z"),
    ]
    assert one.warnings == ["1 row repeats the case of an earlier one, and is a repetition of it."]


def test_repetitions_of_a_case_lie_anywhere_and_count_by_variant_and_run(tmp_path):
    case_ids = [str(n) for n in range(250)]  # more than are recorded at once
    rows = [f"{run},{model},{n},{turn}" for turn in "xy" for run in "AB" for n in case_ids for model in "pq"]
    columns = mapping(run="run", model="variant", id="case", output="output")

    path = write_text(tmp_path, "run,model,id,output\n" + "\n".join(rows))
    report = import_file(path, make_project(), by=None, filename="t.csv", mapping=columns)

    for one in report.runs:
        numbered = TestResult.objects.filter(run=one.run).values_list("variant__label", "output__output", "repetition")
        assert Counter(numbered) == {(model, turn, n): 250 for model in "pq" for n, turn in enumerate("xy", 1)}
        assert one.warnings == ["500 rows repeat the case of an earlier one, and are repetitions of it."]


def test_numbers_written_as_text_are_numbers(tmp_path):
    text = "input,score\na,0.5\nb, 1e-1 \nc,-2\nd,.5\n"

    one = bring_in(write_text(tmp_path, text), mapping=mapping(input="input", score="score"))

    assert [row[5] for row in judged(one)] == [0.5, 0.1, -2.0, 0.5]


@pytest.mark.parametrize(
    ("cell", "verdict"), [("true", True), ("FALSE", False), ("yes", True), ("fail", False), ("Pass", True)]
)
def test_truth_values_are_scores_with_a_verdict(tmp_path, cell, verdict):
    one = bring_in(write_text(tmp_path, f"input,ok\na,{cell}\n"), mapping=mapping(input="input", ok="score"))

    assert judged(one) == [("a", "ok", "machine", "", "scored", float(verdict), None, verdict)]


@pytest.mark.parametrize("cell", ["", "NaN", "n/a", "null"])
def test_a_missing_score_is_unscored_and_never_0(tmp_path, cell):
    one = bring_in(write_text(tmp_path, f"input,score\na,{cell}\nb,1\n"), mapping=mapping(input="input", score="score"))

    assert judged(one)[0][4:] == ("unscored", None, None, None)
    assert one.run.rollups.get().mean == 1


def test_a_threshold_gives_numbers_a_verdict(tmp_path):
    columns = mapping(input="input", score={"role": "score", "evaluator": "quality", "threshold": 0.5})

    one = bring_in(write_text(tmp_path, "input,score\na,0.4\nb,0.5\n"), mapping=columns)

    assert [(row[1], row[7]) for row in judged(one)] == [("quality", False), ("quality", True)]
    assert (one.run.passed, one.run.failed) == (1, 1)


def test_objects_inside_json_are_columns_and_lists_stay_lists(tmp_path):
    rows = [{"input": "a", "out": {"text": "b"}, "scores": {"help": 1}, "docs": ["x", "y"]}]
    columns = mapping(input="input", docs="metadata", **{"out.text": "output", "scores.help": "score"})

    one = bring_in(write_json(tmp_path, rows), mapping=columns)

    (result,) = results_of(one)
    assert (result.output, result.attributes["docs"]) == ({"output": "b"}, ["x", "y"])
    assert [row[1] for row in judged(one)] == ["scores.help"]


def test_jsonl_skips_blank_lines_and_knows_nan(tmp_path):
    text = '{"input": "a", "score": NaN}\n\n{"input": "b", "score": 0.5}\n'

    one = bring_in(write_text(tmp_path, text, "x.jsonl"), mapping=mapping(input="input", score="score"))

    assert [row[4:6] for row in judged(one)] == [("unscored", None), ("scored", 0.5)]


def test_nul_characters_and_half_characters_are_replaced(tmp_path):
    one = bring_in(write_text(tmp_path, '{"input": "a\\u0000", "output": "\\ud800"}'), mapping=SIMPLE)

    assert (results_of(one)[0].inputs, results_of(one)[0].output) == ({"input": "a\ufffd"}, {"output": "\ufffd"})
    assert len(one.warnings) == 1


# --- meanings ---------------------------------------------------------------------------------------------------------


def test_every_plain_meaning_has_its_place(tmp_path):
    row = {
        "id": "q1",
        "question": "Why?",
        "context": "Because.",
        "gold": "So.",
        "answer": "Hm.",
        "failure": "",
        "state": "fail",
        "seconds": 1.5,
        "usd": 0.25,
        "n": 12,
        "words": "a, b",
        "note": "seen",
        "other": "left out",
    }
    columns = mapping(
        id="case",
        question="input",
        context="input",
        gold="expected",
        answer="output",
        failure="error",
        state="outcome",
        seconds="latency_s",
        usd="cost",
        n="tokens",
        words="tags",
        note="metadata",
        other="skip",
    )

    one = bring_in(write_json(tmp_path, [row]), mapping=columns)

    (result,) = results_of(one)
    assert (result.name, result.inputs, result.expected, result.output) == (
        "q1",
        {"question": "Why?", "context": "Because."},
        {"expected": "So."},
        {"output": "Hm."},
    )
    assert (result.outcome, result.latency_ms, result.cost, result.tokens, result.tags) == (
        "failed",
        1500,
        0.25,
        12,
        ["a", "b"],
    )
    assert {key: value for key, value in result.attributes.items() if key != STAMP} == {"note": "seen"}
    assert recount(one.run.pk, repair=False) == []


def test_an_error_cell_makes_an_error(tmp_path):
    columns = mapping(input="input", output="output", error="error")

    one = bring_in(write_text(tmp_path, "input,output,error\na,,timeout\nb,c,\n"), mapping=columns)

    assert [(r.outcome, r.error, r.output) for r in results_of(one)] == [
        ("error", "timeout", None),
        ("unjudged", "", {"output": "c"}),
    ]


def test_a_score_has_its_label_verdict_and_explanation_beside_it(tmp_path):
    text = "input,tone,tone_label,tone_ok,why\na,0.2,rude,fail,it shouts\n"
    of_tone = {"evaluator": "tone"}
    columns = mapping(
        input="input",
        tone={"role": "score", **of_tone},
        tone_label={"role": "label", **of_tone},
        tone_ok={"role": "passed", **of_tone},
        why={"role": "explanation", **of_tone},
    )

    one = bring_in(write_text(tmp_path, text), mapping=columns)

    assert judged(one) == [("a", "tone", "machine", "", "scored", 0.2, "rude", False)]
    assert Evaluation.objects.get(run=one.run).explanation == "it shouts"


def test_a_run_column_makes_several_runs_and_a_variant_column_variants(tmp_path):
    text = "run,model,input,output\nmay,small,a,1\nmay,large,a,2\njune,small,a,3\n"
    path, project = write_text(tmp_path, text), make_project()
    columns = mapping(run="run", model="variant", input="input", output="output")

    report = import_file(path, project, by=None, filename="table.csv", mapping=columns)

    assert [(one.run.name, one.run.result_count, one.run.variants.count(), one.run.model) for one in report.runs] == [
        ("may", 2, 2, ""),
        ("june", 1, 0, "small"),
    ]
    assert project.cases.count() == 1


def test_a_column_for_each_rater_is_a_judgement_of_each_person(tmp_path):
    text = "id,text,annotator1,annotator2\n1,a,2,3\n2,b,1,\n"
    rating = {"role": "rating", "evaluator": "fluency"}

    one = bring_in(
        write_text(tmp_path, text), mapping=mapping(id="case", text="output", annotator1=rating, annotator2=rating)
    )

    assert judged(one) == [
        ("1", "fluency", "human", "annotator1", "scored", 2.0, None, None),
        ("1", "fluency", "human", "annotator2", "scored", 3.0, None, None),
        ("2", "fluency", "human", "annotator1", "scored", 1.0, None, None),
    ]


def test_one_row_a_judgement_makes_one_result_of_several_rows(tmp_path):
    text = (
        "id,output,metric,score,who,reason\n"
        "1,a,tone,0.5,ann,ok\n"
        "2,b,tone,1,ann,\n"
        "1,,tone,0.25,bob,meh\n"
        "1,a,facts,1,ann,\n"
    )
    columns = mapping(
        "long", id="case", output="output", metric="evaluator", score="score", who="annotator", reason="explanation"
    )

    one = bring_in(write_text(tmp_path, text), mapping=columns)

    assert [(r.name, r.output) for r in results_of(one)] == [("1", {"output": "a"}), ("2", {"output": "b"})]
    assert judged(one) == [
        ("1", "facts", "human", "ann", "scored", 1.0, None, None),
        ("1", "tone", "human", "ann", "scored", 0.5, None, None),
        ("1", "tone", "human", "bob", "scored", 0.25, None, None),
        ("2", "tone", "human", "ann", "scored", 1.0, None, None),
    ]


def test_rows_of_one_result_may_be_far_apart_and_in_several_runs(tmp_path):
    rows = [f"{run},{n},that,{metric},{n % 2}" for metric in ("tone", "facts") for run in "AB" for n in range(250)]
    columns = mapping("long", run="run", id="case", output="output", metric="evaluator", score="score")

    path = write_text(tmp_path, "run,id,output,metric,score\n" + "\n".join(rows))
    report = import_file(path, make_project(), by=None, filename="t.csv", mapping=columns)

    for one in report.runs:
        assert list(TestResult.objects.filter(run=one.run).order_by("position").values_list("name", flat=True)) == [
            str(n) for n in range(250)
        ]
        assert Counter(Evaluation.objects.filter(run=one.run).values_list("evaluator__name", "value")) == {
            (metric, value): 125 for metric in ("tone", "facts") for value in (0.0, 1.0)
        }


def test_annotations_of_ragas_are_people_s_verdicts_on_a_judge_s_output(tmp_path):
    data = {
        "helpfulness": [
            {
                "metric_input": {"user_input": "fix this", "response": "Dear Sir"},
                "metric_output": 1,
                "prompts": {"p": {"prompt_output": {"reason": "clear"}, "is_accepted": True}},
                "is_accepted": False,
            }
        ]
    }
    columns = {
        "layout": "wide",
        "columns": {
            "metric_input.user_input": "input",
            "metric_input.response": "output",
            "metric_output": {"role": "score", "evaluator": "helpfulness"},
            "is_accepted": {"role": "rating", "evaluator": "judge accepted"},
        },
    }

    one = bring_in(write_json(tmp_path, data), mapping=columns)

    assert judged(one) == [
        ("fix this", "helpfulness", "machine", "", "scored", 1.0, None, None),
        ("fix this", "judge accepted", "human", "is_accepted", "scored", 0.0, None, False),
    ]


def test_lists_of_scores_by_anonymous_raters_are_told_apart_by_position(tmp_path):
    data = {
        "dataset": "newsroom",
        "annotations": [{"metric": "Fluency"}],
        "instances": [
            {"id": 1, "instance": "a", "annotations": {"Fluency": {"individual_human_scores": [3, None, 5]}}},
            {"id": 2, "instance": "b", "annotations": {"Fluency": {"individual_human_scores": [1, 2, 3]}}},
        ],
    }
    rating = {"role": "rating", "evaluator": "Fluency"}
    columns = mapping(id="case", instance="input", **{"annotations.Fluency.individual_human_scores": rating})

    one = bring_in(write_json(tmp_path, data), mapping=columns)

    assert [(row[0], row[3], row[5]) for row in judged(one)] == [
        ("1", "rater 1", 3.0),
        ("1", "rater 3", 5.0),
        ("2", "rater 1", 1.0),
        ("2", "rater 2", 2.0),
        ("2", "rater 3", 3.0),
    ]


# --- mappings that do not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            mapping(input="input"),
            "Choose at least one column that holds an output, an error, an outcome or a judgement.",
        ),
        (mapping(input="output", output="output"), "Only one column can be: Output"),
        (mapping(nowhere="output"), "The mapping names a column that the file does not have: nowhere"),
        (mapping(output="answer"), "Nothing is known of what column output means; roles are: "),
        (mapping("tall", output="output"), "The layout of a mapping is wide or long, not 'tall'."),
        ({"columns": []}, "A mapping names columns: "),
        (
            mapping(output="output", input="evaluator"),
            "A column with evaluators' names needs the layout with one row a",
        ),
        (mapping("long", input="score", output="score"), "With one row a judgement, only one column can be: "),
        (
            mapping(output="output", input={"role": "explanation", "evaluator": "tone"}),
            "tone has no column with a score",
        ),
        (
            mapping(output={"role": "score", "evaluator": "tone"}, input={"role": "score", "evaluator": "tone"}),
            "Only one column of tone can be: Score of an evaluator",
        ),
        (mapping(output={"role": "score", "threshold": "x"}), "The threshold of column output is not a number."),
    ],
)
def test_a_mapping_that_does_not_fit_is_explained(tmp_path, columns, said):
    assert problem_with(write_text(tmp_path, "input,output\na,b\n"), columns).startswith(said)


def test_a_table_without_a_mapping_waits_for_one(tmp_path):
    said = problem_with(write_text(tmp_path, "input,output\na,b\n"), None)

    assert said == "Say first what the columns of this file mean (a column mapping)"


@pytest.mark.parametrize(
    ("cells", "columns", "said"),
    [
        ("maybe", mapping(x="outcome"), "Line 2: the outcome is not pass, fail or error: maybe"),
        ("maybe", mapping(x="passed"), "Line 2: the verdict is not pass or fail: maybe"),
        ("soon", mapping(x="repetition", input="output"), "Line 2: the repetition is not a number: soon"),
        ("0", mapping(x="repetition", input="output"), "Line 2: the repetition is out of range: 0"),
    ],
)
def test_a_cell_that_does_not_mean_what_its_column_says_is_named_by_its_line(tmp_path, cells, columns, said):
    assert problem_with(write_text(tmp_path, f"input,x\na,{cells}\n"), columns) == said


def test_the_same_table_read_otherwise_is_another_run(tmp_path):
    path, project = write_text(tmp_path, "input,output\na,b\n"), make_project()
    bring_in(path, project, mapping=SIMPLE)

    again = bring_in(path, project, mapping=SIMPLE)
    otherwise = bring_in(path, project, mapping=mapping(input="case", output="output"))

    assert (again.what, otherwise.what, project.runs.count()) == ("unchanged", "new", 2)


def test_of_many_lists_in_a_file_the_longest_is_the_table_and_found_at_once(tmp_path):
    lists = {f"list {n}": [{"output": "x"}] for n in range(20_000)} | {"rows": [{"output": "a"}, {"output": "b"}]}

    started = time.monotonic()
    one = bring_in(write_json(tmp_path, lists), mapping=mapping(output="output"))

    assert [r.output for r in results_of(one)] == [{"output": "a"}, {"output": "b"}]
    assert time.monotonic() - started < 10  # looked for one by one they take minutes


def test_columns_deep_inside_are_not_lost(tmp_path):
    deep = {"a": {"b": {"c": {"d": {"e": 1}}}}, "output": "x"}

    one = bring_in(write_text(tmp_path, json.dumps(deep)), mapping=mapping(output="output", **{"a.b.c.d": "metadata"}))

    assert results_of(one)[0].attributes["a.b.c.d"] == {"e": 1}
