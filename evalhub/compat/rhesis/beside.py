"""What is told with rows and is kept in other tables: tags with icons, own statuses, numbers of comments and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Count

from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.reading import Body
from evalhub.compat.rhesis.statuses import own_names
from evalhub.compat.rhesis.words import Beside, Row, Words
from evalhub.database.prepared import Prepared
from runs.models import Comment, Tag, Task


def beside(call: Call, rows: Sequence[Row], entity: str = "") -> Beside:
    """``entity``: our word, where comments and tasks are counted too."""
    ids = [row["id"] for row in rows]
    return Beside(
        tags=tags_named(call, {name for row in rows for name in row.get("tags", ())}),
        own_statuses=own_names(call.actor, [row["status"] for row in rows if len(row.get("status") or "") == 36]),
        comments=_counted(call, Comment, entity, ids) if entity else {},
        tasks=_counted(call, Task, entity, ids) if entity else {},
    )


def tags_named(call: Call, names: Iterable[str]) -> Mapping[str, Words]:
    wanted = set(names)
    if not wanted:
        return {}
    rows = Tag.objects.visible_to(call.actor).filter(name__in=wanted)
    return {
        tag.name: {"id": tag.external_id or str(tag.pk), "name": tag.name, "icon_unicode": tag.icon or None}
        for tag in rows
    }


def _counted(call: Call, model: Any, entity: str, ids: Sequence[UUID]) -> dict[UUID, int]:
    rows = _notes(model)(call.actor.organization_id, entity, list(ids))
    return {row["entity_id"]: row["n"] for row in rows}


@cache
def _notes(model: Any) -> Prepared[dict[str, Any]]:
    """How many there are about each of some things."""

    def build(organization: UUID, entity: str, ids: list[UUID]) -> Any:
        about = model.objects.visible_in(organization).filter(entity_type=entity, entity_id__among=ids)
        return about.order_by().values("entity_id").annotate(n=Count("pk"))

    return Prepared(build, UUID, str, list)


def tags_given(body: Body) -> list[str] | None:
    """The names of ``tags``; None where they are not sent."""
    if "tags" not in body:
        return None
    return sorted({name.strip() for name in body.texts("tags", longest=80) if name.strip()})
