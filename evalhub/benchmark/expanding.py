"""A large test result for Gentrace's clients, and its floor: the same document by hand-written SQL and orjson."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.utils import timezone

from evalhub.accounts.models import Organization
from results.recording import record_results
from results.records import Judgement, ResultRecord, StepRecord
from runs.cases import CaseSpec, add_to_test_set, ensure_cases, golden_set
from runs.launching import open_run
from runs.models import Evaluator, Project, TestRun

RESULTS_EXPANDED, STEPS_EACH, EVALUATORS_EACH = 1000, 5, 4
ANSWER = "The parcel left our warehouse on Monday and should be with you within two working days. " * 3

RUN = """
    SELECT r.id, r.created_at, r.updated_at, r.branch, r.commit, r.name, r.metadata::text, r.organization_id,
        p.id, p.created_at, p.updated_at, p.labels, p.name, p.slug, p.branch, s.id
    FROM runs_testrun r JOIN runs_project p ON p.id = r.project_id
    JOIN runs_testset s ON s.project_id = p.id AND s.is_golden AND s.deleted_at IS NULL WHERE r.id = %s
"""
EVALUATORS = """
    SELECT id, created_at, updated_at, name, options::text, who, value_type FROM runs_evaluator
    WHERE project_id = %s AND origin = 'own' ORDER BY created_at, id
"""
RESULTS = """
    SELECT r.id, r.created_at, r.updated_at, r.error, r.started_at, r.finished_at, r.cost, r.latency_ms,
        r.render_html_key, r.metadata::text, c.id, c.created_at, c.updated_at, c.name, c.inputs::text, c.expected::text
    FROM results_testresult r JOIN runs_case c ON c.id = r.case_id WHERE r.run_id = %s ORDER BY r.position
"""
STEPS = """
    SELECT s.result_id, s.id, s.provider, s.name, s.parameters::text, s.inputs::text, s.outputs::text, s.started_at,
        s.finished_at, s.error
    FROM results_step s JOIN results_testresult r ON r.id = s.result_id WHERE r.run_id = %s ORDER BY s.position
"""
EVALUATIONS = """
    SELECT e.result_id, e.id, e.created_at, e.updated_at, e.evaluator_id, e.label, e.value::text
    FROM results_evaluation e JOIN runs_evaluator v ON v.id = e.evaluator_id
    WHERE e.run_id = %s AND v.origin = 'own' ORDER BY e.created_at, e.id
