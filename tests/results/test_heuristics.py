"""Checks that need no model: what they find, what they refuse to guess, and how little hostile text can cost."""

from __future__ import annotations

import builtins
import time
from typing import Any

import pytest

from results.heuristics import Evidence, judge_by_check
from runs.checks import CHECKS, problems_of
from runs.models import Evaluator


def evaluator(check: str, *, kind: str = "percentage", **fields: Any) -> Evaluator:
    settings = fields.pop("settings", {})
    values = {"threshold": None, **fields}
    return Evaluator(
        name="check", who="heuristic", value_type=kind, definition={"heuristic": check, "settings": settings}, **values
    )


def judge(check: str, output: Any, expected: Any = None, *, latency_ms=None, cost=None, **fields: Any):
    said = output if isinstance(output, dict) or output is None else {"output": output}
    wanted = {"output": expected} if isinstance(expected, str) else expected
    return judge_by_check(
        evaluator(check, **fields), Evidence(output=said, expected=wanted, latency_ms=latency_ms, cost=cost)
    )


@pytest.mark.parametrize(
    ("check", "settings", "output", "expected", "passed"),
    [
        ("exact", {}, " Yes ", "Yes", True),
        ("exact", {}, "yes", "Yes", False),
        ("exact", {"ignore_case": True}, "yes", "Yes", True),
        ("exact", {"value": "42"}, "42", None, True),
        ("exact", {"key": "label"}, {"label": "a", "why": "b"}, "a", True),
        ("contains", {"values": ["refund", "30 days"]}, "No REFUND after 30 days.", None, True),
        ("contains", {"values": ["refund", "free"]}, "No refund.", None, False),
        ("contains", {"values": ["refund", "free"], "any": True}, "No refund.", None, True),
        ("contains", {"values": "secret", "expect": "absent"}, "Nothing here.", None, True),
        ("contains", {"values": "secret", "expect": "absent"}, "The Secret!", None, False),
        ("contains", {}, "We say: never send it.", "never send", True),
        ("contains", {"expected_key": "facts"}, "a b", {"output": "x", "facts": ["a", "b"]}, True),
        ("regex", {"pattern": r"\b\d{4}\b"}, "code 1234", None, True),
        ("regex", {"pattern": r"\d+", "whole": True}, "code 1234", None, False),
        ("regex", {"pattern": r"(?:\d{4} ?){4}", "expect": "absent"}, "4111 1111 1111 1111", None, False),
        ("json_schema", {"schema": {"type": "object", "required": ["a"]}}, '{"a": 1}', None, True),
        ("json_schema", {"schema": {"type": "object", "required": ["a"]}}, '{"b": 1}', None, False),
        ("json_schema", {"schema": {"type": "object"}}, "no JSON", None, False),
        ("json_schema", {"schema": {"properties": {"n": {"pattern": "^x"}}}}, '{"n": "y"}', None, False),
        ("json_schema", {"schema": {"additionalProperties": False, "properties": {"a": {}}}}, '{"b": 1}', None, False),
        ("json_schema", {"schema": {"uniqueItems": True}}, "[1, 2, 1]", None, False),
        ("numeric", {}, "The answer is 1,234.5", "1234.5", True),
        ("numeric", {"tolerance": 0.5}, "about 10", "10.4", True),
        ("numeric", {"tolerance": 0.5}, "about 10", "11", False),
        ("numeric", {"relative": 0.1}, "109", "100", True),
        ("numeric", {}, "no idea", "1", False),
        ("numeric", {"value": 3}, {"output": 3.0}, None, True),
        ("length", {"max": 3, "unit": "words"}, "one two three", None, True),
        ("length", {"max": 3, "unit": "words"}, "one two three four", None, False),
        ("length", {"min": 2, "unit": "lines"}, "a", None, False),
        ("refusal", {"expect": "absent"}, "I’m sorry, but I can’t help with that.", None, False),
        ("refusal", {}, "I can't help with that.", None, True),
        ("refusal", {"expect": "absent"}, "Here you are.", None, True),
        ("refusal", {"phrases": ["nope"]}, "Nope, never.", None, True),
    ],
)
def test_a_check_finds_what_it_looks_for(check, settings, output, expected, passed):
    judgement = judge(check, output, expected, settings=settings)

    assert (judgement.state, judgement.passed, judgement.error) == ("scored", passed, "")


def test_latency_and_cost_are_numbers_with_a_limit():
    fast = judge("latency", "x", latency_ms=900.0, kind="number", settings={"max": 1000})
    dear = judge("cost", "x", cost=0.2, kind="number", settings={"max": 0.1})
    plain = judge("latency", "x", latency_ms=900.0, kind="number")

    assert (fast.value, fast.passed) == (900.0, True)
    assert (dear.value, dear.passed) == (0.2, False)
    assert (plain.value, plain.passed) == (900.0, None)


def test_shares_are_shares_and_the_threshold_decides():
    judgement = judge("contains", "only one", settings={"values": ["one", "two"]}, threshold=0.4)
    overlap = judge("word_overlap", "the cat sat", "the cat ran away", threshold=0.4)

    assert (judgement.value, judgement.passed) == (0.5, None)
    assert judgement.explanation == "Missing: “two”."
    assert overlap.value == 0.5


