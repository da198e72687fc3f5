"""Templates that people write for requests and judges: Jinja in its sandbox, with little more than names and filters.

Calls, arithmetic, nested loops, macros and includes are refused when a template is read, so that filling one in takes
time and room in proportion to what is filled in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import ChainableUndefined, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_TEMPLATE: Final = 200_000
LONGEST_TEXT: Final = 4_000_000
FILTERS: Final = (
    "count", "d", "default", "e", "escape", "first", "float", "int", "join", "last", "length", "list", "lower",
    "reverse", "round", "string", "title", "trim", "upper",
)  # fmt: skip
TESTS: Final = ("defined", "undefined", "none", "string", "number", "mapping", "sequence", "boolean", "true", "false")
ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.CondExpr, nodes.If, nodes.For, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.Neg, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Slice,
)  # fmt: skip
LONE: Final = re.compile(r"\s*\{\{[-+]?(.*?)[-+]?\}\}\s*", re.DOTALL)

type Fill = Callable[[Mapping[str, Any]], Any]


class BadTemplate(ValueError):
    """A template that cannot be read or filled in; the message is a sentence."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Objects have keys here, and no attributes."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict | list | tuple | str):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)


def _tojson(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    return None if isinstance(value, ChainableUndefined) else value


def _sandbox() -> _Sandbox:
    made = _Sandbox(undefined=ChainableUndefined, autoescape=False, keep_trailing_newline=True, finalize=_shown)
    made.filters = {name: made.filters[name] for name in FILTERS} | {"tojson": _tojson}
    made.tests = {name: made.tests[name] for name in TESTS}
    made.globals.clear()
    return made


def _shown(value: Any) -> Any:
    """Objects inside a text are written as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return _tojson(value)
    return value


SANDBOX: Final = _sandbox()


def compile_template(text: str, *, strict: bool = True) -> Fill:
    """How to fill ``text`` in. A template that is one expression keeps its value's type; others become text.

    ``strict`` refuses a name that the values do not have.
    """
    if len(text) > LONGEST_TEMPLATE:
        raise BadTemplate(f"The template has {len(text):,} characters, and {LONGEST_TEMPLATE:,} are allowed.")
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return lambda values: text
    try:
        tree = SANDBOX.parse(text)
        _check(tree)
        names = meta.find_undeclared_variables(tree)
        lone = _lone_expression(tree, text)
        if lone is not None:
            expression = SANDBOX.compile_expression(lone, undefined_to_none=True)
            as_json = _ends_in_json(tree)
        else:
            template = SANDBOX.from_string(text)
    except TemplateError as problem:
        raise BadTemplate(f"The template cannot be read: {problem.message}") from None
    except RecursionError:
        raise BadTemplate("The template is nested too deeply.") from None

    def fill(values: Mapping[str, Any]) -> Any:
        missing = sorted(names - set(values)) if strict else []
        if missing:
            raise BadTemplate(f"The template names “{missing[0]}”, and there is no such value.")
        try:
            if lone is not None:
                value = _plain(expression(**values))
                return json.loads(value) if as_json and isinstance(value, str) else value
            return _joined(template.generate(**values))
        except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as problem:
            if isinstance(problem, BadTemplate):
                raise
            raise BadTemplate(f"The template cannot be filled in: {problem}") from None

    return fill


def compile_templates(value: Any, *, strict: bool = True) -> Fill:
    """The same for a whole JSON value: every text in it is a template."""
    if isinstance(value, str):
        return compile_template(value, strict=strict)
    if isinstance(value, dict):
        made = {str(key): compile_templates(item, strict=strict) for key, item in value.items()}
        return lambda values: {key: fill(values) for key, fill in made.items()}
    if isinstance(value, list):
        items = [compile_templates(item, strict=strict) for item in value]
        return lambda values: [fill(values) for fill in items]
    return lambda values: value


def names_in(text: str) -> set[str]:
    """The names that a template needs; none where it cannot be read."""
    try:
        return set(meta.find_undeclared_variables(SANDBOX.parse(text)))
    except TemplateError:
        return set()


def _check(tree: nodes.Template) -> None:
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, ALLOWED):
            word = type(node).__name__.lower()
            raise BadTemplate(f"The template uses “{word}”, which is not allowed here: only names, filters and if.")
        if isinstance(node, nodes.For) and (node.recursive or any(True for _ in _loops_in(node))):
            raise BadTemplate("The template has a loop inside a loop, which is not allowed here.")


def _loops_in(loop: nodes.For) -> list[nodes.For]:
    return [found for child in (*loop.body, *loop.else_) for found in _fors(child)]


def _fors(node: nodes.Node) -> list[nodes.For]:
    return ([node] if isinstance(node, nodes.For) else []) + list(node.find_all(nodes.For))


def _lone_expression(tree: nodes.Template, text: str) -> str | None:
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = [p for p in tree.body[0].nodes if not (isinstance(p, nodes.TemplateData) and not p.data.strip())]
    if len(parts) != 1 or isinstance(parts[0], nodes.TemplateData):
        return None
    match = LONE.fullmatch(text)
    return match.group(1) if match else None


def _ends_in_json(tree: nodes.Template) -> bool:
    output = tree.body[0]
    assert isinstance(output, nodes.Output)
    return any(isinstance(part, nodes.Filter) and part.name == "tojson" for part in output.nodes)


def _joined(parts: Any) -> str:
    found, length = [], 0
    for part in parts:
        length += len(part)
        if length > LONGEST_TEXT:
            raise BadTemplate(f"The filled-in template has more than {LONGEST_TEXT:,} characters.")
        found.append(part)
    return "".join(found)
