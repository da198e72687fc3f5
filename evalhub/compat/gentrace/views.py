"""The calls that Gentrace's released clients make. Nothing here knows how a thing is done, only what it is called."""

from __future__ import annotations

import re
from typing import Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse

from evalhub.accounts.tenancy import parse_uuid
from evalhub.compat.gentrace.door import CHUNK, JSON, Call, said
from evalhub.compat.gentrace.expanding import expanded, shown_evaluations
from evalhub.compat.gentrace.filtering import created_filter, metadata_filter, slug_filter
from evalhub.compat.gentrace.finding import (
    IN_SET,
    datasets_of,
    evaluators_of,
    golden_cases,
    golden_ids,
    live_cases,
    one,
    pipeline_asked_for,
    pipeline_by,
    pipeline_ids,
    pipeline_in,
    rows_of,
    run_asked_for,
    run_by,
)
from evalhub.compat.gentrace.reading import Body, Refusal
from evalhub.compat.gentrace.submitting import add, add_evaluations, record_production, submit
from evalhub.compat.gentrace.words import (
    Row,
    as_dataset,
    as_evaluation,
    as_evaluator,
    as_feedback,
    as_folder,
    as_pipeline,
    as_run,
    as_test_case,
    as_test_result,
    checked_id,
    wire_id,
)
from results.feedback import change_feedback, give_feedback
from results.models import Feedback, Step, TestResult
from runs.archiving import archive, delete, restore
from runs.attaching import LARGEST as LARGEST_FILE
from runs.attaching import attach
from runs.cases import CaseSpec, change_case, change_test_set, create_cases, create_test_set, golden_set, make_golden
from runs.models import Case, EntityType, Evaluator, Folder, Project, TestRun, TestSet

# --- pipelines and evaluators -----------------------------------------------------------------------------------------


def pipelines_v1(call: Call) -> dict[str, Any]:
    projects = _pipelines(call)
    golden = golden_ids(project["id"] for project in projects)
    ids = {project["id"]: checked_id(project) for project in projects}
    cases = rows_of(golden_cases(live_cases(call), ids).order_by(*IN_SET))
    say = call.say(1)
    by_project: dict[Any, list[dict[str, Any]]] = {pk: [] for pk in ids}
    sets = datasets_of(cases)
    for case in cases:
        by_project[case["project_id"]].append(as_test_case(case, say, ids[case["project_id"]], sets[case["id"]]))
    return {
        "pipelines": [{**as_pipeline(project, say, golden), "cases": by_project[project["id"]]} for project in projects]
    }


def pipelines_v2(call: Call) -> dict[str, Any]:
    projects = _pipelines(call)
    golden = golden_ids(project["id"] for project in projects)
    return {"data": [as_pipeline(project, call.say(2), golden) for project in projects]}


def _pipelines(call: Call) -> list[Row]:
    found = Project.objects.visible_to(call.actor).filter(archived_at__isnull=True)
    label, slug, folder = call.parameter("label"), call.parameter("slug"), call.parameter("folderId")
    if label:
        found = found.filter(labels__contains=[label])
    if slug:
        found = found.filter(slug=slug)
    if folder:
        found = found.filter(folder=None if folder == "null" else one(Folder, call, folder, "folder"))
    found = found.filter(slug_filter(call.request.GET.lists()))
    return rows_of(found.order_by("created_at", "id"))


def evaluators_v2(call: Call) -> dict[str, Any]:
    ident, slug = call.parameter("pipelineId"), call.parameter("pipelineSlug")
    say = call.say(2)
    if "null" in (ident, slug):
        templates = Evaluator.objects.visible_to(call.actor).filter(project=None, archived_at__isnull=True)
        return {"data": [as_evaluator(row, say, None) for row in rows_of(templates.order_by("created_at", "id"))]}
    if ident or slug:
        project = pipeline_by(call, ident=ident, slug=slug)
        (pipeline_id,) = pipeline_ids([project.pk]).values()
        return {"data": [as_evaluator(row, say, pipeline_id) for row in evaluators_of(project)]}
    found = Evaluator.objects.visible_to(call.actor).filter(origin=Evaluator.Origin.OWN)
    rows = rows_of(found.filter(project__deleted_at__isnull=True).order_by("created_at", "id"))
    ids = pipeline_ids(row["project_id"] for row in rows if row["project_id"])
    return {"data": [as_evaluator(row, say, ids.get(row["project_id"])) for row in rows]}


def folders(call: Call) -> dict[str, Any]:
    found = Folder.objects.visible_to(call.actor)
    parent = call.parameter("parentFolderId")
    if parent:
        found = found.filter(parent=None if parent == "null" else one(Folder, call, parent, "folder"))
    return {"data": [as_folder(folder) for folder in found.order_by("created_at", "id")]}


