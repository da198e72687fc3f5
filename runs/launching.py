"""Opening a run for results that will arrive, and launching one that EvalHub's workers fill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import User
from evalhub.audit.models import AuditEvent, record_event
from evalhub.database.ids import first_id_since
from evalhub.web.errors import Refused, TooOften
from runs.asking import MOST_RETRIES, USUAL_RETRIES, cannot_be_called
from runs.chatting import default_model
from runs.configurations import evaluators_of
from runs.conversing import needs_a_user
from runs.judgeable import cannot_judge
from runs.models import (
    Case,
    Category,
    Endpoint,
    Evaluator,
    Project,
    Prompt,
    Shard,
    TestConfiguration,
    TestRun,
    TestSet,
    TestSetEvaluator,
    Topic,
)
from runs.slots import number_of, numbers_held

AS_CONFIGURED: Final[Any] = object()  # where None means something else
WORK: Final = "work_on_shard"  # the task in evalhub.worker
SMALLEST_SHARD, LARGEST_SHARD, SHARDS_WANTED = 10, 100, 16
MOST_RESULTS: Final = 200_000
MOST_REPETITIONS: Final = 100
MOST_CONCURRENCY: Final = 100
LONGEST_TIMEOUT: Final = 3600
MINUTE: Final = timedelta(minutes=1)
PEOPLE_AT_ONCE: Final = 4  # so many people's launches an organisation may make


class CannotLaunch(Refused):
    """A run that cannot be launched as asked; the message is a sentence for the person who asked."""


class LaunchedTooOften(TooOften, CannotLaunch):
    """A person or an organisation that launches faster than the operator allows."""


def open_run(
    project: Project,
    *,
    name: str = "",
    configuration: TestConfiguration | None = None,
    by: User | None = None,
    status: str = TestRun.Status.RUNNING,
    **fields: Any,
) -> TestRun:
    """A new run with the project's next number and a snapshot of what the configuration says now."""
    with transaction.atomic():
        (number,) = project.take_numbers("last_run_number", 1)
        finished = status in TestRun.FINISHED
        fields.setdefault("started_at", None if status == TestRun.Status.QUEUED else timezone.now())
        fields.setdefault("finished_at", timezone.now() if finished else None)
        if configuration is not None and "snapshot" not in fields:
            fields["snapshot"] = snapshot_of(configuration)
        return TestRun.objects.create(
            organization_id=project.organization_id,
            project=project,
            configuration=configuration,
            number=number,
            name=(name or f"Run {number}")[:300],
            status=status,
            created_by=by,
            owner=fields.pop("owner", by),
            **fields,
        )


def snapshot_of(configuration: TestConfiguration) -> dict[str, Any]:
    """What a run remembers of its configuration: endpoint, test set with revision, evaluators with versions."""
    test_set = configuration.test_set
    return {
        "configuration": {"id": str(configuration.pk), "name": configuration.name},
        "endpoint": configuration.endpoint.snapshot() if configuration.endpoint else None,
        "test_set": _snapshot_of_set(test_set) if test_set else None,
        "evaluators": snapshots_of(Evaluator.objects.filter(configurations=configuration).order_by("name")),
        "parameters": configuration.parameters,
    }


def snapshots_of(evaluators: Iterable[Evaluator]) -> list[dict[str, Any]]:
    return [{"id": str(one.pk), "version": one.version, **one.snapshot()} for one in evaluators]


def _models_in(**named: Endpoint | None) -> dict[str, Any]:
    return {word: {"id": str(one.pk), "name": one.name} for word, one in named.items() if one is not None}


def _snapshot_of_set(test_set: TestSet) -> dict[str, Any]:
    return {"id": str(test_set.pk), "name": test_set.name, "revision": test_set.revision}


