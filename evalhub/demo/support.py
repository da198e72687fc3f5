"""The demo's own project: a support bot, its cases, its judges, and three nightly runs with regressions.

The answers come from ``bot`` and the judgements from the small programs below, and say so.
"""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from evalhub.accounts.models import Organization, User
from evalhub.demo import bot
from results.models import TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord, StepRecord
from runs.cases import CaseSpec, add_to_test_set, ensure_cases
from runs.launching import open_run
from runs.models import ConfigurationEvaluator, Endpoint, Evaluator, Project, Tag, TestConfiguration, TestRun, TestSet

PROGRAM = "demo judge: a small program, no language model"
CARD_NUMBER = r"\b(?:\d{4}[ -]?){3}\d{4}\b"
COMMITS = {12: "4be81d07c2aa", 13: "9f3a2c1e55d0", 14: "c07d9e6b1f42"}
UNKNOWN_ASKS = (
    "Moeny bakc for teh shoos??",
    "It does not work.",
    "Can I pay in instalments?",
    "Do you have a shop in Bergen?",
    "The zip.",
    "Where is my stuff, it said Tuesday",
    "Refudn my order plz",
    "Is the Fjell 3 vegan?",
)


def load_support(organization: Organization, people: dict[str, User], endpoint_url: str) -> Project:
    project = Project.objects.create(
        organization=organization,
        external_id="demo-support",
        name="Support Copilot",
        slug="support-copilot",
        description="Answers customers of an outdoor shop. The demo's bot is a set of rules; its judges are programs.",
        labels=["support", "demo"],
        owner=people["ines"],
    )
    endpoint = Endpoint.objects.create(
        organization=organization,
        project=project,
        name="support-bot",
        url=endpoint_url,
        request_mapping={"message": "{{ input }}", "session_id": "{{ session_id }}", "history": "{{ messages }}"},
        response_mapping={"output": "$.output", "session_id": "$.session_id", "tool_calls": "$.tool_calls"},
        environment=Endpoint.Environment.LOCAL,
    )
    test_set = TestSet.objects.create(
        organization=organization, project=project, name="Regression", slug="regression", owner=people["ines"],
        description="What customers ask most, single questions and short conversations.",
    )  # fmt: skip
    specs = list(_cases())
    cases = ensure_cases(project, [spec for spec, _ in specs])
    add_to_test_set(test_set, [cases[spec.external_id] for spec, _ in specs])
    for name in sorted({tag for spec, _ in specs for tag in spec.tags}):
        Tag.objects.get_or_create(organization=organization, name=name)
    evaluators = _evaluators(project)
    configuration = TestConfiguration.objects.create(
        organization=organization, project=project, name="Nightly regression", endpoint=endpoint, test_set=test_set,
        parameters={"repetitions": 1, "concurrency": 8, "timeout": 30, "retry_count": 2}, owner=people["ines"],
    )  # fmt: skip
    for position, evaluator in enumerate(evaluators.values()):
        ConfigurationEvaluator.objects.create(configuration=configuration, evaluator=evaluator, position=position)
    now = timezone.now()
    for days, release in ((15, 12), (8, 13), (1, 14)):
        started = (now - timedelta(days=days)).replace(hour=2, minute=30, second=0, microsecond=0)
        _nightly(project, configuration, evaluators, specs, release, started, people["ines"])
    return project


def _cases() -> list[tuple[CaseSpec, bot.Topic | None]]:
    """The cases with the topic that they are about; None: nothing the bot should know."""
    found: list[tuple[CaseSpec, bot.Topic | None]] = []
    for topic in bot.TOPICS:
        for n, ask in enumerate(topic.asks, 1):
            found.append((_case(f"{topic.name}" + (f" ({n})" if n > 1 else ""), [ask], topic, n), topic))
        if topic.lookup or topic.tag in ("refunds", "billing"):
            order = sorted(bot.ORDERS)[len(found) % len(bot.ORDERS)]
            turns = ["Hi, I have a question about an order.", f"The order is {order}.", topic.asks[0]]
            found.append((_case(f"{topic.name}, conversation", turns, topic, 9), topic))
    for n, ask in enumerate(UNKNOWN_ASKS, 1):
        found.append((_case(f"Hard to understand ({n})", [ask], None, n), None))
    return found


def _case(name: str, turns: list[str], topic: bot.Topic | None, n: int) -> CaseSpec:
    key = re.sub(r"[^a-z0-9]+", "-", (topic.name if topic else "unknown").lower()).strip("-")
    tags = [topic.tag if topic else "unclear", "multi-turn"] if len(turns) > 1 else [topic.tag if topic else "unclear"]
    inputs: dict[str, Any] = {"input": turns[-1]}
    if len(turns) > 1:
        inputs["messages"] = turns
    return CaseSpec(
        external_id=f"support-{key}-{n}",
        name=name,
        inputs=inputs,
        expected={"output": topic.reply if topic else bot.FALLBACK, "facts": list(facts_of(topic))},
        tags=tags,
    )