def folder(call: Call, ident: str) -> dict[str, Any]:
    return as_folder(one(Folder, call, ident, "folder"))


# --- test cases -------------------------------------------------------------------------------------------------------


def _cases_asked_for(call: Call) -> tuple[list[Row], Project]:
    """A data set's cases, or a pipeline's golden ones."""
    cases = live_cases(call)
    if call.parameter("datasetId"):
        test_set = one(TestSet, call, call.parameter("datasetId"), "dataset")
        return rows_of(cases.filter(memberships__test_set=test_set).order_by(*IN_SET)), test_set.project
    project = pipeline_asked_for(call)
    return rows_of(golden_cases(cases, [project.pk]).order_by(*IN_SET)), project


def test_cases_v1(call: Call) -> dict[str, Any]:
    return {"testCases": _said_cases(call, 1)}


def test_cases_v2(call: Call) -> dict[str, Any]:
    return {"data": _said_cases(call, 2)}


def _said_cases(call: Call, version: int) -> list[dict[str, Any]]:
    cases, project = _cases_asked_for(call)
    (pipeline_id,) = pipeline_ids([project.pk]).values()
    sets = datasets_of(cases)
    return [as_test_case(case, call.say(version), pipeline_id, sets[case["id"]]) for case in cases]


def create_test_cases(call: Call) -> dict[str, Any]:
    call.must("record")
    body = call.body()
    if "datasetId" in body:
        test_set = one(TestSet, call, body.text("datasetId"), "dataset", status=400)
    else:
        test_set = golden_set(pipeline_in(call, body))
    many = "testCases" in body.value
    items = body.items("testCases", required=True) if many else [body]
    specs = [
        CaseSpec(
            external_id="",
            name=item.text("name", required=True, longest=300),
            inputs=item.mapping("inputs", required=True) or {},
            expected=item.mapping("expectedOutputs"),
        )
        for item in items
    ]
    made, count = create_cases(test_set.project, specs, by=call.actor, test_set=test_set)
    return {"creationCount": count} if many else {"caseId": str(made[0].pk)}


def update_test_case(call: Call) -> dict[str, Any]:
    call.must("record")
    body = call.body()
    case = one(Case, call, body.text("id", required=True), "test case", status=400)
    changes: dict[str, Any] = {}
    if "name" in body:
        changes["name"] = body.text("name", required=True, longest=300)
    if "inputs" in body:
        changes["inputs"] = body.mapping("inputs")
    if "expectedOutputs" in body.value:
        changes["expected"] = body.mapping("expectedOutputs")
    archived = body.flag("archived")
    if changes:
        change_case(case, by=call.actor, **changes)
    if archived is not None:
        (archive if archived else restore)(case, by=call.actor)
    return {"caseId": checked_id({"id": case.pk, "external_id": case.external_id})}


def test_case(call: Call, ident: str) -> dict[str, Any]:
    case = one(Case, call, ident, "test case")
    (row,) = rows_of(Case.objects.filter(pk=case.pk))
    (pipeline_id,) = pipeline_ids([case.project_id]).values()
    return as_test_case(row, call.say(2), pipeline_id, datasets_of([row])[case.pk])


def remove_test_case(call: Call, ident: str) -> dict[str, Any]:
    call.must("record")
    delete(one(Case, call, ident, "test case"), by=call.actor)
    return {"success": True}


# --- test results: our runs -------------------------------------------------------------------------------------------


def _runs(call: Call) -> Any:
    return TestRun.objects.visible_to(call.actor).listed()


def test_results_v1(call: Call) -> dict[str, Any]:
    slug = call.parameter("pipelineSlug")
    if not slug:
        raise Refusal("pipelineSlug is missing.")
    project = pipeline_by(call, slug=slug)
    (pipeline_id,) = pipeline_ids([project.pk]).values()
    rows = rows_of(_runs(call).filter(project=project, archived_at__isnull=True).newest_first())
    return {"testResults": [as_test_result(row, call.say(1), pipeline_id) for row in rows]}


def test_results_v2(call: Call) -> dict[str, Any]:
    found = _runs(call)
    if call.parameter("pipelineId") or call.parameter("pipelineSlug"):
        project = pipeline_asked_for(call)
        found = found.filter(project=project)
    query = list(call.request.GET.lists())
    rows = rows_of(found.filter(created_filter(query), metadata_filter(query)).newest_first())
    ids = pipeline_ids(row["project_id"] for row in rows)
    return {"data": [as_test_result(row, call.say(2), ids[row["project_id"]]) for row in rows]}


