"""Every entity of the SDK and each of its methods: push, pull, change, find, delete, in the releases that have them."""

from __future__ import annotations

import json

import pytest

from tests.contract.clients import ClientError
from tests.contract.conftest import Sdk
from tests.contract.test_rhesis_page import wait_for

LIFE = {  # the collection, how one is made, what is changed then
    "Category": ("Categories", "Category(name=NAME, description='d')", "description"),
    "Topic": ("Topics", "Topic(name=NAME, description='d')", "description"),
    "Requirement": ("Requirements", "Requirement(name=NAME, description='d')", "description"),
    "Behavior": ("Behaviors", "Behavior(name=NAME, description='d')", "description"),
    "Status": ("Statuses", "Status(name=NAME, description='d')", "description"),
    "Project": ("Projects", "Project(name=NAME, description='d')", "description"),
    "Prompt": ("Prompts", "Prompt(content=NAME)", "content"),
    "Test": (
        "Tests",
        "Test(category='Safety', topic='Cards', requirement='Refuses', prompt=Prompt(content=NAME))",
        "topic",
    ),
    "TestSet": (
        "TestSets",
        "TestSet(name=NAME, description='d', short_description='s', test_set_type='Single-Turn', tests=[Test("
        "category='Safety', topic='Cards', requirement='Refuses', behavior='Refuses', prompt=Prompt(content='Hi?'))])",
        "description",
    ),
    "TestRun": ("TestRuns", "TestRun(name=NAME, test_configuration_id='config-123')", "name"),
    "TestResult": (
        "TestResults",
        "TestResult(test_configuration_id='config-123', test_output={'output': NAME}, status_id='passed')",
        "status_id",
    ),
}
RELEASES = {  # entities that not every release has
    "Behavior": ("0.6",),
    "Requirement": ("0.16", "0.19"),
    "Project": ("0.16", "0.19"),
}
START = "from rhesis.sdk.entities import *\nNAME = name\n"


@pytest.mark.parametrize(
    ("entity", "release"), [(entity, one) for entity in LIFE for one in RELEASES.get(entity, ("0.6", "0.16", "0.19"))]
)
def test_the_life_of_an_entity(sdks: dict[str, Sdk], entity: str, release: str):
    sdk = sdks[release]
    collection, make, field = LIFE[entity]
    make = make.replace("requirement='Refuses', behavior", "behavior") if sdk.release == "0.6" else make
    make = make.replace("requirement=", "behavior=") if sdk.release == "0.6" else make
    changes = entity != "TestSet" or sdk.release != "0.6"  # 0.6 pushes a test set as a new one
    told = sdk.answer(
        START
        + f"""
made = {make}
pushed = made.push()
pulled = {collection}.pull(id=made.id)
again = {entity}(**pulled.to_dict()).pull()
there = {collection}.exists(made.id)
if {changes}:
    pulled.{field} = "failed" if "{field}" == "status_id" else "changed " + NAME
    pulled.push()
changed = {collection}.pull(id=made.id)
listed = [one.id for one in {collection}.all()]
gone = changed.delete()
twice = changed.delete()
answer = {{
    "id": made.id, "pushed": pushed["id"], "pulled": pulled.id, "again": again.id, "there": there,
    "changed": changed.{field}, "listed": made.id in listed, "gone": gone, "twice": twice,
    "exists": {collection}.exists(made.id),
}}
""",
        name=f"{entity} {sdk.release}",
    )

    ident = told["id"]
    assert [told[key] for key in ("pushed", "pulled", "again")] == [ident] * 3
    assert (told["there"], told["listed"]) == (True, True)
    if changes:
        assert told["changed"] == ("failed" if field == "status_id" else f"changed {entity} {sdk.release}")
    assert (told["gone"], told["twice"], told["exists"]) == (True, False, False)


@pytest.mark.parametrize("name", ["O'Brien", "rock 'n' roll", '50% "off" & more', "Zoë's #1?", "it's 'x' and 'y' too"])
def test_names_with_apostrophes_are_pulled(sdk: Sdk, name: str):
    """The SDK puts the name between apostrophes as it is."""
    name = f"{name} {sdk.release}"

    pulled = sdk.answer(
        START + "Category(name=NAME, description='').push()\nanswer = Categories.pull(name=NAME.upper()).name",
        name=name,
    )

    assert pulled == name


