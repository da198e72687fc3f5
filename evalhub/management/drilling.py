"""A run under fire: workers killed, the database away, an endpoint that breaks; then the rows are counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.models import Count, Max, Min, Sum

from evalhub.accounts.models import Organization
from evalhub.database.postgres import PostgresError, Server, find_programs
from results.models import Evaluation, TestResult
from results.recounting import recount
from runs.cases import CaseSpec, add_to_test_set, ensure_cases
from runs.launching import launch
from runs.models import ConfigurationEvaluator, Endpoint, Evaluator, Project, TestConfiguration, TestRun, TestSet

EVALUATORS: dict[str, dict[str, Any]] = {
    "repeats the question": {"definition": {"heuristic": "contains", "settings": {"values": ["Question"]}}},
    "not too long": {"definition": {"heuristic": "length", "settings": {"max": 100}}},
    "matches": {"definition": {"heuristic": "regex", "settings": {"pattern": r"Question \d+"}}},
}


@dataclass
class Report:
    """What a drill found; ``problems`` is empty where every promise was kept."""

    results: int = 0
    evaluations: int = 0
    status: str = ""
    seconds: float = 0.0
    rate: float = 0.0  # results a second, from the first call to the last row
    busy: float = 0.0  # share of the allowed calls that were under way
    calls: int = 0
    most: int = 0  # calls at once
    kills: int = 0
    problems: list[str] = field(default_factory=list)


class Bot:
    """An endpoint in a thread: answers after a while, and breaks a share of the calls."""

    def __init__(self, seconds: float, flaky: float, *, spread: float = 0.5) -> None:
        self.seconds, self.flaky, self.spread = seconds, flaky, spread
        self.calls = self.under_way = self.most = 0
        self.url = ""
        self._dice = random.Random(7)  # noqa: S311 - the same drill each time
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Bot:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/chat"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                asked = orjson.loads(await reader.readexactly(length))
                self.calls += 1
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                await asyncio.sleep(self.seconds * self._dice.uniform(1 - self.spread, 1 + self.spread))
                self.under_way -= 1
                luck = self._dice.random()
                if luck < self.flaky / 2:
                    break
                status = b"503 Busy" if luck < self.flaky else b"200 OK"
                body = orjson.dumps({"output": f"You asked: {asked['message']}"})
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
                await writer.drain()
        writer.close()


def set_up(url: str, cases: int, *, concurrency: int, retries: int) -> TestConfiguration:
    """An organisation with one configuration: so many cases, three evaluators."""
    organization = Organization.objects.create(name="Drill", slug=f"drill-{os.getpid()}-{time.time_ns()}")
    project = Project.objects.create(organization=organization, name="Drill", slug="drill")
    endpoint = Endpoint.objects.create(
        organization=organization,
        project=project,
        name="bot",
        url=url,
        request_mapping={"message": "{{ input }}"},
        response_mapping={"output": "$.output"},
        max_concurrency=concurrency,
    )
    test_set = TestSet.objects.create(organization=organization, project=project, name="Questions")
    specs = [CaseSpec(external_id=f"q-{n}", inputs={"input": f"Question {n}"}) for n in range(1, cases + 1)]
    add_to_test_set(test_set, list(ensure_cases(project, specs).values()))
    configuration = TestConfiguration.objects.create(
        organization=organization,
        project=project,
        name="Drill",
        endpoint=endpoint,
        test_set=test_set,
        parameters={"retry_count": retries, "timeout": 20},
    )
    for position, (name, fields) in enumerate(EVALUATORS.items()):
        evaluator = Evaluator.objects.create(
            organization=organization, project=project, name=name, who=Evaluator.Who.HEURISTIC, **fields
        )
        ConfigurationEvaluator.objects.create(configuration=configuration, evaluator=evaluator, position=position)
    return configuration


def drill(
    *,
    cases: int,
    kills: int = 0,
    outage: float = 0.0,
    seconds: float = 0.2,
    flaky: float = 0.1,
    spread: float = 0.5,
    concurrency: int = 16,
    workers: int = 1,
    patience: float = 600.0,
    server: Server | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Launch, kill workers at even distances of the run, take the database away in its middle; wait; count.

    A ``server`` of the drill's own really stops; on somebody else's every connection is cut, and no new one let in.
    """
    report = Report()
    with Bot(seconds, flaky, spread=spread) as bot:
        run = launch(set_up(bot.url, cases, concurrency=concurrency, retries=20), by=None)
        began = time.monotonic()
        at_work = [start_worker() for _ in range(workers)]
        marks = [cases * (n + 1) // (kills + 2) for n in range(kills)]
        away_at = cases // 2 if outage else None
        try:
            while time.monotonic() - began < patience:
                time.sleep(0.05)
                run.refresh_from_db(fields=["status", "result_count"])
                if not run.is_active:
                    break
                if away_at is not None and run.result_count >= away_at:
                    away_at = None
                    say(f"{run.result_count} results: the database goes away for {outage:g} s.")
                    take_database_away(outage, server)
                if marks and run.result_count >= marks[0]:
                    marks.pop(0)
                    victim = report.kills % workers
                    at_work[victim].kill()
                    at_work[victim].wait()
                    report.kills += 1
                    say(f"{run.result_count} results: killed worker {victim + 1} ({report.kills} of {kills}).")
                    at_work[victim] = start_worker()
                for n, worker in enumerate(at_work):
                    if worker.poll() is not None:
                        report.problems.append(f"a worker ended by itself with {worker.returncode}")
                        at_work[n] = start_worker()
            report.seconds = time.monotonic() - began
        finally:
            for worker in at_work:
                worker.terminate()
            for worker in at_work:
                worker.wait(30)
        report.calls, report.most = bot.calls, bot.most
        if bot.most > concurrency and not kills and not outage:  # a dead worker's calls go on at the other end
            report.problems.append(f"{bot.most} calls at once, {concurrency} allowed")
    count(run, cases, report)
    return report


def count(run: TestRun, cases: int, report: Report) -> None:
    """Compare the rows with what was promised."""
    run.refresh_from_db()
    results = TestResult.objects.filter(run=run)
    evaluations = Evaluation.objects.filter(run=run)
    report.status, report.results, report.evaluations = run.status, results.count(), evaluations.count()
    span = results.aggregate(first=Min("started_at"), last=Max("created_at"), took=Sum("latency_ms"))
    if span["first"] and span["last"] and run.configuration and run.configuration.endpoint:
        seconds = max(0.001, (span["last"] - span["first"]).total_seconds())
        report.rate = report.results / seconds
        report.busy = (span["took"] or 0) / 1000 / seconds / run.configuration.endpoint.max_concurrency
    if run.status != TestRun.Status.COMPLETED:
        report.problems.append(f"the run is {run.status}")
    if report.results != cases:
        report.problems.append(f"{report.results} results, {cases} expected")
    if report.evaluations != cases * len(EVALUATORS):
        report.problems.append(f"{report.evaluations} evaluations, {cases * len(EVALUATORS)} expected")
    doubled = results.values("case_id").annotate(n=Count("id")).filter(n__gt=1).count()
    if doubled:
        report.problems.append(f"{doubled} cases have several results")
    doubled = evaluations.values("result_id", "evaluator_id").annotate(n=Count("id")).filter(n__gt=1).count()
    if doubled:
        report.problems.append(f"{doubled} results were judged several times by one evaluator")
    if run.errors:
        report.problems.append(f"{run.errors} results are errors")
    report.problems += [str(difference) for difference in recount(run.pk, repair=False)]


def start_worker() -> subprocess.Popen[bytes]:
    """A worker process on this process's database."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "EVALHUB_MODE": settings.MODE,
        "EVALHUB_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "work"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def database_url() -> str:
    known = connection.settings_dict
    login = quote(known["USER"]) + (f":{quote(known['PASSWORD'])}" if known["PASSWORD"] else "")
    if str(known["HOST"]).startswith("/"):
        return f"postgresql://{login}@/{quote(known['NAME'])}?host={quote(str(known['HOST']))}"
    port = f":{known['PORT']}" if known["PORT"] else ""
    return f"postgresql://{login}@{known['HOST']}{port}/{quote(known['NAME'])}"


def take_database_away(seconds: float, server: Server | None) -> None:
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    if server is not None:
        with server.crashed():
            time.sleep(seconds)
        return
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                time.sleep(0.2)
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@contextmanager
def scratch_database() -> Iterator[Server | None]:
    """A migrated database on a server of its own, which is gone at the end; where this machine has none, a database on
    the usual server."""
    try:
        find_programs()
    except PostgresError:
        with _beside_the_usual() as name, connected(NAME=name):
            yield None
        return
    folder = settings.VAR_DIR / f"drill-{os.getpid()}"
    server = Server(folder)
    try:
        server.join()
        there = {"HOST": str(server.socket_folder), "PORT": "", "USER": server.USER, "PASSWORD": ""}
        with connected(NAME=server.DATABASE, **there):
            yield server
    finally:
        server.leave()
        shutil.rmtree(server.data_folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _beside_the_usual() -> Iterator[str]:
    name = f"evalhub_drill_{os.getpid()}"
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    try:
        yield name
    finally:
        with contextlib.suppress(DatabaseError), connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def connected(**there: str) -> Iterator[None]:
    """This process works on another database, migrated now."""
    before = {name: connection.settings_dict[name] for name in there}
    try:
        _move(there)
        call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        _move(before)


def _move(there: dict[str, Any]) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict.update(there)
