"""Judging without a model: the checks of ``runs.checks``, each with a limit on the time that hostile text can cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import regex
from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from evalhub.web.json import dumps
from results.models import Evaluation, TestResult
from results.models.results import text_of
from results.records import Judgement
from runs.checks import CHECKS, check_of, problems_of, settings_of
from runs.extracting import BadAnswer, read_body
from runs.models import Evaluator

PATIENCE: Final = 1.0  # seconds that one check may take
LONGEST: Final = 1_000_000  # characters of a text that patterns are tried on
NUMBER: Final = regex.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|[-+]?\.\d+")
WORD: Final = regex.compile(r"\w+")
REFUSALS: Final = (
    "i can't help with", "i cannot help with", "i can't assist", "i cannot assist", "i'm unable to", "i am unable to",
    "i'm not able to", "i am not able to", "i won't be able to", "i can't do that", "i cannot do that",
    "i can't provide", "i cannot provide", "i can't share", "i cannot share", "i must decline", "i have to decline",
    "i won't help", "i will not help", "i'm sorry, but i can", "i can only help with", "against my guidelines",
    "not something i can", "i can't comply", "i cannot comply", "i'm not allowed to", "i am not allowed to",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What a check looks at: one result, recorded or about to be."""

    output: Any = None  # an object; the key of a lone text is "output"
    expected: Any = None
    inputs: Any = None
    latency_ms: float | None = None
    cost: float | None = None

    @classmethod
    def of(cls, result: TestResult) -> Evidence:
        return cls(
            output=result.output,
            expected=result.expected,
            inputs=result.inputs,
            latency_ms=result.latency_ms,
            cost=result.cost,
        )


@dataclass(slots=True, kw_only=True)
class Finding:
    """``share`` (0 to 1) for percentages, ``number`` for numbers, ``holds`` for yes or no (None: no limit is set)."""

    share: float | None = None
    number: float | None = None
    holds: bool | None = None
    explanation: str = ""


class Unjudgeable(Exception):
    """There is nothing to judge by; the evaluation is unscored, with this reason."""


class CannotJudge(Exception):
    """The check broke; the evaluation is an error, with this reason."""


type Settings = Mapping[str, Any]
type Look = Callable[[Evidence, Settings], Finding]


def judge_by_check(evaluator: Evaluator, evidence: Evidence) -> Judgement:
    """What the evaluator's check says; an error or an unscored judgement, with the reason, where it says nothing."""
    definition = evaluator.definition if isinstance(evaluator.definition, dict) else {}
    if definition.get("judge") and not check_of(definition):
        return unscored(evaluator, f"Judged elsewhere ({definition['judge']}): EvalHub cannot apply it.")
    problems = problems_of(definition)
    if problems:
        return errored(evaluator, problems[0])
    began = time.monotonic()
    try:
        finding = LOOKS[check_of(definition)](evidence, settings_of(definition))
    except Unjudgeable as reason:
        return unscored(evaluator, str(reason))
    except CannotJudge as reason:
        return errored(evaluator, str(reason))
    judgement = judgement_of(evaluator, finding)
    judgement.latency_ms = round((time.monotonic() - began) * 1000, 3)
    return judgement


def judgement_of(evaluator: Evaluator, finding: Finding) -> Judgement:
    """A finding in the evaluator's own kind of value. Where it has a threshold or options, those decide."""
    judgement = Judgement(evaluator=evaluator, explanation=finding.explanation)
    if evaluator.value_type == Evaluator.ValueType.LABEL:
        if finding.holds is None:
            return unscored(evaluator, "The check has no limit set, so it gives no label.")
        options = evaluator.options if isinstance(evaluator.options, list) else []
        judgement.label = next(
            (str(option["label"]) for option in options if option.get("passes") is finding.holds),
            "pass" if finding.holds else "fail",
        )
        judgement.passed = finding.holds
        return judgement
    if evaluator.value_type == Evaluator.ValueType.NUMBER and finding.number is not None:
        judgement.value = finding.number
    else:
        share = finding.share if finding.share is not None else None if finding.holds is None else float(finding.holds)
        if share is None:
            return unscored(evaluator, "The check has no limit set, so it gives no share.")
        judgement.value = share
    if evaluator.threshold is None:
        judgement.passed = finding.holds
    return judgement


