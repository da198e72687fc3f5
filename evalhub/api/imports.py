"""Files of evaluation tools: uploaded here, imported by a worker, watched until they are in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.urls import URLPattern, path, reverse
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.api.finding import Ref, get, look_up, resolve
from evalhub.api.operations import PAGING, ApiView, Operation, pages_of
from evalhub.api.problems import Problem, conflict, field_problem
from evalhub.api.reading import StrictJson
from evalhub.api.rows import Row, choice, computed, moment, person, raw, reference, text, uuid, whole
from evalhub.api.set_up import PROJECT
from evalhub.api.shapes import Choice, Field, Flag, Json, Schema, Shape, Text, misfit
from evalhub.importers.detect import Format
from evalhub.importers.mapping import ColumnMapping
from evalhub.importers.problems import MEGABYTE, ImportProblem, Limits, megabytes
from evalhub.importers.uploading import can_start_again, discard, is_table, needs_mapping, receive, start, table_of
from evalhub.web import json
from evalhub.web.paging import Order
from runs.models import Import, Project

TABLES: Final = {str(found) for found in Format if found.is_generic}


class Upload(MultiPartParser):
    """A form with a file, no larger than a file may be; the whole is digested for Idempotency-Key."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> DataAndFiles:
        context = parser_context or {}
        most = Limits.current().file_bytes
        announced = context["request"].META.get("CONTENT_LENGTH") or "0"
        if not announced.isdigit() or int(announced) > most + MEGABYTE:
            raise Problem(413, f"The file is larger than {megabytes(most)}.")
        found: DataAndFiles = super().parse(stream, media_type, parser_context)
        context["view"].body_digest = digest_of(found)
        return found


def digest_of(found: DataAndFiles) -> bytes:
    made = hashlib.sha256()
    for name, values in sorted(found.data.lists()):
        made.update(repr((name, values)).encode("utf-8", "replace"))
    for name, files in sorted(found.files.lists()):
        for file in files:
            made.update(repr((name, file.name)).encode("utf-8", "replace"))
            for chunk in file.chunks():
                made.update(chunk)
            file.seek(0)
    return made.digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class File(Field):
    def fit(self, value: Any) -> UploadedFile[Any]:
        if not isinstance(value, UploadedFile):
            misfit("must be a file")
        most = Limits.current().file_bytes
        if (value.size or 0) > most:
            misfit(f"is larger than {megabytes(most)}")
        return value

    def kind(self) -> Schema:
        return {"type": "string", "format": "binary"}


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonText(Field):
    """An object as JSON text, for forms."""

    def fit(self, value: Any) -> Any:
        try:
            found = json.loads_strict(Text(most=200_000).fit(value))
        except json.BadJson as bad:
            misfit(f"is not JSON: {bad}")
        return Json(only=dict).fit(found)

    def kind(self) -> Schema:
        return {"type": "string", "maxLength": 200_000}


IMPORT: Final = Row(
    "Import",
    {
        "id": uuid("id"),
        "project": reference("project"),
        "filename": text("filename"),
        "size": whole("size", "Bytes."),
        "sha256": text("sha256"),
        "format": text("format", "What the file is."),
        "state": choice("state", Import.State.values),
        "needs_mapping": computed(
            Flag(doc="A table that waits: change its mapping to say what its columns mean."),
            ("state", "format", "mapping_as_text"),
            lambda values: (
                values["state"] == Import.State.QUEUED
                and values["format"] in TABLES
                and values["mapping_as_text"] in (None, "null")
            ),
        ),
        "mapping": raw("mapping", "{layout, columns: {name: {role, evaluator, threshold}}}.", null=True),
        "done": whole("done", "Records read so far."),
        "total": whole("total", "Records in the file, once that is known.", null=True),
        "message": text("message", "What was imported, or why not, for people."),
        "report": raw("report", "Totals of the file beside those counted here, and warnings, of each run.", only=dict),
        "run": reference("run", "The first run that came in.", null=True),
        "created_by": person("created_by"),
        "created_at": moment("created_at", null=False),
        "started_at": moment("started_at"),
        "finished_at": moment("finished_at"),
    },
)
NEW_IMPORT: Final = Shape(
    "NewImport",
    {
        "project": PROJECT,
        "file": File(required=True, doc=".eval .json .jsonl .csv"),
        "mapping": JsonText(doc="Of a table, as JSON: {layout, columns: {name: {role, evaluator, threshold}}}."),
    },
)
IMPORT_CHANGES: Final = Shape(
    "ImportChanges",
    {"mapping": Json(only=dict, required=True, doc="{layout, columns: {name: {role, evaluator, threshold}}}")},
)
EXAMPLE: Final = {"project": "support-bot", "file": "@log.eval"}


