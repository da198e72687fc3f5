"""`manage.py demo`, whole: what it starts, says and stops."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    """A folder that the server's user may enter, with the demo's rows in it from the first test on."""
    made = Path(tempfile.mkdtemp(prefix="evalhub-demo-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


class Demo:
    def __init__(self, var: Path, *arguments: str) -> None:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("EVALHUB_", "DJANGO_", "PYTEST_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=ROOT,
            env={**kept, "EVALHUB_VAR": str(var)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.var = var

    def wait_until_served(self) -> dict:
        for line in self.process.stdout:
            if "Ctrl-C" in line:
                return json.loads((self.var / "demo.json").read_text())
        raise AssertionError("the demo ended before it served anything")

    def family(self) -> set[int]:
        """The process ids of all that it started, the database's too; not of what it asks something in passing."""
        first, _, last = self.seen(), time.sleep(1), self.seen()
        return first & last

    def seen(self) -> set[int]:
        found = self.database() | children_of(self.process.pid)
        for child in children_of(self.process.pid):
            found |= children_of(child)
        return found

    def database(self) -> set[int]:
        return {int(file.read_text().split()[0]) for file in self.var.glob("postgres/**/postmaster.pid")}

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


def processor_seconds(pid: int) -> float:
    """Its own, and its ended children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> set[int]:
    try:
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return set()


def alive(pids: set[int]) -> set[int]:
    def is_alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    return {pid for pid in pids if is_alive(pid)}


def get(url: str) -> int:
    try:
        return urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_serves_and_takes_everything_down_with_it(var, number):
    demo = Demo(var, "--port", "0")
    told = demo.wait_until_served()
    family = demo.family()

    assert get(f"{told['base_url']}/readyz") == 200
    assert stat.S_IMODE((var / "demo.json").stat().st_mode) == 0o600
    assert len(family) == 5  # database, gunicorn and its two workers, the queue's worker
    assert demo.stop(number) == 0
    assert alive(family) == set()


def test_its_own_execution_has_made_a_failed_run_and_a_stopped_one(var):
    demo = Demo(var, "--port", "0")
    told = demo.wait_until_served()
    asked = urllib.request.Request(
        f"{told['base_url']}/api/runs/?project=demo-support", headers={"Authorization": f"Bearer {told['api_token']}"}
    )
    runs = json.load(urllib.request.urlopen(asked, timeout=10))["items"]
    demo.stop(signal.SIGTERM)

    said = [
        (run["status"], run["counts"]["planned"], run["counts"]["results"], run["counts"]["errors"]) for run in runs
    ]
    assert said[:2] == [("cancelled", 77, 20, 0), ("failed", 77, 77, 77)]


def test_ctrl_c_during_the_setting_up_stops_at_once(var):
    demo = Demo(var, "--port", "0")
    for line in demo.process.stdout:
        if line.startswith("Preparing"):
            break
    [database] = demo.database()

    assert demo.stop(signal.SIGINT) == 0
    assert alive({database}) == set()


def test_a_second_start_takes_seconds(var):
    if not (var / "demo.json").exists():  # this test alone
        first = Demo(var, "--port", "0")
        first.wait_until_served()
        first.stop(signal.SIGTERM)
    started = time.monotonic()
    demo = Demo(var, "--port", "0")
    demo.wait_until_served()
    took = time.monotonic() - started
    worked = sum(processor_seconds(pid) for pid in {demo.process.pid} | demo.family())
    demo.stop(signal.SIGTERM)

    assert worked < 8  # of all its processes, the database's too: on a quiet machine it cannot take longer
    assert took < 60  # nor does it wait for anything; here others may be at work


def test_what_dies_is_started_again(var):
    demo = Demo(var, "--port", "0")
    told = demo.wait_until_served()

    for pid in demo.family():
        os.kill(pid, signal.SIGKILL)

    until = time.monotonic() + 30
    while not is_ready(told["base_url"]):
        assert time.monotonic() < until, "it did not come back"
        time.sleep(0.2)
    family = demo.family()
    demo.stop(signal.SIGTERM)
    assert alive(family) == set()


def is_ready(base_url: str) -> bool:
    try:
        return get(f"{base_url}/readyz") == 200
    except OSError:
        return False


def test_what_it_started_ends_when_the_demo_itself_is_killed(var):
    demo = Demo(var, "--port", "0")
    demo.wait_until_served()
    family = demo.family()

    demo.stop(signal.SIGKILL)

    until = time.monotonic() + 20
    while alive(family) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive(family) == set()


def test_a_taken_port_is_one_sentence(var):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = Demo(var, "--port", str(port))
        said, _ = demo.process.communicate(timeout=30)

    assert demo.process.returncode == 1
    assert said.splitlines() == [f"Port {port} is taken: choose another with --port (0 takes a free one)."]


def test_a_database_that_does_not_answer_is_one_sentence(var):
    kept = {"PATH": os.environ["PATH"], "EVALHUB_VAR": str(var), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}

    tried = subprocess.run(
        [sys.executable, "manage.py", "demo", "--port", "0"],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
    )

    [sentence] = tried.stderr.splitlines()
    assert tried.returncode == 1
    assert sentence.startswith("The database does not answer: ")
    assert "Connection refused" in sentence
