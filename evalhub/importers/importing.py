"""Brings a file's runs in: one transaction, the same file twice changes nothing, totals counted again and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from evalhub.accounts.models import User
from evalhub.database.storable import storable
from evalhub.importers.description import RunReader
from evalhub.importers.detect import Format, detect
from evalhub.importers.generic import open_table
from evalhub.importers.inspect_ai import open_inspect_json, open_inspect_zip
from evalhub.importers.problems import ImportProblem
from evalhub.importers.progress import LiveProgress
from evalhub.importers.promptfoo import open_promptfoo, open_promptfoo_lines
from evalhub.importers.reporting import Report
from evalhub.importers.storing import Progress, RunStore
from runs.models import Import, Project


def import_file(
    path: Path,
    project: Project,
    *,
    by: User | None,
    filename: str,
    mapping: dict[str, Any] | None = None,
    progress: Progress | None = None,
    entry: Import | None = None,
) -> Report:
    """Import a file into a project, all of it or nothing, and say what came of it.

    ``entry`` is the row that people watch; without one it is made here. ``progress`` is told (done, total or None)
    while records are read. Raises ImportProblem, which the row remembers as well.
    """
    entry = entry or begin(project, by=by, filename=filename, mapping=mapping)
    entry.state, entry.started_at, entry.size = Import.State.RUNNING, timezone.now(), path.stat().st_size
    entry.save(update_fields=["state", "started_at", "size", "updated_at"])
    report = Report()
    try:
        with LiveProgress(entry, progress) as live, transaction.atomic():
            entry.sha256 = sha256_of(path)
            entry.format = detect(path)
            with open_runs(path, Format(entry.format), filename, mapping, entry.sha256) as readers:
                for reader in readers:
                    store = RunStore(reader, project, by=by, sha256=entry.sha256, filename=filename)
                    report.runs.append(store.store(live))
            if not report.runs:
                raise ImportProblem("The file holds no results.")
            live.finish()
            finish(entry, Import.State.DONE, report.message, report)
    except ImportProblem as problem:
        finish(entry, Import.State.FAILED, f"{str(problem).rstrip('.')}. Nothing was imported.")
        raise
    except Exception:
        finish(entry, Import.State.FAILED, "EvalHub failed while it read this file. Nothing was imported.")
        raise
    return report


def begin(project: Project, *, by: User | None, filename: str, **fields: Any) -> Import:
    """The row of an import that has not run yet."""
    return Import.objects.create(
        organization_id=project.organization_id,
        project=project,
        created_by=by,
        filename=storable(filename)[-255:],
        **fields,
    )


def finish(entry: Import, state: str, message: str, report: Report | None = None) -> None:
    entry.state, entry.message, entry.finished_at = state, storable(message), timezone.now()
    entry.report = storable(report.as_json()) if report else {}
    entry.run = report.runs[0].run if report and report.runs else None
    entry.save()


@contextmanager
def open_runs(
    path: Path, found: Format, filename: str, mapping: dict[str, Any] | None, sha256: str
) -> Iterator[Iterable[RunReader]]:
    """The runs in a file; only a table with a run column has several."""
    if found.is_generic:
        if not mapping:
            raise ImportProblem("Say first what the columns of this file mean (a column mapping)")
        with open_table(path, found, filename=filename, mapping=mapping, sha256=sha256) as readers:
            yield readers
        return
    openers: dict[Format, Callable[[Path, str, str], AbstractContextManager[RunReader]]] = {
        Format.INSPECT_ZIP: open_inspect_zip,
        Format.INSPECT_JSON: open_inspect_json,
        Format.PROMPTFOO: open_promptfoo,
        Format.PROMPTFOO_LINES: open_promptfoo_lines,
    }
    with openers[found](path, filename, sha256) as reader:
        yield [reader]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
