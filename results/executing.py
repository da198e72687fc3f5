"""What a worker does with a share of a launched run: ask every case, judge the answers, record both, once each.

Nothing here is remembered outside the database: whoever takes a share over sees in its rows what is left of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from psycopg_pool import PoolTimeout

from evalhub.database.storable import storable
from results.bench import Bench
from results.heuristics import Evidence
from results.model_judges import Transcript
from results.models import Evaluation, TestResult
from results.recording import RecordingError, record_results, score_evaluation
from results.records import Judgement, ResultRecord
from results.settling import settlement
from runs.asking import Asker, Caller, Failure
from runs.chatting import Model, Player, default_model
from runs.conversing import Answer, Asked, converse
from runs.launching import finish_if_done, job_name, queue_shard
from runs.models import Case, CaseRevision, Endpoint, Shard, TestRun
from runs.slots import Locks

log = logging.getLogger("evalhub.worker")

TURN_SECONDS: Final = 60.0  # then a share makes room for other work, and queues again
FLUSH_SECONDS: Final = 0.25
FLUSH_SIZE: Final = 100
WATCH_SECONDS: Final = 2.0
MOST_STARTS: Final = 10  # of a share that records nothing: its cases kill whoever asks them
DATABASE_PATIENCE: Final = 120.0  # seconds that answers wait for a database that is away
AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)


@dataclass(slots=True, kw_only=True)
class Work:
    """A share of a run, as read from the database."""

    shard: Shard
    run: TestRun
    endpoint: Endpoint | None
    bench: Bench
    timeout: float | None
    retries: int
    concurrency: int | None
    simulator: Endpoint | None = None
    asked: list[Asked] = field(default_factory=list)
    result_ids: list[UUID] = field(default_factory=list)


class NotWanted(Exception):
    """The run was cancelled while the case waited for its turn."""


class Office:
    """What the shares in one event loop have in common: connections out, locks, threads for the database."""

    _current: tuple[asyncio.AbstractEventLoop, Office] | None = None
    _door: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def __init__(self, caller: Caller, locks: Locks) -> None:
        self.caller, self.locks = caller, locks
        self.threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="shard")
        self.is_closing = False  # what is under way ends, nothing new begins
        self.ended: set[UUID] = set()  # runs that nobody wants more of

    @classmethod
    async def open(cls) -> Office:
        loop = asyncio.get_running_loop()
        if cls._door is None or cls._door[0] is not loop:
            cls._door = (loop, asyncio.Lock())
        async with cls._door[1]:  # or two shares that start together open one each
            if cls._current is not None:
                where, office = cls._current
                if where is loop and not office.locks.lost:
                    return office
                if where is loop:
                    await office.close()
            office = cls(Caller(), await Locks.open())
            cls._current = (loop, office)
            return office

    async def close(self) -> None:
        await self.caller.close()
        await self.locks.close()
        self.threads.shutdown(wait=False)

    @classmethod
    def begin_no_more(cls) -> None:
        if cls._current is not None:
            cls._current[1].is_closing = True

    @classmethod
    async def close_current(cls) -> None:
        if cls._current is not None and cls._current[0] is asyncio.get_running_loop():
            await cls._current[1].close()
            cls._current = None

    async def in_thread[T](self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what asks the database, and give its connection back to the pool."""

        def run() -> T:
            try:
                return work(*arguments)
            finally:
                connection.close()

        return await asyncio.get_running_loop().run_in_executor(self.threads, run)

    def turn_of(self, endpoint: Endpoint) -> Callable[[], AbstractAsyncContextManager[None]]:
        """A place among all calls of an endpoint, whichever worker makes them."""
        return self.locks.gate(f"endpoint:{endpoint.pk}", endpoint.max_concurrency).turn


