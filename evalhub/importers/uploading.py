"""Files that people upload: kept for the worker, looked at at once, imported by a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.files import File
from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from evalhub.importers.detect import Format, detect
from evalhub.importers.importing import begin
from evalhub.importers.mapping import ColumnMapping, guess
from evalhub.importers.problems import ImportProblem
from evalhub.importers.tables import Table
from evalhub.importers.tasks import run_import
from runs.models import Import, Project


def receive(upload: File[Any], project: Project, *, by: Actor) -> Import:
    """Keep an upload. One that says by itself what it is gets its job; a table waits for a mapping.

    Raises ImportProblem for what cannot be imported, and keeps nothing of it.
    """
    entry = begin(project, by=by.user, filename=Path(upload.name or "upload").name, size=upload.size or 0)
    entry.file.save(str(entry.pk), upload, save=False)  # never under a name from outside
    try:
        found = detect(path_of(entry))
        if found.is_generic:
            table_of(entry, found)
    except ImportProblem:
        discard(entry)
        raise
    entry.format = found
    with transaction.atomic():
        entry.save(update_fields=["file", "format", "updated_at"])
        record_event("import.upload", entry, by=by, project=project.name)
        if not found.is_generic:
            start(entry)
    return entry


def start(entry: Import, mapping: ColumnMapping | None = None) -> None:
    """Queue the job; also for another try after a failure."""
    with transaction.atomic():
        entry.state, entry.message, entry.done, entry.total = Import.State.QUEUED, "", 0, None
        entry.report, entry.finished_at = {}, None
        if mapping is not None:
            entry.mapping = mapping.as_json()
        entry.save()
        run_import.defer(import_id=str(entry.pk))


def discard(entry: Import) -> None:
    """Forget an import that brought nothing, with its file."""
    if entry.file:
        entry.file.delete(save=False)
    entry.delete()


def needs_mapping(entry: Import) -> bool:
    return entry.state == Import.State.QUEUED and is_table(entry) and entry.mapping is None


def is_table(entry: Import) -> bool:
    return entry.format in {found for found in Format if found.is_generic}


def can_start_again(entry: Import) -> bool:
    """Whether there is still a file to try again with; what the command line read is not kept."""
    return entry.state == Import.State.FAILED and bool(entry.file)


def table_of(entry: Import, found: Format | None = None) -> Table:
    return Table(path_of(entry), found or Format(entry.format))


def mapping_of(entry: Import, table: Table) -> ColumnMapping:
    """What people said before, else a guess."""
    if entry.mapping:
        return ColumnMapping.from_json(entry.mapping, [column.name for column in table.columns])
    return guess(table.columns)


def path_of(entry: Import) -> Path:
    return Path(entry.file.path)
