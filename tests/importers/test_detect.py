import json

import pytest

from evalhub.importers.detect import Format, detect
from evalhub.importers.problems import ImportProblem, Limits
from tests.importers.building import (
    make_export,
    make_header,
    make_row,
    make_sample,
    write_eval,
    write_json,
    write_text,
    zipfile,
)


def problem_with(path, **options):
    with pytest.raises(ImportProblem) as caught:
        detect(path, **options)
    return str(caught.value)


def test_files_are_told_by_their_content_and_not_by_their_name(tmp_path):
    sample, row = make_sample(1), make_row(0)
    found = [
        detect(write_eval(tmp_path, [sample], name="a.txt")),
        detect(write_eval(tmp_path, [sample], name="b.txt", killed=True)),
        detect(write_json(tmp_path, {**make_header(), "samples": [sample]}, "c.txt")),
        detect(write_json(tmp_path, make_export([row]), "d.txt")),
        detect(write_json(tmp_path, {"version": 1, "results": [row], "stats": {}, "table": {}}, "e.txt")),
        detect(write_json(tmp_path, {"data": {"results": {"version": 2}}}, "f.txt")),
        detect(write_json(tmp_path, {"id": "x", "config": {}, "results": [], "prompts": []}, "g.txt")),
        detect(write_text(tmp_path, f"{json.dumps(row)}\n{json.dumps(row)}\n", "h.txt")),
        detect(write_text(tmp_path, "\ufeffinput,output\na,b\n", "i.eval")),
        detect(write_text(tmp_path, '{"input": 1}\n\n{"input": 2}\n', "j.csv")),
        detect(write_json(tmp_path, [{"input": 1}], "k.eval")),
        detect(write_json(tmp_path, {"rows": [{"input": 1}]}, "l.eval")),
    ]

    assert found == [
        Format.INSPECT_ZIP,
        Format.INSPECT_ZIP,
        Format.INSPECT_JSON,
        Format.PROMPTFOO,
        Format.PROMPTFOO,
        Format.PROMPTFOO,
        Format.PROMPTFOO,
        Format.PROMPTFOO_LINES,
        Format.CSV,
        Format.JSONL,
        Format.JSON,
        Format.JSON,
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"results": {"task": {"acc": 1}}, "configs": {}}', "an lm-eval file"),
        ('{"results": {"task": {"acc": 1}}, "versions": {}}', "an lm-eval file"),
        ('{"doc_id": 0, "doc": {}}\n{"doc_id": 1, "doc": {}}', "an lm-eval samples file"),
        ('{"doc_id": 0, "doc": {}}', "an lm-eval samples file"),
        ('{"testRunData": {"testCases": []}}', "a DeepEval file"),
        ('{"testCases": [], "conversationalTestCases": [], "metricsScores": []}', "a DeepEval file"),
        ('<?xml version="1.0"?><!-- x --><testsuites tests="1"></testsuites>', "a JUnit file"),
        ("<testsuite></testsuite>", "a JUnit file"),
        ('{"spec": {"run_id": "x"}}\n{"run_id": "x", "type": "match"}', "an OpenAI evals file"),
        ('{"spec": {"run_id": "x"}}', "an OpenAI evals file"),
        ('[{"output_1": "a", "output_2": "b", "preference": 1}]', "an AlpacaEval file"),
    ],
)
def test_formats_that_come_later_are_named(tmp_path, content, named):
    assert problem_with(write_text(tmp_path, content)) == f"This is {named}: not importable yet."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty."),
        (b" \n\t ", "The file is empty."),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n",
            "This is a Git LFS pointer, not the file itself",
        ),
        (b"\x1f\x8b\x08\x00abc", "This is a compressed file"),
        (b"%PDF-1.4\n1 0 obj", "This is a PDF file: import the results as CSV or JSON."),
        (b"PAR1\x15\x04\x15", "This is a Parquet file: import the results as CSV or JSON."),
        (b"SQLite format 3\x00\x10", "This is an SQLite database: import the results as CSV or JSON."),
        (b"\x7fELF\x00\x00\x01", "This is a binary file of a kind that EvalHub does not know."),
        (b"<html><body>Log in</body></html>", "This is an XML or HTML file (html) that EvalHub does not know."),
        (b"[]", "The file holds an empty list."),
        (b"PK\x03\x04 and then nothing", "The zip file is cut off"),
    ],
)
def test_what_cannot_be_imported_is_said_in_a_sentence(tmp_path, content, said):
    path = tmp_path / "file"
    path.write_bytes(content)

    assert problem_with(path).startswith(said)


def test_another_zip_file_is_no_log(tmp_path):
    path = tmp_path / "file.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.csv", "a,b")

    assert problem_with(path).startswith("This zip file holds no Inspect AI log")


def test_an_excel_workbook_is_named(tmp_path):
    path = tmp_path / "results.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")

    assert problem_with(path) == "This is an Excel workbook: save the sheet as CSV, then import that."


def test_entities_of_xml_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><testsuites>&b;</testsuites>'

    assert problem_with(write_text(tmp_path, bomb)) == "This is a JUnit file: not importable yet."


def test_a_file_beyond_the_limit_is_not_opened(tmp_path):
    path = write_text(tmp_path, "input,output\na,b\n")

    assert problem_with(path, limits=Limits(file_bytes=10)) == "The file is larger than 10 bytes."


def test_keys_are_found_behind_large_values(tmp_path):
    export = {"results": {"results": [{"text": 'tricky "results": [{\\"' * 1000}] * 20}, "evalId": "x"}

    assert detect(write_json(tmp_path, export)) == Format.PROMPTFOO
