"""The API's documentation for people: the OpenAPI document as a page, without a script of anybody else's."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from evalhub.api.entrance import RESOURCES, document
from evalhub.api.openapi import ERRORS
from evalhub.api.shapes import COMPONENTS, Shape
from evalhub.web.pages import render_page

IN_PATH: Final = re.compile(r"\{(\w+)\}")
RIGHT: Final = re.compile(r"\s*(?:Needs the right \*(\w+)\*|Open to everybody)\.$")
TITLES: Final = {"api": "The way in"}
PROBLEMS: Final = (
    ("invalid", "Invalid request", "400", "A value does not fit; errors names each by its place."),
    ("conflict", "Conflict", "409", "It does not go with what is there already, or somebody else is changing it."),
    ("stale", "Stale", "412", "If-Match names an older state. Read it again, then repeat the change."),
    ("key-reused", "Key reused", "422", "The Idempotency-Key was used for another request."),
    ("throttled", "Throttled", "429", "Too many requests with this token. Retry-After has the seconds to wait."),
)


type Parts = list[tuple[bool, str]]  # whether it is code, and the text


@dataclass(frozen=True)
class Value:
    """A parameter, or a key of an object."""

    name: str
    kind: str
    about: Parts
    required: bool = False
    object: str = ""  # the described object that it is or holds


@dataclass(frozen=True)
class Described:
    """One operation."""

    method: str
    path: str
    id: str
    summary: str
    about: Parts
    right: str
    parameters: list[Value]
    body: str
    answer: str
    status: str
    errors: list[tuple[str, str]]
    example: str = ""
    upload: bool = False


@dataclass(frozen=True)
class Group:
    name: str
    title: str
    operations: list[Described] = field(default_factory=list)


@dataclass(frozen=True)
class Thing:
    """An object of bodies and answers."""

    name: str
    about: Parts
    keys: list[Value]
    example: str


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    here = request.build_absolute_uri("/").rstrip("/")
    context = {
        "groups": groups(here),
        "things": things(),
        "problems": PROBLEMS,
        "errors": [(code, text) for code, text in ERRORS.items()],
        "here": here,
    }
    return render_page(request, "api/documentation.html", context)


documentation.requires = None  # type: ignore[attr-defined]  # open to everybody: it says nothing about anybody


@lru_cache(maxsize=8)
def groups(here: str) -> list[Group]:
    """The operations by what they are about, in the order of the index, with examples for this address."""
    found: dict[str, list[Described]] = defaultdict(list)
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append(described(path, method.upper(), operation, here))
    order = ("runs", "results", *RESOURCES, "api")
    names = list(dict.fromkeys(name for name in (*order, *found) if name in found))
    return [Group(name, TITLES.get(name, name.replace("-", " ").capitalize()), found[name]) for name in names]


def described(path: str, method: str, operation: dict[str, Any], here: str) -> Described:
    about = operation["description"]
    right = RIGHT.search(about)
    success = next(code for code in operation["responses"] if code.startswith("2"))
    content = operation.get("requestBody", {}).get("content", {})
    media: str = next(iter(content), "")
    body = content.get(media, {})
    answers = operation["responses"][success].get("content", {})
    answer = answers.get(next(iter(answers), ""), {})
    return Described(
        method=method,
        path=path,
        id=operation["operationId"],
        summary=operation["summary"],
        about=parts(about[: right.start()] if right else about),
        right=(right[1] or "") if right else "",
        parameters=[parameter(one) for one in operation["parameters"] if one["in"] != "path"],
        body=object_in(body.get("schema", {})),
        answer=object_in(answer.get("schema", {})),
        status=success,
        errors=[(code, ERRORS[int(code)]) for code in operation["responses"] if code != success],
        example=curl(here, path, method, media, body.get("example")),
        upload=media.startswith("multipart"),
    )


def parameter(said: dict[str, Any]) -> Value:
    where = " (header)" if said["in"] == "header" else ""
    about = parts(said.get("description", ""))
    return Value(said["name"], kind_of(said["schema"]) + where, about, said.get("required", False))


def parts(text: str) -> Parts:
    """What stands between backticks is code."""
    return [(n % 2 == 1, part) for n, part in enumerate(text.split("`")) if part]


def curl(here: str, path: str, method: str, media: str, example: Any) -> str:
    """What to type; $ID stands for an id."""
    lines = ["curl" if method == "GET" else f"curl -X {method}"]
    if path.count("/") > 2 and not path.startswith(("/api/docs", "/api/schema")):
        lines.append('-H "Authorization: Bearer $EVALHUB_TOKEN"')
    if media == "application/json" and example is not None:
        lines.append('-H "Content-Type: application/json"')
        text = json.dumps(example, indent=2, ensure_ascii=False).replace("'", "'\\''")
        lines.append(f"-d '{text}'")
    elif media.startswith("multipart"):
        lines += [f"-F {name}={value}" for name, value in (example or {}).items()]
    address = IN_PATH.sub(lambda found: "$ID" if found[1] == "id" else f"${found[1].upper()}", path)
    lines.append(f'"{here}{address}"' if "$" in address else f"{here}{address}")
    return " \\\n  ".join(lines)


@lru_cache(maxsize=1)
def things() -> list[Thing]:
    """The described objects, by name; the frames of pages are all alike and left out."""
    found, examples = [], document()["components"]["examples"]
    for name, schema in document()["components"]["schemas"].items():
        if name.endswith("Page"):
            continue
        is_sent = isinstance(COMPONENTS[name], Shape)  # in answers every key is there
        required = schema.get("required", []) if is_sent else []
        keys = [
            Value(key, kind_of(value), parts(value.get("description", "")), key in required, object_in(value))
            for key, value in schema.get("properties", {}).items()
        ]
        shown = examples[name]["value"] if name in examples else None
        example = "" if shown is None else json.dumps(shown, indent=2, ensure_ascii=False)
        found.append(Thing(name, parts(schema.get("description", "")), keys, example))
    return found


def object_in(schema: dict[str, Any]) -> str:
    """The name of the described object that a schema is, or is a list or a page of."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name.endswith("Page"):
            return object_in(document()["components"]["schemas"][name]["properties"]["items"])
        return str(name)
    for part in (schema.get("items", {}), *schema.get("anyOf", ())):
        if part and (found := object_in(part)):
            return found
    return ""


def kind_of(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return "object"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(part) for part in schema["anyOf"]))
    kinds = schema.get("type", "any JSON")
    names = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind != "null"]
    null = " or null" if isinstance(kinds, list) and "null" in kinds else ""
    if "enum" in schema:
        return " | ".join(str(one) or '""' for one in schema["enum"] if one is not None) + null
    if names == ["array"]:
        return f"list of {kind_of(schema.get('items', {}))}{null}"
    if schema.get("format") == "date-time":
        return f"time{null}"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number"}
    return " or ".join(words.get(name, name) for name in names) + limits_of(schema) + null


def limits_of(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("format"):
        return f" ({schema['format']})"
    if low is not None and high is not None and high < 1_000_000:
        return f", {low:g} to {high:g}"
    return f", up to {schema['maxLength']:,} characters" if schema.get("maxLength", 10**6) < 10**6 else ""