def test_result(call: Call, ident: str) -> StreamingHttpResponse:
    run = run_by(call, ident)
    return StreamingHttpResponse(expanded(run, call.say(1)), content_type=JSON)


def test_result_status(call: Call) -> dict[str, int]:
    run = run_asked_for(call, "id")
    counts = shown_evaluations(run, call.say(1)).aggregate(
        total=Count("pk"), pending=Count("pk", filter=Q(state="pending")), failure=Count("pk", filter=Q(state="error"))
    )
    return {**counts, "done": counts["total"] - counts["pending"] - counts["failure"]}


def submit_simple(call: Call) -> dict[str, str]:
    call.must("record")
    body = call.body()
    run = submit(call, pipeline_in(call, body), body, with_steps=False)
    return {"resultId": wire_id({"id": run.pk, "external_id": run.external_id})}


def submit_runners(call: Call) -> dict[str, str]:
    call.must("record")
    body = call.body()
    run = submit(call, pipeline_in(call, body), body, with_steps=True)
    return {"resultId": wire_id({"id": run.pk, "external_id": run.external_id})}


def update_simple(call: Call, ident: str) -> dict[str, str]:
    return _update(call, ident, with_steps=False)


def update_runners(call: Call, ident: str) -> dict[str, str]:
    return _update(call, ident, with_steps=True)


def _update(call: Call, ident: str, *, with_steps: bool) -> dict[str, str]:
    call.must("record")
    run = run_by(call, ident)
    add(call, run, call.body(), with_steps=with_steps)
    return {"resultId": wire_id({"id": run.pk, "external_id": run.external_id})}


# --- evaluations ------------------------------------------------------------------------------------------------------


def create_evaluations(call: Call) -> dict[str, int]:
    call.must("record")
    return {"count": add_evaluations(call, call.body().items("data", required=True))}


def evaluations_v2(call: Call) -> dict[str, Any]:
    return _evaluations(call, 2)


def evaluations_v3(call: Call) -> dict[str, Any]:
    return _evaluations(call, 3)


def _evaluations(call: Call, version: int) -> dict[str, Any]:
    run = run_asked_for(call, "resultId")
    say = call.say(version)
    results = TestResult.objects.filter(run=run).values("id", "external_id")
    own_ids = {row["id"]: wire_id(row) for row in results}
    rows = rows_of(shown_evaluations(run, say))
    return {"data": [as_evaluation(row, say, own_ids[row["result_id"]]) for row in rows]}


# --- datasets ---------------------------------------------------------------------------------------------------------


def datasets(call: Call) -> dict[str, Any]:
    found = TestSet.objects.visible_to(call.actor)
    if call.parameter("pipelineId") or call.parameter("pipelineSlug"):
        project = pipeline_asked_for(call)
        golden_set(project)
        found = found.filter(project=project)
    archived = call.parameter("archived")
    if archived not in ("", "true", "false"):
        raise Refusal("archived must be true or false.")
    if archived:
        found = found.filter(archived_at__isnull=archived == "false")
    rows = rows_of(found.order_by("created_at", "id"))
    ids = pipeline_ids(row["project_id"] for row in rows)
    return {"data": [as_dataset(row, call.say(2), ids[row["project_id"]]) for row in rows]}


def create_dataset(call: Call) -> dict[str, Any]:
    call.must("record")
    body = call.body()
    project = pipeline_in(call, body)
    name, description = body.text("name", required=True, longest=300), body.text("description")
    golden = body.flag("isGolden")
    test_set = create_test_set(project, by=call.actor, name=name, description=description)
    if golden:
        make_golden(test_set, by=call.actor)
    return _said_dataset(call, test_set)


def dataset(call: Call, ident: str) -> dict[str, Any]:
    return _said_dataset(call, one(TestSet, call, ident, "dataset"))


def update_dataset(call: Call, ident: str) -> dict[str, Any]:
    call.must("record")
    test_set = one(TestSet, call, ident, "dataset")
    body = call.body()
    changes: dict[str, Any] = {}
    if "name" in body:
        changes["name"] = body.text("name", required=True, longest=300)
    if "description" in body.value:
        changes["description"] = body.text("description")
    golden, archived = body.flag("isGolden"), body.flag("isArchived")
    if archived is None:
        archived = body.flag("archived")  # what the types of Python's client call it
    if golden is False and test_set.is_golden:
        raise Refusal("A pipeline keeps one golden dataset: make another one golden instead.")
    if changes:
        test_set = change_test_set(test_set, by=call.actor, **changes)
    if archived is False:
        restore(test_set, by=call.actor)  # first: an archived one cannot become golden
    if golden:
        test_set = make_golden(test_set, by=call.actor)
    if archived:
        archive(test_set, by=call.actor)
    return _said_dataset(call, test_set)