# --- launching --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a run is asked: how often each case, how many calls at once, how long, and how often again."""

    repetitions: int
    concurrency: int | None
    timeout: int | None
    retry_count: int

    @classmethod
    def of(cls, parameters: dict[str, Any], **given: int | None) -> Limits:
        values = {**parameters, **{name: value for name, value in given.items() if value is not None}}
        sequential = str(values.get("execution_mode", "")).lower() == "sequential"
        return cls(
            repetitions=_between(values, "repetitions", 1, MOST_REPETITIONS) or 1,
            concurrency=1 if sequential else _between(values, "concurrency", 1, MOST_CONCURRENCY),
            timeout=_between(values, "timeout", 1, LONGEST_TIMEOUT),
            retry_count=_between(values, "retry_count", 0, MOST_RETRIES, USUAL_RETRIES) or 0,
        )

    def as_parameters(self) -> dict[str, int]:
        named = {
            "repetitions": self.repetitions,
            "concurrency": self.concurrency,
            "timeout": self.timeout,
            "retry_count": self.retry_count,
        }
        return {name: value for name, value in named.items() if value is not None}


def launch(
    configuration: TestConfiguration,
    *,
    by: Actor | None,
    via: str = TestRun.Via.PAGE,
    name: str = "",
    endpoint: Endpoint | None = None,
    test_set: TestSet | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    judge: Endpoint | None = None,
    simulator: Endpoint | None = None,
    category: Category | None = AS_CONFIGURED,
    topic: Topic | None = AS_CONFIGURED,
    prompt: Prompt | None = AS_CONFIGURED,
    cases: Iterable[UUID] | None = None,
    repetitions: int | None = None,
    concurrency: int | None = None,
    timeout: int | None = None,
    retry_count: int | None = None,
    parameters: dict[str, Any] | None = None,
    **fields: Any,
) -> TestRun:
    """A run of the configuration that workers fill: its plan is frozen now, whatever changes later.

    What is given replaces what the configuration says, for this run; a filter of None asks all, a parameter of None
    is the usual one. ``cases`` keeps only those of the test set.
    ``judge`` and ``simulator`` are models for evaluators that name none, and for the users of conversations.
    Raises CannotLaunch with a sentence.
    """
    endpoint = endpoint or configuration.endpoint
    test_set = test_set or configuration.test_set
    if endpoint is None or endpoint.deleted_at:
        raise CannotLaunch(f"“{configuration.name}” has no endpoint, so there is nothing to ask. Choose one first.")
    if reason := cannot_be_called(endpoint):
        raise CannotLaunch(reason)
    if test_set is None or test_set.deleted_at:
        raise CannotLaunch(f"“{configuration.name}” has no test set, so there is nothing to ask. Choose one first.")
    given = {**(configuration.parameters if isinstance(configuration.parameters, dict) else {}), **(parameters or {})}
    for one in (judge, simulator):
        if one is not None and (reason := cannot_be_called(one)):
            raise CannotLaunch(reason)
    limits = Limits.of(
        given, repetitions=repetitions, concurrency=concurrency, timeout=timeout, retry_count=retry_count
    )
    filters = {
        word: getattr(configuration, word) if row is AS_CONFIGURED else row
        for word, row in (("category", category), ("topic", topic), ("prompt", prompt))
    }
    cases = None if cases is None else list(cases)
    planned = _planned(test_set, filters, cases)
    if not planned:
        filtered = " that pass the filters" if any(filters.values()) or cases is not None else ""
        raise CannotLaunch(f"The test set “{test_set.name}” has no cases{filtered}.")
    total = len(planned) * limits.repetitions
    if total > MOST_RESULTS:
        raise CannotLaunch(f"That would be {total:,} results, and {MOST_RESULTS:,} is the most of one run.")
    chosen, source = _evaluators_for(configuration, test_set, evaluators, [requirement for *_, requirement in planned])
    model = str(given.get("model") or "")[:300]
    unable = [(shot["name"], cannot_judge(shot["who"], shot["definition"], judge)) for shot in chosen]
    with transaction.atomic():
        _pace(configuration.organization_id, by)
        run = open_run(
            configuration.project,
            name=name or configuration.name,
            configuration=configuration,
            by=by.user if by else None,
            status=TestRun.Status.QUEUED,
            via=via,
            planned_count=total,
            warnings=[
                *(f"“{evaluator}” does not judge here. {reason}" for evaluator, reason in unable if reason),
                *_nobody_plays(planned, simulator),
            ],
            **{"model": model, **fields},
            snapshot={
                **snapshot_of(configuration),
                "endpoint": endpoint.snapshot(),
                "test_set": _snapshot_of_set(test_set),
                "evaluators": chosen,
                "evaluators_from": source,
                "parameters": {
                    **{name: value for name, value in given.items() if value is not None},
                    **limits.as_parameters(),
                },
                "filters": {word: {"id": str(row.pk), "name": str(row)} for word, row in filters.items() if row},
                "cases": len(planned),
                "cases_chosen": cases is not None,
                **_models_in(judge=judge, simulator=simulator),
            },
        )
        _cut(run, planned, limits.repetitions)
        record_event("run.launched", run, by=by, organization_id=run.organization_id, results=total)
    return run