async def work_on_shard(shard_id: str) -> None:
    """Do the share, or as much of it as fits in one turn; nothing where somebody else is at it or it is done."""
    office = await Office.open()
    async with office.locks.holding(job_name(shard_id)) as mine:
        if not mine:
            return
        work = await office.in_thread(take_up, UUID(shard_id))
        if work is None:
            return
        office.ended.discard(work.run.pk)
        if work.shard.kind == Shard.Kind.JUDGE:
            finished = await _judge(office, work)
        else:
            finished = await _ask(office, work)
        await office.in_thread(_put_down, work, finished)


# --- taking up and putting down ---------------------------------------------------------------------------------------


def take_up(shard_id: UUID) -> Work | None:
    """What is left of the share; None where there is nothing (more) to do."""
    with transaction.atomic():
        shard = Shard.objects.select_for_update().select_related("run").filter(pk=shard_id).first()
        if shard is None or shard.done_at or shard.run.deleted_at:
            return None
        run = shard.run
        if shard.kind == Shard.Kind.ASK and not run.is_active:
            return None
        shard.starts += 1
        shard.save(update_fields=["starts"])
        if shard.kind == Shard.Kind.ASK:
            run.start()
    snapshot = run.snapshot if isinstance(run.snapshot, dict) else {}
    parameters = snapshot.get("parameters") or {}
    judge_in = shard.work if shard.kind == Shard.Kind.JUDGE else snapshot
    shots = shard.work.get("evaluators") if shard.kind == Shard.Kind.JUDGE else snapshot.get("evaluators")
    work = Work(
        shard=shard,
        run=run,
        endpoint=_endpoint_in(snapshot, "endpoint"),
        bench=Bench.set_up(run.organization_id, shots, _endpoint_in(judge_in, "judge")),
        timeout=parameters.get("timeout"),
        retries=parameters.get("retry_count", 2),
        concurrency=parameters.get("concurrency"),
        simulator=_endpoint_in(snapshot, "simulator"),
    )
    if shard.kind == Shard.Kind.JUDGE:
        work.result_ids = _unjudged(shard)
    else:
        work.asked = _unasked(shard, parameters.get("repetitions", 1))
    return work


def _endpoint_in(snapshot: dict[str, Any], word: str) -> Endpoint | None:
    shot = snapshot.get(word)
    pk = shot.get("id") if isinstance(shot, dict) else None
    return Endpoint.objects.filter(pk=pk).first() if pk else None


def _put_down(work: Work, finished: bool) -> None:
    shard = work.shard
    if finished:
        Shard.objects.filter(pk=shard.pk, done_at__isnull=True).update(done_at=timezone.now())
        if shard.kind == Shard.Kind.ASK:
            finish_if_done(shard.run_id)
    elif shard.kind == Shard.Kind.JUDGE or TestRun.objects.filter(pk=shard.run_id, status__in=TestRun.ACTIVE).exists():
        queue_shard(shard)


def _unasked(shard: Shard, repetitions: int) -> list[Asked]:
    """The share's cases as the plan froze them, for each repetition that has no result yet."""
    planned = {UUID(pk): revision for pk, revision in shard.work.get("cases", [])}
    there = set(
        TestResult.objects.filter(run=shard.run_id, case_id__in=planned, variant__isnull=True).values_list(
            "case_id", "repetition"
        )
    )
    cases = Case.objects.in_bulk(planned)
    changed = [case.pk for case in cases.values() if case.revision != planned[case.pk]]
    earlier = {(row.case_id, row.number): row for row in CaseRevision.objects.filter(case__in=changed) if changed}
    found = []
    for repetition in range(1, repetitions + 1):
        for case_id, revision in planned.items():
            case = cases.get(case_id)
            if case is None or (case_id, repetition) in there:
                continue
            before = earlier.get((case_id, revision))
            found.append(
                Asked(
                    case_id=case_id,
                    revision=revision,
                    inputs=before.inputs if before else case.inputs,
                    expected=before.expected if before else case.expected,
                    plan=case.plan,
                    name=case.name,
                    metadata=case.metadata,
                    requirement_id=case.requirement_id,
                    repetition=repetition,
                )
            )
    return found