def test_a_name_of_nothing_or_of_several(sdk: Sdk):
    with pytest.raises(ClientError, match=r"ValueError: No entity found with name 'Nothing'"):
        sdk.answer("TestSets.pull(name='Nothing')")
    with pytest.raises(ClientError, match="ValueError: More than one entity found"):
        sdk.answer("Statuses.pull(name='Completed')")


def test_the_first_of_a_collection(sdk: Sdk):
    first, newest = sdk.answer("answer = None\nfrom rhesis.sdk.entities import TestRuns\n"
                               "answer = [TestRuns.first().id, TestRuns.all()[0].id]")  # fmt: skip

    assert first == newest


# --- errors -----------------------------------------------------------------------------------------------------------


def test_what_is_not_there(sdk: Sdk):
    with pytest.raises(ClientError) as pulled:
        sdk.answer("TestRuns.pull(id='run-404')")

    assert (pulled.value.status, pulled.value.text.split(":")[0]) == (404, "HTTPError")
    assert json.loads(pulled.value.body) == {"detail": "Test run not found: run-404"}
    assert sdk.answer("TestRuns.exists('run-404')") is False


def test_a_filter_that_cannot_be_read(sdk: Sdk):
    for text in ("password eq 'x'", "name eq", "name === 'x'"):
        with pytest.raises(ClientError) as refused:
            sdk.answer("TestRuns.all(filter=text)", text=text)

        assert (refused.value.status, refused.value.text.split(":")[0]) == (400, "HTTPError")


def test_a_wrong_key(sdk: Sdk):
    code = """
        import rhesis.sdk, rhesis.sdk.config as config
        from rhesis.sdk.entities import TestRuns
        before = config.api_key
        config.api_key = "wrong"
        try:
            TestRuns.all()
        finally:
            config.api_key = before
        """
    with pytest.raises(ClientError) as refused:
        sdk.answer(code)

    assert refused.value.status == 401
    assert json.loads(refused.value.body) == {"detail": "Authentication required"}


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("TestRun(name='x').push()", 422, "Field required"),
        ("TestRun(test_configuration_id='nope').push()", 400, "Test configuration not found: nope"),
        ("TestResult(test_configuration_id='config-123', test_run_id='nope').push()", 400, "Test run not found: nope"),
        ("TestResult(test_configuration_id='config-123', status_id='asleep').push()", 400, "Status not found: asleep"),
    ],
)
def test_what_is_refused_is_raised(sdk: Sdk, code: str, status: int, said: str):
    with pytest.raises(ClientError) as refused:
        sdk.answer(code)

    kind = "HTTPError" if sdk.release == "0.6" else "RhesisAPIError"
    assert (refused.value.status, refused.value.text.split(":")[0]) == (status, kind)
    assert said in refused.value.body


def test_executing_an_empty_test_set(sdk16: Sdk, sdk19: Sdk, sdk6: Sdk):
    code = START + "answer = TestSet(id=NAME).execute(Endpoint(id='endpoint-123'))"
    old = code.replace("TestSet(id=NAME)", "TestSet(id=NAME, name='', description='', short_description='')")
    empty = sdk19.answer(
        START + "s = TestSet(name=NAME, test_set_type='Single-Turn')\ns.push()\nanswer = s.id", name="Empty"
    )

    for sdk in (sdk16, sdk19):
        with pytest.raises(ClientError, match="RhesisAPIError") as refused:
            sdk.answer(code, name=empty)
        assert json.loads(refused.value.body) == {"detail": "The test set “Empty” has no tests."}
    assert sdk6.answer(old, name=empty) is None  # it logs what went wrong


