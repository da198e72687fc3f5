"""What is told with rows and is kept in other tables: tags with icons, own statuses, numbers of comments and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count

from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.reading import Body
from evalhub.compat.rhesis.statuses import own_names
from evalhub.compat.rhesis.words import Beside, Row, Words
from runs.models import Comment, Tag, Task


def beside(call: Call, rows: Sequence[Row], entity: str = "") -> Beside:
    """``entity``: our word, where comments and tasks are counted too."""
    ids = [row["id"] for row in rows]
    return Beside(
        tags=tags_named(call, {name for row in rows for name in row.get("tags", ())}),
        own_statuses=own_names(call.actor, [row["status"] for row in rows if len(row.get("status") or "") == 36]),
        comments=_counted(Comment.objects.visible_to(call.actor), entity, ids) if entity else {},
        tasks=_counted(Task.objects.visible_to(call.actor), entity, ids) if entity else {},
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


def _counted(rows: Any, entity: str, ids: Sequence[UUID]) -> dict[UUID, int]:
    counted = rows.filter(entity_type=entity, entity_id__in=ids).order_by().values_list("entity_id")
    return dict(counted.annotate(n=Count("pk")))


def tags_given(body: Body) -> list[str] | None:
    """The names of ``tags``; None where they are not sent."""
    if "tags" not in body:
        return None
    return sorted({name.strip() for name in body.texts("tags", longest=80) if name.strip()})