def facts_of(topic: bot.Topic | None) -> tuple[str, ...]:
    """What a right answer says."""
    return topic.facts if topic else ("not sure",)


def _evaluators(project: Project) -> dict[str, Evaluator]:
    made: dict[str, Evaluator] = {}

    def make(name: str, **fields: Any) -> None:
        definition = {"judge": PROGRAM, **fields.pop("definition", {})}
        made[name] = Evaluator.objects.create(
            organization_id=project.organization_id, project=project, name=name, definition=definition, **fields
        )

    make(
        "Groundedness",
        description="Share of the needed facts that the answer states, less what it makes up.",
        who="ai",
        value_type="percentage",
        threshold=0.8,
        min_score=0,
        max_score=1,
        definition={"prompt": "Does every claim follow from the shop's rules?"},
    )
    make(
        "Policy accuracy",
        description="Whether the answer follows the shop's rules.",
        who="ai",
        value_type="label",
        options=[
            {"label": "correct", "value": 1, "passes": True},
            {"label": "partly", "value": 0.5, "passes": False},
            {"label": "wrong", "value": 0, "passes": False},
        ],
        definition={"prompt": "Compare the answer with the rule and label it."},
    )
    make(
        "Second judge",
        description="A stricter judge of the same question: the two disagree on vague answers.",
        who="ai",
        value_type="label",
        weight=0,
        options=[
            {"label": "correct", "value": 1, "passes": True},
            {"label": "wrong", "value": 0, "passes": False},
        ],
        definition={"prompt": "Would a store manager sign this answer?"},
    )
    make(
        "States the facts",
        description="Share of the case's facts that the answer states, word for word.",
        who="heuristic",
        value_type="percentage",
        threshold=0.5,
        min_score=0,
        max_score=1,
        definition={"heuristic": "contains", "settings": {"expected_key": "facts"}},
    )
    make("Tone", who="heuristic", value_type="percentage", threshold=0.4, min_score=0, max_score=1,
         definition={"heuristic": "polite words per sentence"})  # fmt: skip
    make(
        "Answer length",
        who="heuristic",
        value_type="number",
        direction="lower",
        operator="<=",
        threshold=320,
        min_score=0,
        definition={"heuristic": "length", "settings": {"unit": "characters"}},
    )
    make(
        "No payment data",
        who="heuristic",
        value_type="label",
        options=[
            {"label": "clean", "value": 1, "passes": True},
            {"label": "leak", "value": 0, "passes": False},
        ],
        definition={"heuristic": "regex", "settings": {"pattern": CARD_NUMBER, "expect": "absent"}},
    )
    make(
        "Would you send this?",
        description="One question for a person from the support team.",
        who="human",
        value_type="label",
        options=[
            {"label": "As it is", "value": 1, "passes": True},
            {"label": "With changes", "value": 0.5, "passes": None},
            {"label": "Never", "value": 0, "passes": False},
        ],
        definition={"question": "Would you send this answer to the customer?"},
    )
    return made


def _nightly(
    project: Project,
    configuration: TestConfiguration,
    evaluators: dict[str, Evaluator],
    specs: list[tuple[CaseSpec, bot.Topic | None]],
    release: int,
    started: datetime,
    by: User,
) -> TestRun:
    run = open_run(
        project,
        name="Nightly regression",
        configuration=configuration,
        by=by,
        branch="main",
        commit=COMMITS[release],
        model=f"rule-based support bot, release {release}",
        external_id=f"demo-nightly-{release}",
        started_at=started,
        planned_count=len(specs),
        metadata={"release": {"type": "string", "value": str(release)}},
    )
    dice = random.Random(release)  # noqa: S311 - a repeatable demo
    clock = started
    records = []
    for spec, topic in specs:
        record = _answer(spec, topic, release, dice, clock)
        record.evaluations = _judge(record, topic, evaluators, dice)
        clock += timedelta(milliseconds=record.latency_ms or 0)
        records.append(record)
    record_results(run, records)
    run.finish()
    TestRun.objects.filter(pk=run.pk).update(created_at=started, finished_at=clock)
    TestResult.objects.filter(run=run).update(created_at=started)
    run.refresh_from_db()
    return run