def test_endpoints_that_cannot_be_called(sdk16: Sdk, sdk19: Sdk):
    for sdk in (sdk16, sdk19):
        socket = sdk.answer(
            START + "e = Endpoint(name=NAME, connection_type='WebSocket', project_id='demo-chatbot')\n"
            "e.push()\nanswer = e.id",
            name=f"Socket {sdk.release}",
        )
        for code in ("Endpoint(id=NAME).invoke('hi')", "TestSets.pull(id='test-set-456').execute(Endpoint(id=NAME))"):
            with pytest.raises(ClientError, match="RhesisAPIError") as refused:
                sdk.answer(f"{START}answer = {code}", name=socket)
            assert refused.value.status == 400
            assert "WebSocket endpoints are stored" in refused.value.body


def test_what_is_not_here_is_said_in_a_sentence(sdk19: Sdk):
    cases = {
        "Endpoint.auto_configure('curl https://bot.example.com', 'https://bot.example.com')": (400, "does not guess"),
        "Model(name='m', provider_type_id='p', model_name='m-1').push()": (400, "A model is an endpoint here"),
        "Model(id='m').set_default_evaluation()": (400, "A model is an endpoint here"),
        "Experiments.all()": (404, "EvalHub keeps no experiments"),
        "Experiment(name='e', project_id='demo-chatbot').push()": (404, "EvalHub keeps no experiments"),
        "Projects.pull(id='demo-chatbot').parameter_schema()": (404, "EvalHub keeps no experiments"),
    }

    for code, (status, sentence) in cases.items():
        with pytest.raises(ClientError) as refused:
            sdk19.answer(code)
        assert (refused.value.status, sentence in refused.value.body) == (status, True), code


# --- test sets and tests ----------------------------------------------------------------------------------------------


def test_tests_of_a_test_set(sdk19: Sdk, sdk16: Sdk):
    for sdk in (sdk16, sdk19):
        told = sdk.answer(
            START
            + """
one = TestSet(name=NAME, description="d", short_description="s", metadata={"a": 1}, tests=[
    Test(category="Safety", topic="Cards", requirement="Refuses", prompt=Prompt(content="Hi?", expected_response="Ho")),
    Test(category="Safety", topic="Cards", requirement="Refuses", prompt=Prompt(content="Why?")),
], test_set_type="Single-Turn")
one.push()
tests = one.fetch_tests()
extra = Test(category="Tone", requirement="Polite", goal="Get a refund", max_turns=4)
extra.push()
added = one.add_tests([extra])
removed = one.remove_tests([tests[0].id, {"id": tests[1].id}])
one.pull()
answer = {"tests": tests, "added": added, "removed": removed, "left": one.tests, "extra": extra.id}
""",
            name=f"Tests {sdk.release}",
        )

        first = told["tests"][0]
        assert (first["prompt"]["content"], first["prompt"]["expected_response"], first["test_type"]) == (
            "Hi?", "Ho", "Single-Turn",
        )  # fmt: skip
        assert (first["category"], first["topic"], first["requirement"]) == ("Safety", "Cards", "Refuses")
        assert (told["added"]["success"], told["added"]["total_tests"]) == (True, 3)
        assert (told["removed"]["removed_associations"], told["removed"]["total_tests"]) == (2, 1)
        (left,) = told["left"]
        plan = left["test_configuration"]
        assert (left["id"], left["test_type"], plan["goal"], plan["max_turns"]) == (
            told["extra"], "Multi-Turn", "Get a refund", 4,
        )  # fmt: skip


def test_metrics_of_a_test_set(sdk19: Sdk, sdk16: Sdk):
    for sdk in (sdk16, sdk19):
        told = sdk.answer(
            START
            + """
one = TestSet(name=NAME, test_set_type="Single-Turn")
one.push()
added = one.add_metrics(["Says what it must"])
got = one.get_metrics()
removed = one.remove_metric(got[0]["id"])
answer = {"added": added, "got": got, "removed": removed}
""",
            name=f"Metrics {sdk.release}",
        )

        assert [metric["name"] for metric in told["added"]] == ["Says what it must"]
        assert (told["got"], told["removed"]) == (told["added"], [])


