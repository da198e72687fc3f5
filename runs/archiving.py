"""Out of the lists, and back. What was recorded with an archived thing stays as it is."""

from __future__ import annotations

from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import Deletable
from evalhub.audit.models import record_event
from evalhub.web.errors import Refused
from runs.models import Project, TestSet


def archive(thing: Deletable, *, by: Actor) -> bool:
    """Take it out of the lists; says whether it was in them."""
    if isinstance(thing, Project) and thing.is_default:
        raise Refused("The default project takes what arrives without a project, so it cannot be archived.")
    if isinstance(thing, TestSet) and thing.is_golden:
        raise Refused("A project’s golden set takes the cases that have no other set, so it cannot be archived.")
    with transaction.atomic():
        moved = type(thing)._default_manager.filter(pk=thing.pk).archive()
        if moved:
            record_event(f"{thing._meta.model_name}.archived", thing, by=by)
    return bool(moved)


def restore(thing: Deletable, *, by: Actor) -> bool:
    """Put it back into the lists; says whether it was out of them."""
    with transaction.atomic():
        moved = type(thing)._default_manager.filter(pk=thing.pk).restore()
        if moved:
            record_event(f"{thing._meta.model_name}.restored", thing, by=by)
    return bool(moved)
