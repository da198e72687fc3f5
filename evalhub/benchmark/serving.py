"""An installation to measure: a folder, a database and a web server of its own, gone afterwards."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from evalhub.benchmark.loading import Loaded

# A child begins with the peak of who started it, so somebody small starts it.
WATCH = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
WORKERS = 2
PATIENCE = 120  # seconds
WORKER_STARTS = 4  # seconds


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """One EvalHub on one database; ``loaded`` says what is in it."""

    name: str
    folder: Path
    loaded: Loaded | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{key: value for key, value in os.environ.items() if key != "DATABASE_URL"},
            "EVALHUB_MODE": "demo",
            "EVALHUB_VAR": str(self.folder),
            "EVALHUB_API_REQUESTS_PER_MINUTE": "0",
            "DJANGO_SETTINGS_MODULE": "evalhub.settings",
        }

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=settings.BASE_DIR,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CommandError(f"{self.name}: manage.py {words[0]} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def peak_mib(self, *words: str) -> float:
        """The most memory that a command takes, in MiB."""
        done = subprocess.run(
            [sys.executable, "-c", WATCH, sys.executable, "manage.py", *words],
            cwd=settings.BASE_DIR,
            env=self.environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if done.returncode:
            raise CommandError(f"{self.name}: manage.py {words[0]} failed")
        return int(done.stdout) / (1024 if sys.platform == "linux" else 1024 * 1024)  # the units differ

    def start(self) -> float:
        """Start gunicorn; seconds until /runs/ answers 200 to somebody who is signed in."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = f"-m gunicorn evalhub.benchmark.wsgi --workers {WORKERS} --no-control-socket --log-level error"
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *words.split(), "--bind", f"127.0.0.1:{self.port}"],
            cwd=settings.BASE_DIR,
            env=self.environment,
            stderr=open(self.folder / "gunicorn.log", "ab"),  # noqa: SIM115 - the child's
        )
        while time.perf_counter() - began < PATIENCE:
            try:
                if self.get("/runs/").status == 200:
                    return time.perf_counter() - began
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not answer; {self.folder / 'gunicorn.log'} may say why")

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker beside the web server, as every installation has one."""
        with open(self.folder / "worker.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "work"], cwd=settings.BASE_DIR, env=self.environment, stderr=log
            )
        try:
            time.sleep(WORKER_STARTS)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def ask(self, method: str, path: str, body: bytes | None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.connect()
        assert connection.sock is not None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection.request(method, path, body, self._headers(path, body, headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()})
        finally:
            connection.close()

    def _headers(self, path: str, body: bytes | None, more: dict[str, str]) -> dict[str, str]:
        headers = {"Host": "localhost", **more}
        if self.loaded is not None and not path.startswith("/floor/"):
            if path.startswith("/api/"):
                headers.setdefault("Authorization", f"Bearer {self.loaded.token}")
            else:
                session = self.loaded.operator if path.startswith("/admin/") else self.loaded.session
                headers.setdefault("Cookie", f"evalhub-session={session}")
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def written(self, method: str, path: str, body: bytes) -> bytes:
        """The request as it travels, for ``put``."""
        headers = self._headers(path, body, {"Content-Length": str(len(body)), "Connection": "close"})
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body

    def put(self, request: bytes) -> int:
        """Send a ``written`` request; its status. For many clients in one process: ``ask`` is dearer."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request)
            answer = connection.recv(65536)
            while connection.recv(65536):  # gunicorn closes after each answer
                pass
        return int(answer[9:12])

    def memory_mib(self) -> float:
        """PSS of the web workers and their master, in MiB; 0 where the system does not tell."""
        assert self.process is not None
        pids = [self.process.pid, *children_of(self.process.pid)]
        try:
            return sum(pss_of(pid) for pid in pids) / 1024
        except OSError:
            return 0.0


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def pss_of(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return int(found[1]) if found else 0