"""
WHO = {"ai": "AI", "heuristic": "HEURISTIC", "human": "HUMAN"}


def load_expanded(organization: Organization, count: int = RESULTS_EXPANDED) -> TestRun:
    """A run in a project of its own; each result has five steps and four evaluations."""
    slug = f"expanded-{count}"
    project = Project.objects.create(organization=organization, name="Answer", slug=slug, labels=["support"])
    common: dict[str, Any] = {"organization": organization, "project": project, "value_type": "percentage"}
    names = [f"evaluator {n}" for n in range(1, EVALUATORS_EACH + 1)]
    evaluators = [Evaluator.objects.create(name=name, who="heuristic", **common) for name in names]
    specs = [
        CaseSpec(external_id=f"{slug}-{n}", name=f"Case {n}", inputs={"q": f"{n} {ANSWER}"}, expected={"a": ANSWER})
        for n in range(count)
    ]
    cases = ensure_cases(project, specs)
    add_to_test_set(golden_set(project), cases.values())
    run = open_run(
        project,
        name="Expanded",
        via=TestRun.Via.GENTRACE,
        branch="main",
        metadata={"a": {"type": "string", "value": "b"}},
    )
    record_results(run, [_result_of(spec, cases[spec.external_id].pk, evaluators) for spec in specs], via=run.via)
    run.finish()
    return run


def _result_of(spec: CaseSpec, case_id: UUID, evaluators: list[Evaluator]) -> ResultRecord:
    began = timezone.now() - timedelta(hours=1)
    return ResultRecord(
        case=case_id,
        inputs=spec.inputs,
        output={"value": ANSWER},
        latency_ms=5.0,
        cost=0.01,
        started_at=began,
        finished_at=began + timedelta(seconds=1),
        metadata={"seed": {"type": "string", "value": "1"}},
        steps=[
            StepRecord(
                name=f"step {n}", provider="acme", parameters={"temperature": 0}, inputs={"q": ANSWER},
                outputs={"value": ANSWER}, started_at=began, finished_at=began + timedelta(milliseconds=n),
            )
            for n in range(STEPS_EACH)
        ],
        evaluations=[Judgement(evaluator=one, value=0.25 * n) for n, one in enumerate(evaluators, 1)],
    )  # fmt: skip


def by_hand(run_id: UUID) -> bytes:
    """For a run like this one: nothing missing, nothing odd, no feedback, and values as text, as on Gentrace's page."""
    json = orjson.Fragment
    ((rid, made, changed, branch, commit, name, metadata, organization, pid, p_made, p_changed, labels, title, slug,
      p_branch, golden),) = rows(RUN, run_id)  # fmt: skip
    steps, evaluations = defaultdict(list), defaultdict(list)
    for result_id, pk, provider, step, parameters, inputs, outputs, start, end, error in rows(STEPS, run_id):
        steps[result_id].append(
            {"id": pk, "organizationId": organization, "providerName": provider, "invocation": step,
             "modelParams": json(parameters), "inputs": json(inputs), "outputs": json(outputs), "startTime": start,
             "endTime": end, "pipelineRunId": result_id, "error": error or None}
        )  # fmt: skip
    for result_id, pk, e_made, e_changed, evaluator_id, label, value in rows(EVALUATIONS, run_id):
        evaluations[result_id].append(
            {"id": pk, "createdAt": e_made, "updatedAt": e_changed, "isPending": False, "debug": None,
             "evaluatorId": evaluator_id, "runId": result_id, "evalLabel": label, "evalValue": value,
             "manualCreatedByEmail": None, "billingGpt4InputTokens": 0, "billingGpt4OutputTokens": 0,
             "billingGpt35InputTokens": 0, "billingGpt35OutputTokens": 0}
        )  # fmt: skip
    runs = []
    for (pk, r_made, r_changed, error, start, end, cost, latency, html, r_metadata, case_id, c_made, c_changed, c_name,
         c_inputs, c_expected) in rows(RESULTS, run_id):  # fmt: skip
        own = steps[pk]
        runs.append(
            {"id": pk, "createdAt": r_made, "updatedAt": r_changed, "caseId": case_id, "resultId": rid, "path": None,
             "error": error or None,
             "full": {"pipelineRunId": pk, "pipelineId": pid, "organizationId": organization, "startTime": start,
                      "endTime": end, "cost": cost, "elapsed": latency, "feedback": None,
                      "lastInvocation": own[-1]["startTime"], "inputs": own[0]["inputs"],
                      "outputs": own[-1]["outputs"], "renderHTMLKey": html or None, "metadata": json(r_metadata),
                      "path": None, "error": error or None},
             "steps": own,
             "case": {"id": case_id, "createdAt": c_made, "updatedAt": c_changed, "archivedAt": None,
                      "deletedAt": None, "datasetId": golden, "inputs": json(c_inputs),
                      "expectedOutputs": c_expected and json(c_expected), "name": c_name, "pipelineId": pid},
             "evaluations": evaluations[pk]}
        )  # fmt: skip
    evaluators = [
        {"id": pk, "createdAt": e_made, "updatedAt": e_changed, "archivedAt": None, "icon": None, "name": e_name,
         "options": json(options), "aiModel": None, "pipelineId": pid, "processorId": None, "heuristicFn": None,
         "aiPromptFormat": None, "humanPrompt": None, "who": WHO[who], "valueType": "PERCENTAGE"}
        for pk, e_made, e_changed, e_name, options, who, _ in rows(EVALUATORS, pid)
    ]  # fmt: skip
    document: dict[str, Any] = {
        "id": rid, "createdAt": made, "updatedAt": changed, "pipelineId": pid, "branch": branch or None,
        "commit": commit or None, "metadata": json(metadata), "name": name,
        "pipeline": {"id": pid, "createdAt": p_made, "updatedAt": p_changed, "archivedAt": None, "labels": labels,
                     "displayName": title, "slug": slug, "organizationId": organization, "branch": p_branch or None,
                     "goldenDatasetId": golden, "evaluators": evaluators},
        "runs": runs,
    }  # fmt: skip
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


def rows(statement: str, ident: UUID) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [ident])
        yield from cursor.fetchall()
