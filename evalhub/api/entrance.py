"""The way in: what there is, the OpenAPI document, and what is said where there is nothing."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.api.operations import ApiView, Operation
from evalhub.api.problems import Problem
from evalhub.api.rows import Object
from evalhub.api.shapes import Json, Text
from evalhub.web import json

RESOURCES: Final = (
    "runs",
    "results",
    "projects",
    "test-sets",
    "cases",
    "evaluators",
    "endpoints",
    "configurations",
    "assignments",
    "rounds",
    "comments",
    "tags",
    "views",
    "imports",
    "members",
    "audit",
)
INDEX: Final = Object(
    "Index",
    {
        "name": Text(),
        "documentation": Text(doc="For people."),
        "schema": Text(doc="OpenAPI, for programs."),
        "resources": Json(only=dict, doc="Each list's address."),
    },
)


class Index(ApiView):
    operations = {"GET": Operation(summary="What there is", action=None, answer=INDEX)}

    def get(self, request: Request) -> Response:
        here = request._request.build_absolute_uri("/api/")
        return Response(
            {
                "name": "EvalHub API",
                "documentation": f"{here}docs/",
                "schema": f"{here}schema/",
                "resources": {name: f"{here}{name}/" for name in RESOURCES},
            }
        )


class Schema(ApiView):
    """The OpenAPI document; it is the same for everybody, so it is made once per process."""

    operations = {
        "GET": Operation(
            summary="The OpenAPI document",
            action=None,
            answer=Object(
                "OpenApiDocument", {"openapi": Text(), "info": Json(only=dict), "paths": Json(only=dict)}, more=True
            ),
        )
    }

    def get(self, request: Request) -> HttpResponse:
        text, etag = document_as_json()
        return HttpResponse(text, content_type="application/json", headers={"ETag": etag})


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The document as data; the documentation page reads it too."""
    generator: Any = SchemaGenerator
    made: dict[str, Any] = generator().get_schema(request=None, public=True)
    return made


@lru_cache(maxsize=1)
def document_as_json() -> tuple[bytes, str]:
    text = json.dumps(document(), indent=True)
    return text, f'"{hashlib.sha256(text).hexdigest()[:32]}"'


class Nowhere(ApiView):
    """404 as problem details for every address under /api/ that is none."""

    def operation_of(self, method: str | None) -> Operation | None:
        raise Problem(404, self.advice())

    def advice(self) -> str:
        path = self.request._request.path
        if not path.endswith("/"):
            return "There is nothing here. Addresses of the API end with a slash."
        return "There is nothing here. /api/ lists what there is, /api/docs/ explains it."