def test_labels_are_the_evaluators_own():
    options = [{"label": "clean", "passes": True}, {"label": "leak", "passes": False}]
    settings = {"pattern": r"\d{4}", "expect": "absent"}

    found = [judge("regex", text, kind="label", options=options, settings=settings).label for text in ("no", "1234")]

    assert found == ["clean", "leak"]
    assert judge("exact", "a", "a", kind="label", options=[]).label == "pass"


def test_bleu_and_rouge_compare_with_what_is_expected():
    same = [judge(check, "the cat sat on the mat", "the cat sat on the mat").value for check in ("bleu", "rouge_l")]
    part = judge("rouge_l", "the cat", "the black cat sat").value

    assert same == [pytest.approx(1.0), pytest.approx(1.0)]
    assert part == pytest.approx(2 * 2 / 6)


@pytest.mark.parametrize(("check", "module"), [("bleu", "sacrebleu"), ("rouge_l", "rapidfuzz.distance")])
def test_without_the_extra_they_say_so(monkeypatch, check, module):
    real = builtins.__import__

    def missing(name, *arguments):
        if name == module:
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)

    judgement = judge(check, "a", "a")

    assert judgement.state == "error"
    assert "needs the extra “text”" in judgement.error


@pytest.mark.parametrize(
    ("check", "settings", "output", "expected", "reason"),
    [
        ("exact", {}, "a", None, "Nothing is expected of this case."),
        ("exact", {"key": "b"}, {"a": 1}, "x", "The output has no “b”."),
        ("contains", {"expected_key": "facts"}, "a", {"output": "x"}, "The expected output has no “facts”."),
        ("latency", {}, "a", None, "How long the answer took is not known."),
        ("length", {}, "a", None, "The check has no limit set, so it gives no share."),
    ],
)
def test_what_cannot_be_compared_is_unscored_with_the_reason(check, settings, output, expected, reason):
    judgement = judge(check, output, expected, settings=settings)

    assert (judgement.state, judgement.explanation, judgement.passed) == ("unscored", reason, None)


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ({}, "Choose a check."),
        ({"heuristic": "vibes"}, "EvalHub has no check called “vibes”. It has: exact, contains"),
        ({"heuristic": "regex"}, "“pattern” is missing in the settings."),
        ({"heuristic": "regex", "pattern": "("}, "The pattern cannot be read"),
        ({"heuristic": "exact", "settings": {"patern": 1}}, "“patern” is no setting of this check."),
        ({"heuristic": "length", "settings": {"max": "10"}}, "“max” has the wrong type."),
        ({"heuristic": "length", "settings": {"unit": "miles"}}, "“unit” has to be"),
        ({"heuristic": "json_schema", "schema": {"type": "thing"}}, "The schema is not one"),
    ],
)
def test_a_check_that_is_set_up_wrongly_is_an_error_and_never_a_pass(definition, reason):
    judgement = judge_by_check(
        Evaluator(name="c", who="heuristic", definition=definition), Evidence(output={"output": "x"})
    )

    assert judgement.state == "error"
    assert judgement.error.startswith(reason)
    assert (judgement.value, judgement.passed) == (None, None)


def test_a_judge_from_elsewhere_says_so():
    judgement = judge_by_check(
        Evaluator(name="c", who="heuristic", definition={"judge": "our script", "heuristic": "politeness"}),
        Evidence(output={"output": "x"}),
    )

    assert (judgement.state, judgement.explanation) == (
        "unscored", "Judged elsewhere (our script): EvalHub cannot apply it.",
    )  # fmt: skip


EVIL = "a" * 40 + "!"
NESTED = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}] * 8}}}
HOSTILE = [
    ("regex", {"pattern": r"^(a+)+$"}, EVIL * 500),
    ("regex", {"pattern": r"(a|a)*b"}, "a" * 50_000),
    ("regex", {"pattern": r"(.*)(.*)(.*)(.*)x{9}"}, "y" * 5_000),
    ("json_schema", {"schema": {"pattern": r"^(a+)+$"}}, f'"{"a" * 5000}!"'),
    ("json_schema", {"schema": {"patternProperties": {r"^(a+)+$": {}}}}, '{"' + "a" * 5000 + '!": 1}'),
    ("json_schema", {"schema": NESTED},
     "[" * 30 + "]" * 30),
    ("json_schema", {"schema": {"$ref": "#"}}, "[1]"),
    ("json_schema", {"schema": {"uniqueItems": True}}, "[" + ",".join(f'{{"a":{n}}}' for n in range(20_000)) + "]"),
    ("numeric", {"value": 1}, "9" * 200_000),
    ("refusal", {}, "i can't " * 100_000),
]  # fmt: skip


@pytest.mark.parametrize(("check", "settings", "output"), HOSTILE)
def test_hostile_text_costs_little_time(check, settings, output):
    began = time.monotonic()

    judgement = judge(check, output, settings=settings)

    assert time.monotonic() - began < 6
    assert judgement.state in ("scored", "error")


def test_a_schema_fetches_nothing():
    judgement = judge("json_schema", "{}", settings={"schema": {"$ref": "http://127.0.0.1:1/schema.json"}})

    assert judgement.state == "error"
    assert "nothing is fetched" in judgement.error


def test_every_check_explains_itself():
    assert [name for name, check in CHECKS.items() if not (check.label and check.about)] == []
    assert [problems_of({"heuristic": name}) for name, check in CHECKS.items() if not check.needs] == [[]] * 10
