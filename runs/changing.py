"""One way to change a row that people set up: locked, only what differs, and written down."""

from __future__ import annotations

from typing import Any

from django.db import models

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event


def apply_changes(row: models.Model, changes: dict[str, Any]) -> list[str]:
    """Set the values that differ, save nothing; the names of those that did."""
    changed = [name for name, value in changes.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, changes[name])
    return changed


def locked[M: models.Model](row: M) -> M:
    """The row as it is now, locked until the transaction ends."""
    return type(row)._default_manager.select_for_update(of=("self",)).get(pk=row.pk)


def save_changes(row: models.Model, changed: list[str], *, by: Actor | None, **data: Any) -> None:
    """Save the named fields and record the event; nothing where nothing changed."""
    if not changed:
        return
    columns = [name for name in changed if name in {field.name for field in row._meta.concrete_fields}]
    row.save(update_fields=[*columns, "updated_at"])
    organization_id = getattr(row, "organization_id", None)
    record_event(
        f"{row._meta.model_name}.changed", row, by=by, organization_id=organization_id, changed=sorted(changed), **data
    )