def launch_again(run: TestRun, *, by: Actor | None, via: str = TestRun.Via.PAGE, cases: Iterable[UUID] | None = None,
                 **fields: Any) -> TestRun:  # fmt: skip
    """A new run of the same configuration, asked as this one was; ``cases`` keeps only those of its cases."""
    configuration = run.configuration
    if configuration is None or configuration.deleted_at:
        raise CannotLaunch(f"“{run.name}” has no configuration any more, so it cannot be run again.")
    snapshot = run.snapshot if isinstance(run.snapshot, dict) else {}
    if cases is None and snapshot.get("cases_chosen"):
        asked = run.shards.filter(kind=Shard.Kind.ASK).values_list("work__cases", flat=True)
        cases = [UUID(pk) for part in asked for pk, _ in part]
    return launch(
        configuration,
        by=by,
        via=via,
        name=fields.pop("name", run.name),
        endpoint=_still_there(Endpoint, run, snapshot.get("endpoint")),
        test_set=_still_there(TestSet, run, snapshot.get("test_set")),
        evaluators=_same_evaluators(run, snapshot),
        judge=_still_there(Endpoint, run, snapshot.get("judge")),
        simulator=_still_there(Endpoint, run, snapshot.get("simulator")),
        parameters=snapshot.get("parameters") or {},
        cases=cases,
        **_same_filters(run, snapshot),
        **{"branch": run.branch, "commit": run.commit, "reference": run, **fields},
    )


def plan_judging(
    run: TestRun,
    result_ids: Sequence[UUID],
    evaluators: Sequence[Evaluator],
    *,
    by: Actor | None,
    judge: Endpoint | None = None,
) -> str:
    """Let workers judge recorded results with (other) evaluators, without asking again; the name of this scoring."""
    if not evaluators:
        raise CannotLaunch("Choose at least one evaluator to judge with.")
    if any(evaluator.who == Evaluator.Who.HUMAN for evaluator in evaluators):
        raise CannotLaunch("People judge by reviewing: choose evaluators that a machine can apply.")
    if not result_ids:
        raise CannotLaunch("There are no results to judge.")
    if judge is not None and (reason := cannot_be_called(judge)):
        raise CannotLaunch(reason)
    scoring = str(uuid4())
    with transaction.atomic():
        _pace(run.organization_id, by)
        TestRun.objects.select_for_update(no_key=True).get(pk=run.pk)  # numbers of shards are taken one after the other
        first = run.shards.count() + 1
        work = {"evaluators": snapshots_of(evaluators), "scoring": scoring, **_models_in(judge=judge)}
        shards = [
            Shard(
                organization_id=run.organization_id,
                run=run,
                kind=Shard.Kind.JUDGE,
                number=number,
                work={**work, "results": [str(pk) for pk in part]},
                size=len(part),
            )
            for number, part in enumerate(_parts(list(result_ids), 1), first)
        ]
        Shard.objects.bulk_create(shards)
        for shard in shards:
            queue_shard(shard)
        names = [evaluator.name for evaluator in evaluators]
        record_event("run.rescored", run, by=by, organization_id=run.organization_id, evaluators=names)
    return scoring