def _unjudged(shard: Shard) -> list[UUID]:
    wanted = [UUID(pk) for pk in shard.work.get("results", [])]
    done = Evaluation.objects.filter(result_id__in=wanted, metadata__scoring=shard.work.get("scoring"))
    judged = set(done.values_list("result_id", flat=True))
    alive = set(TestResult.objects.filter(pk__in=wanted, deleted_at__isnull=True).values_list("pk", flat=True))
    return [pk for pk in wanted if pk in alive and pk not in judged]


# --- asking -----------------------------------------------------------------------------------------------------------


async def _ask(office: Office, work: Work) -> bool:
    """Ask what is left; says whether all of it was."""
    desk = Desk(office, work)
    left = deque(work.asked)
    if work.shard.starts > MOST_STARTS:
        said = f"{MOST_STARTS} workers died while they asked this share of the run, so it was given up."
        for asked in left:
            desk.put(asked, Answer(error=said, error_code="gave_up"), [])
        await desk.close()
        return True
    try:
        asker = _asker(office, work, desk)
        speaker = _speaker(office, work)
    except Failure as failure:
        for asked in left:
            desk.put(asked, Answer(error=failure.message, error_code=failure.code), [])
        await desk.close()
        return True
    work.bench.open_models(office.caller, office.turn_of)
    until = time.monotonic() + TURN_SECONDS

    async def take_cases() -> None:
        while left and desk.is_wanted and not office.is_closing and time.monotonic() < until:
            asked = left.popleft()
            key = f"{work.run.pk}-{asked.case_id}-{asked.repetition}"
            try:
                answer = await converse(asker, asked, key=key, speaker=Player(speaker, asked) if speaker else None)
            except NotWanted:
                return
            said: list[Judgement] = []
            if not answer.error_code:
                said = await work.bench.ask_models(
                    _evidence(asked, answer), _transcript(asked, answer), asked.requirement_id
                )
            desk.put(asked, answer, said)

    places = min(work.concurrency or asker.endpoint.max_concurrency, asker.endpoint.max_concurrency)
    hands = min(len(left), places * 2 if work.bench.asks_models else places)
    try:
        async with desk.open(), asyncio.TaskGroup() as group:
            for _ in range(hands):
                group.create_task(take_cases())
    finally:
        await asyncio.shield(desk.close())
    return not left and desk.is_wanted


def _asker(office: Office, work: Work, desk: Desk) -> Asker:
    if work.endpoint is None:
        raise Failure("endpoint_missing", "The run's endpoint is gone.")
    endpoint_gate = office.locks.gate(f"endpoint:{work.endpoint.pk}", work.endpoint.max_concurrency)
    if work.concurrency and work.concurrency < work.endpoint.max_concurrency:
        run_gate = office.locks.gate(f"run:{work.run.pk}", work.concurrency)

        @asynccontextmanager
        async def place() -> AsyncIterator[None]:
            async with run_gate.turn(), endpoint_gate.turn():
                yield
    else:
        place = endpoint_gate.turn

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        async with place():
            if not desk.is_wanted:
                raise NotWanted
            yield

    return Asker(
        office.caller,
        work.endpoint,
        timeout=work.timeout,
        retries=work.retries,
        turn=turn,
        pause=endpoint_gate.rest,
    )


def _speaker(office: Office, work: Work) -> Model | None:
    endpoint = work.simulator or default_model()
    if endpoint is None or not any((asked.plan or {}).get("goal") for asked in work.asked):
        return None
    return Model(office.caller, endpoint, "", turn=office.turn_of(endpoint))


