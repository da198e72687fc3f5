"""Who may import whom: imports point down, from the roof over results and runs to the ground."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

GROUND = ("evalhub.accounts", "evalhub.audit", "evalhub.web", "evalhub.database")
FLOORS = {  # a module may import from its own floor and from those below
    "roof": 3,
    "results": 2,
    "runs": 1,
    "ground": 0,
}
BELOW_ALL = ("evalhub.settings", "evalhub.environment")  # read through django.conf, imported by the start scripts only

NETWORK = ("httpx", "requests", "urllib.request", "urllib3", "http.client", "socket", "aiohttp", "ftplib", "smtplib")
MAY_CALL_OUT = {
    "runs/asking.py": "asks an endpoint, with its address checked and pinned",
    "evalhub/management/commands/demo.py": "tries whether the port is free",
    "evalhub/demo/launched.py": "answers at the demo's own port until the web server does",
    "evalhub/benchmark/serving.py": "asks the web server that it started itself",
}
BORING_NAMES = ("services.py", "utils.py", "helpers.py")


def test_imports_point_down():
    upward = [
        f"{name} (line {line}) imports {imported}"
        for name, file in our_modules()
        for line, imported in imports_of(name, file)
        if is_ours(imported) and floor_of(imported) > floor_of(name)
    ]

    assert upward == []


def test_only_the_asking_of_endpoints_calls_out():
    callers = {
        file.relative_to(ROOT).as_posix()
        for name, file in our_modules()
        for _, imported in imports_of(name, file)
        if imported.startswith(tuple(f"{module}." for module in NETWORK)) or imported in NETWORK
    }

    assert sorted(callers - set(MAY_CALL_OUT)) == []


def test_modules_are_named_after_what_they_do():
    assert [str(file.relative_to(ROOT)) for _, file in our_modules() if file.name in BORING_NAMES] == []


def test_the_map_sees_an_upward_import():
    tree = "from results.models import TestResult\nfrom . import models\ndef later():\n    import evalhub.api.views\n"

    found = [imported for _, imported in imports_in(tree, "runs.launching", is_package=False)]

    assert found == ["results.models.TestResult", "runs.models", "evalhub.api.views"]
    assert [floor_of(module) for module in found] == [FLOORS["results"], FLOORS["runs"], FLOORS["roof"]]


def our_modules() -> Iterator[tuple[str, Path]]:
    for top in ("evalhub", "runs", "results"):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def is_ours(module: str) -> bool:
    return module.split(".")[0] in ("evalhub", "runs", "results") and not is_inside(module, BELOW_ALL)


def is_inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def floor_of(module: str) -> int:
    if is_inside(module, BELOW_ALL) or is_inside(module, GROUND):
        return FLOORS["ground"]
    return FLOORS.get(module.split(".")[0], FLOORS["roof"])


def imports_of(name: str, file: Path) -> Iterator[tuple[int, str]]:
    return imports_in(file.read_text(), name, is_package=file.name == "__init__.py")


def imports_in(source: str, name: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every import, at the top or inside a function, with relative ones spelled out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".") if is_package else name.split(".")[:-1]
                parts = parts[: len(parts) - (node.level - 1)]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
