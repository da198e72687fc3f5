"""The README says of every function that the clients export whether it works; what it says is tried here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.clients import RealClient
from tests.contract.environments import HERE, ROOT

pytestmark = pytest.mark.xdist_group("contract")

INSIDE = {  # the generator's own: variants of the API classes, exceptions, types, and variables of the module
    "V1ApiAxiosParamCreator", "V1ApiFactory", "V1ApiFp", "V2ApiAxiosParamCreator", "V2ApiFactory", "V2ApiFp",
    "Configuration", "ApiClient", "BinarySchema", "SchemaForRequestBodyMultipartFormData", "EvaluationDict",
    "OutputStep",
}  # fmt: skip


def table() -> list[list[str]]:
    _, _, rest = (ROOT / "README.md").read_text().partition("| Node | Python 0.42 |")
    lines, _, _ = rest.partition("\n\n")
    rows = [line.strip("|").split("|") for line in lines.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows]


def named_in(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_exported_function_is_in_the_table(js: RealClient, py: RealClient, py24: RealClient) -> None:
    told = named_in([cell for row in table() for cell in row[:3]])

    for client in (js, py, py24):
        exported = {name for name in client.call("exported") if not name.endswith(("Error", "Exception"))}
        assert sorted(exported - told - INSIDE) == []


def test_what_the_table_says_works_is_called_by_a_test() -> None:
    tests = "".join(file.read_text() for file in sorted(HERE.glob("test_gentrace_*.py")) if file != Path(__file__))
    drivers = "".join(file.read_text() for file in (HERE / "gentrace").glob("driver.*"))

    working = [row for row in table() if row[3] == "works" and "nothing is sent" not in row[4]]
    names = {name for name in named_in([cell for row in working for cell in row[:3]]) if not name.endswith("Api")}

    assert sorted(name for name in names - {"StepRun"} if name not in tests + drivers) == []
    assert len(names) > 50