class Desk:
    """Answers on their way into the database, a few dozen at a time."""

    def __init__(self, office: Office, work: Work) -> None:
        self.office, self.work = office, work
        self._waiting: list[tuple[Asked, Answer, list[Judgement]]] = []
        self._stir = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def is_wanted(self) -> bool:
        """Nobody cancelled or ended the run, as far as any of its shares here has heard."""
        return self.work.run.pk not in self.office.ended

    def _hear(self, is_wanted: bool) -> None:
        if not is_wanted:
            self.office.ended.add(self.work.run.pk)

    def put(self, asked: Asked, answer: Answer, said: list[Judgement]) -> None:
        self._waiting.append((asked, answer, said))
        if len(self._waiting) >= FLUSH_SIZE:
            self._stir.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Record what is put here as it comes; whoever cannot write any more stops the asking too."""
        asking = asyncio.current_task()
        assert asking is not None
        keeper = asyncio.create_task(self._keep(), name="desk")
        broken = False

        def stop(task: asyncio.Task[None]) -> None:
            nonlocal broken
            if not task.cancelled() and task.exception() is not None:
                broken = True
                asking.cancel()

        keeper.add_done_callback(stop)
        try:
            yield
        except asyncio.CancelledError:
            if broken:
                asking.uncancel()
                raise keeper.exception() or RuntimeError("the desk closed") from None
            raise
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self) -> None:
        looked = time.monotonic()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stir.wait(), FLUSH_SECONDS)
            self._stir.clear()
            if self._waiting:
                await self.flush()
                looked = time.monotonic()
            elif time.monotonic() - looked > WATCH_SECONDS:
                self._hear(await self.office.in_thread(_is_wanted, self.work.run.pk))
                looked = time.monotonic()

    async def flush(self) -> None:
        """All that waits; the database may be away for a while."""
        async with self._writing:
            began, pause = time.monotonic(), 0.2
            while self._waiting:
                batch = self._waiting[:FLUSH_SIZE]
                try:
                    self._hear(await self.office.in_thread(_record, self.work, batch))
                except AWAY:
                    if time.monotonic() - began > DATABASE_PATIENCE:
                        raise
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 3.0)
                    continue
                del self._waiting[: len(batch)]

    async def close(self) -> None:
        await self.flush()


def _record(work: Work, batch: list[tuple[Asked, Answer, list[Judgement]]]) -> bool:
    """Keep the answers with their judgements, and say whether the run still wants more."""
    records = [_result(work, *one) for one in batch]
    with transaction.atomic():
        try:
            with transaction.atomic():
                record_results(work.run, records, via=work.run.via)
        except AWAY:
            raise
        except (RecordingError, DatabaseError, ValueError):
            log.exception("a batch of answers could not be recorded", extra={"facts": {"run": str(work.run.pk)}})
            for record in records:
                _record_alone(work, record)
        if work.shard.starts:
            Shard.objects.filter(pk=work.shard.pk).update(starts=0)
            work.shard.starts = 0
    return _is_wanted(work.run.pk)


def _record_alone(work: Work, record: ResultRecord) -> None:
    """One answer that its batch may have failed for; where it is the culprit, the case still gets its result."""
    try:
        with transaction.atomic():
            record_results(work.run, [record], via=work.run.via)
    except AWAY:
        raise
    except (RecordingError, DatabaseError, ValueError) as problem:
        said = f"The answer could not be kept: {type(problem).__name__}."
        bare = ResultRecord(
            case=record.case, case_revision=record.case_revision, repetition=record.repetition, error=said,
            error_code="not_storable", latency_ms=record.latency_ms,
            evaluations=work.bench.cannot_judge(None),
        )  # fmt: skip
        try:
            with transaction.atomic():
                record_results(work.run, [bare], via=work.run.via)
        except RecordingError:  # its case was deleted for good
            log.warning("a case is gone", extra={"facts": {"run": str(work.run.pk), "case": str(record.case)}})


def _is_wanted(run_id: UUID) -> bool:
    return TestRun.objects.filter(pk=run_id, status__in=TestRun.ACTIVE, deleted_at__isnull=True).exists()


def _result(work: Work, asked: Asked, answer: Answer, said: list[Judgement]) -> ResultRecord:
    if answer.error_code:
        judgements = work.bench.cannot_judge(asked.requirement_id)
    else:
        judgements = [*work.bench.apply_checks(_evidence(asked, answer), asked.requirement_id), *said]
    return ResultRecord(
        case=asked.case_id,
        case_revision=asked.revision,
        repetition=asked.repetition,
        inputs=asked.inputs,
        expected=asked.expected,
        output=storable(answer.output),
        conversation=storable(answer.conversation),
        error=storable(answer.error),
        error_code=answer.error_code,
        latency_ms=None if answer.latency_ms is None else round(answer.latency_ms, 1),
        wall_ms=answer.wall_ms,
        cost=answer.cost,
        usage=answer.usage,
        session_id=storable(answer.session_id)[:300],
        started_at=answer.started_at,
        finished_at=answer.finished_at,
        attributes={"attempts": answer.attempts} if answer.attempts > max(1, len(answer.conversation)) else {},
        evaluations=judgements,
    )


def _evidence(asked: Asked, answer: Answer) -> Evidence:
    return Evidence(
        output=answer.output,
        expected=asked.expected,
        inputs=asked.inputs,
        latency_ms=answer.latency_ms,
        cost=answer.cost,
    )


def _transcript(asked: Asked, answer: Answer) -> Transcript:
    output = answer.output or {}
    said = [message for turn in answer.conversation for message in turn.get("messages", ())]
    if not said:
        said = [
            {"role": "user", "content": asked.inputs.get("input")},
            {"role": "assistant", "content": output.get("output")},
        ]
    return Transcript(messages=said, context=output.get("context"), metadata=asked.metadata)


# --- judging again ----------------------------------------------------------------------------------------------------


async def _judge(office: Office, work: Work) -> bool:
    """Judge recorded results with the share's evaluators; says whether all of them were."""
    work.bench.open_models(office.caller, office.turn_of)
    until = time.monotonic() + TURN_SECONDS
    left = deque(work.result_ids)

    async def one(result: TestResult) -> tuple[TestResult, list[Judgement]]:
        if result.error_code or result.error:
            return result, work.bench.cannot_judge(None)
        evidence, transcript = Evidence.of(result), Transcript.of(result)
        said = await work.bench.ask_models(evidence, transcript, None)
        return result, [*await office.in_thread(work.bench.apply_checks, evidence, None), *said]

    while left and not office.is_closing and time.monotonic() < until:
        batch = [left.popleft() for _ in range(min(len(left), 20 if work.bench.asks_models else FLUSH_SIZE))]
        results = await office.in_thread(lambda ids: list(TestResult.objects.filter(pk__in=ids)), batch)
        judged = await asyncio.gather(*(one(result) for result in results))
        await office.in_thread(_add, work, judged)
    return not left


