"""What an endpoint's answer says, by its response mapping: JSONPath (RFC 9535), or a template over the body."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.parsers import expat  # nosec

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError

from evalhub.database.storable import TooDeep, storable
from evalhub.web.json import depth_of
from runs.models import Endpoint
from runs.templating import BadTemplate, compile_template

DEEPEST: Final = 100
RECOGNISED: Final = (
    "output", "session_id", "conversation_id", "context", "metadata", "tool_calls", "usage", "cost", "model", "error",
)  # fmt: skip
PLAIN_PATH: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*")


class BadAnswer(Exception):
    """An answer that cannot be used: a stable code, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BadMapping(ValueError):
    """A response mapping that cannot be read; the message is a sentence."""


def _paths() -> JSONPathEnvironment:
    made = JSONPathEnvironment(strict=True)
    for name in ("match", "search"):  # regular expressions without a time limit
        made.function_extensions.pop(name, None)
    return made


PATHS: Final = _paths()
type Find = Callable[[Any], Any]


def compile_mapping(mapping: Mapping[str, Any]) -> dict[str, Find]:
    """Where each recognised value is found. BadMapping for what cannot be read."""
    return {name: _finder(name, text) for name, text in mapping.items()}


def _finder(name: str, text: Any) -> Find:
    if not isinstance(text, str) or not text.strip():
        raise BadMapping(f"“{name}” needs a path such as $.answer, or a template such as {{{{ answer }}}}.")
    if "{{" in text or "{%" in text:
        try:
            fill = compile_template(text, strict=False)
        except BadTemplate as problem:
            raise BadMapping(f"“{name}”: {problem}") from None
        return lambda body: fill({**(body if isinstance(body, dict) else {}), "response": body, "body": body})
    path = text.strip()
    if not path.startswith("$"):
        if not PLAIN_PATH.fullmatch(path):
            raise BadMapping(f"“{name}”: {path[:80]!r} is neither a path such as $.answer nor a template.")
        path = "$." + re.sub(r"\.(\d+)(?=[.\[]|$)", r"[\1]", path)
    try:
        query = PATHS.compile(path)
    except (JSONPathError, RecursionError) as problem:
        raise BadMapping(f"“{name}”: the path {path[:80]!r} cannot be read: {str(problem).splitlines()[0]}") from None
    singular = isinstance(query, JSONPath) and query.singular_query()

    def find(body: Any) -> Any:
        if not isinstance(body, dict | list):
            return body if path == "$" else None
        try:
            found = query.findall(body)
        except (JSONPathError, RecursionError) as problem:
            raise BadAnswer("response_mapping", f"The path {path} cannot be followed: {problem}") from None
        if singular:
            return found[0] if found else None
        return found or None

    return find


def read_body(raw: bytes, kind: str, charset: str | None) -> Any:
    """The answer's body as a value that can be stored: NaN and NUL, which some servers send, are cleaned."""
    if kind == Endpoint.Format.TEXT:
        return storable(_decoded(raw, charset))
    if not raw.strip():
        raise BadAnswer("answer_empty", "The answer is empty.")
    if kind == Endpoint.Format.XML:
        return storable(_read_xml(raw))
    if depth_of(raw) > DEEPEST:
        raise BadAnswer("answer_too_deep", f"The answer's JSON is nested more than {DEEPEST} levels deep.")
    try:
        return storable(json.loads(raw.decode("utf-8-sig")))
    except UnicodeDecodeError as problem:
        raise BadAnswer("answer_not_json", f"The answer is not UTF-8: byte {problem.start + 1:,}.") from None
    except (ValueError, RecursionError) as problem:
        raise BadAnswer("answer_not_json", f"The answer is not JSON: {str(problem)[:200]}.") from None
    except TooDeep:
        raise BadAnswer("answer_too_deep", f"The answer is nested more than {DEEPEST} levels deep.") from None


def extract(body: Any, finders: Mapping[str, Find]) -> dict[str, Any]:
    """The recognised values of an answer. Without a mapping: its key "output", else all of it."""
    if not finders:
        if isinstance(body, dict) and body.get("output") is not None:
            return {name: body.get(name) for name in RECOGNISED}
        return {"output": body}
    try:
        found = {name: find(body) for name, find in finders.items()}
    except BadTemplate as problem:
        raise BadAnswer("response_mapping", str(problem)) from None
    if found.get("output") is None:
        raise BadAnswer("output_missing", "The answer holds nothing where the response mapping looks for the output.")
    return dict(storable(found))


def tokens_in(usage: Any) -> dict[str, int]:
    """{input, output} of what a provider says, in its own words."""
    if not isinstance(usage, dict):
        return {}
    words = {
        "input": ("input", "input_tokens", "prompt_tokens"),
        "output": ("output", "output_tokens", "completion_tokens"),
    }
    found = {}
    for name, spelled in words.items():
        number = next((usage[word] for word in spelled if isinstance(usage.get(word), int | float)), None)
        if number is not None and not isinstance(number, bool) and 0 <= number < 2**53:
            found[name] = int(number)
    return found


def _decoded(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8", "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def _read_xml(raw: bytes) -> Any:
    """Elements as {name: text or object}; repeated ones as lists. No document type: entities multiply."""
    stack: list[tuple[str, dict[str, Any], list[str]]] = [("", {}, [])]
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise BadAnswer("answer_not_xml", "The answer's XML declares a document type, which is not read.")

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEEPEST:
            raise BadAnswer("answer_too_deep", f"The answer's XML is nested more than {DEEPEST} levels deep.")
        stack.append((name, {f"@{key}": value for key, value in attributes.items()}, []))

    def end(_: str) -> None:
        name, children, texts = stack.pop()
        text = "".join(texts).strip()
        value: Any = {**children, "#text": text} if children and text else children or text
        holder = stack[-1][1]
        if name in holder:
            before = holder[name]
            holder[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            holder[name] = value

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: stack[-1][2].append(text)
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError) as problem:
        raise BadAnswer("answer_not_xml", f"The answer is not XML: {problem}.") from None
    return stack[0][1]
