"""Statuses, lists of values, users, and what the SDK asks of a server itself."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http.response import HttpResponseBase

from evalhub.accounts.models import Membership, User
from evalhub.audit.models import record_event
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import NANO, meaning_of_user, member
from evalhub.compat.rhesis.listing import in_order, list_plain, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal, not_found
from evalhub.compat.rhesis.statuses import CLOSED, ENTITIES, FIXED, VALUES, code_in, own_statuses, value_id
from evalhub.compat.rhesis.words import USER_COLUMNS, Words, as_user, nano_id
from runs.models import Lookup

STATUS_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "name", "description", "entity_type_id",
    "entity_type",
)  # fmt: skip
VALUE_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "type_name", "type_value", "description",
)  # fmt: skip
USER_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "name", "given_name", "family_name", "email",
    "picture", "is_active",
)  # fmt: skip


# --- statuses ---------------------------------------------------------------------------------------------------------


def _status(call: Call, ident: str, name: str, entity: str, row: Lookup | None = None) -> Words:
    kept: Any = row or call.actor.organization
    return {
        "id": ident,
        "nano_id": nano_id(row.pk) if row else None,
        "created_at": kept.created_at,
        "updated_at": kept.updated_at,
        "organization_id": str(call.actor.organization_id),
        "user_id": None,
        "name": name,
        "description": (row.description or None) if row else None,
        "entity_type_id": value_id("EntityType", entity),
        "entity_type": {"id": value_id("EntityType", entity), "type_name": "EntityType", "type_value": entity},
    }


def _statuses(call: Call) -> list[Words]:
    fixed = [_status(call, status.code, status.name, status.entity) for status in FIXED]
    own = [
        _status(call, row.external_id or str(row.pk), row.name, row.family.partition(":")[2], row)
        for row in own_statuses(call.actor)
    ]
    return [*fixed, *own]


def list_statuses(call: Call) -> HttpResponseBase:
    rows = _statuses(call)
    entity = call.parameter("entity_type")
    if entity is not None:
        word = entity.replace("_", "").lower()
        rows = [row for row in rows if row["entity_type"]["type_value"].lower() == word]
    for row in rows:
        row["entity_type/type_value"] = row["entity_type"]["type_value"]
    filtered = (*STATUS_KEYS[:8], "entity_type_id", "entity_type/type_value")
    return list_plain(call, rows, STATUS_KEYS, filtered=filtered)


def read_status(call: Call, ident: str) -> Words:
    """A code that several kinds of things have is that of the first, unless the query says which."""
    entity = (call.parameter("entity_type") or "").replace("_", "").lower()
    for row in _statuses(call):
        if row["id"] in (ident, code_in(ident)) and entity in ("", row["entity_type"]["type_value"].lower()):
            return row
    raise not_found("Status", ident)


def _entity_given(body: Body) -> str:
    ident = body.ident("entity_type_id") or body.name_in("entity_type")
    if ident is None:
        return "General"
    for entity in ENTITIES:
        if ident.lower() in (entity.lower(), value_id("EntityType", entity)):
            return entity
    raise not_found("Entity type", ident, 400)


def create_status(call: Call) -> Words:
    call.must("set_up")
    body = call.body()
    name = _required(body, "name")
    entity = _entity_given(body)
    if entity in CLOSED:
        raise Refusal(f"The statuses of a {entity} are fixed.")
    for row in _statuses(call):
        if row["entity_type"]["type_value"] == entity and row["name"].lower() == name.lower():
            return row
    made = Lookup.objects.create(
        organization=call.actor.organization,
        family=f"status:{entity}",
        name=name,
        description=body.text("description", longest=20_000) or "",
    )
    record_event("status.created", made, by=call.actor)
    return _status(call, str(made.pk), made.name, entity, made)


def _own(call: Call, ident: str, family: str, what: str) -> Lookup:
    rows = Lookup.objects.visible_to(call.actor).filter(family__startswith="status:")
    if family != "status":
        rows = Lookup.objects.visible_to(call.actor).exclude(family__startswith="status:")
    row: Lookup | None = rows.by_id(ident)
    if row is None:
        raise not_found(what, ident)
    return row


def change_status(call: Call, ident: str) -> Words:
    call.must("set_up")
    shown = read_status(call, ident)
    if shown["nano_id"] is None:
        raise Refusal("This status is fixed.", 403)
    row = _own(call, ident, "status", "Status")
    _change(call, row)
    return read_status(call, ident)


def _change(call: Call, row: Lookup) -> None:
    body = call.body()
    for key in ("name", "type_value"):
        if name := (body.text(key, longest=200) or "").strip():
            row.name = name
    if "description" in body:
        row.description = body.text("description", longest=20_000) or ""
    row.save()
    record_event("lookup.changed", row, by=call.actor)


def remove_status(call: Call, ident: str) -> Words:
    call.must("set_up")
    shown = read_status(call, ident)
    if shown["nano_id"] is None:
        raise Refusal("This status is fixed.", 403)
    row = _own(call, ident, "status", "Status")
    record_event("status.deleted", row, by=call.actor)
    row.delete()
    return shown


def _required(body: Body, key: str, longest: int = 200) -> str:
    text = (body.text(key, longest=longest) or "").strip()
    if not text:
        raise Invalid("missing", body.at(key), "Field required")
    return text


# --- lists of values --------------------------------------------------------------------------------------------------


def _value(call: Call, ident: str, family: str, value: str, row: Lookup | None = None) -> Words:
    kept: Any = row or call.actor.organization
    return {
        "id": ident,
        "nano_id": nano_id(row.pk) if row else None,
        "created_at": kept.created_at,
        "updated_at": kept.updated_at,
        "organization_id": str(call.actor.organization_id),
        "user_id": None,
        "type_name": family,
        "type_value": value,
        "description": (row.description or None) if row else None,
    }


def _values(call: Call) -> list[Words]:
    fixed = [_value(call, value_id(name, value), name, value) for name, values in VALUES.items() for value in values]
    own = Lookup.objects.visible_to(call.actor).exclude(family__startswith="status:").order_by("created_at", "id")
    return [*fixed, *(_value(call, row.external_id or str(row.pk), row.family, row.name, row) for row in own)]


def list_values(call: Call) -> HttpResponseBase:
    return list_plain(call, _values(call), VALUE_KEYS, filtered=VALUE_KEYS)


def read_value(call: Call, ident: str) -> Words:
    for row in _values(call):
        if row["id"] == ident:
            return row
    raise not_found("Type lookup", ident)


def create_value(call: Call) -> Words:
    call.must("set_up")
    body = call.body()
    family, name = _required(body, "type_name", 80), _required(body, "type_value")
    if family.startswith("status:"):
        raise Refusal("Statuses have an address of their own.")
    for row in _values(call):
        if row["type_name"] == family and row["type_value"] == name:
            return row
    made = Lookup.objects.create(
        organization=call.actor.organization,
        family=family,
        name=name,
        description=body.text("description", longest=20_000) or "",
    )
    record_event("lookup.created", made, by=call.actor)
    return _value(call, str(made.pk), family, name, made)


def change_value(call: Call, ident: str) -> Words:
    call.must("set_up")
    if read_value(call, ident)["nano_id"] is None:
        raise Refusal("This value is fixed.", 403)
    _change(call, _own(call, ident, "value", "Type lookup"))
    return read_value(call, ident)


def remove_value(call: Call, ident: str) -> Words:
    call.must("set_up")
    shown = read_value(call, ident)
    if shown["nano_id"] is None:
        raise Refusal("This value is fixed.", 403)
    row = _own(call, ident, "value", "Type lookup")
    record_event("lookup.deleted", row, by=call.actor)
    row.delete()
    return shown


# --- users ------------------------------------------------------------------------------------------------------------


def _users(call: Call) -> QuerySet[User]:
    members = Membership.objects.filter(organization=call.actor.organization)
    return User.objects.filter(pk__in=members.values("user"))


def user_fields(call: Call) -> Fields:
    return {
        "id": Field("ident", "pk", meaning_of_user(call)),
        "nano_id": Field("text", NANO),
        "name": Field("text", "name"),
        "email": Field("text", "email"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "is_active": Field("flag", "is_active"),
    }


def show_users(call: Call, ids: Any) -> list[Words]:
    rows = in_order(ids, User.objects.filter(pk__in=ids).values(*USER_COLUMNS))
    return [as_user(row, call.actor.organization_id) for row in rows]


def list_users(call: Call) -> HttpResponseBase:
    return list_rows(call, _users(call), user_fields(call), show_users, USER_KEYS)


def read_user(call: Call, ident: str) -> Words:
    user = call.actor.user if ident == "me" else member(call, ident, 404)
    (words,) = show_users(call, [user.pk])
    return words


# --- the server itself ------------------------------------------------------------------------------------------------


def health() -> Words:
    return {"status": "ok"}


def current_token(call: Call) -> Words:
    token = call.actor.token
    return {
        "id": str(token.pk) if token else None,
        "name": token.name if token else None,
        "project_id": call.project.public_id if call.project else None,
        "organization_id": str(call.actor.organization_id),
        "user_id": str(call.actor.user.pk),
        "scopes": sorted(token.scopes) if token else [],
        "expires_at": token.expires_at if token else None,
    }
