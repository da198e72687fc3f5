"""One result as a person reads it: what was said, how it was judged, what it took, what has happened to it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from evalhub.audit.models import AuditEvent
from evalhub.web import formats
from results.models import Evaluation, Outcome, Review, ReviewAssignment, Step, TestResult
from results.models.results import text_of
from runs.models import Comment, Evaluator

HISTORY_RUNS: Final = 10
MOST_HISTORY_ROWS: Final = 200
MOST_STEPS: Final = 200
MOST_TURNS: Final = 300
STEP_CHARACTERS: Final = 3_000
LONGEST_INLINE: Final = 200
OPERATORS: Final = {">=": "≥", ">": ">", "<=": "≤", "<": "<", "=": "=", "!=": "≠"}
ROLES: Final = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}


# --- what was said ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Message:
    role: str
    who: str
    text: str
    tools: list[dict[str, str]] = field(default_factory=list)
    reasoning: str = ""
    error: str = ""
    name: str = ""

    @property
    def is_tool(self) -> bool:
        return self.role == "tool"


@dataclass(slots=True)
class Turn:
    number: int
    messages: list[Message]
    outcome: str = ""
    latency_ms: float | None = None
    comments: list[Comment] = field(default_factory=list)
    evaluations: list[Judged] = field(default_factory=list)
    verdicts: list[Evaluation] = field(default_factory=list)  # what people said of it alone


def turns_of(result: TestResult) -> list[Turn]:
    """The conversation; whatever shape a sender chose, nothing of it breaks the page."""
    turns: list[Turn] = []
    if not isinstance(result.conversation, list):
        return turns
    for place, raw in enumerate(result.conversation[:MOST_TURNS], 1):
        if not isinstance(raw, dict):
            turns.append(Turn(place, [Message("", "Message", compact(raw))]))
            continue
        number = raw.get("turn")
        success = raw.get("success")
        messages = raw.get("messages")
        turns.append(
            Turn(
                number if isinstance(number, int) and not isinstance(number, bool) else place,
                [message_of(one) for one in messages] if isinstance(messages, list) else [],
                {True: "passed", False: "failed"}.get(success, "") if isinstance(success, bool) else "",
                number_or_none(raw.get("latency_ms")),
            )
        )
    return turns


@dataclass(slots=True)
class Goal:
    """What the user of a conversation wanted, and whether it was reached."""

    text: str
    outcome: str
    word: str
    reason: str


def goal_of(result: TestResult) -> Goal | None:
    output = result.output if isinstance(result.output, dict) else {}
    text, reached, weighed = output.get("goal"), output.get("goal_achieved"), output.get("goal_evaluation")
    if not isinstance(text, str) or not text or "goal_achieved" not in output:
        return None
    reason = weighed.get("reason") if isinstance(weighed, dict) else None
    words = {True: ("passed", "Reached"), False: ("failed", "Not reached")}
    outcome, word = words.get(reached, ("", "")) if isinstance(reached, bool) else ("cant_tell", "Can’t tell")
    return Goal(text, outcome, word, reason if isinstance(reason, str) else "")


def message_of(raw: Any) -> Message:
    if not isinstance(raw, dict):
        return Message("", "Message", compact(raw))
    role = str(raw.get("role") or "")
    calls = raw.get("tool_calls")
    return Message(
        role,
        ROLES.get(role, role.capitalize() or "Message"),
        content_of(raw.get("content")),
        [tool_of(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else [],
        content_of(raw.get("reasoning")),
        content_of(raw.get("error")),
        str(raw.get("name") or ""),
    )


def content_of(content: Any) -> str:
    """A message's text: as it is, or the text parts of a list with a word for each part of another kind."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text") or f"[{part.get('type', 'part')}]") if isinstance(part, dict) else str(part)
            for part in content
        )
    return compact(content)


def tool_of(call: Mapping[str, Any]) -> dict[str, str]:
    """A call as one line: name(argument="…")."""
    function = call.get("function")
    inner: Mapping[str, Any] = function if isinstance(function, dict) else {}
    name = str(call.get("name") or inner.get("name") or (function if isinstance(function, str) else "") or "tool")
    arguments = call.get("arguments", inner.get("arguments"))
    if isinstance(arguments, dict):
        words = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    else:
        words = "" if arguments is None else str(arguments)
    return {"name": name, "call": f"{name}({words})"}


def compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number_or_none(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def last_answer(turns: Sequence[Turn]) -> str:
    """What the assistant said last, for the comparison with what was expected."""
    for turn in reversed(turns):
        for message in reversed(turn.messages):
            if message.role == "assistant" and message.text:
                return message.text
    return ""


def named_inputs(inputs: Any) -> list[tuple[str, str]]:
    """Several inputs by name; nothing where there is one text to read."""
    if not isinstance(inputs, dict) or len(inputs) < 2:
        return []
    return [(str(name), compact(value)) for name, value in inputs.items()]


def answer_of(result: TestResult, turns: Sequence[Turn]) -> str:
    return text_of(result.output) or last_answer(turns)


# --- how it was judged ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Judged:
    """One evaluator (and turn): what the machine said, and beside it what people said."""

    name: str
    evaluator: Evaluator | None
    turn: int | None
    machine: Evaluation | None = None
    people: list[Evaluation] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """What the machine said; what people said where it said nothing."""
        found = self.machine or (self.people[-1] if self.people else None)
        if found is None:
            return ""
        if found.state != Evaluation.State.SCORED:
            return str(found.state)
        return {True: "passed", False: "failed", None: "scored"}[found.passed]

    @property
    def verdicts(self) -> list[Evaluation]:
        return [one for one in self.people if one.state != Evaluation.State.PENDING]

    @property
    def waits_for_person(self) -> bool:
        return self.machine is None and not self.verdicts

    @property
    def is_corrected(self) -> bool:
        machine = self.machine
        return machine is not None and machine.passed is not None and machine.effective is not machine.passed

    @property
    def score(self) -> str:
        found = self.machine or (self.verdicts[-1] if self.verdicts else None)
        if found is None or found.state != Evaluation.State.SCORED:
            return formats.NONE
        if found.label and (found.value is None or self.is_labelled):
            return found.label
        return formats.score(found.value)

    @property
    def label(self) -> str:
        """The label beside a score, where both are there."""
        found = self.machine
        return found.label if found and found.label and found.value is not None and not self.is_labelled else ""

    @property
    def is_labelled(self) -> bool:
        """Its labels decide, and no number."""
        evaluator = self.evaluator
        return evaluator is not None and evaluator.value_type == Evaluator.ValueType.LABEL and bool(evaluator.options)

    @property
    def limit(self) -> str:
        """What the score is held against, with its direction: ≥ 0.80 or = correct; nothing where there is none."""
        evaluator = self.evaluator
        if evaluator is not None and self.is_labelled:
            passing = [str(option.get("label", "")) for option in evaluator.options if option.get("passes") is True]
            return f"= {' or '.join(passing)}" if passing else ""
        value = self.machine.threshold if self.machine and self.machine.threshold is not None else None
        if value is None and evaluator is not None and evaluator.value_type != Evaluator.ValueType.LABEL:
            value = evaluator.threshold
        if value is None:
            return ""
        sign = OPERATORS.get(evaluator.operator, "≥") if evaluator else "≥"
        number = f"{value:.2f}" if abs(value) < 1 and value != int(value) else formats.score(value)
        return f"{sign} {number}"

    @property
    def about(self) -> str:
        """v4 · ai · turn 3"""
        words = []
        if self.machine and self.machine.evaluator_version:
            words.append(f"v{self.machine.evaluator_version}")
        if self.evaluator is not None:
            words.append(self.evaluator.who)
        if self.turn is not None:
            words.append(f"turn {self.turn}")
        return " · ".join(words)


LOUDEST_FIRST: Final = {"failed": 0, "error": 1, "pending": 2, "unscored": 3, "scored": 4, "passed": 5}


def judgements_by_evaluator(result: TestResult) -> tuple[list[Judged], list[Evaluation]]:
    """The table of judgements, failed first; and people's verdicts on the whole result or on one turn of it."""
    rows = (
        Evaluation.objects.filter(result=result)
        .current()
        .select_related("evaluator", "author")
        .defer("debug", "usage", "metadata")
        .order_by("evaluator__name", "turn", "created_at", "id")
    )
    table: dict[tuple[UUID, int | None], Judged] = {}
    unnamed: list[Evaluation] = []
    for row in rows:
        if row.evaluator_id is None:
            unnamed.append(row)
            continue
        key = (row.evaluator_id, row.turn)
        judged = table.setdefault(key, Judged(row.evaluator.name if row.evaluator else "", row.evaluator, row.turn))
        if row.source == Evaluation.Source.MACHINE:
            judged.machine = row
        else:
            judged.people.append(row)
    ordered = sorted(
        table.values(),
        key=lambda one: (
            not one.is_corrected and LOUDEST_FIRST.get(one.outcome, 4),
            one.name.casefold(),
            one.turn or 0,
        ),
    )
    return ordered, unnamed


def note_on(judged: Iterable[Judged]) -> str:
    """2 fail · 5 pass · 1 corrected"""
    numbers: dict[str, int] = defaultdict(int)
    corrected = 0
    for one in judged:
        numbers[one.outcome] += 1
        corrected += one.is_corrected
    words = {
        "failed": "fail",
        "error": "error",
        "passed": "pass",
        "unscored": "without a score",
        "pending": "pending",
        "scored": "without a verdict",
    }
    said = [f"{numbers[key]} {word}" for key, word in words.items() if numbers[key]]
    return " · ".join([*said, f"{corrected} corrected"] if corrected else said)


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Call:
    """A step with its place on the common time line, in percent."""

    step: Step
    start: float
    width: float
    tokens: int | None

    @property
    def bar(self) -> str:
        return {"llm": "llm", "tool": "tool-bar", "retrieval": "ret"}.get(self.step.kind, "llm")

    @property
    def icon(self) -> str:
        return {"llm": "bolt", "tool": "wrench", "retrieval": "doc"}.get(self.step.kind, "code")

    @property
    def parts(self) -> list[tuple[str, Any]]:
        """What a step was given and gave back; empty parts are left out."""
        step = self.step
        named = (
            ("Inputs", step.inputs),
            ("Outputs", step.outputs),
            ("Parameters", step.parameters),
            ("Context", step.context),
        )
        return [(name, value) for name, value in named if value not in ({}, [], None, "")]


def calls_of(result: TestResult) -> list[Call]:
    steps = list(Step.objects.filter(result=result).order_by("position", "id")[:MOST_STEPS])
    places = spans_of(steps)
    return [Call(step, start, width, tokens_in(step.usage)) for step, (start, width) in zip(steps, places, strict=True)]


def spans_of(steps: Sequence[Step]) -> list[tuple[float, float]]:
    """Start and width in percent: from the clock where all steps have one, else one after the other."""
    starts = [step.started_at for step in steps]
    if steps and all(starts):
        begin = min(start for start in starts if start)
        spans = [
            ((start - begin).total_seconds() * 1000, length_of(step))
            for start, step in zip(starts, steps, strict=True)
            if start
        ]
    else:
        spans, at = [], 0.0
        for step in steps:
            spans.append((at, length_of(step)))
            at += length_of(step)
    whole = max((start + length for start, length in spans), default=0) or 1
    return [(start / whole * 100, max(length / whole * 100, 0.5)) for start, length in spans]


def length_of(step: Step) -> float:
    if step.latency_ms is not None:
        return max(step.latency_ms, 0)
    if step.started_at and step.finished_at:
        return max((step.finished_at - step.started_at).total_seconds() * 1000, 0)
    return 0


def tokens_in(usage: Any) -> int | None:
    total, known = 0, False
    for line in usage_lines(usage):
        for number in (line["total"],) if line["total"] is not None else (line["input"], line["output"]):
            if number is not None:
                total, known = total + number, True
    return total if known else None


def usage_lines(usage: Any) -> list[dict[str, Any]]:
    """{model: {input, output, ...}} as lines: model, input, output, total."""
    if not isinstance(usage, dict):
        return []
    lines = []
    for model, counts in usage.items():
        if isinstance(counts, dict):
            numbers = {name: whole_or_none(counts.get(name)) for name in ("input", "output", "total")}
            lines.append({"model": str(model), **numbers})
    return lines


def whole_or_none(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None


# --- the same case elsewhere ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """A case in one run: its one result, or how many of several passed."""

    run_id: UUID
    number: int
    run_name: str
    result_id: UUID
    at: datetime
    outcomes: list[str] = field(default_factory=list)
    is_here: bool = False

    @property
    def outcome(self) -> str:
        for worst in (Outcome.ERROR, Outcome.FAILED, Outcome.PASSED):
            if worst in self.outcomes:
                return str(worst)
        return str(Outcome.UNJUDGED)

    @property
    def words(self) -> str:
        passed = sum(outcome == Outcome.PASSED for outcome in self.outcomes)
        if len(self.outcomes) > 1:
            return f"{passed} of {len(self.outcomes)} pass"
        return {"passed": "Pass", "failed": "Fail", "error": "Error"}.get(self.outcome, "Unjudged")


def history_of(result: TestResult) -> list[Seen]:
    """The last runs that had this case, oldest first, this one among them."""
    if result.case_id is None:
        return []
    rows = (
        TestResult.objects.filter(
            case=result.case_id,
            organization=result.organization_id,
            deleted_at__isnull=True,
            run__deleted_at__isnull=True,
            run__archived_at__isnull=True,
            run__kind="test",
        )
        .order_by("-run__created_at", "-run_id")  # an old log may be imported late
        .values_list("id", "run_id", "run__number", "run__name", "run__created_at", "outcome")[:MOST_HISTORY_ROWS]
    )
    runs: dict[UUID, Seen] = {}
    for result_id, run_id, number, name, at, outcome in rows:
        seen = runs.get(run_id)
        if seen is None:
            seen = runs[run_id] = Seen(run_id, number, name, result_id, at)
        seen.outcomes.append(outcome)
        if result_id == result.pk:
            seen.result_id, seen.is_here = result_id, True
        elif not seen.is_here and outcome == Outcome.FAILED:
            seen.result_id = result_id
    newest = sorted(runs.values(), key=lambda seen: (seen.at, seen.number), reverse=True)
    shown = newest[:HISTORY_RUNS]
    if not any(seen.is_here for seen in shown):
        shown = shown[: HISTORY_RUNS - 1] + [seen for seen in newest if seen.is_here]
    return shown[::-1]


def note_on_history(history: Sequence[Seen]) -> str:
    kinds = ((Outcome.FAILED, "fail"), (Outcome.ERROR, "error"))
    counted = [(sum(seen.outcome == outcome for seen in history), word) for outcome, word in kinds]
    bad = [f"{number} of {len(history)} {word}" for number, word in counted if number]
    return " · ".join(bad) or f"{len(history)} runs, none fails"


def siblings_of(result: TestResult) -> list[dict[str, Any]]:
    """The same case's other variants and repetitions in this run, this one among them; nothing where it is alone."""
    if result.case_id is None:
        return []
    rows: list[dict[str, Any]] = list(
        TestResult.objects.filter(run=result.run_id, case=result.case_id, deleted_at__isnull=True)
        .order_by("variant__position", "repetition", "id")
        .values("id", "repetition", "outcome", "variant__label", "variant__position")[:100]  # type: ignore[arg-type]
    )
    several = len({row["repetition"] for row in rows}) > 1
    for row in rows:
        words = [row["variant__label"]] if row["variant__label"] else []
        if several or not words:
            words.append(f"#{row['repetition']}")
        row["words"] = " ".join(words)
    return rows if len(rows) > 1 else []


# --- what it took, and what came along --------------------------------------------------------------------------------


YES_NO: Final = {True: "yes", False: "no"}


OWN = "evalhub:"  # begins the names of what EvalHub itself keeps beside a sender's values


def shown_metadata(metadata: Any) -> list[dict[str, Any]]:
    """Typed or free values as name and text; http and https addresses can be followed, nothing else can."""
    if not isinstance(metadata, dict):
        return []
    lines = []
    for name, raw in metadata.items():
        if str(name).startswith(OWN):
            continue
        if isinstance(raw, dict) and raw.get("type") == "url" and is_web_address(compact(raw.get("url"))):
            said = raw.get("text")
            text = said if isinstance(said, str) and said.strip() else raw["url"]
            lines.append({"name": str(name), "text": text, "url": raw["url"], "value": raw, "is_long": False})
            continue
        value = raw["value"] if isinstance(raw, dict) and "type" in raw and "value" in raw else raw
        text = formats.NONE if value is None else YES_NO[value] if isinstance(value, bool) else compact(value)
        url = text if is_web_address(text) else ""
        long = len(text) > LONGEST_INLINE
        nested = isinstance(value, dict | list) and bool(value)
        lines.append(
            {"name": str(name), "text": text, "url": url, "value": value, "is_long": (long and not url) or nested}
        )
    return lines


def is_web_address(text: str) -> bool:
    if len(text) > 2000 or not text.startswith(("http://", "https://")) or any(sign.isspace() for sign in text):
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


# --- what has happened ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Happening:
    """One line of the activity. ``kind``: recorded, assigned, declined, withdrawn, reviewed, comment, event."""

    kind: str
    at: datetime
    person: Any = None
    text: str = ""
    verdict: str = ""
    people: list[str] = field(default_factory=list)
    review: Review | None = None
    comment: Comment | None = None
    corrections: list[str] = field(default_factory=list)
    turn: int | None = None


OWN_LINES: Final = ("review.", "comment.", "assignment.", "round.", "result.recorded")


def activity_of(
    result: TestResult,
    reviews: Sequence[Review],
    assignments: Sequence[ReviewAssignment],
    comments: Sequence[Comment],
    judged: Sequence[Judged],
    unnamed: Sequence[Evaluation],
) -> list[Happening]:
    """Everything that happened to the result, oldest first."""
    machine = sum(one.machine is not None for one in judged)
    said = f"{machine} evaluator{'s' if machine != 1 else ''} judged it" if machine else "arrived without a judgement"
    found = [Happening("recorded", result.created_at, text=said, verdict=result.machine_outcome)]
    corrections = corrections_by_review(judged)
    only_turns = {row.review_id for row in unnamed if row.turn is not None}
    only_turns -= {row.review_id for one in judged for row in one.people}
    for review in reviews:
        if review.verdict == Review.Verdict.NONE and review.pk in only_turns:
            continue  # what it says of turns has lines of its own
        found.append(
            Happening(
                "reviewed",
                review.created_at,
                review.reviewer,
                verdict=review.verdict,
                review=review,
                corrections=corrections.get(review.pk, []),
            )
        )
    for verdict in unnamed:
        if (
            verdict.turn is not None or verdict.review_id is None
        ):  # a review says the rest; without one it came with a file
            said = {True: "passed", False: "failed", None: "" if verdict.turn is None else "cant_tell"}[verdict.passed]
            person = verdict.author or verdict.author_name
            line = Happening("reviewed", verdict.created_at, person, verdict.explanation, said, turn=verdict.turn)
            found.append(line)
    asked: dict[tuple[UUID, UUID | None], list[ReviewAssignment]] = defaultdict(list)
    for assignment in assignments:
        asked[assignment.round_id, assignment.assigned_by_id].append(assignment)
    for group in asked.values():
        first = min(group, key=lambda one: one.created_at)
        found.append(
            Happening("assigned", first.created_at, first.assigned_by, first.round.name, people=names_of(group))
        )
    withdrawn: dict[tuple[UUID, datetime], list[ReviewAssignment]] = defaultdict(list)
    for one in assignments:
        at = one.finished_at or one.updated_at
        if one.state == ReviewAssignment.State.DECLINED:
            found.append(Happening("declined", at, one.reviewer, one.decline_reason))
        elif one.state == ReviewAssignment.State.WITHDRAWN:
            withdrawn[one.round_id, at].append(one)
    for (_, at), group in withdrawn.items():
        found.append(Happening("withdrawn", at, text=group[0].round.name, people=names_of(group)))
    found += [Happening("comment", comment.created_at, comment.author, comment=comment) for comment in comments]
    events = (
        AuditEvent.objects.filter(organization=result.organization_id, entity_type="testresult", entity_id=result.pk)
        .select_related("user")
        .order_by("-id")[:50]
    )
    found += [
        Happening("event", event.at, event.user, text=words_of(event.action))
        for event in events
        if not event.action.startswith(OWN_LINES)
    ]
    return sorted(found, key=lambda one: one.at)


def names_of(assignments: Iterable[ReviewAssignment]) -> list[str]:
    return [str(one.reviewer) for one in assignments if one.reviewer] or ["whoever takes it"]


def corrections_by_review(judged: Iterable[Judged]) -> dict[UUID, list[str]]:
    """review -> the evaluators whose machine verdict it contradicts."""
    found: dict[UUID, list[str]] = defaultdict(list)
    for one in judged:
        for verdict in one.verdicts:
            if (
                verdict.review_id
                and one.machine
                and verdict.passed is not None
                and verdict.passed is not one.machine.passed
            ):
                found[verdict.review_id].append(one.name)
    return found


def words_of(action: str) -> str:
    """result.archived -> archived"""
    return action.partition(".")[2].replace("_", " ") or action