def _add(work: Work, judged: list[tuple[TestResult, list[Judgement]]]) -> None:
    """The judgements as the newest of their evaluators, unless this scoring has given them already."""
    scoring = work.shard.work["scoring"]
    with settlement(work.run.pk, [result.pk for result, _ in judged]) as settled:
        done = set(
            Evaluation.objects.filter(result_id__in=settled.results, metadata__scoring=scoring).values_list(
                "result_id", flat=True
            )
        )
        for result, judgements in judged:
            if result.pk in done or result.pk not in settled.results:
                continue
            for judgement in judgements:
                settled.add(_row(result, judgement, scoring, work.run.via))
        Shard.objects.filter(pk=work.shard.pk, starts__gt=0).update(starts=0)


def _row(result: TestResult, judgement: Judgement, scoring: str, via: str) -> Evaluation:
    evaluator: Any = judgement.evaluator
    row = Evaluation(
        result=result,
        evaluator=evaluator,
        evaluator_version=evaluator.version,
        source=judgement.source,
        explanation=judgement.explanation,
        error=judgement.error,
        usage=judgement.usage,
        cost=judgement.cost,
        latency_ms=judgement.latency_ms,
        metadata={"scoring": scoring},
        via=via,
    )
    score_evaluation(row, evaluator, judgement)
    return row