class OfImports(ApiView):
    def shown(self, entry: Import) -> dict[str, Any]:
        (shown,) = IMPORT.fetch(Import.objects.filter(pk=entry.pk))
        return shown

    def map(self, entry: Import, mapping: dict[str, Any]) -> None:
        """Start the import of a table with a mapping that fits its columns."""
        try:
            columns = [column.name for column in table_of(entry).columns]
            start(entry, ColumnMapping.from_json(mapping, columns))
        except ImportProblem as wrong:
            raise field_problem("mapping", str(wrong).rstrip(".")) from None


class ImportList(OfImports):
    parser_classes = (Upload,)
    operations = {
        "GET": Operation(
            summary="List imports",
            action="read",
            doc="Newest first.",
            query={
                "project": Ref(model=Project, words=("slug",)),
                "state": Choice(of=tuple(Import.State.values)),
                **PAGING,
            },
            answer=pages_of(IMPORT, "ImportPage"),
        ),
        "POST": Operation(
            summary="Import a file",
            action="import",
            doc="A log of Inspect AI, results of promptfoo, or a table (CSV, JSON Lines). A worker reads it: read the "
            "import until its `state` is `done` or `failed`. A table waits for its `mapping`, where none is sent.",
            body=NEW_IMPORT,
            upload=True,
            answer=IMPORT,
            status=202,
            example=EXAMPLE,
        ),
    }

    def get(self, request: Request) -> Response:
        imports = Import.objects.visible_to(self.actor)
        if "project" in self.query:
            kind = self.operation.query["project"]
            assert isinstance(kind, Ref)
            project = look_up(kind, self.actor, self.query["project"])
            imports = imports.filter(project=project) if project else imports.none()
        if "state" in self.query:
            imports = imports.filter(state=self.query["state"])
        return self.page(imports, Order("-id"), IMPORT)

    def post(self, request: Request) -> Response:
        data = request.data
        if isinstance(data, QueryDict):
            for name, values in data.lists():
                if len(values) > 1:
                    raise field_problem(name[:100], "is given more than once")
        said = resolve(NEW_IMPORT.fields, self.read_body(), self.actor)
        try:
            entry = receive(said["file"], said["project"], by=self.actor)
        except ImportProblem as wrong:
            raise field_problem("file", f"cannot be imported: {str(wrong).rstrip('.')}") from None
        mapping = said.get("mapping")
        if mapping is not None:
            try:
                if not is_table(entry):
                    raise field_problem("mapping", "is for tables, and this file says by itself what it is")
                self.map(entry, mapping)
            except Problem:
                discard(entry)
                raise
        url = request._request.build_absolute_uri(reverse("api:import-detail", args=[entry.pk]))
        return Response(self.shown(entry), status=202, headers={"Location": url})


class ImportDetail(OfImports):
    parser_classes = (StrictJson,)
    operations = {
        "GET": Operation(summary="Read an import", action="read", answer=IMPORT),
        "PATCH": Operation(
            summary="Say what the columns of a table mean",
            action="import",
            doc="Starts its import. For a table that waits, or that failed.",
            body=IMPORT_CHANGES,
            answer=IMPORT,
            also=(409,),
            example={"mapping": {"layout": "wide", "columns": {"question": "input", "answer": "output"}}},
        ),
        "DELETE": Operation(
            summary="Discard an import that brought nothing",
            action="import",
            doc="One that failed, or that waits for its mapping; its file is deleted too.",
            status=204,
            also=(409,),
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        return Response(self.shown(get(Import, self.actor, id)))

    def patch(self, request: Request, id: str) -> Response:
        entry = get(Import, self.actor, id, lock=True)
        said = self.read_body()
        if not is_table(entry) or not entry.file or not (needs_mapping(entry) or can_start_again(entry)):
            raise conflict("Only a table that waits, or that failed, can be given a mapping.")
        self.map(entry, said["mapping"])
        return Response(self.shown(entry))

    def delete(self, request: Request, id: str) -> Response:
        entry = get(Import, self.actor, id, lock=True)
        if not (needs_mapping(entry) or entry.state == Import.State.FAILED):
            raise conflict("Only an import that brought nothing can be discarded.")
        discard(entry)
        return Response(status=204)


class ImportRetries(OfImports):
    parser_classes = (StrictJson,)
    operations = {
        "POST": Operation(
            summary="Try a failed import again", action="import", doc="With the same file.", answer=IMPORT, status=202
        )
    }

    def post(self, request: Request, id: str) -> Response:
        entry = get(Import, self.actor, id, lock=True)
        if not can_start_again(entry):
            raise conflict("Only an import that failed, and whose file is still here, can be tried again.")
        start(entry)
        return Response(self.shown(entry), status=202)


urlpatterns: list[URLPattern] = [
    path("imports/", ImportList.as_view(), name="import-list"),
    path("imports/<ident:id>/", ImportDetail.as_view(), name="import-detail"),
    path("imports/<ident:id>/retries/", ImportRetries.as_view(), name="import-retries"),
]