def _pace(organization_id: UUID, by: Actor | None) -> None:
    """Refuse what comes too often: of one person, and of an organisation. What operators launch here is not counted."""
    most = settings.LAUNCHES_PER_MINUTE
    if by is None or not most:
        return
    with connection.cursor() as cursor:  # one after the other, or many at once would all find the last place free
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"launch {organization_id}"])
    since = timezone.now() - MINUTE
    events = AuditEvent.objects.filter(organization=organization_id, id__gte=first_id_since(since), at__gte=since)
    own = Q(user=by.user.pk)
    seen = events.filter(action__in=("run.launched", "run.rescored"), user__isnull=False).aggregate(
        all=Count("pk"), first=Min("at"), own=Count("pk", filter=own), own_first=Min("at", filter=own)
    )
    for whose, count, limit, first in (
        ("You", seen["own"], most, seen["own_first"]),
        ("Your organisation", seen["all"], most * PEOPLE_AT_ONCE, seen["first"]),
    ):
        if count >= limit:
            seconds = max(1, math.ceil((first - since).total_seconds()))
            said = f"{whose} launched as often as a minute allows ({limit}). Try again in {seconds} s."
            raise LaunchedTooOften(said, seconds)


def cancel_run(run: TestRun, *, by: Actor | None) -> bool:
    """Stop asking; what was asked already may still arrive. Says whether that was a change."""
    if not run.cancel():
        return False
    record_event("run.cancelled", run, by=by, organization_id=run.organization_id)
    return True


# --- the queue --------------------------------------------------------------------------------------------------------


def queue_shard(shard: Shard) -> None:
    """Give a worker the shard. The first shards of all runs go before the second ones, and other work before them.

    Two jobs for one shard do no harm: the second finds the shard held, or done.
    """
    app.configure_task(WORK, priority=-min(shard.number, 1_000)).defer(shard_id=str(shard.pk))


def job_name(shard_id: UUID | str) -> str:
    return f"shard:{shard_id}"


def shards_to_do() -> QuerySet[Shard]:
    """What still has to be done: shares of active runs, and judging that was asked for, whatever the run's state."""
    wanted = Q(kind=Shard.Kind.JUDGE) | Q(run__status__in=TestRun.ACTIVE)
    return Shard.objects.filter(wanted, done_at__isnull=True, run__deleted_at__isnull=True)


def tend_runs() -> int:
    """Queue what nobody works on: the shares of killed workers. Finish runs whose shares are done. Says how many."""
    waiting = ProcrastinateJob.objects.filter(task_name=WORK, status="todo").values_list("args__shard_id", flat=True)
    queued, held = set(waiting), numbers_held()
    tended = 0
    for shard in shards_to_do().defer("work").order_by("run_id", "number"):
        if str(shard.pk) not in queued and number_of(job_name(shard.pk)) not in held:
            queue_shard(shard)
            tended += 1
    for run in TestRun.objects.filter(status__in=TestRun.ACTIVE, shards__isnull=False).distinct():
        tended += finish_if_done(run.pk)
    return tended


def finish_if_done(run_id: UUID) -> bool:
    """End a launched run whose every share is done; the rows say so, not the queue."""
    with transaction.atomic():
        run = TestRun.objects.select_for_update(no_key=True).get(pk=run_id)
        asked = run.shards.filter(kind=Shard.Kind.ASK)
        if not run.is_active or asked.filter(done_at__isnull=True).exists() or not asked.exists():
            return False
        return run.finish()


# --- the plan ---------------------------------------------------------------------------------------------------------


def _planned(test_set: TestSet, filters: dict[str, Any], cases: Iterable[UUID] | None) -> list[tuple[Any, ...]]:
    """(case, revision, requirement), in the order of the test set."""
    found = Case.objects.filter(memberships__test_set=test_set, deleted_at__isnull=True, archived_at__isnull=True)
    for word, row in filters.items():
        if row is not None:
            found = found.filter(**{word: row})
    if cases is not None:
        found = found.filter(pk__in=list(cases))
    rows = found.order_by("memberships__position", "memberships__id").values_list("pk", "revision", "requirement_id")
    return list(rows)


def _nobody_plays(planned: Sequence[tuple[Any, ...]], simulator: Endpoint | None) -> list[str]:
    if simulator is not None or default_model() is not None:
        return []
    played = Case.objects.filter(pk__in=[case for case, *_ in planned], plan__goal__isnull=False)
    count = sum(needs_a_user(inputs, plan) for inputs, plan in played.values_list("inputs", "plan"))
    if not count:
        return []
    cases = "1 case has a goal and needs" if count == 1 else f"{count:,} cases have a goal and need"
    return [f"{cases} a simulated user, and no model is set up to play one."]


