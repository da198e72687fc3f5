"""Runs the code that a test asks for with the real rhesis-sdk: a line of JSON there, what it printed and found back."""

import contextlib
import enum
import io
import json
import sys
from datetime import datetime
from pathlib import Path

import requests
from rhesis.sdk.entities import *  # noqa: F403


def plain(value):
    """The client's entities as JSON has them."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, datetime | Path):
        return str(value)
    return value


def run(code, **names):
    """``answer`` is what the code leaves under that name; ``printed`` its lines."""
    printed = io.StringIO()
    space = {**names}
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "example", "exec"), space)
    return {"printed": printed.getvalue().splitlines(), "answer": plain(space.get("answer"))}


def failure(problem):
    response = getattr(problem, "response", None)
    status = getattr(problem, "status_code", None) or getattr(response, "status_code", None)
    body = getattr(problem, "response_content", None) or getattr(response, "text", None)
    return {"status": status, "body": body, "text": f"{type(problem).__name__}: {problem}"}


def main():
    for line in sys.stdin:
        _, arguments, keywords = json.loads(line)
        try:
            said = {"value": run(*arguments, **keywords)}
        except Exception as problem:
            said = {"error": failure(problem)}
        print("@@ " + json.dumps(said), flush=True)


assert requests
main()
