"""Uploaded files are imported by a worker."""

from __future__ import annotations

import logging
from pathlib import Path

from django.db import connection
from procrastinate.contrib.django import app

from evalhub.importers.importing import finish, import_file
from evalhub.importers.problems import ImportProblem
from runs.models import Import

log = logging.getLogger("evalhub.imports")


@app.task(name="run_import")
def run_import(import_id: str) -> None:
    """Import an uploaded file; once more after a killed worker, since it left nothing behind."""
    try:
        entry = Import.objects.select_related("project", "created_by").filter(pk=import_id).first()
        if entry is None or entry.state in (Import.State.DONE, Import.State.FAILED):
            return
        path = Path(entry.file.path)
        if not path.is_file():
            finish(entry, Import.State.FAILED, "The uploaded file is gone. Upload it again.")
            return
        import_file(
            path, entry.project, by=entry.created_by, filename=entry.filename, mapping=entry.mapping, entry=entry
        )
        entry.file.delete(save=False)  # what was in it is in the run now; a file that failed stays for another try
        Import.objects.filter(pk=entry.pk).update(file="")
    except ImportProblem as problem:
        log.info("an upload could not be imported", extra={"facts": {"import": import_id, "problem": str(problem)}})
    finally:
        if not connection.in_atomic_block:
            connection.close()  # back into the pool: the worker's thread may not come again for long