def errored(evaluator: Evaluator, reason: str) -> Judgement:
    return Judgement(evaluator=evaluator, state=Evaluation.State.ERROR, error=reason)


def unscored(evaluator: Evaluator, reason: str) -> Judgement:
    return Judgement(evaluator=evaluator, state=Evaluation.State.UNSCORED, explanation=reason)


# --- what is compared -------------------------------------------------------------------------------------------------


def _text(evidence: Evidence, settings: Settings) -> str:
    value = _value(evidence, settings)
    return value if isinstance(value, str) else text_of(value)


def _value(evidence: Evidence, settings: Settings) -> Any:
    key = settings.get("key")
    if not key:
        return evidence.output
    if not isinstance(evidence.output, dict) or key not in evidence.output:
        raise Unjudgeable(f"The output has no “{key}”.")
    return evidence.output[key]


def _wanted(evidence: Evidence, settings: Settings, name: str = "value") -> Any:
    """What the setting says, else the case's expected output."""
    if settings.get(name) is not None:
        return settings[name]
    expected, key = evidence.expected, settings.get("expected_key")
    if key:
        if not isinstance(expected, dict) or expected.get(key) is None:
            raise Unjudgeable(f"The expected output has no “{key}”.")
        return expected[key]
    if expected in (None, {}, ""):
        raise Unjudgeable("Nothing is expected of this case.")
    return expected


def _wanted_text(evidence: Evidence, settings: Settings) -> str:
    wanted = _wanted(evidence, settings)
    return wanted if isinstance(wanted, str) else text_of(wanted)


def _holds(found: bool, settings: Settings) -> bool:
    return found is (settings.get("expect", "present") == "present")


def _checkable(text: str) -> str:
    if len(text) > LONGEST:
        raise CannotJudge(f"The output has {len(text):,} characters, and {LONGEST:,} are the most for this check.")
    return text


# --- the checks -------------------------------------------------------------------------------------------------------


def exact(evidence: Evidence, settings: Settings) -> Finding:
    said, wanted = _text(evidence, settings).strip(), _wanted_text(evidence, settings).strip()
    if settings.get("ignore_case"):
        said, wanted = said.casefold(), wanted.casefold()
    same = said == wanted
    return Finding(holds=same, explanation="" if same else f"Expected “{_short(wanted)}”.")


def contains(evidence: Evidence, settings: Settings) -> Finding:
    wanted = _wanted(evidence, settings, "values")
    texts = (
        [str(one) for one in wanted]
        if isinstance(wanted, list)
        else [wanted if isinstance(wanted, str) else text_of(wanted)]
    )
    if not texts:
        raise Unjudgeable("No text is wanted.")
    said = _text(evidence, settings)
    fold: Callable[[str], str] = str.casefold if settings.get("ignore_case", True) else str
    folded = fold(said)
    found = [text for text in texts if fold(text) in folded]
    missing = [text for text in texts if text not in found]
    if settings.get("expect", "present") == "absent":
        share = (len(texts) - len(found)) / len(texts)
        return Finding(
            share=share,
            number=float(len(found)),
            holds=not found,
            explanation=f"Holds {_list(found)}." if found else "",
        )
    holds = bool(found) if settings.get("any") else not missing
    share = float(holds) if settings.get("any") else len(found) / len(texts)
    return Finding(
        share=share, number=float(len(found)), holds=holds, explanation=f"Missing: {_list(missing)}." if missing else ""
    )


def pattern(evidence: Evidence, settings: Settings) -> Finding:
    text = _checkable(_text(evidence, settings))
    match = search(settings["pattern"], text, whole=bool(settings.get("whole")), fold=bool(settings.get("ignore_case")))
    said = f"Found “{_short(match)}”." if match is not None else "The pattern is not there."
    return Finding(holds=_holds(match is not None, settings), explanation=said)


