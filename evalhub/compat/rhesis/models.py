"""Models: endpoints of ours that ask a named model, shown so that their ids are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http.response import HttpResponseBase

from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import find, visible
from evalhub.compat.rhesis.listing import in_order, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.reading import Refusal
from evalhub.compat.rhesis.set_up import common_fields, in_project
from evalhub.compat.rhesis.words import ENDPOINT_COLUMNS, Words, reference, shared
from runs.models import Endpoint

KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "name", "description",
    "model_name", "model_type", "provider_type_id", "status_id",
)  # fmt: skip
NAME: Final = KeyTextTransform("model", "request_mapping")


def models(call: Call) -> QuerySet[Endpoint]:
    """Endpoints whose request names its model, as OpenAI-compatible ones do."""
    rows = visible(call, Endpoint).filter(archived_at__isnull=True).annotate(model_name=NAME)
    found: QuerySet[Endpoint] = rows.filter(model_name__isnull=False).exclude(model_name__contains="{{")
    return found


def fields(call: Call) -> Fields:
    return {**common_fields(call, Endpoint), **in_project(call), "model_name": Field("text", NAME)}


def show(call: Call, ids: Sequence[UUID]) -> list[Words]:
    return [as_model(row) for row in in_order(ids, Endpoint.objects.filter(pk__in=ids).values(*ENDPOINT_COLUMNS))]


def as_model(row: Any) -> Words:
    """Without its key, which is the endpoint's."""
    return {
        **shared(row, user=row["owner_id"], project=reference(row, "project")),
        "name": row["name"],
        "description": row["description"] or None,
        "model_name": row["request_mapping"]["model"],
        "model_type": "language",
        "provider_type_id": None,
        "status_id": "active",
    }


def list_models(call: Call) -> HttpResponseBase:
    return list_rows(call, models(call), fields(call), show, KEYS)


def read_model(call: Call, ident: str) -> Words:
    (words,) = show(call, [find(call, Endpoint, ident, rows=models(call)).pk])
    return words


def change_model(call: Call, ident: str) -> Any:
    read_model(call, ident)
    set_up_elsewhere(call)


def set_up_elsewhere(call: Call, **named: str) -> Any:
    raise Refusal(
        "A model is an endpoint here: make one with the preset for OpenAI-compatible chat, and name its id where the "
        "SDK takes the id of a model. The model of everybody is the operator's (EVALHUB_JUDGE_URL)."
    )
