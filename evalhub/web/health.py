"""For load balancers and operators: is this process alive, and can it do its work?"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

PATIENCE = 3  # seconds: a probe must hear of an outage before it gives up itself

WAITING = """
    SELECT count(*), coalesce(extract(epoch FROM now() - min(coalesce(scheduled_at, queued_at))), 0)
    FROM procrastinate_jobs AS job
    CROSS JOIN LATERAL (SELECT min(at) AS queued_at FROM procrastinate_events WHERE job_id = job.id) AS event
    WHERE status = 'todo' AND coalesce(scheduled_at, now()) <= now()
"""


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers, has all migrations, and the queue can be read.

    A queue that is merely behind is told, not refused: taking the pages away would not make it shorter.
    """
    checks: dict[str, object] = {"database": "ok", "migrations": "ok", "queue": "ok"}
    try:
        with own_connection() as probe:
            executor = MigrationExecutor(probe)
            missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
            if missing:
                checks |= {"migrations": f"{len(missing)} missing", "queue": "unknown"}
                return answer(checks, ready=False)
            with probe.cursor() as cursor:
                cursor.execute(WAITING)
                waiting, oldest = cursor.fetchone()
    except OperationalError:
        return answer({"database": "away", "migrations": "unknown", "queue": "unknown"}, ready=False)
    except DatabaseError:
        return answer(checks | {"queue": "unreadable"}, ready=False)
    return answer(checks | {"waiting_jobs": waiting, "oldest_waiting_seconds": round(float(oldest))}, ready=True)


@contextmanager
def own_connection() -> Iterator[BaseDatabaseWrapper]:
    """Not from the pool: that would wait for a database that is away."""
    probe = connection.copy()
    options = {key: value for key, value in probe.settings_dict["OPTIONS"].items() if key != "pool"}
    limits = {"connect_timeout": PATIENCE, "options": f"-c statement_timeout={PATIENCE}s"}
    probe.settings_dict["OPTIONS"] = options | limits
    try:
        yield probe
    finally:
        probe.close()


def answer(checks: dict[str, object], *, ready: bool) -> HttpResponse:
    return JsonResponse({"status": "ok" if ready else "unavailable"} | checks, status=200 if ready else 503)