def search(expression: str, text: str, *, whole: bool = False, fold: bool = False) -> str | None:
    """What the expression finds, within the time limit."""
    compiled = regex.compile(expression, regex.IGNORECASE if fold else 0)
    try:
        match = (compiled.fullmatch if whole else compiled.search)(text, timeout=PATIENCE)
    except TimeoutError:
        raise CannotJudge(f"The pattern took more than {PATIENCE:g} s on this output.") from None
    return match.group() if match else None


def json_schema(evidence: Evidence, settings: Settings) -> Finding:
    value = _value(evidence, settings)
    if isinstance(value, dict) and set(value) == {"output"} and not settings.get("key"):
        value = value["output"]
    if isinstance(value, str):
        try:
            value = read_body(value.encode(), "json", None)
        except BadAnswer as problem:
            return Finding(holds=False, explanation=str(problem))
    token = DEADLINE.set(time.monotonic() + PATIENCE)
    try:
        checker = SchemaChecker(settings["schema"], registry=Registry())
        found = [error for error, _ in zip(checker.iter_errors(value), range(3), strict=False)]
    except Unresolvable as problem:
        raise CannotJudge(f"The schema refers to {problem.ref}, and nothing is fetched.") from None
    except RecursionError:
        raise CannotJudge("The schema refers to itself without end.") from None
    finally:
        DEADLINE.reset(token)
    said = "; ".join(f"{error.json_path}: {_short(error.message, 160)}" for error in found)
    return Finding(holds=not found, explanation=said)


def numeric(evidence: Evidence, settings: Settings) -> Finding:
    said = _number(_value(evidence, settings))
    if said is None:
        return Finding(holds=False, share=0.0, explanation="There is no number in the output.")
    wanted = _number(_wanted(evidence, settings))
    if wanted is None:
        raise Unjudgeable("No number is expected of this case.")
    away = abs(said - wanted)
    allowed = max(float(settings.get("tolerance", 0)), abs(wanted) * float(settings.get("relative", 0)))
    holds = away <= allowed or math.isclose(said, wanted, rel_tol=1e-12)
    return Finding(holds=holds, number=away, explanation=f"{said:g}, expected {wanted:g}.")


def length(evidence: Evidence, settings: Settings) -> Finding:
    text, unit = _text(evidence, settings), settings.get("unit", "characters")
    count = {"characters": len(text), "words": len(text.split()), "lines": len(text.splitlines())}[unit]
    return _within(float(count), settings, f"{count:,} {unit}.")


def latency(evidence: Evidence, settings: Settings) -> Finding:
    if evidence.latency_ms is None:
        raise Unjudgeable("How long the answer took is not known.")
    return _within(evidence.latency_ms, settings, f"{evidence.latency_ms:,.0f} ms.")


def cost(evidence: Evidence, settings: Settings) -> Finding:
    if evidence.cost is None:
        raise Unjudgeable("What the answer cost is not known.")
    return _within(evidence.cost, settings, f"{evidence.cost:g} US dollars.")


def refusal(evidence: Evidence, settings: Settings) -> Finding:
    said = _text(evidence, settings).casefold().replace("’", "'")
    phrases = [*REFUSALS, *(str(one).casefold().replace("’", "'") for one in settings.get("phrases", ()))]
    found = next((phrase for phrase in phrases if phrase and phrase in said), None)
    holds = found is not None if settings.get("expect", "present") == "present" else found is None
    return Finding(holds=holds, explanation=f"Refuses: “{found}”." if found else "It does not refuse.")


def word_overlap(evidence: Evidence, settings: Settings) -> Finding:
    wanted = set(_words(_wanted_text(evidence, settings)))
    if not wanted:
        raise Unjudgeable("The expected output has no words.")
    return Finding(share=len(wanted & set(_words(_text(evidence, settings)))) / len(wanted))


