"""The documentation page of getTestResult: its example as it stands there, and every field that it declares."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.conftest import Hub
from tests.contract.environments import HERE, bare_environment, node, node_modules

pytestmark = pytest.mark.xdist_group("contract")

EXAMPLES = HERE / "gentrace" / "examples"
PAGE_ID = "FACB6642-4725-4FAE-9323-634E72533C89"


def test_the_example_of_the_page_runs_untouched(hub: Hub, tmp_path: Path) -> None:
    for example in ("init.mjs", "page.mjs"):
        (tmp_path / example).write_text((EXAMPLES / example).read_text())
    (tmp_path / "node_modules").symlink_to(node_modules("gentrace") / "node_modules")

    done = subprocess.run(
        [str(node()), "--import", "./init.mjs", "page.mjs"],
        cwd=tmp_path,
        env=bare_environment(HOST=f"{hub.base_url}/api", KEY=hub.token),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == f"Test result ID: {PAGE_ID.lower()}"
    told = [line.split(": ")[0] for line in done.stdout.splitlines() if line.startswith("Test result")]
    assert told == [
        "Test result ID",
        "Test result pipeline",
        "Test result runs",
        "Test result first run, first evaluation",
        "Test result first evaluator",
    ]
    assert "undefined" not in done.stdout
    assert os.linesep in done.stdout
