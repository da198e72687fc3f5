"""Many cases at once, as people paste them: one input a line, or one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from evalhub.accounts.tenancy import normal_external_id
from evalhub.web.json import BadJson, loads_strict
from runs.cases import CaseSpec

MOST_CASES = 2_000
LONGEST_NAME = 300
LONGEST_TAG = 80
MOST_TAGS = 50
LONGEST_ID = 255

LINES, JSONL = "lines", "jsonl"

# The words that data sets use, ours first.
INPUTS = ("inputs", "input", "prompt", "question", "query")
EXPECTED = ("expected", "expected_output", "expectedOutput", "reference", "answer", "ideal", "target", "output")
NAMES = ("name", "title")
IDS = ("external_id", "id")


@dataclass(slots=True)
class Pasted:
    specs: list[CaseSpec] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)  # where each spec stands
    problems: list[tuple[int, str]] = field(default_factory=list)
    spare: set[str] = field(default_factory=set)  # keys that are kept as attributes


def looks_like_jsonl(text: str) -> bool:
    return text.lstrip().startswith("{")


def read_pasted(text: str, form: str) -> Pasted:
    """The cases that the text describes, and what is wrong in which line."""
    pasted = Pasted()
    seen: dict[str, int] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        if len(pasted.specs) == MOST_CASES:
            pasted.problems.append((number, f"Only {MOST_CASES:,} cases fit into one paste. Add the rest afterwards."))
            break
        try:
            spec = CaseSpec(external_id="", inputs={"input": line.strip()}) if form == LINES else _read(line, pasted)
            if spec.external_id and (before := seen.setdefault(spec.external_id, number)) != number:
                raise BadJson(f"The id “{spec.external_id}” is already in line {before}.")
        except BadJson as problem:
            pasted.problems.append((number, str(problem)))
        else:
            pasted.specs.append(spec)
            pasted.lines.append(number)
    return pasted


def _read(line: str, pasted: Pasted) -> CaseSpec:
    value = loads_strict(line)
    if isinstance(value, str):
        value = {"input": value}
    if not isinstance(value, dict):
        raise BadJson('A line is an object such as {"input": "…", "expected": "…"}, or a text in quotes.')
    rest = dict(value)
    inputs = _take(rest, INPUTS)
    if inputs in (None, "", {}, []):
        raise BadJson(f"There is no input. It is looked for under {_listed(INPUTS)}.")
    expected = _take(rest, EXPECTED)
    name = _text(_take(rest, NAMES), "name", LONGEST_NAME)
    external_id = _text(_take(rest, IDS), "id", LONGEST_ID)
    tags = _tags(rest.pop("tags", None))
    metadata = rest.pop("metadata", None)
    if metadata is not None and not isinstance(metadata, dict):
        raise BadJson("“metadata” is an object.")
    spare = {**rest, **({"metadata": metadata} if metadata else {})}
    pasted.spare |= set(spare)
    return CaseSpec(
        external_id=normal_external_id(external_id) if external_id else "",
        name=name,
        inputs=inputs if isinstance(inputs, dict) else {"input": inputs},
        expected=expected if isinstance(expected, dict) or expected is None else {"output": expected},
        tags=tags,
        attributes=spare,
    )


def _take(rest: dict[str, Any], names: Iterable[str]) -> Any:
    """The value under the first of the names that is there; the others stay."""
    for name in names:
        if name in rest:
            return rest.pop(name)
    return None


def _text(value: Any, what: str, longest: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadJson(f"“{what}” is a text.")
    text = str(value).strip()
    if len(text) > longest:
        raise BadJson(f"“{what}” has {len(text)} characters, and {longest} fit.")
    return text


def _tags(value: Any) -> list[str]:
    if value is None:
        return []
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadJson("“tags” is a list of texts.")
    tags = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
        raise BadJson(f"“tags” are at most {MOST_TAGS}, each of at most {LONGEST_TAG} characters.")
    return tags


def _listed(names: Iterable[str]) -> str:
    *most, last = [f"“{name}”" for name in names]
    return f"{', '.join(most)} or {last}"
