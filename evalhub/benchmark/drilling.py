"""People at work while files come in: reviewers read and submit, importers import, and every number stays right."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.management.base import CommandError

from evalhub.accounts.models import ApiToken, Membership, Organization, User
from evalhub.accounts.rights import Role, Scope
from evalhub.benchmark.loading import session_of, text
from evalhub.benchmark.serving import Site
from results.assigning import assign_reviewers
from runs.models import TestRun

PAGE_EVERY, SUBMIT_EVERY = 5.0, 20.0  # seconds, of one reviewer
ROWS_PER_IMPORT = 4000


@dataclass
class Person:
    token: str
    session: str
    assignments: list[tuple[str, str]]  # assignment, result


@dataclass
class Log:
    pages: list[float] = field(default_factory=list)  # milliseconds
    submits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    imported: list[int] = field(default_factory=list)  # which importer, once a file
    lock: threading.Lock = field(default_factory=threading.Lock)

    def files_of(self, number: int) -> int:
        return self.imported.count(number)

    def fail(self, what: str) -> None:
        with self.lock:
            self.errors.append(what)

    def keep(self, kind: list[float], began: float, status: int, what: str, *good: int) -> None:
        with self.lock:
            kind.append((time.perf_counter() - began) * 1000)
            if status not in good:
                self.errors.append(f"{what}: {status}")


def prepare(reviewers: int, submits: int) -> list[Person]:
    """Reviewers with enough open assignments each. Runs in a process whose settings are the site's."""
    organization = Organization.objects.get(slug="benchmark")
    lead = User.objects.get(email="lead@benchmark.example")
    users = []
    for n in range(reviewers):
        user = User.objects.create_user(f"drill{n}@benchmark.example", name=f"Drill {n}")
        Membership.objects.create(organization=organization, user=user, role=Role.REVIEWER)
        users.append(user)
    run = TestRun.objects.filter(organization=organization, name__startswith="Nightly").order_by("-number").first()
    assert run is not None
    wanted = list(run.results.order_by("position")[: reviewers * submits])
    assign_reviewers(wanted, users, by=lead, name="Drill")
    people = []
    for user in users:
        _, token = ApiToken.issue(user=user, organization=organization, name="drill", scopes=[Scope.READ, Scope.REVIEW])
        mine = [(str(pk), str(result)) for pk, result in user.assignments.values_list("pk", "result_id")]
        people.append(Person(token, session_of(user), mine))
    return people


def drill(site: Site, people: list[Person], seconds: float, imports: int) -> Log:
    """Let everybody work; so many imports run all the time, file after file."""
    log, over = Log(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=work, args=(site, person, log, over, number), daemon=True)
        for number, person in enumerate(people)
    ]
    threads += [threading.Thread(target=bring, args=(site, log, over, n), daemon=True) for n in range(imports)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
        if thread.is_alive():
            log.fail("somebody still waits for an answer")
    return log


def bring(site: Site, log: Log, over: float, number: int) -> None:
    """Import files of our own making, each a run of its own, until it is over."""
    dice = random.Random(number)  # noqa: S311
    while time.monotonic() < over:
        file = site.folder / f"drill-{number}-{log.files_of(number)}.jsonl"
        lines = (
            {"id": f"{file.stem}-{row}", "input": text(dice, 20), "output": text(dice, 40), "accuracy": dice.random()}
            for row in range(ROWS_PER_IMPORT)
        )
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        try:
            site.manage("import_results", str(file), "--project", "support-bot")
            log.imported.append(number)
        except CommandError as wrong:
            log.fail(f"import: {wrong}")
            return
        finally:
            file.unlink()


def work(site: Site, person: Person, log: Log, over: float, number: int) -> None:
    dice = random.Random(number)  # noqa: S311
    waiting = list(person.assignments)
    next_page = time.monotonic() + dice.random() * PAGE_EVERY
    next_submit = time.monotonic() + dice.random() * SUBMIT_EVERY
    while time.monotonic() < over:
        now = time.monotonic()
        if now >= next_page:
            next_page += PAGE_EVERY
            asked_or_told(log, read_page, site, person, log, dice, waiting)
        if waiting and now >= next_submit:
            next_submit += SUBMIT_EVERY
            asked_or_told(log, submit, site, person, log, dice, waiting.pop())
        time.sleep(max(0.0, min(next_page, next_submit, over) - time.monotonic()) if waiting else 0.2)


def asked_or_told(log: Log, ask: Callable[..., None], *given: Any) -> None:
    """A connection that breaks, or an answer that does not come, is an error of the site too."""
    try:
        ask(*given)
    except OSError as wrong:
        log.fail(f"{ask.__name__}: {type(wrong).__name__} {wrong}")


def read_page(site: Site, person: Person, log: Log, dice: random.Random, waiting: list[tuple[str, str]]) -> None:
    paths = ["/reviews/", "/runs/"] + (
        [f"/reviews/{waiting[-1][0]}/", f"/results/{waiting[-1][1]}/"] if waiting else []
    )
    path = dice.choice(paths)
    began = time.perf_counter()
    answer = site.ask("GET", path, None, Cookie=f"evalhub-session={person.session}")
    log.keep(log.pages, began, answer.status, path, 200)


def submit(site: Site, person: Person, log: Log, dice: random.Random, work_item: tuple[str, str]) -> None:
    assignment, result = work_item
    verdict = {"verdict": dice.choice(("passed", "failed", "cant_tell")), "assignment": assignment}
    began = time.perf_counter()
    answer = site.ask(
        "POST",
        f"/api/results/{result}/reviews/",
        json.dumps(verdict).encode(),
        Authorization=f"Bearer {person.token}",
    )
    log.keep(log.submits, began, answer.status, f"submit: {answer.body[:120]!r}", 201)


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1] if len(taken) > 1 else (taken or [0.0])[0]


def as_facts(people: list[Person]) -> list[dict[str, Any]]:
    return [{"token": p.token, "session": p.session, "assignments": p.assignments} for p in people]
