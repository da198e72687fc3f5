"""Runs: listed as on the pages, opened for results that will arrive, changed, ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject
from django.urls import URLPattern, path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.actor import Actor
from evalhub.api.finding import Ref, get, get_values, resolve
from evalhub.api.nouns import refuse_taken_id
from evalhub.api.operations import PAGING, ApiView, Operation, check_not_stale, etag_of, pages_of
from evalhub.api.problems import conflict, field_problem
from evalhub.api.rows import (
    Object,
    Of,
    Row,
    Shown,
    Values,
    choice,
    computed,
    list_of,
    moment,
    number,
    person,
    public_id,
    raw,
    reference,
    text,
    texts,
    uuid,
    whole,
)
from evalhub.api.set_up import ATTRIBUTES, EXTERNAL_ID, METADATA, OWNER, PROJECT, TAGS
from evalhub.api.shapes import Choice, Field, Items, Json, Moment, Nested, Number, Shape, Text, Whole, misfit
from evalhub.audit.models import record_event
from evalhub.database.prepared import Prepared
from results.models import Rollup
from results.summary import clusters_of_judgements, evaluators_then, interval_of
from runs.changing import apply_changes
from runs.filters import RunFilter
from runs.launching import open_run
from runs.listing import read_runs
from runs.models import TestConfiguration, TestRun, Variant

COUNTS: Final = Object(
    "RunCounts",
    {
        "planned": Whole(doc="Results expected; 0 where nobody said."),
        "results": Whole(),
        "cases": Whole(),
        "passed": Whole(),
        "failed": Whole(),
        "errors": Whole(),
        "unjudged": Whole(),
    },
    doc="Results by effective outcome: what people say counts, else what machines say.",
)
MACHINE: Final = Object(
    "MachineCounts",
    {"passed": Whole(), "failed": Whole(), "errors": Whole(), "unjudged": Whole()},
    doc="Results by what machines alone say.",
)
REVIEWS: Final = Object(
    "RunReviews",
    {
        "required": Whole(doc="Live assignments, done ones included."),
        "done": Whole(),
        "reviewed": Whole(doc="Results with at least one review."),
        "corrected": Whole(doc="Results whose outcome people changed."),
        "conflicts": Whole(doc="Results whose reviewers differ."),
    },
)
INTERVAL: Final = Items(of=Number(), most=2, null=True, doc="Low and high end of the 95 % interval, 0 to 1.")


def _part(what: Object, columns: dict[str, str]) -> Shown:
    pairs = tuple(columns.items())
    return computed(Of(what=what), columns.values(), lambda values: {key: values[column] for key, column in pairs})


def _interval(values: Values) -> list[float] | None:
    return None if values["pass_low"] is None else [values["pass_low"], values["pass_high"]]


def _mean_latency(values: Values) -> float | None:
    return values["total_latency_ms"] / values["timed_count"] if values["timed_count"] else None


def _judged_share(values: Values) -> float | None:
    judged = values["passed"] + values["failed"]
    return judged / values["result_count"] if values["result_count"] else None


_run_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "number": whole("number", "Unique in the project."),
    "name": text("name"),
    "status": choice("status", TestRun.Status.values),
    "via": choice("via", TestRun.Via.values, "How it arrived."),
    "project": reference("project"),
    "configuration": reference("configuration", null=True),
    "branch": text("branch"),
    "commit": text("commit"),
    "model": text("model", "What answered, as the sender calls it."),
    "tags": texts("tags"),
    "owner": person("owner"),
    "assignee": person("assignee"),
    "created_by": person("created_by"),
    "counts": _part(
        COUNTS,
        {
            "planned": "planned_count",
            "results": "result_count",
            "cases": "case_count",
            "passed": "passed",
            "failed": "failed",
            "errors": "errors",
            "unjudged": "unjudged",
        },
    ),
    "machine": _part(
        MACHINE,
        {
            "passed": "machine_passed",
            "failed": "machine_failed",
            "errors": "machine_errors",
            "unjudged": "machine_unjudged",
        },
    ),
    "pass_rate": number("pass_rate", "passed / (passed + failed), 0 to 1; null where nothing is judged."),
    "pass_interval": computed(INTERVAL, ("pass_low", "pass_high"), _interval),
    "judged_share": computed(
        Number(null=True, doc="(passed + failed) / results: what the pass rate speaks of; null without results."),
        ("passed", "failed", "result_count"),
        _judged_share,
    ),
    "reviews": _part(
        REVIEWS,
        {
            "required": "reviews_required",
            "done": "reviews_done",
            "reviewed": "reviewed",
            "corrected": "corrected",
            "conflicts": "conflicts",
        },
    ),
    "cost": computed(
        Number(null=True, doc="US dollars, of the results whose cost is known."),
        ("total_cost", "costed_count"),
        lambda values: values["total_cost"] if values["costed_count"] else None,
    ),
    "tokens": whole("total_tokens"),
    "mean_latency_ms": computed(Number(null=True), ("total_latency_ms", "timed_count"), _mean_latency),
    "created_at": moment("created_at", null=False),
    "updated_at": moment("updated_at", null=False),
    "started_at": moment("started_at"),
    "finished_at": moment("finished_at"),
    "archived_at": moment("archived_at"),
}
VARIANT: Final = Object(
    "Variant",
    {"position": Whole(), "label": Text(), "provider": Text(), "prompt": Text(), "parameters": Json(only=dict)},
    doc="One column of a run that asks each case several ways.",
)
_variants_of = ArraySubquery(
    Variant.objects.filter(run=OuterRef("pk"))
    .order_by("position")
    .values(
        item=JSONObject(
            position="position", label="label", provider="provider", prompt="prompt", parameters="parameters"
        )
    )
)
RUN: Final = Row("Run", _run_row)
RUN_DETAIL: Final = Row(
    "RunDetail",
    {
        **_run_row,
        "reference": reference("reference", "The run that it is compared with.", null=True),
        "variants": Shown(list_of(VARIANT), ("its_variants",), None, {"its_variants": _variants_of}),
        "snapshot": raw("snapshot", "As it was at the start: endpoint, test set, evaluators, parameters.", only=dict),
        "declared": raw("declared", "Totals that an imported file states itself.", only=dict),
        "warnings": raw("warnings", only=list),
        "error": text("error"),
        "metadata": raw("metadata", only=dict),
        "attributes": raw("attributes", only=dict),
    },
)

NEW_VARIANT: Final = Shape(
    "NewVariant",
    {
        "label": Text(required=True, least=1, most=300, line=True),
        "provider": Text(most=300, line=True),
        "prompt": Text(most=100_000),
        "parameters": Json(only=dict),
    },
)
_said_of_runs: Final[dict[str, Field]] = {
    "name": Text(least=1, most=300, line=True),
    "branch": Text(most=200, line=True, example="main"),
    "commit": Text(most=200, line=True, example="9f3a2c1"),
    "model": Text(most=300, line=True),
    "planned_count": Whole(doc="How many results are expected, for the progress."),
    "owner": OWNER,
    "assignee": OWNER,
    "reference": Ref(model=TestRun, null=True, doc="The run that it is compared with."),
    "tags": TAGS,
    "metadata": METADATA,
    "attributes": ATTRIBUTES,
}
NEW_RUN: Final = Shape(
    "NewRun",
    {
        "project": replace(PROJECT, required=False, doc="Its id or slug; may be left out with a configuration."),
        "configuration": Ref(model=TestConfiguration, null=True),
        **_said_of_runs,
        "status": Choice(of=("queued", "running"), doc="`running` where nothing is said."),
        "started_at": Moment(null=True),
        "variants": Items(of=Nested(shape=NEW_VARIANT), most=100),
        "external_id": EXTERNAL_ID,
    },
)
RUN_CHANGES: Final = Shape(
    "RunChanges",
    {
        **_said_of_runs,
        "status": Choice(
            of=("running", "completed", "partial", "failed", "finished"),
            doc="Ends an active run, or starts a queued one. `finished` lets the counts decide: no result, or only "
            "errors, is failed; some errors is partial; else completed. To stop a run, create its cancellation.",
        ),
    },
    partial=True,
)
EXAMPLE: Final = {"project": "support-bot", "name": "Nightly", "branch": "main", "commit": "9f3a2c1"}


class OfRuns(ApiView):
    def shown(self, run_id: Any) -> dict[str, Any]:
        return RUN_DETAIL.show(get_values(RUN_DETAIL, TestRun, self.actor, str(run_id)))

    def answer(self, shown: dict[str, Any], status: int = 200) -> Response:
        headers = {"ETag": etag_of(shown, RUN_CHANGES.fields)}
        if status == 201:
            url = reverse("api:run-detail", args=[shown["id"]])
            headers["Location"] = self.request._request.build_absolute_uri(url)
        return Response(shown, status=status, headers=headers)


class RunList(OfRuns):
    operations = {
        "GET": Operation(
            summary="List runs",
            action="read",
            doc="The filters are those of the page. Newest first where no order is named.",
            query=PAGING,
            filters=RunFilter,
            answer=pages_of(RUN, "RunPage"),
        ),
        "POST": Operation(
            summary="Open a run",
            action="record",
            doc="Then send its results to `/api/runs/{id}/results/`, and end it with a change of its status.",
            body=NEW_RUN,
            answer=RUN_DETAIL,
            status=201,
            etag=True,
            example=EXAMPLE,
        ),
    }

    def get(self, request: Request) -> Response:
        found = self.filtered(RunFilter, TestRun.objects.visible_to(self.actor).listed())
        page = read_runs(found, cursor=self.query.get("cursor"), size=self.limit, fields=RUN.columns)
        return self.paged(page, RUN.show_all(page.rows))

    def post(self, request: Request) -> Response:
        actor = self.actor
        values = resolve(NEW_RUN.fields, self.read_body(), actor)
        refuse_taken_id(TestRun, actor, values.get("external_id"))
        configuration = values.get("configuration")
        project = values.pop("project", None) or (configuration.project if configuration else None)
        if project is None:
            raise field_problem("project", "is required without a configuration")
        if configuration is not None and configuration.project_id != project.pk:
            misfit("belongs to another project", "configuration")
        variants = values.pop("variants", [])
        values = {key: value for key, value in values.items() if value is not None or key in ("owner", "assignee")}
        run = open_run(project, by=actor.user, via=TestRun.Via.API, **values)
        Variant.objects.bulk_create(
            Variant(organization=actor.organization, run=run, position=position, **variant)
            for position, variant in enumerate(variants)
        )
        record_event("run.created", run, by=actor)
        return self.answer(self.shown(run.pk), 201)


class RunDetail(OfRuns):
    operations = {
        "GET": Operation(summary="Read a run", action="read", answer=RUN_DETAIL, etag=True),
        "PATCH": Operation(
            summary="Change or end a run",
            action="launch",
            doc="Keys that are not sent stay as they are.",
            body=RUN_CHANGES,
            answer=RUN_DETAIL,
            etag=True,
            example={"status": "finished"},
        ),
        "DELETE": Operation(
            summary="Delete a run",
            action="archive",
            doc="It is gone for everybody, with its results.",
            status=204,
            etag=True,
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        return self.answer(RUN_DETAIL.show(get_values(RUN_DETAIL, TestRun, self.actor, id)))

    def patch(self, request: Request, id: str) -> Response:
        actor = self.actor
        run = get(TestRun, actor, id, lock=True)
        said = self.read_body()
        before = self.shown(run.pk)
        check_not_stale(request, etag_of(before, RUN_CHANGES.fields))
        values = resolve(RUN_CHANGES.fields, said, actor)
        status = values.pop("status", None)
        if values.get("reference") is not None and values["reference"].pk == run.pk:
            misfit("must be another run", "reference")
        changed = apply_changes(run, values)
        if changed:
            run.save(update_fields=[*changed, "updated_at"])
        if status is not None and move(run, status):
            changed.append("status")
        if not changed:
            return self.answer(before)
        record_event("run.changed", run, by=actor, changed=sorted(changed))
        return self.answer(self.shown(run.pk))

    def delete(self, request: Request, id: str) -> Response:
        run = get(TestRun, self.actor, id, lock=True)
        if request.headers.get("If-Match"):
            check_not_stale(request, etag_of(self.shown(run.pk), RUN_CHANGES.fields))
        run.mark_deleted()
        record_event("run.deleted", run, by=self.actor)
        return Response(status=204)


def move(run: TestRun, status: str) -> bool:
    """Start or end the run; says whether that was a change."""
    if run.status == status or (status == "finished" and run.status in ("completed", "partial", "failed")):
        return False
    if status == TestRun.Status.RUNNING:
        moved = run.start()
    else:
        moved = run.finish(None if status == "finished" else status)
    if not moved:
        raise conflict(f"The run is {run.status} already.", ("status", f"cannot follow {run.status}"))
    return True


class RunCancellation(OfRuns):
    operations = {
        "POST": Operation(
            summary="Cancel a run",
            action="launch",
            doc="What was asked already may still arrive. Cancelling it twice is no mistake.",
            answer=RUN_DETAIL,
            etag=True,
        )
    }

    def post(self, request: Request, id: str) -> Response:
        run = get(TestRun, self.actor, id)
        if run.cancel():
            record_event("run.cancelled", run, by=self.actor)
        elif run.status != TestRun.Status.CANCELLED:
            raise conflict(f"The run is {run.status} already.")
        return self.answer(self.shown(run.pk))


class RunArchival(OfRuns):
    operations = {
        "POST": Operation(
            summary="Archive a run",
            action="archive",
            doc="It leaves the lists. Archiving it twice is no mistake.",
            answer=RUN_DETAIL,
            etag=True,
        ),
        "DELETE": Operation(summary="Restore a run", action="archive", doc="Back into the lists.", answer=RUN_DETAIL),
    }

    def post(self, request: Request, id: str) -> Response:
        return self.keep(get(TestRun, self.actor, id), "archived", self.actor)

    def delete(self, request: Request, id: str) -> Response:
        return self.keep(get(TestRun, self.actor, id), "restored", self.actor)

    def keep(self, run: TestRun, action: str, actor: Actor) -> Response:
        rows = TestRun.objects.filter(pk=run.pk)
        if rows.archive() if action == "archived" else rows.restore():
            record_event(f"run.{action}", run, by=actor)
        return self.answer(self.shown(run.pk))


# --- the numbers of its evaluators ------------------------------------------------------------------------------------


def _judged(values: Values) -> tuple[int, int]:
    passed, failed = values["effective_passed"], values["effective_failed"]
    return passed, passed + failed


def _rate(values: Values) -> float | None:
    passed, judged = _judged(values)
    return passed / judged if judged else None


def _rate_interval(values: Values) -> list[float] | None:
    found = interval_of(*_judged(values), values["clusters"])
    return list(found) if found else None


def _variant(values: Values) -> dict[str, Any] | None:
    if values["variant_id"] is None:
        return None
    return {"position": values["variant__position"], "label": values["variant__label"]}


VARIANT_NAME: Final = Object("VariantName", {"position": Whole(), "label": Text()})
NUMBERS: Final = Row(
    "EvaluatorNumbers",
    {
        "evaluator": reference("evaluator"),
        "who": text("evaluator__who"),
        "threshold": number("evaluator__threshold", "That of the run, as its snapshot says; else today's."),
        "variant": computed(
            Of(what=VARIANT_NAME, null=True), ("variant_id", "variant__position", "variant__label"), _variant
        ),
        "scored": whole("scored"),
        "unscored": whole("unscored"),
        "pending": whole("pending"),
        "errors": whole("errors"),
        "passed": whole("effective_passed", "After people's corrections."),
        "failed": whole("effective_failed", "After people's corrections."),
        "machine_passed": whole("passed"),
        "machine_failed": whole("failed"),
        "corrected": whole("corrected"),
        "pass_rate": computed(Number(null=True), ("effective_passed", "effective_failed"), _rate),
        "pass_interval": computed(INTERVAL, ("effective_passed", "effective_failed"), _rate_interval),
        "mean": computed(
            Number(null=True),
            ("value_sum", "value_count"),
            lambda values: values["value_sum"] / values["value_count"] if values["value_count"] else None,
        ),
        "min": number("value_min"),
        "max": number("value_max"),
    },
    doc="One evaluator's numbers in one run (and variant), by its judgements: two people's of one result are two.",
)


_NUMBERS_OF_RUN = Prepared(
    lambda organization, run: NUMBERS.select(Rollup.objects.visible_in(organization).filter(run=run)), UUID, UUID
)


class RunEvaluators(ApiView):
    operations = {
        "GET": Operation(
            summary="Read the numbers of a run's evaluators",
            action="read",
            doc="Worst pass rate first. All in one answer.",
            answer=pages_of(NUMBERS, "EvaluatorNumbersPage"),
        )
    }

    def get(self, request: Request, id: str) -> Response:
        run = get(TestRun, self.actor, id)
        found = _NUMBERS_OF_RUN(self.actor.organization_id, run.pk)
        who = {values["evaluator__who"] for values in found}
        shared = clusters_of_judgements(run, "ARRAY[r.variant_id, e.evaluator_id]", who)
        then = evaluators_then(run)
        rows = []
        for values in found:
            said = then.get(str(values["evaluator_id"]), {})
            limit = said.get("threshold", values["evaluator__threshold"])
            clusters = shared.get((values["variant_id"], values["evaluator_id"]))
            rows.append(NUMBERS.show(values | {"evaluator__threshold": limit, "clusters": clusters}))
        rows.sort(key=worst_first)
        return Response({"items": rows, "next": None, "previous": None})


def worst_first(row: dict[str, Any]) -> tuple[Any, ...]:
    """The lowest pass rate first, none last; then by the names of the evaluator and of the variant."""
    variant = row["variant"]["label"] if row["variant"] else ""
    return row["pass_rate"] is None, row["pass_rate"], row["evaluator"]["name"].lower(), variant


urlpatterns: list[URLPattern] = [
    path("runs/", RunList.as_view(), name="run-list"),
    path("runs/<ident:id>/", RunDetail.as_view(), name="run-detail"),
    path("runs/<ident:id>/cancellation/", RunCancellation.as_view(), name="run-cancellation"),
    path("runs/<ident:id>/archival/", RunArchival.as_view(), name="run-archival"),
    path("runs/<ident:id>/evaluators/", RunEvaluators.as_view(), name="run-evaluators"),
]
