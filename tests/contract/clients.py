"""A client's own process, that makes the calls a test asks for: one line of JSON there, one back."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.contract.environments import bare_environment

PATIENCE = 60  # seconds for one call
MARK = "@@ "  # begins an answer; whatever else the client prints is its own business


class ClientError(Exception):
    """What the client raised: ``status`` and ``body`` where a server's answer was behind it."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said["text"])
        self.status: int | None = said["status"]
        self.body: Any = said["body"]
        self.text: str = said["text"]


class RealClient:
    def __init__(self, name: str, program: Sequence[str | Path], **environment: str) -> None:
        self.name = name
        self.heard: deque[str] = deque(maxlen=50)
        self.answers: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [str(part) for part in program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env=bare_environment(**environment),
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def __repr__(self) -> str:
        return self.name

    def call(self, function: str, *arguments: Any, **keywords: Any) -> Any:
        """What the client's function gives, as JSON; ClientError where it raises."""
        self.send(function, *arguments, **keywords)
        return self.receive()

    def send(self, function: str, *arguments: Any, **keywords: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([function, arguments, keywords]) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Any:
        try:
            line = self.answers.get(timeout=PATIENCE)
        except queue.Empty:
            line = None
        assert line is not None, f"{self.name} gave no answer:\n{'\n'.join(self.heard)}"
        said = json.loads(line)
        if "error" in said:
            raise ClientError(said["error"])
        return said["value"]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                self.answers.put(line[len(MARK) :])
            else:
                self.heard.append(line.rstrip())
        self.answers.put(None)
