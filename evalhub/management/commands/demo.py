import errno
import hashlib
import http.client
import json
import os
import socket
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import BaseCommand

from evalhub.database.pooling import close_pools
from evalhub.database.postgres import Server
from evalhub.demo.launched import launch_demo_runs
from evalhub.demo.loading import Demo, load_demo
from evalhub.environment import read_number
from evalhub.management.sentences import CannotServe
from evalhub.management.supervisor import Broken, Child, Supervisor
from evalhub.web.health import own_connection

LARGEST_LOG = 10_000_000  # bytes that a log may have from earlier starts
START_LIMIT = 60  # seconds until the first answer


class Command(BaseCommand):
    help = "Sets EvalHub up on this machine and serves it with demo data until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
        parser.add_argument("--host", default="127.0.0.1", help="default: this machine only")

    def handle(self, *, port: int, host: str, **options: Any) -> None:
        listener = listen(host, port)
        supervisor = Supervisor()
        try:
            self.serve(supervisor, listener)
        except KeyboardInterrupt:
            self.say("")  # while still setting up; what was half loaded is rolled back
        finally:
            self.stop(supervisor)

    def serve(self, supervisor: Supervisor, listener: socket.socket) -> None:
        server = own_server()
        self.say("Starting the database." if server is not None else "Asking the database.")
        if server is not None:
            server.join()
        with own_connection() as probe:
            probe.ensure_connection()  # the pool would only say that it waited in vain
        self.say("Preparing its tables, the demo's data and the static files.")
        call_command("migrate", verbosity=0, interactive=False)
        collect_static_files()
        base_url = address_of(listener)
        demo = load_demo(base_url)
        launch_demo_runs(listener, WSGIHandler())
        close_pools()
        logs = settings.VAR_DIR / "log"
        logs.mkdir(parents=True, exist_ok=True)
        for log in logs.glob("*.log"):
            if log.stat().st_size > LARGEST_LOG:
                log.unlink()
        supervisor.run(Child("web server", gunicorn(listener), logs / "web.log", sockets=[listener.fileno()]))
        supervisor.run(Child("worker", worker(), logs / "worker.log"))
        wait_for_first_answer(supervisor, listener)
        if supervisor.stopping:
            return
        self.introduce(base_url, demo, logs)
        while not supervisor.stopping:
            supervisor.watch()
            if server is not None:
                server.revive()
            supervisor.sleep(3)

    def introduce(self, base_url: str, demo: Demo, logs: Path) -> None:
        private = settings.VAR_DIR / "demo.json"
        write_private(private, json.dumps({"base_url": base_url, **demo}, indent=2) + "\n")
        self.say(f"\n  EvalHub is at  {base_url}\n")
        for login in demo["users"]:
            self.say(f"  {login['email']:<22} {login['password']}   {login['about']}")
        self.say(f"\n  API token      {demo['api_token']}\n")
        self.say(f"  These are in {private}, the logs in {logs}. Ctrl-C stops everything and keeps the data.")

    def stop(self, supervisor: Supervisor) -> None:
        if supervisor.children:
            self.say("\nStopping.")
        supervisor.stop()
        server = own_server()
        if server is not None:
            server.leave()

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def own_server() -> Server | None:
    return Server.at(**settings.EMBEDDED_POSTGRES) if settings.EMBEDDED_POSTGRES else None


def listen(host: str, port: int) -> socket.socket:
    """Our own socket, handed to gunicorn: who holds it cannot lose the port to somebody else."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OverflowError:
        raise CannotServe(f"{port} is no port: it must be between 0 and 65535.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(f"Port {port} is taken: choose another with --port (0 takes a free one).") from None
        raise CannotServe(f"Cannot serve on {host} port {port}: {error.strerror or error}.") from None
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def gunicorn(listener: socket.socket) -> list[str]:
    words = (
        f"--bind fd://{listener.fileno()} --workers {read_number('WEB_CONCURRENCY', 2, least=1)} --worker-class sync"
    )
    words += " --no-control-socket --timeout 60 --graceful-timeout 5 --log-level warning"
    return [sys.executable, "-m", "gunicorn", *words.split(), "evalhub.wsgi"]


def worker() -> list[str]:
    words = "work"
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *words.split()]


def wait_for_first_answer(supervisor: Supervisor, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until and not supervisor.stopping:
        supervisor.watch()
        asked = http.client.HTTPConnection(host, port, timeout=5)
        try:
            asked.request("GET", "/readyz", headers={"Host": allowed_host()})
            if asked.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            asked.close()
        time.sleep(0.1)
    if not supervisor.stopping:
        raise Broken(f"EvalHub did not answer within {START_LIMIT} seconds; {supervisor.children[0].log} may say why.")


def allowed_host() -> str:
    """The name by which this machine may be asked: ALLOWED_HOSTS may leave out localhost."""
    names = settings.ALLOWED_HOSTS
    return "localhost" if {"*", "localhost"} & set(names) else names[0].lstrip(".")


def collect_static_files() -> None:
    """Hashing and compressing takes seconds; only do it when a file changed."""
    stamp = settings.STATIC_ROOT / ".collected"
    now = fingerprint_of_static_files()
    if not stamp.exists() or stamp.read_text() != now:
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        stamp.write_text(now)


def fingerprint_of_static_files() -> str:
    found = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for name, storage in finder.list(None):
            about = os.stat(storage.path(name))
            found.update(f"{name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()


def write_private(file: Path, text: str) -> None:
    """At no moment can anybody else read it."""
    half = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
    half.replace(file)
