"""Keep a few processes running under one, and take them all down with it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

PATIENCE = 10  # seconds that a process has to finish what it does
QUICK_DEATHS = 3  # so many deaths, each within a few seconds of its start, and we give up
QUICK = 10

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: between fork and exec is no time for it


class Broken(Exception):
    """One sentence that says which process does not stay up, and where its log is."""


def die_with_parent() -> None:
    """On Linux a child hears SIGTERM when the supervisor is gone, even by kill -9."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    def __init__(self, name: str, command: Sequence[str], log: Path, *, sockets: Sequence[int] = ()) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.sockets = tuple(sockets)
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.quick_deaths = 0

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self.sockets,
                start_new_session=True,  # Ctrl-C is for the supervisor: it stops its children in order
                preexec_fn=die_with_parent,
            )
        self.started = time.monotonic()

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def revive(self) -> None:
        """Start it again after its death, unless it dies each time."""
        self.quick_deaths = self.quick_deaths + 1 if time.monotonic() - self.started < QUICK else 1
        if self.quick_deaths >= QUICK_DEATHS:
            raise Broken(f"The {self.name} does not stay up; its last words: {self.last_words()}  (more in {self.log})")
        self.start()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else "none"

    def ask_to_stop(self) -> None:
        if self.process is not None and self.is_up():
            self.process.terminate()

    def wait_or_kill(self, until: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Supervisor:
    """Runs until Ctrl-C or SIGTERM. A second signal stops at once what a first one asked to stop."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.signals = 0
        for number in self.SIGNALS:
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if not self.children:
            raise KeyboardInterrupt  # nothing runs yet that has to be stopped in order

    @property
    def stopping(self) -> bool:
        return self.signals > 0

    def sleep(self, seconds: float) -> None:
        """Until then, or until somebody wants us to stop."""
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            time.sleep(0.1)

    def run(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def watch(self) -> None:
        """Start again whoever died."""
        for child in self.children:
            if not child.is_up() and not self.stopping:
                child.revive()

    def stop(self) -> None:
        for child in self.children:
            child.ask_to_stop()
        until = time.monotonic() + PATIENCE
        while any(child.is_up() for child in self.children) and time.monotonic() < until and self.signals < 2:
            time.sleep(0.05)
        for child in self.children:
            child.wait_or_kill(time.monotonic())
