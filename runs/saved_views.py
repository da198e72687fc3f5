"""Named query strings of the lists."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from runs.models import SavedView

MOST_VIEWS: Final = 50  # in the menu of a list
# What says where in the list one is, not what is in it.
PLACES = frozenset({"after", "before", "cursor", "result", "drawer", "view", "page"})


def views_for(actor: Actor | None, page: str | None = None) -> QuerySet[SavedView]:
    """The actor's own views and those that colleagues share, by name."""
    if actor is None:
        return SavedView.objects.none()
    views = SavedView.objects.visible_to(actor).filter(Q(user=actor.user) | Q(shared=True))
    if page is not None:
        views = views.filter(page=page)
    return views.select_related("user").order_by(Lower("name"), "id")


def clean_query(query: str) -> str:
    """The query string without places in the list, and without what is empty."""
    pairs = parse_qsl(query.lstrip("?"), max_num_fields=200)
    return urlencode([(key, value) for key, value in pairs if key not in PLACES])


def save_view(*, by: Actor, page: str, name: str, query: str, shared: bool = False) -> tuple[SavedView, bool]:
    """Keep the query under the name, in place of the actor's own view that has it; says whether it is new."""
    with transaction.atomic():
        view, made = SavedView.objects.update_or_create(
            organization=by.organization,
            user=by.user,
            page=page,
            name=name,
            defaults={"query": clean_query(query), "shared": shared},
        )
        record_event("savedview.created" if made else "savedview.changed", view, by=by, shared=shared)
    return view, made


def rename_view(view: SavedView, *, by: Actor, name: str, shared: bool) -> bool:
    """Another name, where no other of the owner's views of this list has it."""
    others = SavedView.objects.filter(organization=by.organization, user=view.user_id, page=view.page)
    with transaction.atomic():
        if others.exclude(pk=view.pk).filter(name=name).exists():
            return False
        view.name, view.shared = name, shared
        view.save(update_fields=["name", "shared", "updated_at"])
        record_event("savedview.changed", view, by=by, shared=shared)
    return True


def share_view(view: SavedView, shared: bool, *, by: Actor) -> None:
    with transaction.atomic():
        if SavedView.objects.filter(pk=view.pk).exclude(shared=shared).update(shared=shared):
            record_event("savedview.shared" if shared else "savedview.unshared", view, by=by)


def delete_view(view: SavedView, *, by: Actor) -> None:
    with transaction.atomic():
        record_event("savedview.deleted", view, by=by)
        view.delete()