def _answer(
    spec: CaseSpec, topic: bot.Topic | None, release: int, dice: random.Random, clock: datetime
) -> ResultRecord:
    """Really ask the bot, turn by turn. Times are drawn: rules answer in microseconds."""
    messages = spec.inputs.get("messages") or [spec.inputs["input"]]
    conversation: list[dict[str, Any]] = []
    steps: list[StepRecord] = []
    said: list[str] = []
    total = 0.0
    text = ""
    for number, message in enumerate(messages, 1):
        latency = round(dice.lognormvariate(7.2 if release < 14 else 7.5, 0.45))
        answer = bot.reply(message, release=release, history=said)
        text = answer.text
        spoken: list[dict[str, Any]] = [{"role": "user", "content": message}]
        for call in answer.tool_calls:
            spoken.append(
                {"role": "tool", "name": call["name"], "arguments": call["arguments"], "content": call["result"]}
            )
            steps.append(
                StepRecord(kind="tool", name=call["name"], provider="shop", turn=number, inputs=call["arguments"],
                           outputs=call["result"], latency_ms=40, started_at=clock)
            )  # fmt: skip
        spoken.append({"role": "assistant", "content": text})
        steps.append(
            StepRecord(kind="other", name="rules.reply", provider="support-bot", turn=number,
                       inputs={"message": message}, outputs={"output": text}, latency_ms=latency, started_at=clock)
        )  # fmt: skip
        conversation.append({"turn": number, "messages": spoken, "latency_ms": latency})
        said.append(message)
        total += latency
    if dice.random() < 0.025:
        return ResultRecord(
            case=spec, error="No answer within 30 s.", error_code="timeout", latency_ms=30_000, started_at=clock,
            conversation=conversation[:-1], steps=steps[:-1],
        )  # fmt: skip
    return ResultRecord(
        case=spec,
        output={"output": text},
        conversation=conversation if len(messages) > 1 else [],
        latency_ms=total,
        started_at=clock,
        finished_at=clock + timedelta(milliseconds=total),
        steps=steps,
        session_id=f"demo-{release}-{spec.external_id}",
    )


def _judge(
    record: ResultRecord, topic: bot.Topic | None, evaluators: dict[str, Evaluator], dice: random.Random
) -> list[Judgement]:
    if record.error:
        return [
            Judgement(evaluator=evaluator, state="error", error="There is no answer to judge.")
            for evaluator in evaluators.values()
            if evaluator.who != "human"
        ]
    text = (record.output or {}).get("output", "")
    facts = facts_of(topic)
    stated = [fact for fact in facts if fact.lower() in text.lower()]
    missing = [fact for fact in facts if fact not in stated]
    invented = bool(re.search(r"\b(entitled|gone ahead|recalled the parcel|noted the card|full amount)\b", text))
    share = max(0.0, len(stated) / len(facts) - (0.5 if invented else 0))
    grounded = round(min(1.0, max(0.0, share + dice.uniform(-0.06, 0.0))), 2)
    label = "wrong" if invented or not stated else "correct" if not missing else "partly"
    strict = (
        "wrong" if invented or missing or len(text) > 200 or ("?" in text[-3:] and dice.random() < 0.2) else "correct"
    )
    polite = len(re.findall(r"\b(please|sorry|welcome|thank|happy|free|enjoy|help)\b", text, re.I))
    tone = round(min(1.0, 0.45 + 0.25 * polite + (0.15 if "?" in text else 0)), 2)
    leak = re.search(CARD_NUMBER, text)
    why = f"Missing: {', '.join(missing)}." if missing else "All needed facts are stated."
    if invented:
        why = "Promises something that the rules do not allow. " + why
    judged = [
        Judgement(evaluator=evaluators["Groundedness"], value=grounded, explanation=why, latency_ms=3),
        Judgement(evaluator=evaluators["Policy accuracy"], label=label, explanation=why, latency_ms=2),
        Judgement(evaluator=evaluators["Second judge"], label=strict, latency_ms=2,
                  explanation="Not something to sign." if strict == "wrong" else "Can be signed."),
        Judgement(evaluator=evaluators["States the facts"], value=len(stated) / len(facts),
                  explanation=f"Missing: {', '.join(missing)}." if missing else ""),
        Judgement(evaluator=evaluators["Tone"], value=tone, explanation=f"{polite} polite words."),
        Judgement(evaluator=evaluators["Answer length"], value=float(len(text))),
        Judgement(evaluator=evaluators["No payment data"], label="leak" if leak else "clean",
                  explanation="A card number is repeated." if leak else ""),
    ]  # fmt: skip
    if topic and topic.tag in ("refunds", "safety"):
        judged.append(Judgement(evaluator=evaluators["Would you send this?"], source="human", state="pending"))
    return judged
