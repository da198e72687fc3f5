"""The OpenAPI document: drf-spectacular walks the routes, each view's operations say what stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry

from evalhub.api.examples import CHANGES, example_of
from evalhub.api.problems import CONTENT_TYPE, PROBLEM
from evalhub.api.reading import parameters_of
from evalhub.api.shapes import COMPONENTS, Schema, Shape

if TYPE_CHECKING:
    from evalhub.api.operations import Operation

IN_PATH: Final = re.compile(r"\{(\w+)\}")
METHOD_WORDS: Final = {"GET": "read", "POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}

ERRORS: Final = {
    400: "The request cannot be read: a value does not fit, or a parameter is not known.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The role or the token's scopes do not allow it.",
    404: "There is no such thing, or it belongs to another organisation.",
    406: "Another format than JSON is wanted.",
    409: "It is in conflict with what is there already.",
    411: "The body has no `Content-Length`: it came in chunks.",
    412: "`If-Match` names an older state: somebody changed it in the meantime.",
    413: "The body is too large.",
    415: "The body has another content type.",
    422: "`Idempotency-Key` was used for another request.",
    429: "Too many requests with this token; `Retry-After` says when to come back.",
    500: "A mistake of ours.",
    503: "The database is away for a moment.",
}
SECURITY: Final[list[dict[str, list[str]]]] = [{"token": []}, {"session": []}]
SCHEMES: Final[Schema] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the page *Tokens*: `Authorization: Bearer ehb_...`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "evalhub-session",
        "description": "The session of the pages; changes need its CSRF token in `X-CSRFToken`.",
    },
}
HEADERS: Final[Schema] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names this request, so that a retry is not a second one: the same key again gets the first "
        "answer. A key is remembered for a week.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` that you read: 412 instead of a change where somebody else was faster.",
        "schema": {"type": "string"},
    },
}
RETRY_AFTER: Final[Schema] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}


class OperationSchema(AutoSchema):
    """Writes one operation; views that say nothing of operations are not in the document."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Schema | None:
        operations = getattr(self.view, "operations", None)
        operation: Operation | None = (operations or {}).get(method)
        if operation is None:
            return None
        return describe(operation, path, method)


def describe(operation: Operation, path: str, method: str) -> Schema:
    parameters = [*path_parameters(path), *query_parameters(operation), *header_parameters(operation, method)]
    described: Schema = {
        "operationId": operation_id(path, method),
        "summary": operation.summary,
        "tags": [tag_of(path)],
        "parameters": parameters,
        "responses": {**success(operation), **failures(operation, path, method)},
        "security": SECURITY if operation.action else [],
    }
    right = f"Needs the right *{operation.action}*." if operation.action else "Open to everybody."
    described["description"] = "\n\n".join(filter(None, [operation.doc, right]))
    if operation.body is not None:
        media = "multipart/form-data" if operation.upload else "application/json"
        content: Schema = {"schema": operation.body.reference()}
        example = CHANGES.get(operation.body.name) if operation.example is None else operation.example
        if example is not None:
            content["example"] = example
        described["requestBody"] = {"content": {media: content}, "required": bool(operation.body.required)}
    return described


def tag_of(path: str) -> str:
    resource = path.removeprefix("/api/").split("/")[0]
    return "api" if resource in ("", "schema") else resource


def operation_id(path: str, method: str) -> str:
    """read_runs, read_runs_id, create_runs_id_results"""
    words = re.sub(r"[^a-z0-9]+", "_", path.removeprefix("/api").lower()).strip("_")
    return f"{METHOD_WORDS[method]}_{words or 'index'}"


def path_parameters(path: str) -> Iterator[Schema]:
    for name in IN_PATH.findall(path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": "EvalHub's id, or the one that the client gave.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^/\\x00-\\x1f\\x7f-\\x9f]+$"},
        }


def query_parameters(operation: Operation) -> Iterator[Schema]:
    for name, field in operation.query.items():
        schema = field.schema()
        described: Schema = {
            "name": name,
            "in": "query",
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        if field.required:
            described["required"] = True
        if schema.get("type") == "array":
            described |= {"explode": False, "style": "form"}
        yield described
    if operation.filters is not None:
        yield from (said for said in parameters_of(operation.filters) if said["name"] not in operation.query)


def header_parameters(operation: Operation, method: str) -> Iterator[Schema]:
    if method == "POST" and operation.action is not None:
        yield HEADERS["Idempotency-Key"]
    if method in ("PATCH", "DELETE") and operation.etag:
        yield HEADERS["If-Match"]


def success(operation: Operation) -> Schema:
    described: Schema = {"description": HTTPStatus(operation.status).phrase}
    headers: Schema = {}
    if operation.etag and operation.status != 204:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "Names this state, for `If-Match`."}
    if operation.status in (201, 202):
        headers["Location"] = {"schema": {"type": "string"}, "description": "Its address."}
    if headers:
        described["headers"] = headers
    if operation.answer is not None:
        example = {"usual": {"$ref": f"#/components/examples/{operation.answer.name}"}}
        described["content"] = {
            media: {"schema": operation.answer.reference(), "examples": example} for media in operation.media
        }
    elif operation.status != 204:
        described["content"] = {media: {"schema": {"type": "string"}} for media in operation.media}
    return {str(operation.status): described}


def failures(operation: Operation, path: str, method: str) -> Schema:
    codes = {400, 406, 500, 503, *operation.also}
    if operation.action is not None:
        codes |= {401, 403, 429}
    if IN_PATH.search(path):
        codes.add(404)
    if operation.body is not None:
        codes |= {411, 413, 415}
    if method == "POST":
        codes |= {409, 422}
    if operation.etag and method in ("PATCH", "DELETE"):
        codes |= {409, 412}
    content = {CONTENT_TYPE: {"schema": PROBLEM.reference()}}
    described: Schema = {}
    for code in sorted(codes):
        described[str(code)] = {"description": ERRORS[code], "content": content}
        if code in (429, 503):
            described[str(code)]["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}
            }
    return described


def add_components(result: Schema, **context: Any) -> Schema:
    """drf-spectacular's last step: everything that operations refer to."""
    components = result.setdefault("components", {})
    components["schemas"] = {name: COMPONENTS[name].schema() for name in sorted(COMPONENTS)}
    components["securitySchemes"] = SCHEMES
    answers = [name for name in components["schemas"] if not isinstance(COMPONENTS[name], Shape)]
    components["examples"] = {name: {"value": example_of(name, components["schemas"])} for name in answers}
    return result
