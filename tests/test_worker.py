import asyncio

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from evalhub.worker import MOST_ATTEMPTS, clear_expired_sessions, rescue_stalled_jobs

pytestmark = pytest.mark.django_db(transaction=True)


def queue_job() -> int:
    return app.configure_task("rescue_stalled_jobs", queueing_lock=None).defer(timestamp=0)


def start_and_die(job: int, *, attempts: int = 0, seconds_ago: int = 60) -> None:
    """The job as a worker leaves it that took it and was killed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s * interval '1 second') RETURNING id",
            [seconds_ago],
        )
        [worker] = cursor.fetchone()
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', attempts = %s, worker_id = %s WHERE id = %s",
            [attempts, worker, job],
        )


def rescue() -> None:
    async def run() -> None:
        with app.replace_connector(app.connector.get_worker_connector()) as of_worker:
            async with of_worker.open_async():
                await rescue_stalled_jobs(timestamp=0)

    asyncio.run(run())


def state_of(job: int) -> str:
    return ProcrastinateJob.objects.get(pk=job).status


def test_a_job_whose_worker_died_goes_back_to_the_queue():
    job = queue_job()
    start_and_die(job)

    rescue()

    assert state_of(job) == "todo"


def test_a_job_whose_worker_lives_is_left_alone():
    job = queue_job()
    start_and_die(job, seconds_ago=5)

    rescue()

    assert state_of(job) == "doing"


def test_a_job_that_kills_each_worker_is_given_up():
    job = queue_job()
    start_and_die(job, attempts=MOST_ATTEMPTS - 1)

    rescue()

    assert state_of(job) == "failed"


def test_a_worker_does_what_is_in_the_queue():
    job = queue_job()

    call_command("procrastinate", "worker", "--one-shot")

    assert state_of(job) == "succeeded"


def test_expired_sessions_are_cleared_and_others_stay():
    for key, days in (("old", -1), ("new", 1)):
        Session.objects.create(
            session_key=key, session_data="", expire_date=timezone.now() + timezone.timedelta(days=days)
        )

    clear_expired_sessions(timestamp=0)

    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]
