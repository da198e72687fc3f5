"""Two runs of EvalHub's own: one whose endpoint nobody answers for, and one that was stopped on its way."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import Membership
from evalhub.demo.loading import SLUG
from results.executing import Office, work_on_shard
from runs.launching import cancel_run, launch
from runs.models import Endpoint, Shard, TestConfiguration, TestRun

UNREACHABLE, STOPPED = "demo-unreachable", "demo-stopped"
NOBODY_HERE = "http://127.0.0.1:1/chat/"


def launch_demo_runs(listener: socket.socket, application: Callable[..., Iterable[bytes]]) -> None:
    """Launch and carry out both, where they are not there yet; the bot answers at ``listener`` meanwhile."""
    nightly = TestConfiguration.objects.filter(organization__slug=SLUG, name="Nightly regression").first()
    lead = Membership.objects.filter(organization__slug=SLUG, user__email__startswith="ines@").first()
    if nightly is None or nightly.endpoint is None or lead is None:  # somebody has made this demo their own
        return
    by, there = Actor.from_membership(lead), TestRun.objects.filter(organization__slug=SLUG)
    if not there.filter(external_id=UNREACHABLE).exists():
        staging, _ = Endpoint.objects.get_or_create(
            organization_id=nightly.organization_id, project_id=nightly.project_id, name="support-bot, staging",
            defaults={"url": NOBODY_HERE, "environment": Endpoint.Environment.STAGING,
                      "description": "Nobody answers here: runs that ask it fail."},
        )  # fmt: skip
        run = launch(nightly, by=by, name="Staging, before the release", endpoint=staging, retry_count=0,
                     branch="release-15", external_id=UNREACHABLE)  # fmt: skip
        carry_out(run.shards.all())
    stopped = there.filter(external_id=STOPPED).first()
    if stopped is None:
        stopped = launch(nightly, by=by, name="Release 14, once more", branch="main", external_id=STOPPED)
        with serving(listener, application):
            carry_out(stopped.shards.all()[:2])
    cancel_run(stopped, by=by)  # also where the start before this one was interrupted here


def carry_out(shards: Iterable[Shard]) -> None:
    """As a worker does, but here and now; the jobs that wait for workers will find nothing left to do."""

    async def work(ids: list[str]) -> None:
        for pk in ids:
            await work_on_shard(pk)
        await Office.close_current()

    asyncio.run(work([str(shard.pk) for shard in shards]))


@contextmanager
def serving(listener: socket.socket, application: Callable[..., Iterable[bytes]]) -> Iterator[None]:
    server = WSGIServer(listener.getsockname()[:2], Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = listener.dup()
    server.server_name, server.server_port = listener.getsockname()[:2]
    server.setup_environ()
    server.set_app(application)
    requests = logging.getLogger("evalhub.request")
    before = requests.level
    requests.setLevel(logging.WARNING)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        requests.setLevel(before)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """The terminal is for the address and the logins."""