def _cut(run: TestRun, planned: Sequence[tuple[Any, ...]], repetitions: int) -> None:
    shards = [
        Shard(
            organization_id=run.organization_id,
            run=run,
            number=number,
            work={"cases": [[str(case), revision] for case, revision, _ in part]},
            size=len(part) * repetitions,
        )
        for number, part in enumerate(_parts(planned, repetitions), 1)
    ]
    Shard.objects.bulk_create(shards)
    for shard in shards:
        queue_shard(shard)


def _parts[T](items: Sequence[T], repetitions: int) -> list[Sequence[T]]:
    """Shares of about equal work: small enough for several workers, large enough to keep one busy."""
    results = len(items) * repetitions
    wanted = max(SMALLEST_SHARD, min(LARGEST_SHARD, -(-results // SHARDS_WANTED)))
    size = max(1, wanted // repetitions)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _evaluators_for(
    configuration: TestConfiguration,
    test_set: TestSet,
    given: Sequence[Evaluator] | None,
    requirements: Sequence[UUID | None],
) -> tuple[list[dict[str, Any]], str]:
    """The evaluators as they are now, and whose word they are: the launch's, the configuration's, the test set's, or
    the requirements' of its cases (which judge only cases of their requirement)."""
    if given is not None:
        return snapshots_of(given), "launch"
    if own := evaluators_of(configuration):
        return snapshots_of(own), "configuration"
    rows = TestSetEvaluator.objects.filter(test_set=test_set, evaluator__deleted_at__isnull=True)
    if brought := [row.evaluator for row in rows.select_related("evaluator").order_by("evaluator__name")]:
        return snapshots_of(brought), "test_set"
    wanted = {requirement for requirement in requirements if requirement is not None}
    found = Evaluator.objects.filter(
        organization_id=configuration.organization_id,
        requirements__in=wanted,
        deleted_at__isnull=True,
        archived_at__isnull=True,
    )
    demanded = list(found.distinct().prefetch_related("requirements").order_by("name"))
    shots = snapshots_of(demanded)
    for evaluator, shot in zip(demanded, shots, strict=True):
        shot["requirements"] = [str(row.pk) for row in evaluator.requirements.all() if row.pk in wanted]
    return shots, "requirement" if shots else ""


def _same_filters(run: TestRun, snapshot: dict[str, Any]) -> dict[str, Any]:
    """Those of the run, whatever its configuration says meanwhile."""
    filters = snapshot.get("filters")
    if not isinstance(filters, dict):
        return {}
    models: dict[str, Any] = {"category": Category, "topic": Topic, "prompt": Prompt}
    found: dict[str, Any] = dict.fromkeys(models)
    for word, shot in filters.items():
        found[word] = models[word].objects.filter(organization_id=run.organization_id, pk=shot["id"]).first()
        if found[word] is None:
            raise CannotLaunch(f"“{run.name}” kept to the {word} “{shot['name']}”, which is gone: launch it anew.")
    return found


def _same_evaluators(run: TestRun, snapshot: dict[str, Any]) -> list[Evaluator] | None:
    if snapshot.get("evaluators_from") != "launch":
        return None  # the configuration, test set or requirements decide again
    ids = [shot["id"] for shot in snapshot.get("evaluators") or []]
    found = Evaluator.objects.filter(organization_id=run.organization_id, pk__in=ids, deleted_at__isnull=True)
    by_id = {str(evaluator.pk): evaluator for evaluator in found}
    return [by_id[pk] for pk in ids if pk in by_id]


def _still_there(model: Any, run: TestRun, shot: Any) -> Any:
    """The row that a snapshot names, if it was not the configuration's own word and is not gone."""
    if not isinstance(shot, dict):
        return None
    return model.objects.filter(organization_id=run.organization_id, pk=shot.get("id"), deleted_at__isnull=True).first()


def _between(values: dict[str, Any], name: str, least: int, most: int, usual: int | None = None) -> int | None:
    value = values.get(name)
    if value in (None, ""):
        return usual
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise CannotLaunch(f"“{name}” is {value!r}, and has to be a whole number from {least:,} to {most:,}.")
    return value
