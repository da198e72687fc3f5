"""Inspect scores as judgements: letters, numbers, truth values, dicts; unscored ones; edits by people."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from evalhub.importers.description import as_dict, as_list, moment, number, text
from results.models import Evaluation
from results.records import Judgement
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator

# label: (value, passes). A partly right answer is not a right one.
LETTERS = {"C": (1.0, True), "P": (0.5, False), "I": (0.0, False), "N": (0.0, False)}
WORDS = {"yes": (1.0, True), "true": (1.0, True), "no": (0.0, False), "false": (0.0, False)}
UNCHANGED = "UNCHANGED"
FIELDS = ("value", "answer", "explanation", "metadata")


class ScoreReader:
    """The scorers of one log. Each has one spec, which its first real value completes."""

    def __init__(self, header: dict[str, Any]) -> None:
        self.scorers = {
            text(s.get("name")): s for s in map(as_dict, as_list(as_dict(header.get("eval")).get("scorers")))
        }
        results = as_dict(header.get("results"))
        old = text(as_dict(results.get("scorer")).get("name"))
        self.only_name = next(iter(self.scorers), old) or "score"
        self.metrics = declared_metrics(results)
        self.specs: dict[str, EvaluatorSpec] = {}
        self.typed: set[str] = set()

    def judgements(self, name: str, score: dict[str, Any]) -> list[Judgement]:
        """The machine's judgement, then every edit by a person; one each for every key of a dict."""
        history = [as_dict(entry) for entry in as_list(score.get("history"))]
        states = states_of(score, history)
        found: list[Judgement] = []
        before: dict[str, Any] = {}
        edits: Counter[tuple[str, str]] = Counter()
        for state in states:
            values = values_of(name, state.get("value"))
            who = as_dict(state.get("provenance"))
            for key, value in values.items():
                if who and key in before and same(before[key], value):
                    continue  # an edit of a dict repeats the keys that it leaves alone
                judgement = self.judgement(key, value, state)
                if who:
                    author = text(who.get("author")) or "unknown"
                    judgement.source = Evaluation.Source.HUMAN
                    judgement.author_name = author[:200]
                    judgement.nth = edits[key, author]
                    edits[key, author] += 1
                    judgement.created_at = moment(who.get("timestamp"))
                    judgement.explanation = text(who.get("reason")) or judgement.explanation
                found.append(judgement)
            before = values
        return found

    def judgement(self, name: str, value: Any, state: dict[str, Any]) -> Judgement:
        metadata = {**as_dict(state.get("metadata"))}
        metadata |= {key: state[key] for key in ("answer", "reason") if state.get(key) is not None}
        judgement = Judgement(
            evaluator=self.spec(name, value), explanation=text(state.get("explanation")), metadata=metadata
        )
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            judgement.state = Evaluation.State.UNSCORED
            judgement.explanation = judgement.explanation or text(state.get("reason")) or "not scored"
            return judgement
        judgement.value, judgement.label, judgement.passed = meaning(value)
        return judgement

    def spec(self, name: str, value: Any) -> EvaluatorSpec:
        scorer = self.scorers.get(name) or self.scorers.get(name.split(".", 1)[0]) or {}
        options = as_dict(scorer.get("options")) or as_dict(scorer.get("params"))
        if name not in self.specs:
            graded = "model" in options or name.startswith("model_graded")
            self.specs[name] = EvaluatorSpec(
                name=name,
                who=Evaluator.Who.AI if graded else Evaluator.Who.HEURISTIC,
                definition={"tool": "Inspect AI", "scorer": scorer.get("name") or name, "options": options},
            )
        spec = self.specs[name]
        if name not in self.typed and value is not None and value == value:
            self.typed.add(name)
            complete(spec, value, is_accuracy="accuracy" in self.metrics.get(name, ()))
        return spec


def declared_metrics(results: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for score in map(as_dict, as_list(results.get("scores"))):
        names = {name.rsplit("/", 1)[-1] for name in as_dict(score.get("metrics"))}
        for key in (text(score.get("name")), f"{text(score.get('scorer'))}.{text(score.get('name'))}"):
            found.setdefault(key, set()).update(names)
    return found


def complete(spec: EvaluatorSpec, value: Any, *, is_accuracy: bool) -> None:
    """What kind of values the scorer gives. Accuracy counts 1 as right, so such numbers have a verdict."""
    is_letter = isinstance(value, str) and value in LETTERS
    if is_letter or isinstance(value, bool) or (isinstance(value, str) and value.lower() in WORDS):
        table = LETTERS if is_letter else WORDS
        spec.value_type = Evaluator.ValueType.LABEL
        spec.options = [{"label": label, "value": share, "passes": ok} for label, (share, ok) in table.items()]
        spec.min_score, spec.max_score = 0, 1
    elif number_in(value) is None:
        spec.value_type = Evaluator.ValueType.LABEL
    elif is_accuracy:
        spec.value_type = Evaluator.ValueType.PERCENTAGE
        spec.min_score, spec.max_score, spec.threshold = 0, 1, 1


def states_of(score: dict[str, Any], history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The score as it was first, and after each edit; what an edit leaves unchanged is filled in."""
    if not history:
        return [score]
    states: list[dict[str, Any]] = []
    current: dict[str, Any] = {"value": None, "reason": score.get("reason")}
    for entry in history:
        changed = {key: entry[key] for key in FIELDS if key in entry and entry[key] != UNCHANGED}
        current = {**current, **changed, "provenance": entry.get("provenance")}
        states.append(current)
    return states


def values_of(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"{name}.{key}": item for key, item in value.items()}
    return {name: value}


def same(one: Any, other: Any) -> bool:
    return one == other or (one != one and other != other)


def meaning(value: Any) -> tuple[float | None, str | None, bool | None]:
    """(number, label, verdict) of a raw value. None leaves the verdict to the evaluator's threshold."""
    if isinstance(value, bool):
        return float(value), str(value).lower(), value
    if isinstance(value, str):
        if value in LETTERS:
            return LETTERS[value][0], value, LETTERS[value][1]
        if value.lower() in WORDS:
            share, passes = WORDS[value.lower()]
            return share, value, passes
        return number_in(value), value[:300], None
    if isinstance(value, list):
        return None, json.dumps(value, ensure_ascii=False, default=str)[:300], None
    return number(value), None, None


def number_in(value: Any) -> float | None:
    """A number, also one written as text."""
    if isinstance(value, str):
        try:
            return number(float(value))
        except ValueError:
            return None
    return number(value)
