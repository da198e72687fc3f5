"""What the columns of a table mean: a first guess, what people say instead, and whether that makes sense."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from evalhub.importers.problems import ImportProblem
from evalhub.importers.tables import Column

WIDE, LONG = "wide", "long"
LAYOUTS = {WIDE: "One row is one result", LONG: "One row is one judgement; several rows make a result"}

ROLES = {
    "case": "Case id",
    "input": "Input",
    "expected": "Expected output",
    "output": "Output",
    "error": "Error",
    "outcome": "Outcome (pass, fail, error)",
    "latency_ms": "Latency in milliseconds",
    "latency_s": "Latency in seconds",
    "cost": "Cost in US dollars",
    "tokens": "Tokens",
    "run": "Run",
    "variant": "Variant (model, prompt)",
    "repetition": "Repetition",
    "tags": "Tags",
    "metadata": "Metadata",
    "score": "Score of an evaluator",
    "label": "Label of an evaluator",
    "passed": "Verdict of an evaluator",
    "explanation": "Explanation of an evaluator",
    "annotator": "Who judged",
    "rating": "Rating by a person",
    "evaluator": "Evaluator's name (one row a judgement)",
    "skip": "Leave out",
}
SEVERAL = frozenset(
    {"input", "tags", "metadata", "skip", "score", "label", "passed", "explanation", "annotator", "rating"}
)
OF_EVALUATOR = frozenset({"score", "label", "passed", "explanation", "annotator", "rating"})
TELLING = frozenset({"output", "error", "outcome", "score", "label", "passed", "rating"})

NOTHING_TOLD = (
    "Choose at least one column that holds an output, an error, an outcome or a judgement. "
    "A table of cases alone is no run: it belongs into a test set."
)

GUESSES = (
    ("case", r"id|idx|index|case|case_?id|test_?id|sample_?id|question_?id|item"),
    ("input", r"input|inputs|question|prompt|query|user_?input|instruction|message|instance"),
    ("expected", r"expected|expected_\w+|reference|reference_\w+|ground_?truth|target|gold|ideal"),
    ("output", r"output|response|completion|actual|actual_output|prediction|model_output|generated|answer|generation"),
    ("error", r"error|error_message|exception"),
    ("outcome", r"outcome|status"),
    ("latency_ms", r"latency|latency_ms|duration_ms|time_ms"),
    ("latency_s", r"latency_s|latency_seconds|duration|duration_s|seconds|elapsed"),
    ("cost", r"cost|cost_usd|price|total_cost"),
    ("tokens", r"tokens|total_tokens|token_count"),
    ("run", r"run|run_id|run_name|experiment"),
    ("variant", r"variant|model|system|provider"),
    ("repetition", r"repetition|epoch|trial|attempt"),
    ("tags", r"tags?|labels"),
    ("evaluator", r"evaluator|metric|criterion|scorer|dimension"),
    ("score", r"score|value"),
    ("label", r"label|verdict|grade"),
    ("passed", r"passed|pass|success|correct|is_correct"),
    ("explanation", r"explanation|reason|reasoning|rationale|comment|feedback"),
    ("annotator", r"annotator|rater|author|reviewer|judge|annotated_by"),
    ("rating", r"(annotator|rater|judge|reviewer)[_ ]?\d+|rating|is_accepted|individual_human_scores"),
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of one column. ``evaluator``: whose score, label, ... it is; ``threshold``: from which score on it passes."""

    role: str
    evaluator: str = ""
    threshold: float | None = None


@dataclass(slots=True)
class ColumnMapping:
    layout: str = WIDE
    columns: dict[str, Meaning] = field(default_factory=dict)

    def all(self, role: str) -> list[str]:
        return [name for name, meaning in self.columns.items() if meaning.role == role]

    def one(self, role: str) -> str | None:
        return next(iter(self.all(role)), None)

    def groups(self) -> dict[str, dict[str, str]]:
        """Evaluator -> role -> column; in the long layout there is one group, under its own name."""
        found: dict[str, dict[str, str]] = {}
        for name, meaning in self.columns.items():
            if meaning.role in OF_EVALUATOR - {"rating"}:
                found.setdefault("" if self.layout == LONG else meaning.evaluator, {})[meaning.role] = name
        return found

    def threshold_of(self, evaluator: str) -> float | None:
        said = (m.threshold for m in self.columns.values() if m.evaluator == evaluator and m.threshold is not None)
        return next(said, None)

    def as_json(self) -> dict[str, Any]:
        return {
            "layout": self.layout,
            "columns": {
                name: {
                    key: value
                    for key, value in (
                        ("role", meaning.role),
                        ("evaluator", meaning.evaluator),
                        ("threshold", meaning.threshold),
                    )
                    if value not in ("", None)
                }
                for name, meaning in self.columns.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], known: list[str]) -> Self:
        """The mapping, checked against the columns of the file; a problem that says what does not fit."""
        layout, columns = data.get("layout", WIDE), data.get("columns")
        if layout not in LAYOUTS:
            raise ImportProblem(f"The layout of a mapping is {WIDE} or {LONG}, not {layout!r}.")
        if not isinstance(columns, dict):
            raise ImportProblem("A mapping names columns: {columns: {name: {role: ...}}}.")
        mapping = cls(layout, {str(name): meaning_of(str(name), said) for name, said in columns.items()})
        mapping.check(known)
        return mapping

    def check(self, known: list[str]) -> None:
        for name in self.columns:
            if name not in known:
                raise ImportProblem(f"The mapping names a column that the file does not have: {name}")
        roles = [meaning.role for meaning in self.columns.values()]
        for role in ROLES:
            if role not in SEVERAL and roles.count(role) > 1:
                raise ImportProblem(f"Only one column can be: {ROLES[role]}")
        if not TELLING & set(roles):
            raise ImportProblem(NOTHING_TOLD)
        if self.layout == LONG:
            for role in OF_EVALUATOR:
                if roles.count(role) > 1 and role != "rating":
                    raise ImportProblem(f"With one row a judgement, only one column can be: {ROLES[role]}")
        elif "evaluator" in roles:
            raise ImportProblem("A column with evaluators' names needs the layout with one row a judgement.")
        else:
            told = [(m.evaluator, m.role) for m in self.columns.values() if m.role in OF_EVALUATOR - {"rating"}]
            for evaluator, role in told:
                if told.count((evaluator, role)) > 1:
                    raise ImportProblem(f"Only one column of {evaluator} can be: {ROLES[role]}")
            for evaluator, group in self.groups().items():
                if not group.keys() & {"score", "label", "passed"}:
                    raise ImportProblem(f"{evaluator} has no column with a score, label or verdict.")


