"""A sender's own word on where its run stands."""

from __future__ import annotations

from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from evalhub.web.errors import Refused
from runs.models import TestRun


def state_run(run: TestRun, status: str, *, by: Actor) -> bool:
    """Move a run that its sender fills to any state; says whether that was a change.

    What our workers fill moves by itself: there only an end of the sender's choosing is refused.
    """
    if run.status == status:
        return False
    if run.is_active and run.shards.exists():
        raise Refused("EvalHub's workers fill this run. Cancel it to stop it.")
    finished = status in TestRun.FINISHED
    now = timezone.now()
    run.status = status
    run.finished_at = (run.finished_at or now) if finished else None
    if status != TestRun.Status.QUEUED:
        run.started_at = run.started_at or now
    run.save(update_fields=["status", "finished_at", "started_at", "updated_at"])
    record_event("run.changed", run, by=by, changed=["status"])
    return True