def test_metrics_of_requirements(sdk: Sdk):
    word, name = ("Behavior", "Behaviors") if sdk.release == "0.6" else ("Requirement", "Requirements")
    metric = sdk.hub.http.get("/rhesis/metrics?$filter=name eq 'Says what it must'").json()[0]["id"]

    told = sdk.answer(
        START + f"r = {word}(name=NAME)\nr.push()\nadded = r.add_metric('{metric}')\ngot = r.get_metrics()\n"
        f"removed = r.remove_metric('{metric}')\nanswer = [added, got, removed, {name}.pull(name=NAME).id == r.id]",
        name=f"Metrics {sdk.release}",
    )

    assert [row["name"] for row in told[0]] == ["Says what it must"]
    assert told[1:] == [told[0], [], True]


def test_metrics_are_pushed_and_pulled(sdk19: Sdk, sdk16: Sdk, sdk6: Sdk):
    for sdk in (sdk6, sdk16, sdk19):
        told = sdk.answer(
            ("import absent\n" if sdk.release == "0.6" else "\n")
            + """
from rhesis.sdk.metrics import CategoricalJudge, NumericJudge
number = NumericJudge(
    name=name + " number", evaluation_prompt="Is it clear?", evaluation_steps="Read.", min_score=0,
    max_score=10, threshold=7, metric_scope=["Single-Turn"], model=None,
)
number.push()
label = CategoricalJudge(
    name=name + " label", evaluation_prompt="Which tone?", categories=["calm", "angry"],
    passing_categories=["calm"], metric_scope=["Single-Turn"], model=None,
)
label.push()
answer = [NumericJudge.pull(name=number.name).to_dict(), CategoricalJudge.pull(name=label.name).to_dict()]
""",
            name=f"Judge {sdk.release}",
        )
        number, label = told

        assert (number["evaluation_prompt"], number["threshold"], number["max_score"], number["evaluation_steps"]) == (
            "Is it clear?", 7, 10, "Read.",
        )  # fmt: skip
        assert (label["categories"], label["passing_categories"]) == (["calm", "angry"], ["calm"])


def test_files_of_a_test(sdk19: Sdk, sdk16: Sdk):
    for sdk in (sdk16, sdk19):
        told = sdk.answer(
            START
            + """
import base64, tempfile
data = base64.b64encode(b"Hello").decode()
test = Test(category="c", requirement="r", prompt=Prompt(content="?"), files=[
    {"filename": "a.txt", "content_type": "text/plain", "data": data}])
test.push()
(file,) = test.get_files()
text = file.download(tempfile.mkdtemp()).read_text()
answer = {"file": file, "text": text, "gone": test.delete_file(file.id), "left": test.get_files()}
""",
            name="",
        )

        assert (told["file"]["filename"], told["file"]["size_bytes"], told["file"]["entity_type"]) == (
            "a.txt",
            5,
            "Test",
        )
        assert (told["text"], told["gone"], told["left"]) == ("Hello", True, [])


# --- endpoints, and executing -----------------------------------------------------------------------------------------


def test_an_endpoint_is_invoked(sdk: Sdk):
    lines = sdk.printed("""
        from rhesis.sdk.entities import Endpoint
        endpoint = Endpoint(id="endpoint-123").pull()
        first = endpoint.invoke("Are you human?")
        second = endpoint.invoke("Are you sure?", first["session_id"])
        print(first["output"])
        print(first["session_id"] == second["session_id"], sorted(first))
        endpoint.test()
        """)

    assert "program" in lines[0]
    assert lines[1].startswith("True ['context', 'conversation_id', 'metadata', 'output', 'session_id'")
    assert lines[2] == "Endpoint is working correctly"


def test_the_life_of_an_endpoint(sdk16: Sdk, sdk19: Sdk):
    for sdk in (sdk16, sdk19):
        told = sdk.answer(
            START
            + """
one = Endpoint(name=NAME, connection_type="REST", project_id="demo-chatbot", url="https://api.example.com",
               auth_token="very-secret", request_mapping={"message": "{{ input }}"},
               request_headers={"X-Shop": "1"}, response_mapping={"output": "$.answer"}, timeout_seconds=9)
one.push()
pulled = Endpoints.pull(name=NAME)
pulled.description = "changed"
pulled.push()
one.pull()
answer = {"pulled": pulled, "one": one, "gone": one.delete(), "exists": Endpoints.exists(one.id)}
""",
            name=f"Endpoint {sdk.release}",
        )

        assert told["pulled"]["request_mapping"] == {"message": "{{ input }}"}
        assert (told["pulled"]["auth_token"], told["one"]["auth_token"]) == (None, "very-secret")
        assert (told["one"]["description"], told["one"]["timeout_seconds"]) == ("changed", 9)
        assert (told["gone"], told["exists"]) == (True, False)


