"""The checks that need no model, as evaluators name them, and the settings of each; results.heuristics applies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import regex
from jsonschema import Draft202012Validator, SchemaError

from evalhub.web.json import dumps

LONGEST_PATTERN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``settings``: name -> (type, what it says). Every setting may be left out, except those in ``needs``."""

    label: str
    about: str
    settings: Mapping[str, tuple[type | tuple[type, ...], str]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    expects: bool = False  # compares with the case's expected output, unless a setting says what with


NUMBER: Final = (int, float)
_KEY: Final = {"key": (str, "The key of the output that is looked at; its text where absent.")}
_CASE: Final = {"ignore_case": (bool, "Upper and lower case are the same; true where absent.")}
_OF_EXPECTED: Final = {"expected_key": (str, "The key of the expected output to compare with.")}
_EXPECT: Final = {"expect": (str, "“present”, which is usual, or “absent”.")}

CHECKS: Final[dict[str, Check]] = {
    "exact": Check(
        label="Exact match", about="The output is the expected output.", expects=True,
        settings={**_KEY, **_OF_EXPECTED, "ignore_case": (bool, "Upper and lower case are the same."),
                  "value": (str, "What it has to be, instead of the expected output.")},
    ),
    "contains": Check(
        label="Contains", about="The share of the wanted texts that the output holds.", expects=True,
        settings={**_KEY, **_OF_EXPECTED, **_CASE, **_EXPECT,
                  "values": ((list, str), "The wanted texts; the expected output where absent."),
                  "any": (bool, "One of them is enough.")},
    ),
    "regex": Check(
        label="Regular expression", about="The pattern is found in the output.", needs=("pattern",),
        settings={**_KEY, **_EXPECT, "pattern": (str, "The pattern."), "ignore_case": (bool, "False where absent."),
                  "whole": (bool, "The whole output has to match.")},
    ),
    "json_schema": Check(
        label="JSON schema", about="The output is JSON of this schema (draft 2020-12).", needs=("schema",),
        settings={**_KEY, "schema": (dict, "The schema.")},
    ),
    "numeric": Check(
        label="Number", about="The number in the output is near the expected one.", expects=True,
        settings={**_KEY, **_OF_EXPECTED, "value": (NUMBER, "The number, instead of the expected output."),
                  "tolerance": (NUMBER, "How far away it may be; 0 where absent."),
                  "relative": (NUMBER, "The same as a share of the expected number.")},
    ),
    "length": Check(
        label="Length", about="How long the output is.",
        settings={**_KEY, "unit": (str, "“characters”, which is usual, “words” or “lines”."),
                  "min": (NUMBER, "The least that passes."), "max": (NUMBER, "The most that passes.")},
    ),
    "latency": Check(
        label="Latency", about="How long the answer took, in milliseconds.",
        settings={"max": (NUMBER, "The most that passes, in milliseconds.")},
    ),
    "cost": Check(
        label="Cost", about="What the answer cost, in US dollars.", settings={"max": (NUMBER, "The most that passes.")}
    ),
    "refusal": Check(
        label="Refusal", about="Whether the output refuses to answer, by its phrases.",
        settings={**_KEY, **_EXPECT, "phrases": (list, "More phrases that refuse.")},
    ),
    "word_overlap": Check(
        label="Word overlap", about="The share of the expected output's words that the output holds.", expects=True,
        settings={**_KEY, **_OF_EXPECTED},
    ),
    "bleu": Check(
        label="BLEU", about="Likeness to the expected output by n-grams, 0 to 1. Needs the extra “text”.", expects=True,
        settings={**_KEY, **_OF_EXPECTED},
    ),
    "rouge_l": Check(
        label="ROUGE-L", about="Likeness by the longest common sequence of words, 0 to 1. Needs the extra “text”.",
        expects=True, settings={**_KEY, **_OF_EXPECTED},
    ),
}  # fmt: skip
ALIASES: Final = {"characters": "length", "equals": "exact", "json": "json_schema", "number": "numeric"}


def check_of(definition: Mapping[str, Any]) -> str:
    """The name of the check that a definition means; empty for none that there is."""
    name = str(definition.get("heuristic") or "").strip().lower().replace("-", "_").replace(" ", "_")
    name = ALIASES.get(name, name)
    return name if name in CHECKS else ""


def settings_of(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Its settings: in their own object, or beside the check's name."""
    check = CHECKS.get(check_of(definition))
    nested = definition.get("settings")
    beside = {name: definition[name] for name in (check.settings if check else ()) if name in definition}
    return {**beside, **(nested if isinstance(nested, dict) else {})}


def problems_of(definition: Mapping[str, Any]) -> list[str]:
    """What is wrong with a heuristic's definition, as sentences."""
    name = check_of(definition)
    if not name:
        named = str(definition.get("heuristic") or "")
        known = ", ".join(CHECKS)
        return [f"EvalHub has no check called “{named}”. It has: {known}."] if named else ["Choose a check."]
    check, settings = CHECKS[name], settings_of(definition)
    problems = [f"“{needed}” is missing in the settings." for needed in check.needs if not settings.get(needed)]
    for setting, value in settings.items():
        if setting not in check.settings:
            problems.append(f"“{setting}” is no setting of this check. It has: {', '.join(check.settings)}.")
            continue
        kinds = check.settings[setting][0]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            problems.append(f"“{setting}” has the wrong type.")
    if problems:
        return problems
    if settings.get("expect", "present") not in ("present", "absent"):
        problems.append("“expect” has to be “present” or “absent”.")
    if settings.get("unit", "characters") not in ("characters", "words", "lines"):
        problems.append("“unit” has to be “characters”, “words” or “lines”.")
    if name == "regex":
        problems += _problems_of_pattern(settings["pattern"])
    if name == "json_schema":
        try:
            Draft202012Validator.check_schema(settings["schema"])
            if b'"unevaluatedProperties"' in dumps(settings["schema"]):
                problems.append("“unevaluatedProperties” is not supported: say “additionalProperties”.")
        except SchemaError as problem:
            problems.append(f"The schema is not one: {problem.message[:200]}.")
    return problems


def _problems_of_pattern(pattern: str) -> list[str]:
    if len(pattern) > LONGEST_PATTERN:
        return [f"The pattern has more than {LONGEST_PATTERN:,} characters."]
    try:
        regex.compile(pattern)
    except regex.error as problem:
        return [f"The pattern cannot be read: {problem}."]
    return []
