"""What workers do: the tasks of the queue. Each is a verb of some room; here it only gets its name and its retries."""

import logging
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.management import call_command
from procrastinate.contrib.django import app
from procrastinate.jobs import Status

from results import executing
from results.awaiting import JUDGE_PENDING, judge_pending
from results.searching import index_texts as index
from runs.launching import WORK
from runs.launching import tend_runs as tend

log = logging.getLogger("evalhub.worker")

HEARTBEAT_LOST = 30  # seconds without a sign of life after which a worker counts as dead
MOST_ATTEMPTS = 5  # a job that kills each worker that takes it must stop somewhere


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="rescue_stalled_jobs", name="rescue_stalled_jobs")
async def rescue_stalled_jobs(timestamp: int) -> None:
    """A killed worker's jobs stay `doing` for ever: hand them to the next one."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=HEARTBEAT_LOST):
        facts = {"job": job.id, "task": job.task_name, "attempts": job.attempts}
        if job.attempts + 1 >= MOST_ATTEMPTS:
            log.error("gave up on a job whose workers die", extra={"facts": facts})
            await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=False)
        else:
            log.warning("rescued a job whose worker died", extra={"facts": facts})
            await app.job_manager.retry_job(job)


@app.task(name=JUDGE_PENDING, queue="judging", retry=3)
def judge_pending_evaluations(run_id: str) -> None:
    judge_pending(UUID(run_id))


@app.periodic(cron="27 3 * * *")
@app.task(queueing_lock="clear_sessions", name="clear_sessions")
def clear_expired_sessions(timestamp: int) -> None:
    """Django keeps them until told."""
    call_command("clearsessions")


@app.periodic(cron="17 3 * * *")
@app.task(queueing_lock="forget_old_keys", name="forget_old_keys")
def forget_old_idempotency_keys(timestamp: int) -> None:
    """A retry of a week ago is no retry."""
    from evalhub.api.once import forget_old_keys  # only here, so that workers do without the API's modules

    forget_old_keys()


@app.task(name=WORK)
async def work_on_shard(shard_id: str) -> None:
    await executing.work_on_shard(shard_id)


@app.periodic(cron="* * * * * */10")
@app.task(queueing_lock="tend_runs", name="tend_runs", priority=10)
async def tend_runs(timestamp: int) -> None:
    """What a killed worker left of a launched run goes back to the queue; a run whose last share is done ends."""
    await sync_to_async(tend)()


@app.periodic(cron="* * * * * */10")
@app.task(queueing_lock="index_texts", lock="index_texts", name="index_texts")
def index_texts(timestamp: int) -> None:
    """Until then the search reads what has arrived, one text after the other."""
    index()
