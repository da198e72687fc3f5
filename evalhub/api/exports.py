"""A run's results as a file: one line after the other, however many there are."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

from django.db.models import F, QuerySet
from django.http import StreamingHttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from evalhub.api.finding import get
from evalhub.api.operations import ApiView, Operation
from evalhub.api.results import EVALUATION, RESULT_DETAIL, REVIEW, STEP, scores_of
from evalhub.api.shapes import Choice
from evalhub.audit.models import record_event
from evalhub.web import json
from results.filters import ResultFilter
from results.models import Evaluation, Review, Step, TestResult
from results.models.results import text_of
from runs.models import Evaluator, TestRun

AT_ONCE: Final = 200
FORMULA: Final = re.compile(r"[=+\-@\t\r]")
COLUMNS: Final = (
    "id",
    "case",
    "case number",
    "name",
    "variant",
    "repetition",
    "outcome",
    "machine outcome",
    "human verdict",
    "corrected",
    "reviews",
    "input",
    "expected",
    "output",
    "error",
    "latency ms",
    "cost usd",
    "tokens",
    "tags",
    "created at",
)


class RunExport(ApiView):
    operations = {
        "GET": Operation(
            summary="Export a run's results",
            action="export",
            doc="As CSV for spreadsheets (cells that one would take for a formula begin with an apostrophe), or as "
            "JSON Lines with everything that belongs to each result. The filters are those of the list.",
            query={"format": Choice(of=("csv", "jsonl"), doc="`jsonl` where nothing is said.")},
            filters=ResultFilter,
            media=("text/csv", "application/jsonl"),
        )
    }

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """The format is in the address; browsers that follow a link accept HTML."""
        return self.get_renderers()[0], "application/json"

    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        run = get(TestRun, self.actor, id)
        found = self.filtered(ResultFilter, TestResult.objects.visible_to(self.actor), run=run)
        form = self.query.get("format", "jsonl")
        record_event("run.exported", run, by=self.actor, format=form)
        results = found.qs.order_by("position", "id")
        lines = csv_lines(run, results) if form == "csv" else json_lines(results)
        name = f"{run.project.slug}-run-{run.number}.{form}"
        return StreamingHttpResponse(
            lines,
            content_type="text/csv; charset=utf-8" if form == "csv" else "application/jsonl",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


# --- JSON Lines -------------------------------------------------------------------------------------------------------


def json_lines(results: QuerySet[TestResult]) -> Iterator[bytes]:
    for chunk in chunks_of(RESULT_DETAIL.select(results)):
        ids = [values["id"] for values in chunk]
        scores = scores_of(ids)
        parts = {
            "steps": grouped(STEP, Step.objects.filter(result__in=ids).order_by("position", "id")),
            "evaluations": grouped(EVALUATION, Evaluation.objects.filter(result__in=ids).order_by("created_at", "id")),
            "reviews": grouped(REVIEW, Review.objects.filter(result__in=ids).order_by("created_at", "id")),
        }
        for values in chunk:
            pk = values["id"]
            more = {name: rows.get(pk, []) for name, rows in parts.items()}
            yield json.dumps({**RESULT_DETAIL.show(values), "scores": scores.get(pk, []), **more}) + b"\n"


def grouped(row: Any, queryset: QuerySet[Any, Any]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for values in row.select(queryset, "result_id"):
        found[values["result_id"]].append(row.show(values))
    return found


# --- CSV --------------------------------------------------------------------------------------------------------------


class Line:
    """A file that a csv writer fills with one line at a time."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text = text


def csv_lines(run: TestRun, results: QuerySet[TestResult]) -> Iterator[bytes]:
    evaluators = list(
        Evaluator.objects.filter(pk__in=run.rollups.values("evaluator"))
        .order_by("name", "id")
        .values_list("pk", "external_id", "name")
    )
    line = Line()
    writer = csv.writer(line)

    def written(cells: Iterable[Any]) -> bytes:
        writer.writerow([safe(cell) for cell in cells])
        return line.text.encode()

    heads = [f"{name}: {what}" for _, _, name in evaluators for what in ("score", "verdict")]
    yield written([*COLUMNS, *heads])
    rows = results.annotate(case_external_id=F("case__external_id"), case_number=F("case__number")).select_related(
        "variant"
    )
    rows = rows.defer("conversation", "metadata", "attributes", "usage")
    for chunk in chunks_of(rows):
        scores = scores_of([result.pk for result in chunk])
        for result in chunk:
            said = {score["evaluator"]["id"]: score for score in scores.get(result.pk, [])}
            cells = [*cells_of(result)]
            for pk, external_id, _ in evaluators:
                score = said.get(external_id or str(pk))
                cells += [score_cell(score), verdict_cell(score)]
            yield written(cells)


def cells_of(result: Any) -> Iterable[Any]:
    return (
        result.public_id,
        (result.case_external_id or str(result.case_id)) if result.case_id else "",
        result.case_number,
        result.name,
        result.variant.label if result.variant else "",
        result.repetition,
        result.outcome,
        result.machine_outcome,
        result.human_verdict,
        "yes" if result.corrected else "no",
        result.review_count,
        text_of(result.inputs),
        text_of(result.expected),
        text_of(result.output),
        result.error,
        result.latency_ms,
        result.cost,
        result.tokens,
        ", ".join(result.tags),
        result.created_at.isoformat().replace("+00:00", "Z"),
    )


def score_cell(score: dict[str, Any] | None) -> Any:
    if score is None:
        return ""
    return (
        score["label"]
        if score["label"] is not None
        else score["value"]
        if score["value"] is not None
        else score["state"]
    )


def verdict_cell(score: dict[str, Any] | None) -> str:
    return {True: "passed", False: "failed"}.get(score["effective"], "") if score else ""


def safe(cell: Any) -> Any:
    """What a spreadsheet would run is only text."""
    if isinstance(cell, str) and FORMULA.match(cell):
        return f"'{cell}"
    return cell


def chunks_of(rows: QuerySet[Any, Any]) -> Iterator[list[Any]]:
    """Some rows at a time, from a cursor in the database."""
    chunk: list[Any] = []
    for row in rows.iterator(chunk_size=AT_ONCE):
        chunk.append(row)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


urlpatterns: list[URLPattern] = [path("runs/<ident:id>/export/", RunExport.as_view(), name="run-export")]
