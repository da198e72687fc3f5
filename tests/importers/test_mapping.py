from evalhub.importers.detect import detect
from evalhub.importers.mapping import guess
from evalhub.importers.tables import Table
from tests.importers.building import write_json, write_text


def table_of(path):
    return Table(path, detect(path))


def guessed(path):
    mapping = guess(table_of(path).columns)
    return mapping.layout, {
        name: (meaning.role, meaning.evaluator) if meaning.evaluator else meaning.role
        for name, meaning in mapping.columns.items()
    }


def test_usual_names_are_understood(tmp_path):
    text = "id,question,expected_answer,response,latency_ms,helpful,note,\n1,a,b,c,12,0.5,x,\n"

    assert guessed(write_text(tmp_path, text)) == (
        "wide",
        {
            "id": "case",
            "question": "input",
            "expected_answer": "expected",
            "response": "output",
            "latency_ms": "latency_ms",
            "helpful": ("score", "helpful"),
            "note": "metadata",
        },
    )


def test_a_column_for_each_rater_is_a_rating(tmp_path):
    text = "id,output,annotator1,annotator2\n1,a,2,3\n"

    assert guessed(write_text(tmp_path, text))[1] == {
        "id": "case",
        "output": "output",
        "annotator1": ("rating", "rating"),
        "annotator2": ("rating", "rating"),
    }


def test_a_column_with_evaluators_means_one_row_a_judgement(tmp_path):
    text = "id,output,metric,score,annotator,comment\n1,a,tone,2,ann,x\n"

    assert guessed(write_text(tmp_path, text)) == (
        "long",
        {
            "id": "case",
            "output": "output",
            "metric": "evaluator",
            "score": "score",
            "annotator": "annotator",
            "comment": "explanation",
        },
    )


def test_a_lone_score_takes_the_explanation(tmp_path):
    assert guessed(write_text(tmp_path, "input,tone,reason\na,0.5,x\n"))[1] == {
        "input": "input",
        "tone": ("score", "tone"),
        "reason": ("explanation", "tone"),
    }


def test_names_of_rows_without_a_heading_are_cases_and_numbers_of_rows_are_not(tmp_path):
    _, named = guessed(write_text(tmp_path, ",win_rate\ngpt,0.9\nllama,0.4\n", name="named.csv"))
    _, numbered = guessed(write_text(tmp_path, ",win_rate\n0,0.9\n1,0.4\n", name="numbered.csv"))

    assert (named["column 1"], numbered["column 1"]) == ("case", "metadata")


def test_empty_columns_are_left_out(tmp_path):
    assert guessed(write_text(tmp_path, "input,output,nothing\na,b,\n"))[1]["nothing"] == "skip"


def test_scores_of_anonymous_raters_are_about_what_is_above_them(tmp_path):
    data = {"instances": [{"id": 1, "instance": "a", "annotations": {"Tone": {"individual_human_scores": [1, 2]}}}]}

    assert guessed(write_json(tmp_path, data))[1] == {
        "id": "case",
        "instance": "input",
        "annotations.Tone.individual_human_scores": ("rating", "Tone"),
    }


def test_evaluators_with_the_same_last_name_are_told_apart(tmp_path):
    rows = [
        {"output": "x", "tone": {"mean": 1, "ok": True}, "facts": {"mean": 2}, "prompt": "a", "raw": {"prompt": "b"}}
    ]

    assert guessed(write_json(tmp_path, rows))[1] == {
        "output": "output",
        "tone.mean": ("score", "tone.mean"),
        "tone.ok": ("score", "ok"),
        "facts.mean": ("score", "facts.mean"),
        "prompt": "input",
        "raw.prompt": "metadata",
    }


def test_a_guess_is_a_mapping_that_fits(tmp_path):
    table = table_of(write_text(tmp_path, "input,output,tone,ok,reason\na,b,0.5,true,x\n"))
    mapping = guess(table.columns)

    mapping.check([column.name for column in table.columns])

    assert type(mapping).from_json(mapping.as_json(), list(mapping.columns)) == mapping


def test_the_preview_shows_20_rows_and_the_kinds_of_values(tmp_path):
    rows = [{"text": "a\nb " + "x" * 200, "n": n / 2, "ok": True, "list": [1], "none": None} for n in range(30)]

    table = table_of(write_json(tmp_path, rows))

    assert [(column.name, column.kind) for column in table.columns] == [
        ("text", "text"),
        ("n", "number"),
        ("ok", "true/false"),
        ("list", "list"),
        ("none", "empty"),
    ]
    assert len(table.preview) == 20
    assert table.preview[0] == ["a b " + "x" * 115 + "…", "0.0", "true", "[1]", ""]


def test_the_delimiter_is_the_one_that_cuts_every_line_alike(tmp_path):
    found = {
        separator: table_of(write_text(tmp_path, f'a{separator}b\n"x, y; z"{separator}2\n')).delimiter
        for separator in (",", ";", "\t", "|")
    }

    assert found == {",": ",", ";": ";", "\t": "\t", "|": "|"}