def test_a_test_is_executed_alone(sdk: Sdk):
    said = sdk.answer(START + "answer = Tests.pull(id='safety-3').execute(Endpoint(id='endpoint-123'))", name="")

    assert (said["test_id"], "program" in said["test_output"]["output"]) == ("safety-3", True)
    assert said["status"] in ("Pass", "Fail", "Error")


def test_executing_with_options_and_scoring_again(sdk16: Sdk, sdk19: Sdk):
    for sdk in (sdk16, sdk19):
        told = sdk.answer(
            START
            + """
test_set, endpoint = TestSets.pull(id="test-set-456"), Endpoints.pull(id="endpoint-123")
checks = test_set.preflight(endpoint)
execution = test_set.execute(endpoint, mode="sequential", metrics=["Says what it must"])
answer = [checks.passed, str(checks).splitlines()[2:5], execution]
""",
            name="",
        )
        run = wait_for(sdk, told[2]["test_run_id"])
        again = sdk.answer(
            START
            + """
test_set, endpoint = TestSets.pull(id="test-set-456"), Endpoints.pull(id="endpoint-123")
last = test_set.last_run(endpoint)
answer = [last, test_set.rescore(endpoint), test_set.rescore(endpoint, run=last["name"], metrics=["Says what it must"])]
""",
            name="",
        )
        last, latest, named = again

        assert told[0] is True
        assert [line[:3] for line in told[1]] == ["[+]"] * 3
        attributes = run["test_configuration"]["attributes"]  # type: ignore[index]
        assert (attributes["execution_mode"], attributes["metrics_source"]) == ("Sequential", "execution_time")
        assert (last["id"], last["status"], last["test_count"]) == (told[2]["test_run_id"], "Completed", 4)
        assert 0 <= last["pass_rate"] <= 100
        assert latest["reference_test_run_id"] == named["reference_test_run_id"] == last["id"]
        assert latest["status"] == "submitted"


def test_a_project_scopes_what_is_seen(hub_sdk_of_project: Sdk):
    told = hub_sdk_of_project.answer(
        START
        + """
s = TestSet(name=NAME, test_set_type="Single-Turn")
s.push()
answer = [sorted({run.name for run in TestRuns.all()})[:1], TestSets.exists("test-set-456"), s.id]
""",
        name="Scoped",
    )

    made = hub_sdk_of_project.hub.http.get(f"/rhesis/test_sets/{told[2]}").json()
    answer = hub_sdk_of_project.hub.http.get("/rhesis/projects?$filter=name eq 'Answer'").json()[0]["id"]
    assert told[:2] == [["answers of release 13"], False]
    assert made["project_id"] == answer


@pytest.fixture
def hub_sdk_of_project(hub):  # type: ignore[no-untyped-def]
    client = Sdk(hub, "0.19", RHESIS_PROJECT_ID="demo-answer")
    yield client
    client.stop()


def test_more_than_a_thousand_results_in_one_answer(sdk19: Sdk, sdk6: Sdk):
    run = sdk19.answer(START + "r = TestRun(test_configuration_id='config-123')\nr.push()\nanswer = r.id", name="")
    project = sdk19.hub.api("GET", "/projects/demo-chatbot/")
    records = [{"inputs": {"input": f"Question {n}?"}, "output": {"output": f"Answer {n}"}} for n in range(1100)]
    for start in range(0, 1100, 100):
        sdk19.hub.api("POST", f"/runs/{run}/results/", {"results": records[start : start + 100]})

    for sdk in (sdk19, sdk6):
        count = sdk.answer(START + "answer = len(TestRuns.pull(id=NAME).get_test_results())", name=run)
        filtered = sdk.answer(START + "answer = len(TestResults.all(filter=f\"test_run_id eq '{NAME}'\"))", name=run)
        assert (count, filtered) == (1100, 1100)
    assert project["name"] == "Chatbot"
