"""Out of the lists, and back. What was recorded with an archived thing stays as it is."""

from __future__ import annotations

from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import Deletable
from evalhub.audit.models import record_event
from evalhub.web.errors import Refused
from runs.changing import locked
from runs.models import Case, Project, TestSet


def archive(thing: Deletable, *, by: Actor) -> bool:
    """Take it out of the lists; says whether it was in them."""
    with transaction.atomic():
        row = locked(thing)  # it may have become the default or golden meanwhile
        if isinstance(row, Project) and row.is_default:
            raise Refused("The default project takes what arrives without a project, so it cannot be archived.")
        if isinstance(row, TestSet) and row.is_golden:
            raise Refused("A project’s golden set takes the cases that have no other set, so it cannot be archived.")
        moved = type(thing)._default_manager.filter(pk=thing.pk).archive()
        if moved:
            bump_sets_of(thing)
            record_event(f"{thing._meta.model_name}.archived", thing, by=by)
    return bool(moved)


def restore(thing: Deletable, *, by: Actor) -> bool:
    """Put it back into the lists; says whether it was out of them."""
    with transaction.atomic():
        moved = type(thing)._default_manager.filter(pk=thing.pk).restore()
        if moved:
            bump_sets_of(thing)
            record_event(f"{thing._meta.model_name}.restored", thing, by=by)
    return bool(moved)


def delete(thing: Deletable, *, by: Actor) -> bool:
    """Take a thing away for everybody; what points at it keeps showing it. Says whether this call did it."""
    with transaction.atomic():
        row = locked(thing)
        if row.deleted_at is not None:
            return False
        check_may_go(row)
        row.mark_deleted()
        bump_sets_of(row)
        record_event(f"{row._meta.model_name}.deleted", row, by=by)
    return True


def check_may_go(thing: Deletable) -> None:
    if getattr(thing, "is_default", False) or getattr(thing, "is_golden", False):
        raise Refused("The default project and the golden sets stay: they take what arrives without a place.")


def bump_sets_of(thing: Deletable) -> None:
    """A set asks for other cases from now on."""
    if isinstance(thing, Case):
        for test_set in TestSet.objects.filter(cases=thing):
            test_set.bump()