def _said_dataset(call: Call, test_set: TestSet) -> dict[str, Any]:
    (row,) = rows_of(TestSet.objects.filter(pk=test_set.pk))
    (pipeline_id,) = pipeline_ids([test_set.project_id]).values()
    return as_dataset(row, call.say(2), pipeline_id)


# --- runs: our results ------------------------------------------------------------------------------------------------


def create_run(call: Call) -> dict[str, str]:
    call.must("record")
    body = call.body()
    project = pipeline_by(call, slug=body.text("slug", required=True), status=400)
    result = record_production(call, project, body)
    return {"pipelineRunId": wire_id({"id": result.pk, "external_id": result.external_id})}


def run(call: Call, ident: str) -> dict[str, Any]:
    result = one(TestResult, call, ident, "run")
    (row,) = rows_of(TestResult.objects.filter(pk=result.pk))
    return as_run(row, rows_of(Step.objects.filter(result=result).order_by("position", "id")))


# --- feedback ---------------------------------------------------------------------------------------------------------


def _feedback_from(call: Call, body: Body, recorded: Any) -> Feedback:
    score = body.number("score", least=0, most=1)
    if score is None:
        raise Refusal("score is missing.")
    if recorded is None:
        raise Refusal("recordedTime is missing.")
    result = one(TestResult, call, body.text("pipelineRunId", required=True), "run", status=400)
    return give_feedback(result, by=call.actor, score=score, recorded_at=recorded, details=body.text("details"))


def create_feedback_v1(call: Call) -> dict[str, str]:
    call.must("record")
    body = call.body()
    _feedback_from(call, body, body.time("recordedTime"))
    return {"message": "Success"}


def create_feedback_v2(call: Call) -> dict[str, Any]:
    call.must("record")
    body = call.body()
    return _said_feedback(_feedback_from(call, body, body.seconds("recordedTime")))


def _feedback(call: Call, ident: str) -> Feedback:
    pk = parse_uuid(ident)
    found = Feedback.objects.visible_to(call.actor).filter(pk=pk).first() if pk else None
    if found is None:
        raise Refusal(f"There is no feedback {ident[:80]}.", 404)
    return found


def feedback(call: Call, ident: str) -> dict[str, Any]:
    return _said_feedback(_feedback(call, ident))


def update_feedback(call: Call, ident: str) -> dict[str, Any]:
    call.must("record")
    found = _feedback(call, ident)
    body = call.body()
    changes: dict[str, Any] = {}
    if "score" in body:
        changes["score"] = body.number("score", least=0, most=1)
    if "details" in body.value:
        changes["details"] = body.text("details")
    return _said_feedback(change_feedback(found, by=call.actor, **changes))


def _said_feedback(found: Feedback) -> dict[str, Any]:
    result = found.result
    return as_feedback(found, wire_id({"id": result.pk, "external_id": result.external_id}))


# --- files ------------------------------------------------------------------------------------------------------------


class WithFileName:
    """A form as it arrives; a first part without a file name, as Python's upload_file(bytes) sends it, gets one."""

    NAMELESS = re.compile(rb'(--[^\r\n]+\r\nContent-Disposition: form-data; name="file")(?=\r\n)', re.IGNORECASE)

    def __init__(self, request: HttpRequest) -> None:
        self.request, self.begun = request, False

    def read(self, size: int = -1) -> bytes:
        piece = self.request.read(size)
        if not self.begun and (found := self.NAMELESS.match(piece)):
            piece = found[1] + b'; filename="file"' + piece[found.end() :]
        self.begun = True
        return piece


def upload(call: Call) -> HttpResponse:
    """Kept with the organisation's default project; whoever may read the organisation may fetch it."""
    call.must("record")
    if int(call.request.META.get("CONTENT_LENGTH") or 0) > LARGEST_FILE + CHUNK:
        call.read(LARGEST_FILE)
    _, files = call.request.parse_file_upload(call.request.META, cast(Any, WithFileName(call.request)))
    file = files.get("file")
    if not isinstance(file, UploadedFile):
        raise Refusal("The form field “file” is missing.")
    attachment = attach(file, EntityType.PROJECT, Project.default_of(call.actor.organization).pk, by=call.actor)
    url = call.request.build_absolute_uri(reverse("runs:attachment", args=[attachment.pk]))
    return said({"url": url}, 201)