def meaning_of(name: str, said: Any) -> Meaning:
    said = {"role": said} if isinstance(said, str) else said
    if not isinstance(said, dict) or said.get("role") not in ROLES:
        raise ImportProblem(f"Nothing is known of what column {name} means; roles are: {', '.join(ROLES)}")
    threshold = said.get("threshold")
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold)
    ):
        raise ImportProblem(f"The threshold of column {name} is not a number.")
    evaluator = str(said.get("evaluator") or "").strip()
    if said["role"] in OF_EVALUATOR and not evaluator:
        evaluator = name
    return Meaning(said["role"], evaluator if said["role"] in OF_EVALUATOR else "", threshold)


def guess(columns: list[Column]) -> ColumnMapping:
    """A first proposal from the columns' names and kinds of values."""
    roles: dict[str, str] = {}
    inputs: set[str] = set()
    for column in columns:
        role = guessed_role(column)
        again = role == "input" and plain_name(column.name) in inputs  # the same thing once more, deeper inside
        if again or (role in roles.values() and role not in SEVERAL):
            role = "metadata"
        if role == "input":
            inputs.add(plain_name(column.name))
        roles[column.name] = role
    first = columns[0]
    if "case" not in roles.values() and first.name == "column 1" and first.kind == "text":
        roles[first.name] = "case"  # what pandas wrote: the names of the rows have no heading
    taken = set(roles.values())
    if "evaluator" in taken and taken & {"score", "label", "passed"}:
        return ColumnMapping(LONG, {name: Meaning(long_role(name, role)) for name, role in roles.items()})
    return ColumnMapping(WIDE, wide_meanings(roles))


def long_role(name: str, role: str) -> str:
    """Numbers beside the one score of each row are no judgements."""
    fits = role not in OF_EVALUATOR or re.fullmatch(pattern_of(role), plain_name(name))
    return role if fits else "metadata"


def wide_meanings(roles: dict[str, str]) -> dict[str, Meaning]:
    """Each judging column is an evaluator of its own; a lone one takes the explanation and the annotator."""
    judging = [name for name, role in roles.items() if role in ("score", "label", "passed")]
    alone = judging[0] if len(judging) == 1 else ""
    names = evaluator_names([name for name in roles if name in judging])
    meanings = {}
    for name, role in roles.items():
        if name in names:
            meanings[name] = Meaning(role, names[name])
        elif role == "rating":
            meanings[name] = Meaning(role, rated_by(name))
        elif role in ("explanation", "annotator") and alone:
            meanings[name] = Meaning(role, names[alone])
        else:
            meanings[name] = Meaning("metadata" if role in ("explanation", "annotator", "evaluator") else role)
    return meanings


def guessed_role(column: Column) -> str:
    if column.kind == "empty":
        return "skip"
    name = plain_name(column.name)
    for role, pattern in GUESSES:
        if re.fullmatch(pattern, name):
            if role in ("score", "latency_ms", "latency_s", "cost", "tokens") and column.kind != "number":
                continue
            return role
    if re.fullmatch(r"column_\d+", name):  # without a name of its own, so often the number of the row
        return "metadata"
    return {"number": "score", "true/false": "score"}.get(column.kind, "metadata")


def pattern_of(role: str) -> str:
    return next(pattern for known, pattern in GUESSES if known == role)


def plain_name(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.rsplit(".", 1)[-1].strip().lower())


def evaluator_names(columns: list[str]) -> dict[str, str]:
    """The last part of each name; where that is not enough to tell two apart, as many parts as it takes."""
    names = {}
    for column in columns:
        parts = column.split(".")
        others = [other.split(".") for other in columns if other != column]
        length = next((n for n in range(1, len(parts)) if all(o[-n:] != parts[-n:] for o in others)), len(parts))
        names[column] = ".".join(parts[-length:])
    return names


def rated_by(column: str) -> str:
    """annotations.Fluency.individual_human_scores is about Fluency; annotator1 to 3 rate the same thing."""
    parts = column.split(".")
    if len(parts) > 1 and plain_name(column) == "individual_human_scores":
        return parts[-2]
    return "rating" if re.fullmatch(r"(annotator|rater|judge|reviewer)[_ ]?\d+", plain_name(column)) else parts[-1]
