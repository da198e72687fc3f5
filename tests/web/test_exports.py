from datetime import UTC, datetime

import pytest

from evalhub.web.exports import cell, csv_lines, json_lines


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_text_starts_a_formula(start):
    assert cell(start) == f"'{start}"


def test_numbers_times_lists_and_nothing_are_written_plainly():
    at = datetime(2026, 6, 18, 8, tzinfo=UTC)

    assert [cell(value) for value in (-1.5, 0, None, True, at, ["a", "b"], {"a": 1})] == [
        -1.5,
        0,
        "",
        "true",
        "2026-06-18T08:00:00+00:00",
        "a, b",
        '{"a":1}',
    ]


def test_csv_starts_with_its_columns_and_quotes_what_needs_it():
    lines = list(csv_lines([{"name": 'a "b", c\nd', "n": 1, "more": "left out"}], ["name", "n"]))

    assert lines == ["\ufeffname,n\r\n", '"a ""b"", c\nd",1\r\n']


def test_json_lines_are_one_object_a_line():
    assert list(json_lines([{"name": "=1", "n": None}], ["name", "n"])) == [b'{"name":"=1","n":null}\n']
