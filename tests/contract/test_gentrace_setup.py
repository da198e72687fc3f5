"""Pipelines, evaluators, test cases and datasets, through the real clients."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contract.clients import ClientError, RealClient
from tests.contract.conftest import Hub, token_of
from tests.contract.matching import ISO, SECONDS, UUID, differences

pytestmark = pytest.mark.xdist_group("contract")

NOWHERE = "11111111-2222-4333-8444-555555555555"
GOOD, BAD = {"label": "Good", "value": 1, "passes": True}, {"label": "Bad", "value": 0, "passes": False}


def case(project: dict[str, Any], dataset: Any, *, time: Any = ISO, **values: Any) -> dict[str, Any]:
    """A TestCase on the wire."""
    return {
        "id": UUID, "createdAt": time, "updatedAt": time, "archivedAt": None, "deletedAt": None, "datasetId": dataset,
        "inputs": {"q": "hi"}, "expectedOutputs": None, "name": "greeting", "pipelineId": project["uuid"], **values,
    }  # fmt: skip


def names(cases: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in cases]


# --- pipelines --------------------------------------------------------------------------------------------------------


def test_a_pipeline_is_told_with_its_cases(hub: Hub, js: RealClient, py: RealClient, py24: RealClient) -> None:
    project = hub.project(labels=["alpha", "beta"], branch="main")
    js.call("createTestCase", pipelineSlug=project["slug"], name="greeting", inputs={"q": "hi"})

    (found,) = js.call("getPipelines", slug=project["slug"])

    golden = found["goldenDatasetId"]
    wanted = {
        "id": project["uuid"], "createdAt": ISO, "updatedAt": ISO, "archivedAt": None, "labels": ["alpha", "beta"],
        "displayName": project["name"], "slug": project["slug"], "organizationId": UUID, "branch": "main",
        "goldenDatasetId": UUID, "cases": [case(project, golden)],
    }  # fmt: skip
    assert differences(found, wanted) == []
    assert py.call("get_pipelines", slug=project["slug"]) == [found]
    assert py24.call("get_pipelines", slug=project["slug"]) == [found]


def test_pipelines_are_found_by_label(hub: Hub, js: RealClient, py: RealClient) -> None:
    first, second = hub.project(labels=["zeta", "shared"]), hub.project(labels=["shared"])

    assert [one["slug"] for one in js.call("getPipelines", label="zeta")] == [first["slug"]]
    assert [one["slug"] for one in py.call("get_pipelines", label="shared")] == [first["slug"], second["slug"]]
    assert js.call("getPipelines", label="zet") == []
    assert {first["slug"], second["slug"]} <= {one["slug"] for one in js.call("getPipelines")}


def test_pipelines_of_the_second_version(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project(branch="main")

    (found,) = js.call("v2.v2PipelinesGet", None, project["slug"])["data"]

    wanted = {
        "id": project["uuid"], "createdAt": SECONDS, "updatedAt": SECONDS, "archivedAt": None, "labels": [],
        "displayName": project["name"], "slug": project["slug"], "organizationId": UUID, "branch": "main",
        "goldenDatasetId": UUID, "folderId": None, "privateMemberId": None, "privateUserEmail": None,
    }  # fmt: skip
    assert differences(found, wanted) == []
    everything = py.call("v2.v2_pipelines_get")["data"]
    assert [one for one in everything if one["id"] == project["uuid"]] == [found]


@pytest.mark.parametrize(
    ("operator", "value", "fits"),
    [
        ("contains", "rch-A", []),
        ("contains", "rch-a", ["search-alpha"]),
        ("search", "RCH-A", ["search-alpha"]),
        ("startsWith", "search-", ["search-alpha", "search-beta"]),
        ("endsWith", "-beta", ["search-beta"]),
        ("in", ["search-beta", "search-alpha", "none"], ["search-alpha", "search-beta"]),
    ],
)
def test_deep_filters_on_slugs_in_both_spellings(
    hub: Hub, js: RealClient, operator: str, value: Any, fits: list[str]
) -> None:
    known = {one["slug"] for one in js.call("getPipelines")}
    for name in ("Search alpha", "Search beta"):
        if name.lower().replace(" ", "-") not in known:
            hub.project(name=name)

    dotted = js.call("v2.v2PipelinesGet", None, {operator: value})["data"]
    bracketed = hub.http.get("/api/v2/pipelines", params={f"slug[{operator}]": value}).json()["data"]

    assert [one["slug"] for one in dotted] == fits
    assert [one["slug"] for one in bracketed] == fits


def test_a_deep_filter_can_exclude_and_ignore_case(hub: Hub, js: RealClient) -> None:
    project = hub.project(name="Exclusive one")

    without = js.call("v2.v2PipelinesGet", None, {"contains": "exclusive", "notIn": [project["slug"]]})["data"]
    insensitive = js.call("v2.v2PipelinesGet", None, {"startsWith": "EXCLUSIVE", "mode": "insensitive"})["data"]

    named = js.call("v2.v2PipelinesGet", None, {"in": ["EXCLUSIVE-ONE", "None"], "mode": "insensitive"})["data"]
    assert without == []
    assert [one["slug"] for one in insensitive] == [one["slug"] for one in named] == [project["slug"]]


def test_a_folder_of_the_console_holds_folders_and_pipelines(hub: Hub, js: RealClient, py: RealClient) -> None:
    project, olga = hub.project(), hub.signed_in("olga")
    organization = js.call("v2.v2PipelinesGet", None, project["slug"])["data"][0]["organizationId"]

    def save(path: str, **values: str) -> None:
        kept = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', olga.get(path).text))
        form = {**kept, "organization": organization, "csrfmiddlewaretoken": token_of(olga), **values}
        answer = olga.post(path, data=form, headers={"Referer": hub.base_url + path})
        assert answer.status_code == 302, answer.text

    def folders(**query: str) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in py.call("v2.v2_folders_get", query)["data"]}

    save("/admin/runs/folder/add/", name="Support")
    outer = folders()["Support"]
    save("/admin/runs/folder/add/", name="Nightly", parent=outer["id"])
    save(f"/admin/runs/project/{project['uuid']}/change/", name=project["name"], slug=project["slug"],
         folder=outer["id"], last_run_number="0", last_case_number="0")  # fmt: skip

    wanted = {"id": UUID, "createdAt": SECONDS, "updatedAt": SECONDS, "name": "Support",
              "organizationId": organization, "parentFolderId": None}  # fmt: skip
    assert differences(outer, wanted) == []
    assert folders(parentFolderId="null").keys() == {"Support"}
    inner = folders(parentFolderId=outer["id"].upper())["Nightly"]
    assert inner["parentFolderId"] == outer["id"]
    assert js.call("v2.v2FoldersGet", outer["id"]) == {"data": [inner]}
    assert js.call("v2.v2FoldersIdGet", inner["id"].upper()) == inner
    assert py.call("v2.v2_folders_id_get", path_params={"id": outer["id"]}) == outer
    (found,) = js.call("v2.v2PipelinesGet", None, None, outer["id"])["data"]
    assert (found["id"], found["folderId"]) == (project["uuid"], outer["id"])
    assert js.call("v2.v2PipelinesGet", None, None, inner["id"]) == {"data": []}
    with pytest.raises(ClientError) as refused:
        js.call("v2.v2FoldersIdGet", NOWHERE)
    assert refused.value.status == 404


# --- evaluators -------------------------------------------------------------------------------------------------------


def test_evaluators_of_every_kind(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project()
    hub.evaluator(project, name="tone", who="human", value_type="label", options=[GOOD, BAD],
                  definition={"question": "Is the tone right?"})  # fmt: skip
    hub.evaluator(project, name="overlap", who="heuristic", value_type="percentage", definition={"heuristic": "words"})
    hub.evaluator(project, name="complete", who="ai", value_type="label", options=[GOOD, BAD], icon="star",
                  definition={"model": "gpt-4o", "prompt": "All there?"})  # fmt: skip

    found = js.call("getEvaluators", project["slug"])

    common = {
        "id": UUID, "createdAt": SECONDS, "updatedAt": SECONDS, "archivedAt": None, "icon": None,
        "pipelineId": project["uuid"], "processorId": None, "heuristicFn": None, "aiPromptFormat": None,
        "humanPrompt": None, "valueType": "ENUM", "options": [["Good", 1], ["Bad", 0]], "runCondition": "TEST",
    }  # fmt: skip
    wanted = [
        {**common, "name": "tone", "who": "HUMAN", "humanPrompt": "Is the tone right?"},
        {**common, "name": "overlap", "who": "HEURISTIC", "valueType": "PERCENTAGE", "options": [],
         "heuristicFn": "words"},
        {**common, "name": "complete", "who": "AI", "icon": "star", "aiModel": "gpt-4o",
         "aiPromptFormat": "All there?"},
    ]  # fmt: skip
    assert differences(found, wanted) == []
    assert js.call("getEvaluators", project["uuid"]) == found
    assert py.call("get_evaluators", pipeline_slug=project["slug"]) == found
    assert py.call("get_evaluators", pipeline_id=project["uuid"].upper()) == found


def test_templates_are_evaluators_without_a_pipeline(hub: Hub, js: RealClient, py: RealClient) -> None:
    template = hub.api("POST", "/evaluators/", {"name": "Template of the contract", "who": "ai"})

    found = js.call("getEvaluators", None)

    (mine,) = [one for one in found if one["id"] == template["uuid"]]
    assert (mine["name"], mine["pipelineId"], mine["who"]) == ("Template of the contract", None, "AI")
    assert py.call("get_evaluators") == found


def test_evaluators_of_an_unknown_pipeline_are_not_found(js: RealClient, py: RealClient) -> None:
    with pytest.raises(ClientError) as by_slug:
        js.call("getEvaluators", "no-such-pipeline")
    with pytest.raises(ClientError) as by_id:
        py.call("get_evaluators", pipeline_id=NOWHERE)

    assert (by_slug.value.status, by_id.value.status) == (404, 404)


# --- test cases -------------------------------------------------------------------------------------------------------


def test_a_case_is_made_found_changed_and_deleted(hub: Hub, js: RealClient) -> None:
    project = hub.project()
    slug = project["slug"]

    case_id = js.call("createTestCase", pipelineSlug=slug, name="greeting", inputs={"q": "hi"})
    made = js.call("getTestCase", case_id)
    changed = js.call("updateTestCase", id=case_id, name="farewell", expectedOutputs={"value": "bye"})
    listed = js.call("getTestCases", slug)
    gone = js.call("deleteTestCase", case_id)

    golden = made["datasetId"]
    assert differences(made, case(project, UUID, time=SECONDS, id=case_id)) == []
    assert changed == case_id
    assert (
        differences(listed, [case(project, golden, id=case_id, name="farewell", expectedOutputs={"value": "bye"})])
        == []
    )
    assert gone is True
    assert js.call("getTestCases", slug) == []
    with pytest.raises(ClientError) as missing:
        js.call("getTestCase", case_id)
    assert missing.value.status == 404


def test_python_does_the_same(hub: Hub, py: RealClient) -> None:
    project = hub.project()
    slug = project["slug"]

    case_id = py.call(
        "create_test_case", slug, {"name": "greeting", "inputs": {"q": "hi"}, "expectedOutputs": {"a": 1}}
    )
    made = py.call("get_test_case", case_id)
    changed = py.call("update_test_case", slug, {"id": case_id, "inputs": {"q": "ho"}})
    by_slug, by_id = py.call("get_test_cases", pipeline_slug=slug), py.call("get_test_cases", project["uuid"])
    gone = py.call("delete_test_case", case_id)

    assert differences(made, case(project, UUID, time=SECONDS, id=case_id, expectedOutputs={"a": 1})) == []
    assert changed == case_id
    wanted = [case(project, made["datasetId"], id=case_id, inputs={"q": "ho"}, expectedOutputs={"a": 1})]
    assert differences(by_slug, wanted) == []
    assert by_id == by_slug
    assert gone is True
    assert py.call("get_test_cases", pipeline_slug=slug) == []


def test_an_old_python_client_does_too(hub: Hub, py24: RealClient) -> None:
    project = hub.project()
    slug = project["slug"]

    case_id = py24.call(
        "create_test_case", slug, {"name": "greeting", "inputs": {"q": "hi"}, "expectedOutputs": {"a": 1}}
    )
    count = py24.call("create_test_cases", slug, [{"name": "more", "inputs": {}, "expectedOutputs": {"a": 2}}])
    changed = py24.call("update_test_case", slug, {"id": case_id, "name": "farewell"})

    assert (count, changed) == (1, case_id)
    assert names(py24.call("get_test_cases", pipeline_slug=slug)) == ["farewell", "more"]


def test_many_cases_at_once(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project()
    slug = project["slug"]

    count = js.call("createTestCases", pipelineSlug=slug, testCases=[
        {"name": "one", "inputs": {"q": 1}}, {"name": "two", "inputs": {"q": 2}, "expectedOutputs": {"a": 2}},
    ])  # fmt: skip
    more = py.call("create_test_cases", slug, [{"name": "three", "inputs": {}, "expectedOutputs": {"a": 3}}])

    assert (count, more) == (2, 1)
    assert names(js.call("getTestCases", project["uuid"])) == ["one", "two", "three"]


def test_a_batch_of_cases_with_one_bad_one_makes_none(hub: Hub, js: RealClient) -> None:
    project = hub.project()

    with pytest.raises(ClientError) as refused:
        js.call("createTestCases", pipelineSlug=project["slug"], testCases=[
            {"name": "good", "inputs": {}}, {"name": "bad", "inputs": "text"},
        ])  # fmt: skip

    assert (refused.value.status, refused.value.body) == (
        400,
        {"message": "testCases[1].inputs must be an object.", "errors": []},
    )
    assert js.call("getTestCases", project["slug"]) == []


def test_an_archived_case_leaves_the_lists_and_comes_back(hub: Hub, js: RealClient) -> None:
    project = hub.project()
    case_id = js.call("createTestCase", pipelineSlug=project["slug"], name="greeting", inputs={"q": "hi"})

    js.call("updateTestCase", id=case_id, archived=True)
    archived, listed = js.call("getTestCase", case_id), js.call("getTestCases", project["slug"])
    js.call("updateTestCase", id=case_id, archived=False)

    assert (archived["archivedAt"], listed) == (SECONDS, [])
    assert names(js.call("getTestCases", project["slug"])) == ["greeting"]


def test_a_deleted_case_stays_in_old_results(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project()
    case_id = js.call("createTestCase", pipelineSlug=project["slug"], name="greeting", inputs={"q": "hi"})
    (found,) = js.call("getTestCases", project["slug"])
    result = js.call("submitTestResult", project["slug"], [found], [{"value": "hello"}])
    js.call("deleteTestCase", case_id)

    for shown in (js.call("getTestResult", result["resultId"]), py.call("get_test_result", result["resultId"])):
        assert shown["runs"][0]["caseId"] == case_id
        assert differences(shown["runs"][0]["case"], {**found, "updatedAt": ISO, "deletedAt": ISO}) == []


def test_cases_of_the_second_version(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project()
    js.call("createTestCase", pipelineSlug=project["slug"], name="greeting", inputs={"q": "hi"})

    found = js.call("v2.v2TestCasesGet", None, None, project["slug"])["data"]

    assert differences(found, [case(project, UUID, time=SECONDS)]) == []
    assert py.call("v2.v2_test_cases_get", {"pipelineId": project["uuid"]})["data"] == found


# --- datasets ---------------------------------------------------------------------------------------------------------


def dataset(project: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {
        "id": UUID, "createdAt": SECONDS, "updatedAt": SECONDS, "archivedAt": None, "name": "Edge cases",
        "description": None, "pipelineId": project["uuid"], **values,
    }  # fmt: skip


def test_a_dataset_is_made_found_and_changed(hub: Hub, js: RealClient) -> None:
    project = hub.project()

    made = js.call("createDataset", name="Edge cases", description="The odd ones", pipelineSlug=project["slug"])
    changed = js.call("updateDataset", made["id"], name="Odd cases", isArchived=True)
    live = js.call("getDatasets", pipelineId=project["uuid"], archived=False)
    archived = js.call("getDatasets", pipelineSlug=project["slug"], archived=True)

    assert differences(made, dataset(project, description="The odd ones")) == []
    assert differences(changed, {**made, "name": "Odd cases", "updatedAt": SECONDS, "archivedAt": SECONDS}) == []
    assert js.call("getDataset", made["id"].upper()) == changed
    assert made["id"] not in [one["id"] for one in live]
    assert archived == [changed]


def test_python_makes_and_changes_datasets(hub: Hub, py: RealClient) -> None:
    project = hub.project()

    made = py.call("create_dataset", {"name": "Edge cases", "pipelineSlug": project["slug"]})
    changed = py.call("update_dataset", made["id"], {"description": "The odd ones"})

    assert differences(made, dataset(project)) == []
    assert differences(changed, {**made, "updatedAt": SECONDS, "description": "The odd ones"}) == []
    assert py.call("get_dataset", made["id"]) == changed
    assert changed in py.call("get_datasets", pipeline_slug=project["slug"])["data"]


def test_python_archives_with_the_word_of_its_types(hub: Hub, py: RealClient) -> None:
    made = py.call("create_dataset", {"name": "Edge cases", "pipelineSlug": hub.project()["slug"]})

    archived = py.call("update_dataset", made["id"], {"archived": True})
    back = py.call("update_dataset", made["id"], {"archived": False, "isGolden": True})

    assert differences(archived, {**made, "updatedAt": SECONDS, "archivedAt": SECONDS}) == []
    assert back["archivedAt"] is None


def test_cases_live_in_the_dataset_that_is_named(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project()
    edge = js.call("createDataset", name="Edge cases", pipelineId=project["uuid"])

    js.call("createTestCase", datasetId=edge["id"], name="odd", inputs={"q": 1})
    py.call("create_test_case", payload={"name": "odder", "inputs": {"q": 2}, "expectedOutputs": {}},
            dataset_id=edge["id"])  # fmt: skip
    py.call(
        "create_test_cases", payload=[{"name": "oddest", "inputs": {}, "expectedOutputs": {}}], dataset_id=edge["id"]
    )
    js.call("createTestCase", pipelineSlug=project["slug"], name="usual", inputs={"q": 3})

    found = js.call("getTestCasesForDataset", edge["id"])
    assert names(found) == ["odd", "odder", "oddest"]
    assert {one["datasetId"] for one in found} == {edge["id"]}
    assert py.call("get_test_cases", dataset_id=edge["id"]) == found
    assert names(js.call("getTestCases", project["slug"])) == ["usual"]
    both = hub.http.get("/api/v1/test-case", params={"datasetId": edge["id"], "pipelineSlug": project["slug"]})
    assert names(both.json()["testCases"]) == ["odd", "odder", "oddest"]


def test_the_golden_dataset_is_what_the_pipeline_means(hub: Hub, js: RealClient, py: RealClient) -> None:
    project = hub.project()
    js.call("createTestCase", pipelineSlug=project["slug"], name="old", inputs={})
    (before,) = js.call("getPipelines", slug=project["slug"])

    golden = js.call("createDataset", name="New gold", pipelineSlug=project["slug"], isGolden=True)
    js.call("createTestCase", pipelineSlug=project["slug"], name="new", inputs={})

    (after,) = js.call("getPipelines", slug=project["slug"])
    assert after["goldenDatasetId"] == golden["id"] != before["goldenDatasetId"]
    assert names(py.call("get_test_cases", pipeline_slug=project["slug"])) == ["new"]
    py.call("update_dataset", before["goldenDatasetId"], {"isGolden": True})
    assert names(js.call("getTestCases", project["slug"])) == ["old"]


def test_a_pipeline_keeps_its_golden_dataset(hub: Hub, js: RealClient) -> None:
    project = hub.project()
    (pipeline,) = js.call("getPipelines", slug=project["slug"])

    other = js.call("createDataset", name="Other", pipelineSlug=project["slug"])
    with pytest.raises(ClientError) as both:
        js.call("updateDataset", other["id"], isGolden=True, isArchived=True)
    assert both.value.status == 400
    for change in ({"isGolden": False}, {"isArchived": True}, {"name": ""}):
        with pytest.raises(ClientError) as refused:
            js.call("updateDataset", pipeline["goldenDatasetId"], description="changed", **change)
        assert refused.value.status == 400

    assert js.call("getDataset", pipeline["goldenDatasetId"])["description"] is None
