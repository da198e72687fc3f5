"""What workers do: the tasks of the queue. Each is a verb of some room; here it only gets its name and its retries."""

import logging
from uuid import UUID

from procrastinate.contrib.django import app
from procrastinate.jobs import Status

from results.awaiting import JUDGE_PENDING, judge_pending

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


@app.periodic(cron="17 3 * * *")
@app.task(queueing_lock="forget_old_keys", name="forget_old_keys")
def forget_old_idempotency_keys(timestamp: int) -> None:
    """A retry of a week ago is no retry."""
    from evalhub.api.once import forget_old_keys  # only here, so that workers do without the API's modules

    forget_old_keys()
