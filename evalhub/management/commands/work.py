"""A worker that outlives its database: it waits until the database is back, and goes on."""

from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from evalhub.web.health import own_connection
from results.executing import Office
from runs.launching import tend_runs

PATIENCE = 10.0  # seconds that jobs have to finish after SIGTERM
AWAY = (ConnectorException, DatabaseError, OperationalError, PoolTimeout, OSError)


class Command(BaseCommand):
    help = "Works on jobs until it is told to stop (Ctrl-C or SIGTERM). Any number of machines may run it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        usual = settings.PROCRASTINATE_WORKER_DEFAULTS["concurrency"]
        parser.add_argument("--concurrency", type=int, default=usual, help=f"jobs at once (default: {usual})")
        parser.add_argument("--once", action="store_true", help="stop when nothing is left to do")

    def handle(self, *, concurrency: int, once: bool, **options: Any) -> None:
        asyncio.run(self.work(concurrency, once))

    async def work(self, concurrency: int, once: bool) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        while not stopping.is_set():
            try:
                await sync_to_async(tend_now)()
                await self.work_until(stopping, concurrency, once)
                if once:
                    return
            except AWAY as problem:
                self.stderr.write(f"The database does not answer ({type(problem).__name__}): waiting for it.")
            while not stopping.is_set() and not await sync_to_async(database_answers)():
                await pause(stopping, 0.5)

    async def work_until(self, stopping: asyncio.Event, concurrency: int, once: bool) -> None:
        """One life of the queue's own worker, which ends when the database goes away."""
        connector: Any = app.connector
        with app.replace_connector(connector.get_worker_connector()) as of_worker:
            async with of_worker.open_async():
                worker = asyncio.create_task(
                    of_worker.run_worker_async(
                        concurrency=concurrency,
                        wait=not once,
                        install_signal_handlers=False,
                        shutdown_graceful_timeout=PATIENCE,
                        delete_jobs="successful",  # a run's rows say what was done; the ticks alone are 8,000 a day
                    )
                )
                stopped = asyncio.create_task(stopping.wait())
                try:
                    await asyncio.wait([worker, stopped], return_when=asyncio.FIRST_COMPLETED)
                    if not worker.done():
                        Office.begin_no_more()
                        worker.cancel()
                    await asyncio.gather(worker, return_exceptions=True)
                    if not worker.cancelled() and (problem := worker.exception()) is not None:
                        raise problem
                finally:
                    stopped.cancel()
                    await Office.close_current()


def tend_now() -> None:
    try:
        tend_runs()
    finally:
        connection.close()


def database_answers() -> bool:
    try:
        with own_connection() as probe:
            probe.ensure_connection()
    except DatabaseError:
        return False
    return True


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
