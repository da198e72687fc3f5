"""Data to measure on: runs of a support bot, about 1.5 kB a result, four evaluations each, always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from evalhub.accounts.models import ApiToken, Membership, Organization, User
from evalhub.accounts.rights import Role, Scope
from evalhub.benchmark.expanding import load_expanded
from results.recording import record_results
from results.records import Judgement, ResultRecord
from runs.cases import CaseSpec
from runs.launching import open_run
from runs.models import Evaluator, Project, TestRun

RUNS = 20
BATCH = 500
EVALUATORS = ("groundedness", "policy", "tone", "length")
TAGS = ("refunds", "shipping", "billing", "account", "safety")
VOCABULARY = 4000


def vocabulary() -> list[str]:
    """Words as long and as varied as those of a language: what a text index costs depends on it."""
    dice = random.Random(3)  # noqa: S311
    onsets, vowels, ends = (
        ["b", "c", "ch", "d", "f", "g", "h", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v", "w"],
        "aeiou",
        ("", "", "n", "r", "s", "t", "ll"),
    )
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        syllables = dice.choices((1, 2, 3, 4), weights=(3, 5, 3, 1))[0]
        words["".join(dice.choice(onsets) + dice.choice(vowels) + dice.choice(ends) for _ in range(syllables))] = None
    return list(words)


WORDS: Final = vocabulary()
OFTEN: Final = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))  # Zipf's law


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where the measuring finds things."""

    organization: str
    project: str
    run: str
    evaluators: tuple[str, ...]
    token: str
    session: str
    operator: str  # the session of a superuser
    results: int
    expanded: str = ""  # a run with steps, for Gentrace's clients


def load(size: int, say: Callable[[str], None], *, giant: bool = False) -> Loaded:
    """``size`` results in 20 runs; with ``giant`` a fifth of them in one more run, which is then the one measured."""
    organization = Organization.objects.create(name="Benchmark", slug="benchmark")
    user = User.objects.create_user("lead@benchmark.example", name="Lead")
    Membership.objects.create(organization=organization, user=user, role=Role.LEAD)
    for n in range(8):
        reviewer = User.objects.create_user(f"reviewer{n}@benchmark.example", name=f"Reviewer {n}")
        Membership.objects.create(organization=organization, user=reviewer, role=Role.REVIEWER)
    _, token = ApiToken.issue(user=user, organization=organization, name="benchmark", scopes=list(Scope.values))
    project = Project.objects.create(organization=organization, name="Support bot", slug="support-bot")
    evaluators = [
        Evaluator.objects.create(organization=organization, project=project, name=name, threshold=0.5, who="ai")
        for name in EVALUATORS
    ]
    dice = random.Random(5)  # noqa: S311 - the same data every time
    sizes = [size // 5] * giant + [(size - size // 5 * giant) // RUNS] * RUNS
    for number, count in enumerate(sizes):
        run = open_run(
            project, name=f"Nightly {number}", by=user, branch="main", commit="9f3a2c1e", planned_count=count
        )
        for batch in batches(count, evaluators, dice):
            record_results(run, batch)
        run.finish()
        say(f"loaded run {number + 1} of {len(sizes)}: {count:,} results")
    expanded = load_expanded(organization)
    runs = TestRun.objects.filter(project=project)
    measured = runs.order_by("number").first() if giant else runs.order_by("-number").first()
    assert measured is not None
    return Loaded(
        organization=str(organization.pk),
        project=str(project.pk),
        run=str(measured.pk),
        evaluators=tuple(str(evaluator.pk) for evaluator in evaluators),
        token=token,
        session=session_of(user),
        operator=session_of(User.objects.create_superuser("operator@benchmark.example", name="Operator")),
        results=sum(sizes) + expanded.results.count(),
        expanded=str(expanded.pk),
    )


def batches(count: int, evaluators: list[Evaluator], dice: random.Random) -> Iterator[list[ResultRecord]]:
    for start in range(0, count, BATCH):
        yield [one_result(n, evaluators, dice) for n in range(start, min(start + BATCH, count))]


def one_result(n: int, evaluators: list[Evaluator], dice: random.Random) -> ResultRecord:
    scores = [round(dice.betavariate(5, 2), 4) for _ in evaluators]
    return ResultRecord(
        case=CaseSpec(
            external_id=f"case-{n}", name=f"Case {n}", inputs={"input": text(dice, 20)}, tags=[TAGS[n % len(TAGS)]]
        ),
        output={"output": text(dice, 120)},
        latency_ms=dice.lognormvariate(7, 0.5),
        cost=dice.random() / 100,
        usage={"benchmark": {"input": 200, "output": 120}},
        evaluations=[
            Judgement(evaluator=evaluator, value=score, explanation=text(dice, 8))
            for evaluator, score in zip(evaluators, scores, strict=True)
        ],
    )


def text(dice: random.Random, words: int) -> str:
    return " ".join(dice.choices(WORDS, cum_weights=OFTEN, k=words))


def body(count: int, evaluators: tuple[str, ...], dice: random.Random, prefix: str) -> dict[str, Any]:
    """A batch as a client sends it."""
    return {
        "results": [
            {
                "case": {"id": f"{prefix}-{n}", "name": f"Case {n}", "inputs": {"input": text(dice, 20)}},
                "output": {"output": text(dice, 120)},
                "latency_ms": dice.lognormvariate(7, 0.5),
                "evaluations": [
                    {"evaluator": evaluator, "value": dice.random(), "passed": dice.random() > 0.3,
                     "explanation": text(dice, 8)}
                    for evaluator in evaluators
                ],
            }
            for n in range(count)
        ]
    }  # fmt: skip


def session_of(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def some_results(run: str, count: int) -> list[UUID]:
    return list(TestRun.objects.get(pk=run).results.order_by("position").values_list("pk", flat=True)[:count])
