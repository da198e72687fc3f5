"""Stores one run of a file with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection
from django.utils import timezone

from evalhub.accounts.models import User
from evalhub.database.storable import storable
from evalhub.importers.cleaning import Cleaner
from evalhub.importers.description import RunReader, counted, digest_of
from evalhub.importers.problems import ImportProblem
from evalhub.importers.repeating import Repetitions
from evalhub.importers.reporting import RunReport, count_imported, sentence, warnings_of
from evalhub.importers.updating import (
    STAMP,
    earlier_results,
    identity_of,
    is_older,
    knows,
    let_go,
    remember,
    stamp,
)
from results.models import Rollup
from results.recording import RecordingError, record_results
from results.records import ResultRecord
from results.recounting import recount
from runs.cases import CaseSpec
from runs.launching import open_run, snapshot_of
from runs.models import ConfigurationEvaluator, Evaluator, Project, TestConfiguration, TestRun, TestSet, Variant

# PostgreSQL keeps every version of the run's, the set's and the project's row until the import ends, one a batch, and
# looks through them for each result: so batches are large, but not heavy.
BATCH = 2000
HEAVIEST = 4_000_000  # bytes
A_STEP = 4_000  # bytes, about
COMPLETED = ("status", "started_at", "finished_at", "created_at", "error", "planned_count", "attributes", "snapshot")
Progress = Callable[[int, int | None], None]


class RunStore:
    """One run on its way in, inside the import's transaction."""

    def __init__(self, reader: RunReader, project: Project, *, by: User | None, sha256: str, filename: str) -> None:
        self.reader, self.project, self.by = reader, project, by
        self.sha256, self.filename = sha256, filename
        self.cleaner = Cleaner()
        self.repetitions = Repetitions()
        self.replaced = False
        self.description = self.cleaner.clean(reader.description, "The run")
        self.slug = self.description.tool.split()[0].lower()

    def store(self, progress: Progress) -> RunReport:
        run = self._find()
        if run is not None:
            unchanged = self._reason_to_leave(run)
            if unchanged:
                return RunReport(run, "unchanged", unchanged)
        updates = run is not None
        run = run or self._open()
        records, kept = self._record(run, progress, updates=updates)
        if self.replaced:
            recount(run.pk, repair=True)
        self._complete(run, records)
        imported = count_imported(run)
        checks = self.reader.checks(imported)
        warnings = [*self.reader.warnings, *self._repeated(), *self.cleaner.replaced.warnings(), *warnings_of(checks)]
        if kept:
            one = "result differs in the file now, and stays as it is: people work on it."
            many = "results differ in the file now, and stay as they are: people work on them."
            warnings.append(counted(kept, one, many))
        message = sentence(imported, checks, self.description.words)
        if updates:
            message = f"Run #{run.number} brought up to date: {message}"
        run.declared = storable({**self.description.declared, "checks": [check.as_json() for check in checks]})
        run.warnings = storable(warnings)
        run.save(update_fields=["declared", "warnings", "updated_at"])
        return RunReport(run, "updated" if updates else "new", f"{message}.", checks, run.warnings)

    # --- the run ------------------------------------------------------------------------------------------------------

    def _find(self) -> TestRun | None:
        """The run that an earlier import of this file, or of an earlier state of it, made."""
        external_id = self._external_id("run", self.description.run_id)
        with connection.cursor() as cursor:  # or two imports of one file at once both find nothing
            lock = f"import {self.project.organization_id} {external_id}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
        run = TestRun.objects.filter(
            organization_id=self.project.organization_id, external_id=external_id, deleted_at__isnull=True
        ).first()
        if run is not None and run.project_id != self.project.pk:
            raise ImportProblem(f"This run is in another project already: {run.project}, run #{run.number}.")
        return run

    def _reason_to_leave(self, run: TestRun) -> str:
        if knows(run, self.sha256):
            return f"Imported before as run #{run.number}: nothing changed."
        if is_older(run, finished=self.description.finished, records=self.description.held):
            return f"An earlier state of run #{run.number}, which holds more already: nothing changed."
        return ""

    def _open(self) -> TestRun:
        said = self.description
        run = open_run(
            self.project,
            name=said.name,
            configuration=self._configuration(),
            by=self.by,
            via=TestRun.Via.IMPORT,
            external_id=self._external_id("run", said.run_id),
            model=said.model[:300],
            branch=said.branch[:200],
            commit=said.commit[:200],
            tags=sorted({tag[:80] for tag in said.tags if tag}),
            attributes=said.attributes,
            started_at=said.started_at or said.created_at or timezone.now(),
        )
        Variant.objects.bulk_create(
            Variant(
                organization_id=run.organization_id,
                run=run,
                position=position,
                label=variant.label[:300],
                provider=variant.provider[:300],
                prompt=variant.prompt,
                parameters=variant.parameters,
            )
            for position, variant in enumerate(said.variants)
        )
        return run

    def _configuration(self) -> TestConfiguration:
        said = self.description
        test_set, _ = TestSet.objects.get_or_create(
            organization_id=self.project.organization_id,
            external_id=self._external_id("set", self.project.pk, said.test_set),
            deleted_at=None,
            defaults={
                "project": self.project,
                "name": said.test_set[:300],
                "description": f"The cases of imported runs ({said.tool}).",
            },
        )
        configuration, _ = TestConfiguration.objects.get_or_create(
            organization_id=self.project.organization_id,
            external_id=self._external_id("configuration", self.project.pk, said.settings_id),
            deleted_at=None,
            defaults={
                "project": self.project,
                "name": said.configuration[:300],
                "test_set": test_set,
                "parameters": said.parameters,
            },
        )
        return configuration

    def _external_id(self, kind: str, *parts: Any) -> str:
        """Readable for runs; a digest for the rest, which is unique in the organisation but belongs to a project."""
        if kind == "run" and len(str(parts[0])) <= 100:
            return f"{self.slug}-{parts[0]}"
        return f"{self.slug}-{kind}-{digest_of(self.slug, kind, *map(str, parts))}"

    def _complete(self, run: TestRun, records: int) -> None:
        """The file's own times and state; the evaluators that it used belong to the configuration."""
        said, now = self.description, timezone.now()
        run.refresh_from_db()
        run.status = said.status or status_of(run)
        run.started_at = said.started_at or run.started_at
        run.finished_at = max(filter(None, [said.finished_at or said.started_at or now, run.started_at]))
        run.created_at = min(said.created_at or said.started_at or run.created_at, now)
        run.error = said.error
        run.planned_count = min(max(said.planned or 0, 0), 2**31 - 1)
        run.attributes = remember(
            run, sha256=self.sha256, finished=said.finished, records=records, filename=self.filename
        )
        configuration = run.configuration
        if configuration is not None:
            used = Evaluator.objects.filter(pk__in=Rollup.objects.filter(run=run).values("evaluator")).order_by("name")
            ConfigurationEvaluator.objects.bulk_create(
                [
                    ConfigurationEvaluator(configuration=configuration, evaluator=evaluator, position=position)
                    for position, evaluator in enumerate(used)
                ],
                ignore_conflicts=True,
            )
            run.snapshot = snapshot_of(configuration)
        run.save(update_fields=[*COMPLETED, "updated_at"])

    # --- its results --------------------------------------------------------------------------------------------------

    def _record(self, run: TestRun, progress: Progress, *, updates: bool) -> tuple[int, int]:
        """(records in the file, changed ones that stay because people work on them)."""
        done = kept = 0
        for batch in self._batches():
            self.repetitions.number(batch)
            earlier = earlier_results(run, batch) if updates else {}
            changed = []
            for record in batch:
                before = earlier.get(identity_of(record))
                if before is not None and before.digest != record.attributes[STAMP]:
                    if before.touched:
                        kept += 1
                    else:
                        changed.append(before)
            if changed:
                let_go(changed)
                self.replaced = True
            try:
                record_results(run, batch, via=TestRun.Via.IMPORT)
            except RecordingError as error:
                raise ImportProblem(f"Result {done + error.index + 1:,}, {error.field}: {error.message}") from error
            done += len(batch)
            progress(done, self.description.held)
        return done, kept

    def _batches(self) -> Iterator[list[ResultRecord]]:
        batch, weight = list[ResultRecord](), 0
        for number, record in enumerate(self.reader.records(), 1):
            self.cleaner.record(record, number)
            assert isinstance(record.case, CaseSpec)
            record.case.external_id = self._external_id("case", self.project.pk, record.case.external_id)
            batch.append(record)
            weight += stamp(record) + A_STEP * len(record.steps)
            if len(batch) == BATCH or weight >= HEAVIEST:
                yield batch
                batch, weight = [], 0
        if batch:
            yield batch

    def _repeated(self) -> list[str]:
        if not self.repetitions.repeated or self.description.repeats:
            return []
        one = "row repeats the case of an earlier one, and is a repetition of it."
        many = "rows repeat the case of an earlier one, and are repetitions of it."
        return [counted(self.repetitions.repeated, one, many)]


def status_of(run: TestRun) -> str:
    """By its errors, as a run of EvalHub's own ends; a file without results is not a failed run."""
    if not run.machine_errors:
        return TestRun.Status.COMPLETED
    return TestRun.Status.FAILED if run.machine_errors == run.result_count else TestRun.Status.PARTIAL
