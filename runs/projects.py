"""Setting up projects."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from runs.cases import golden_set
from runs.changing import apply_changes, locked, save_changes
from runs.models import Project
from runs.naming import free_slug

TRIES = 5


def create_project(*, by: Actor, name: str, **fields: Any) -> Project:
    """A new project of the actor's organisation, with a slug of its own and its golden set."""
    fields.setdefault("owner", by.user)
    live = Project.objects.filter(organization=by.organization, deleted_at__isnull=True)
    for tried in range(TRIES):
        slug = free_slug(live, name, fallback="project")
        try:
            with transaction.atomic():
                project = Project.objects.create(organization=by.organization, name=name, slug=slug, **fields)
                golden_set(project)
                record_event("project.created", project, by=by)
                return project
        except IntegrityError:  # somebody took the slug since we looked
            if tried == TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def change_project(project: Project, *, by: Actor, **changes: Any) -> Project:
    with transaction.atomic():
        project = locked(project)
        save_changes(project, apply_changes(project, changes), by=by)
    return project
