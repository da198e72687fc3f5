"""Putting a tag on a thing, and taking it off. The thing holds the tag's name."""

from __future__ import annotations

from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import Deletable
from evalhub.web.errors import Refused
from runs.changing import locked, save_changes

MOST = 50


def tag(thing: Deletable, name: str, *, by: Actor) -> bool:
    """Says whether the thing had not had it."""
    with transaction.atomic():
        row = locked(thing)
        if name in row.tags:
            return False
        if len(row.tags) >= MOST:
            raise Refused(f"A thing takes at most {MOST} tags.")
        row.tags = sorted([*row.tags, name])
        save_changes(row, ["tags"], by=by)
    return True


def untag(thing: Deletable, name: str, *, by: Actor) -> bool:
    """Says whether the thing had it."""
    with transaction.atomic():
        row = locked(thing)
        if name not in row.tags:
            return False
        row.tags = [one for one in row.tags if one != name]
        save_changes(row, ["tags"], by=by)
    return True
