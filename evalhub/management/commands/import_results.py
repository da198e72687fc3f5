"""`manage.py import_results FILE... --project SLUG`: result files of evaluation tools, from the command line."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from evalhub.accounts.models import Organization, User
from evalhub.importers.detect import detect
from evalhub.importers.importing import import_file
from evalhub.importers.mapping import guess
from evalhub.importers.problems import ImportProblem
from evalhub.importers.reporting import Report
from evalhub.importers.tables import Table
from runs.models import Project


class Command(BaseCommand):
    help = "Import result files: Inspect AI (.eval, .json), promptfoo (JSON, JSONL), and CSV, JSONL and JSON tables."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--project", required=True, metavar="SLUG", help="where the runs go")
        parser.add_argument("--organization", metavar="SLUG", help="needed where there are several")
        parser.add_argument("--by", metavar="EMAIL", help="the member who imports")
        parser.add_argument(
            "--mapping", type=Path, metavar="FILE", help="what the columns of tables mean, as JSON; without it: a guess"
        )
        parser.add_argument("--show-mapping", action="store_true", help="print the guess for a table, and stop")

    def handle(self, *args: Any, files: list[Path], **options: Any) -> None:
        project = find_project(options["project"], options["organization"])
        by = find_member(options["by"], project) if options["by"] else None
        mapping = read_mapping(options["mapping"]) if options["mapping"] else None
        failed = 0
        for path in files:
            try:
                if options["show_mapping"]:
                    self.stdout.write(json.dumps(guessed(path) or {}, indent=2, ensure_ascii=False))
                else:
                    self.show(path, self.bring_in(path, project, by, mapping), int(options["verbosity"]))
            except (ImportProblem, OSError) as problem:
                failed += 1
                self.stderr.write(self.style.ERROR(f"{path.name}: {problem}"))
        if failed:
            raise CommandError(f"{failed} of {len(files)} files could not be imported.")

    def bring_in(self, path: Path, project: Project, by: User | None, mapping: dict[str, Any] | None) -> Report:
        if not path.is_file():
            raise ImportProblem("there is no such file")
        with tqdm(desc=path.name, unit=" results", file=sys.stderr, leave=False, disable=None) as bar:

            def progress(done: int, total: int | None) -> None:
                bar.total = total
                bar.update(done - bar.n)

            return import_file(
                path, project, by=by, filename=path.name, mapping=mapping or guessed(path), progress=progress
            )

    def show(self, path: Path, report: Report, verbosity: int) -> None:
        for one in report.runs:
            self.stdout.write(f"{path.name}: run #{one.run.number}, {one.message}")
            for warning in one.warnings if verbosity else ():
                self.stdout.write(self.style.WARNING(f"  {warning}"))


def find_project(slug: str, organization: str | None) -> Project:
    projects = Project.objects.filter(slug=slug, deleted_at__isnull=True).select_related("organization")
    if organization:
        if not Organization.objects.filter(slug=organization).exists():
            raise CommandError(f"There is no organisation {organization}.")
        projects = projects.filter(organization__slug=organization)
    found = list(projects)
    if not found:
        raise CommandError(
            f"There is no project {slug}." + ("" if organization else " Projects are named by their slug.")
        )
    if len(found) > 1:
        names = ", ".join(sorted(project.organization.slug for project in found))
        raise CommandError(f"Several organisations have a project {slug}: say --organization, one of {names}.")
    return found[0]


def find_member(email: str, project: Project) -> User:
    user = User.objects.filter(email=email.lower(), memberships__organization=project.organization_id).first()
    if user is None:
        raise CommandError(f"{email} is no member of {project.organization}.")
    return user


def read_mapping(path: Path) -> dict[str, Any]:
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"The mapping cannot be read: {error}") from error
    if not isinstance(mapping, dict):
        raise CommandError("A mapping is a JSON object.")
    return mapping


def guessed(path: Path) -> dict[str, Any] | None:
    found = detect(path)
    return guess(Table(path, found).columns).as_json() if found.is_generic else None
