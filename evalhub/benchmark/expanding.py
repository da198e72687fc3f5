"""The floor of expanding a test result for Gentrace's clients: the same document by hand-written SQL and orjson."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

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
    SELECT e.result_id, e.id, e.created_at, e.updated_at, e.evaluator_id, e.label, e.value
    FROM results_evaluation e JOIN runs_evaluator v ON v.id = e.evaluator_id
    WHERE e.run_id = %s AND v.origin = 'own' ORDER BY e.created_at, e.id
"""
WHO = {"ai": "AI", "heuristic": "HEURISTIC", "human": "HUMAN"}


def by_hand(run_id: UUID) -> bytes:
    """For a run like the benchmark's: nothing missing, nothing odd, no feedback, and values as numbers."""
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