def bleu(evidence: Evidence, settings: Settings) -> Finding:
    wanted = _wanted_text(evidence, settings)
    try:
        from sacrebleu import sentence_bleu
    except ImportError:
        raise CannotJudge("BLEU needs the extra “text”: pip install 'evalhub[text]'.") from None
    return Finding(share=sentence_bleu(_checkable(_text(evidence, settings)), [wanted]).score / 100)


def rouge_l(evidence: Evidence, settings: Settings) -> Finding:
    """F1 of the longest common sequence of words, as Lin (2004) defines ROUGE-L with beta 1."""
    wanted, said = _words(_wanted_text(evidence, settings)), _words(_checkable(_text(evidence, settings)))
    try:
        from rapidfuzz.distance import LCSseq
    except ImportError:
        raise CannotJudge("ROUGE-L needs the extra “text”: pip install 'evalhub[text]'.") from None
    if not wanted:
        raise Unjudgeable("The expected output has no words.")
    common = LCSseq.similarity(wanted, said)
    return Finding(share=2 * common / (len(wanted) + len(said)))


LOOKS: Final[dict[str, Look]] = {
    "exact": exact,
    "contains": contains,
    "regex": pattern,
    "json_schema": json_schema,
    "numeric": numeric,
    "length": length,
    "latency": latency,
    "cost": cost,
    "refusal": refusal,
    "word_overlap": word_overlap,
    "bleu": bleu,
    "rouge_l": rouge_l,
}
assert set(LOOKS) == set(CHECKS)


# --- small parts ------------------------------------------------------------------------------------------------------


def _within(number: float, settings: Settings, said: str) -> Finding:
    least, most = settings.get("min"), settings.get("max")
    holds = None
    if least is not None or most is not None:
        holds = (least is None or number >= least) and (most is None or number <= most)
    return Finding(number=number, holds=holds, explanation=said)


def _number(value: Any) -> float | None:
    """The value itself, or the last number in its text: answers end with what was asked."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict) and len(value) == 1:
        (only,) = value.values()
        if isinstance(only, int | float) and not isinstance(only, bool):
            return _number(only)
    found = NUMBER.findall(_checkable(value if isinstance(value, str) else text_of(value)), timeout=PATIENCE)
    number = float(found[-1].replace(",", "")) if found else math.nan
    return number if math.isfinite(number) else None


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def _short(text: str, most: int = 80) -> str:
    line = " ".join(text[: 2 * most].split())
    return line if len(line) <= most else f"{line[:most]}…"


def _list(texts: list[str]) -> str:
    shown = ", ".join(f"“{_short(text, 60)}”" for text in texts[:5])
    return shown if len(texts) <= 5 else f"{shown} and {len(texts) - 5} more"


DEADLINE: Final[ContextVar[float]] = ContextVar("deadline")
_BASE: Final = Draft202012Validator.VALIDATORS


def _in_time(check: Any) -> Any:
    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if time.monotonic() > DEADLINE.get():
            raise CannotJudge(f"The schema took more than {PATIENCE:g} s on this output.")
        yield from check(validator, value, instance, schema) or ()

    return checked


def _pattern(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and search(value, instance) is None:
        yield ValidationError(f"does not match {value!r}")


def _pattern_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for expression, inner in value.items():
            for name, item in instance.items():
                if search(expression, name) is not None:
                    yield from validator.descend(item, inner, path=name, schema_path=expression)


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict) or value is True:
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    more = [name for name in instance if name not in named and all(search(one, name) is None for one in patterns)]
    if isinstance(value, dict):
        for name in more:
            yield from validator.descend(instance[name], value, path=name)
    elif more:
        yield ValidationError(f"has more properties: {_list(more)}")


def _unique(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if value and isinstance(instance, list) and len({dumps(item) for item in instance}) < len(instance):
        yield ValidationError("has non-unique elements")


SchemaChecker: Final[Any] = validators.extend(
    Draft202012Validator,
    {name: _in_time(check) for name, check in _BASE.items()}
    | {
        "pattern": _in_time(_pattern),
        "patternProperties": _in_time(_pattern_properties),
        "additionalProperties": _in_time(_additional),
        "uniqueItems": _in_time(_unique),
    },
)
