"""One EvalHub for all contract tests: web server, worker and a database of its own, with the demo in it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from django.db import connection

from tests.conftest import ROOT, migrated_template
from tests.contract.clients import RealClient
from tests.contract.environments import HERE, node, node_modules, python_of

PATIENCE = 90  # seconds until the server answers
_numbers = count(1)


@dataclass
class Hub:
    base_url: str
    token: str
    users: dict[str, str]
    database: str
    log: Path
    http: httpx.Client = field(repr=False)

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """EvalHub's own API, for what the clients cannot set up; fails on anything but success."""
        answer = self.http.request(method, f"/api{path}", json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def project(self, **fields: Any) -> dict[str, Any]:
        n = next(_numbers)
        made: dict[str, Any] = self.api(
            "POST", "/projects/", {"name": f"Contract {n} {secrets.token_hex(2)}", **fields}
        )
        return made

    def evaluator(self, project: dict[str, Any], **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.api("POST", "/evaluators/", {"project": project["id"], **fields})
        return made

    def signed_in(self, name: str) -> httpx.Client:
        """A browser without a window, with the session of a person of the demo."""
        browser = httpx.Client(base_url=self.base_url, timeout=30, trust_env=False)
        browser.get("/login/")
        form = {
            "email": f"{name}@acme.example",
            "password": self.users[name],
            "csrfmiddlewaretoken": token_of(browser),
        }
        answer = browser.post("/login/", data=form)
        assert answer.status_code == 302, "the login was refused"
        return browser


def token_of(browser: httpx.Client) -> str:
    return next(value for name, value in browser.cookies.items() if name.endswith("csrf"))


@pytest.fixture(scope="session")
def hub(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    name = f"contract_{secrets.token_hex(4)}"
    with django_db_blocker.unblock():
        template = migrated_template()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        known = connection.settings_dict
    var = tmp_path_factory.mktemp("contract")
    host = quote(str(known["HOST"]), safe="")
    url = f"postgresql://{known['USER']}@/{name}?host={host}" + (f"&port={known['PORT']}" if known["PORT"] else "")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("EVALHUB_", "DJANGO_", "PYTEST_"))},
        "DATABASE_URL": url,
        "EVALHUB_MODE": "demo",
        "EVALHUB_VAR": str(var),
        "DJANGO_SETTINGS_MODULE": "evalhub.settings",
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        stack.callback(_drop, name, django_db_blocker)
        log = stack.enter_context(open(var / "server.log", "w"))
        demo = subprocess.Popen(
            [sys.executable, "-m", "django", "demo", "--port", "0"],  # manage.py would set up an environment first
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_stop, demo)
        facts = _facts(demo, var)
        headers = {"Authorization": f"Bearer {facts['api_token']}"}
        client = httpx.Client(base_url=facts["base_url"], headers=headers, timeout=30, trust_env=False)
        stack.enter_context(client)
        users = {login["email"].split("@")[0]: login["password"] for login in facts["users"]}
        yield Hub(facts["base_url"], facts["api_token"], users, url, var / "log" / "web.log", client)


def _facts(demo: subprocess.Popen[bytes], var: Path) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert demo.poll() is None, (var / "server.log").read_text()[-3000:]
        if (var / "demo.json").exists():
            facts: dict[str, Any] = json.loads((var / "demo.json").read_text())
            return facts
        time.sleep(0.2)
    pytest.fail(f"the demo did not start: {(var / 'server.log').read_text()[-3000:]}")


def _stop(demo: subprocess.Popen[bytes]) -> None:
    demo.terminate()
    try:
        demo.wait(20)
    except subprocess.TimeoutExpired:
        demo.kill()
        demo.wait()


def _drop(name: str, blocker: Any) -> None:
    with blocker.unblock(), connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


# --- Gentrace's clients -----------------------------------------------------------------------------------------------


def gentrace_node(hub: Hub, **environment: str) -> RealClient:
    facts = {"CLIENT_FOLDER": str(node_modules("gentrace")), "HOST": f"{hub.base_url}/api", "KEY": hub.token}
    return RealClient("@gentrace/core 2.8.3", [node(), HERE / "gentrace" / "driver.cjs"], **{**facts, **environment})


def gentrace_python(hub: Hub, lock: str, **environment: str) -> RealClient:
    facts = {"HOST": f"{hub.base_url}/api", "KEY": hub.token}
    return RealClient(lock, [python_of(lock), HERE / "gentrace" / "driver.py"], **{**facts, **environment})


@pytest.fixture(scope="session")
def js(hub: Hub) -> Iterator[RealClient]:
    """@gentrace/core 2.8.3."""
    client = gentrace_node(hub)
    yield client
    client.stop()


@pytest.fixture(scope="session")
def py(hub: Hub) -> Iterator[RealClient]:
    """gentrace-py 0.42.0."""
    client = gentrace_python(hub, "gentrace-0.42")
    yield client
    client.stop()


@pytest.fixture(scope="session")
def py24(hub: Hub) -> Iterator[RealClient]:
    """gentrace-py 0.24.0."""
    client = gentrace_python(hub, "gentrace-0.24")
    yield client
    client.stop()


# --- Rhesis' SDK ------------------------------------------------------------------------------------------------------

RELEASES = ("0.6", "0.16", "0.19")


class Sdk(RealClient):
    """One release of the SDK, in a process of its own."""

    def __init__(self, hub: Hub, release: str, **environment: str) -> None:
        self.release, self.hub = release, hub
        facts = {
            "RHESIS_BASE_URL": f"{hub.base_url}/rhesis",
            "RHESIS_API_KEY": hub.token,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or 0.6 asks the internet while it is imported
        }
        lock = f"rhesis-{release}"
        super().__init__(lock, [python_of(lock), HERE / "rhesis" / "driver.py"], **{**facts, **environment})

    def printed(self, code: str, **names: Any) -> list[str]:
        """The lines that code of the SDK's users prints."""
        lines: list[str] = self.call("run", dedent(code), **names)["printed"]
        return lines

    def answer(self, code: str, **names: Any) -> Any:
        """What it leaves as ``answer``; one expression is its own answer."""
        code = dedent(code).strip()
        if "\n" not in code and "answer" not in code:
            code = f"from rhesis.sdk.entities import *\nanswer = {code}"
        return self.call("run", code, **names)["answer"]


@pytest.fixture(scope="session")
def sdks(hub: Hub) -> Iterator[dict[str, Sdk]]:
    """All releases at once: the oldest takes seconds to start."""
    made = {release: Sdk(hub, release) for release in (*RELEASES, "0.12")}
    yield made
    for client in made.values():
        client.stop()


@pytest.fixture(params=RELEASES)
def sdk(sdks: dict[str, Sdk], request: pytest.FixtureRequest) -> Sdk:
    """Each release in turn."""
    return sdks[request.param]


@pytest.fixture
def sdk19(sdks: dict[str, Sdk]) -> Sdk:
    return sdks["0.19"]


@pytest.fixture
def sdk16(sdks: dict[str, Sdk]) -> Sdk:
    return sdks["0.16"]


@pytest.fixture
def sdk6(sdks: dict[str, Sdk]) -> Sdk:
    return sdks["0.6"]
