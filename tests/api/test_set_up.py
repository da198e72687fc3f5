import pytest

from evalhub.api.entrance import document
from evalhub.audit.models import AuditEvent
from results.filters import ResultFilter
from results.records import Judgement
from runs.filters import RunFilter
from runs.models import Case, ConfigurationEvaluator, Endpoint, Evaluator, Project, TestConfiguration, TestSet
from runs.setup_filters import (
    CaseFilter,
    ConfigurationFilter,
    EndpointFilter,
    EvaluatorFilter,
    ProjectFilter,
    TestSetFilter,
)
from tests.api.conftest import errors_of, problem
from tests.factories import (
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_run,
    make_test_set,
)

MAKERS = {
    "projects": lambda project, **fields: make_project(project.organization, **fields),
    "test-sets": make_test_set,
    "cases": make_case,
    "evaluators": make_evaluator,
    "endpoints": make_endpoint,
    "configurations": make_configuration,
}


def body_of(kind: str) -> dict:
    needed = {} if kind == "projects" else {"project": "support-bot"}
    return {"name": "Something", **({"inputs": {"input": "Hi"}} if kind == "cases" else {}), **needed}


@pytest.fixture(params=MAKERS)
def kind(request) -> str:
    return request.param


# --- all of them ------------------------------------------------------------------------------------------------------


FILTERS_OF_PAGES = {
    "projects": ProjectFilter,
    "test-sets": TestSetFilter,
    "cases": CaseFilter,
    "evaluators": EvaluatorFilter,
    "endpoints": EndpointFilter,
    "configurations": ConfigurationFilter,
    "runs": RunFilter,
    "results": ResultFilter,
}


@pytest.mark.parametrize("kind", FILTERS_OF_PAGES)
def test_a_list_is_asked_as_its_page_is(api, kind):
    offered = document()["paths"][f"/api/{kind}/"]["get"]["parameters"]

    names = [parameter["name"] for parameter in offered]
    assert sorted(FILTERS_OF_PAGES[kind].base_filters.keys() - set(names)) == []
    assert len(names) == len(set(names))
    sorts = {"number", "-number"} if kind not in ("cases", "runs", "results") else set()  # of cases only, on pages too
    (sort,) = (parameter["schema"]["enum"] for parameter in offered if parameter["name"] == "sort")
    wanted = {value for value, _ in FILTERS_OF_PAGES[kind].base_filters["sort"].extra["choices"]}
    assert sorted(wanted - sorts - set(sort)) == []


def test_things_are_found_by_owner_description_and_evaluator(api, project):
    evaluator = make_evaluator(project)
    mine = make_configuration(project, name="mine", owner=api.user)
    ConfigurationEvaluator.objects.create(configuration=mine, evaluator=evaluator)
    make_configuration(project, name="theirs", description="the slow one")

    found = {
        query: [row["name"] for row in api.get(f"/api/configurations/?{query}").json()["items"]]
        for query in ("owner=me", f"evaluator={evaluator.pk}", "q=SLOW", "project=support-bot&sort=-changed")
    }

    assert found == {
        "owner=me": ["mine"],
        f"evaluator={evaluator.pk}": [mine.name],
        "q=SLOW": ["theirs"],
        "project=support-bot&sort=-changed": ["theirs", "mine"],
    }


def test_a_thing_is_made_read_changed_archived_restored_and_deleted(api, project, kind):
    made = api.post(f"/api/{kind}/", {**body_of(kind), "external_id": "thing 1", "tags": ["new"]})
    assert made.status_code == 201, made.content
    assert made.json()["id"] == "thing 1"
    assert made["Location"] == f"http://testserver/api/{kind}/thing%201/"

    by_our_id = api.get(f"/api/{kind}/{made.json()['uuid']}/")
    by_yours = api.get(made["Location"])
    assert by_our_id.json() == by_yours.json() == made.json()

    changed = api.patch(made["Location"], {"name": "Renamed", "tags": ["a", "b"], "metadata": {"k": {"v": 1}}})
    assert changed.status_code == 200
    different = {key for key, value in changed.json().items() if value != made.json()[key]}
    assert different == {"name", "tags", "metadata", "updated_at"}
    assert changed.json()["tags"] == ["a", "b"]

    listed = [row["id"] for row in api.get(f"/api/{kind}/?q=renAMED&tag=b").json()["items"]]
    assert listed == ["thing 1"]

    assert api.post(f"{made['Location']}archival/").json()["archived_at"] is not None
    assert "thing 1" not in [row["id"] for row in api.get(f"/api/{kind}/").json()["items"]]
    assert [row["id"] for row in api.get(f"/api/{kind}/?archived=true").json()["items"]] == ["thing 1"]
    assert api.delete(f"{made['Location']}archival/").json()["archived_at"] is None

    assert api.delete(made["Location"]).status_code == 204
    assert api.get(made["Location"]).status_code == 404
    assert api.delete(made["Location"]).status_code == 404
    actions = [
        action.partition(".")[2] for action in AuditEvent.objects.order_by("id").values_list("action", flat=True)
    ]
    assert actions == ["created", "changed", "archived", "restored", "deleted"]


def test_a_list_has_the_same_number_of_queries_with_1_and_3_rows(api, project, kind, django_assert_num_queries):
    MAKERS[kind](project)
    api.get(f"/api/{kind}/")  # notes the token's use

    with django_assert_num_queries(2):  # who asks, and the rows
        assert len(api.get(f"/api/{kind}/").json()["items"]) >= 1
    MAKERS[kind](project)
    MAKERS[kind](project)
    with django_assert_num_queries(2):
        assert len(api.get(f"/api/{kind}/").json()["items"]) >= 3


def test_a_list_goes_on_where_its_cursor_says(api, project, kind):
    made = [MAKERS[kind](project, name=f"N{n}") for n in range(3)]
    first = api.get(f"/api/{kind}/?limit=2&sort=-name&q=N").json()

    second = api.get(first["next"]).json()
    back = api.get(second["previous"]).json()

    assert [row["uuid"] for row in first["items"] + second["items"]] == [str(row.pk) for row in reversed(made)]
    assert second["next"] is None
    assert back["items"] == first["items"]


def test_an_id_that_is_taken_is_a_conflict(api, project, kind):
    api.post(f"/api/{kind}/", {**body_of(kind), "external_id": "mine"})

    again = api.post(f"/api/{kind}/", {**body_of(kind), "external_id": "mine"})

    assert problem(again) == {
        "type": "/api/docs/#conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "The id “mine” is taken.",
        "errors": [{"field": "external_id", "message": "is taken"}],
    }


def test_the_same_id_in_another_organisation_is_no_conflict_and_no_leak(api, stranger, project, kind):
    make_project(stranger.organization, slug="support-bot")
    theirs = stranger.post(f"/api/{kind}/", {**body_of(kind), "external_id": "shared"}).json()

    assert api.get(f"/api/{kind}/shared/").status_code == 404
    mine = api.post(f"/api/{kind}/", {**body_of(kind), "external_id": "shared"})

    assert mine.status_code == 201
    assert mine.json()["uuid"] != theirs["uuid"]
    assert api.get(f"/api/{kind}/shared/").json()["uuid"] == mine.json()["uuid"]


def test_a_change_of_an_older_state_is_refused(api, project, kind):
    row = MAKERS[kind](project)
    seen = api.get(f"/api/{kind}/{row.pk}/")

    first = api.patch(f"/api/{kind}/{row.pk}/", {"name": "First"}, headers={"If-Match": seen["ETag"]})
    second = api.patch(f"/api/{kind}/{row.pk}/", {"name": "Second"}, headers={"If-Match": seen["ETag"]})
    deletion = api.delete(f"/api/{kind}/{row.pk}/", headers={"If-Match": seen["ETag"]})

    assert first.status_code == 200
    assert problem(second)["status"] == problem(deletion)["status"] == 412
    assert api.get(f"/api/{kind}/{row.pk}/").json()["name"] == "First"
    assert first["ETag"] == api.get(f"/api/{kind}/{row.pk}/")["ETag"] != seen["ETag"]
    assert api.patch(f"/api/{kind}/{row.pk}/", {"name": "x"}, headers={"If-Match": "*"}).status_code == 200


def test_an_empty_change_changes_nothing(api, project, kind):
    row = MAKERS[kind](project)
    before = api.get(f"/api/{kind}/{row.pk}/").json()

    after = api.patch(f"/api/{kind}/{row.pk}/", {})

    assert (after.status_code, after.json()) == (200, before)
    assert AuditEvent.objects.count() == 0


def test_viewers_read_and_change_nothing(api_of, project, kind):
    viewer = api_of("viewer")
    row = MAKERS[kind](project)

    assert viewer.get(f"/api/{kind}/{row.pk}/").status_code == 200
    refused = [
        viewer.post(f"/api/{kind}/", body_of(kind)),
        viewer.patch(f"/api/{kind}/{row.pk}/", {"name": "x"}),
        viewer.delete(f"/api/{kind}/{row.pk}/"),
        viewer.post(f"/api/{kind}/{row.pk}/archival/"),
        viewer.delete(f"/api/{kind}/{row.pk}/archival/"),
    ]

    assert [problem(response)["status"] for response in refused] == [403] * 5
    assert set(AuditEvent.objects.values_list("action", flat=True)) == {"access.denied"}


def test_strangers_find_nothing(stranger, project, kind):
    row = MAKERS[kind](project)

    answers = [
        stranger.get(f"/api/{kind}/{row.pk}/"),
        stranger.patch(f"/api/{kind}/{row.pk}/", {"name": "x"}),
        stranger.delete(f"/api/{kind}/{row.pk}/"),
        stranger.post(f"/api/{kind}/{row.pk}/archival/"),
        stranger.get(f"/api/{kind}/00000000-0000-4000-8000-000000000000/"),
    ]

    assert [problem(response) for response in answers] == [
        {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "There is nothing here that you can see.",
        }
    ] * 5
    assert stranger.get(f"/api/{kind}/?archived=all").json()["items"] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": 5}, [("name", "must be a text")]),
        ({"name": None}, [("name", "must not be null")]),
        ({"name": "x" * 301}, [("name", "is longer than {} characters")]),
        ({"name": "two\nlines"}, [("name", "must not hold line breaks or other control characters")]),
        ({"tags": "nightly"}, [("tags", "must be an array")]),
        ({"tags": ["ok", 1]}, [("tags[1]", "must be a text")]),
        ({"tags": ["a", "a"]}, [("tags", "holds the same item twice")]),
        ({"metadata": []}, [("metadata", "must be an object")]),
        ({"owner": "nobody@example.com"}, [("owner", "is not the id of anything that you can see")]),
        ({"organization": "x"}, [("organization", "is not known here")]),
        ({"id": "x", "__proto__": {}}, [("id", "is not known here"), ("__proto__", "is not known here")]),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_made(api, project, kind, change, expected):
    response = api.post(f"/api/{kind}/", {**body_of(kind), **change})

    longest = 200 if kind in ("projects", "evaluators", "endpoints") else 300
    assert response.status_code == 400
    assert errors_of(response) == [(field, message.format(longest)) for field, message in expected]
    model = {
        "projects": Project,
        "test-sets": TestSet,
        "cases": Case,
        "evaluators": Evaluator,
        "endpoints": Endpoint,
        "configurations": TestConfiguration,
    }[kind]
    assert model.objects.exclude(pk=project.pk).count() == 0


@pytest.mark.parametrize("kind", sorted(MAKERS.keys() - {"cases"}))
@pytest.mark.parametrize("name", ["", " \t"])
def test_a_name_is_not_empty(api, project, kind, name):
    response = api.post(f"/api/{kind}/", {**body_of(kind), "name": name})

    assert errors_of(response) == [("name", "must not be empty")]


@pytest.mark.parametrize("kind", sorted(MAKERS.keys() - {"projects"}))
def test_a_project_of_another_organisation_cannot_be_referred_to(api, stranger, kind):
    theirs = make_project(stranger.organization, external_id="theirs", slug="theirs")

    answers = [
        api.post(f"/api/{kind}/", {**body_of(kind), "project": str(ident)}) for ident in (theirs.pk, "theirs", "x")
    ]

    assert [errors_of(answer) for answer in answers] == [
        [("project", "is not the id of anything that you can see")] for _ in answers
    ]


# --- one by one -------------------------------------------------------------------------------------------------------


def test_a_project_in_full(api):
    made = api.post(
        "/api/projects/",
        {"name": "Support bot", "description": "Answers.", "labels": ["prod"], "owner": api.user.email, "icon": "bot"},
    ).json()

    project = Project.objects.get(pk=made["uuid"])
    assert made == {
        "id": str(project.pk),
        "uuid": str(project.pk),
        "name": "Support bot",
        "slug": "support-bot",
        "description": "Answers.",
        "labels": ["prod"],
        "icon": "bot",
        "branch": "",
        "is_default": False,
        "owner": {"id": str(api.user.pk), "name": api.user.name, "email": api.user.email},
        "tags": [],
        "metadata": {},
        "attributes": {},
        "created_at": project.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": project.updated_at.isoformat().replace("+00:00", "Z"),
        "archived_at": None,
    }


def test_the_default_project_stays(api):
    default = Project.default_of(api.organization)

    deletion, archival = api.delete(f"/api/projects/{default.pk}/"), api.post(f"/api/projects/{default.pk}/archival/")

    assert (deletion.status_code, archival.status_code) == (409, 400)
    assert api.get(f"/api/projects/{default.pk}/").json()["archived_at"] is None


def test_a_case_keeps_what_it_asked_before(api, project):

    made = api.post(
        "/api/cases/",
        {
            "project": "support-bot",
            "inputs": "Can I return it?",
            "expected": "Yes.",
            "category": "Refunds",
            "priority": 2,
        },
    ).json()
    make_result(make_run(project), case=Case.objects.get(pk=made["uuid"]).pk)

    changed = api.patch(f"/api/cases/{made['id']}/", {"expected": {"output": "Within 30 days."}}).json()
    revisions = api.get(f"/api/cases/{made['id']}/revisions/").json()["items"]

    assert (made["inputs"], made["expected"]) == ({"input": "Can I return it?"}, {"output": "Yes."})
    assert (made["category"], made["priority"], made["number"], made["revision"]) == ("Refunds", 2, 1, 1)
    assert (changed["expected"], changed["revision"]) == ({"output": "Within 30 days."}, 2)
    assert [(row["number"], row["expected"]) for row in revisions] == [(1, {"output": "Yes."})]


def test_a_case_without_a_project_goes_to_the_default_one(api):
    made = api.post("/api/cases/", {"inputs": {"input": "Hi"}})

    assert made.json()["project"]["name"] == "Default"


def test_a_deleted_case_is_not_counted_in_its_test_sets(api, project):
    full, empty = make_test_set(project, name="Full"), make_test_set(project, name="Empty")
    cases = [make_case(project, external_id=f"c{n}") for n in range(3)]
    api.post(f"/api/test-sets/{full.pk}/cases/", {"cases": ["c0", "c1", "c2"]})
    cases[1].mark_deleted()

    counted = {row["name"]: row["case_count"] for row in api.get("/api/test-sets/").json()["items"]}

    assert counted == {full.name: 2, empty.name: 0}


def test_cases_join_and_leave_a_test_set(api, project):
    test_set = make_test_set(project)
    cases = [make_case(project, external_id=f"c{n}") for n in range(3)]

    joined = api.post(f"/api/test-sets/{test_set.pk}/cases/", {"cases": ["c2", str(cases[0].pk), "c1"]}).json()
    listed = api.get(f"/api/test-sets/{test_set.pk}/cases/?limit=2").json()
    left = api.delete(f"/api/test-sets/{test_set.pk}/cases/c0/")
    rest = api.get(f"/api/test-sets/{test_set.pk}/cases/").json()["items"]

    assert (joined["case_count"], joined["revision"]) == (3, 2)
    assert [(row["position"], row["id"]) for row in listed["items"]] == [(1, "c2"), (2, "c0")]
    assert [row["id"] for row in api.get(listed["next"]).json()["items"]] == ["c1"]
    assert left.status_code == 204
    assert [row["id"] for row in rest] == ["c2", "c1"]
    assert [row["id"] for row in api.get(f"/api/cases/?test_set={test_set.pk}").json()["items"]] == ["c2", "c1"]


def test_cases_of_another_project_cannot_join(api, project):
    test_set, other = make_test_set(project), make_case(make_project(api.organization))

    response = api.post(f"/api/test-sets/{test_set.pk}/cases/", {"cases": [str(other.pk), "nothing"]})
    alone = api.post(f"/api/test-sets/{test_set.pk}/cases/", {"cases": [str(other.pk)]})

    assert errors_of(response) == [("cases[1]", "is not the id of anything that you can see")]
    assert errors_of(alone) == [("cases[0]", "belongs to another project")]
    assert test_set.cases.count() == 0


def test_an_evaluator_in_full(api, project):
    body = {
        "project": "support-bot",
        "name": "Tone",
        "who": "ai",
        "value_type": "label",
        "options": [{"label": "kind", "value": 1, "passes": True}, {"label": "rude", "value": 0, "passes": False}],
        "threshold": None,
        "direction": "none",
        "weight": 2,
        "definition": {"model": "a-judge", "prompt": "Is it kind?"},
    }

    made = api.post("/api/evaluators/", body).json()

    assert {key: made[key] for key in body if key != "project"} == {key: body[key] for key in body if key != "project"}
    assert made["project"] == {"id": str(project.pk), "name": "Support bot"}
    assert (made["version"], made["origin"]) == (1, "own")


def test_an_evaluators_earlier_way_of_judging_is_kept(api, project):

    evaluator = make_evaluator(project, threshold=0.5)
    make_result(make_run(project), evaluations=[Judgement(evaluator=evaluator, value=0.6)])

    changed = api.patch(f"/api/evaluators/{evaluator.pk}/", {"threshold": 0.7}).json()
    versions = api.get(f"/api/evaluators/{evaluator.pk}/versions/").json()["items"]

    assert (changed["threshold"], changed["version"]) == (0.7, 2)
    assert [(row["number"], row["definition"]["threshold"]) for row in versions] == [(1, 0.5)]


def test_bounds_the_wrong_way_round_are_refused(api, project):
    evaluator = make_evaluator(project, max_score=1)

    new = api.post("/api/evaluators/", {**body_of("evaluators"), "min_score": 2, "max_score": 1})
    changed = api.patch(f"/api/evaluators/{evaluator.pk}/", {"min_score": 3})

    assert errors_of(new) == errors_of(changed) == [("min_score", "must not be above max_score")]


def test_an_evaluators_label_is_there_once(api, project):
    evaluator = make_evaluator(project)
    options = [{"label": "ok", "passes": True}, {"label": "meh"}, {"label": "OK", "passes": False}]

    new = api.post("/api/evaluators/", {**body_of("evaluators"), "options": options})
    changed = api.patch(f"/api/evaluators/{evaluator.pk}/", {"options": options})

    assert errors_of(new) == errors_of(changed) == [("options[2].label", "is there twice")]


def test_secrets_of_an_endpoint_go_in_and_never_come_out(api, project):
    made = api.post(
        "/api/endpoints/",
        {
            **body_of("endpoints"),
            "url": "https://bot.example.com/chat",
            "auth_token": "s3cret-token",
            "client_secret": "s3cret-client",
            "request_headers": {"X-Api-Key": "s3cret-header", "Accept": "text/plain"},
        },
    )
    endpoint = Endpoint.objects.get(pk=made.json()["uuid"])

    renamed = api.patch(
        f"/api/endpoints/{endpoint.pk}/",
        {"name": "New", "request_headers": {**made.json()["request_headers"], "Accept": "text/html"}},
    )
    everything = b"".join(
        [
            made.content,
            renamed.content,
            api.get("/api/endpoints/").content,
            api.get(f"/api/endpoints/{endpoint.pk}/").content,
        ]
    )

    assert b"s3cret" not in everything
    assert made.json()["request_headers"] == {"X-Api-Key": "••••••", "Accept": "text/plain"}
    assert made.json()["has_secrets"] is True
    endpoint.refresh_from_db()
    assert endpoint.secrets == {"auth_token": "s3cret-token", "client_secret": "s3cret-client"}
    assert endpoint.request_headers == {"X-Api-Key": "s3cret-header", "Accept": "text/html"}


def test_another_origin_forgets_the_secrets(api, project):
    endpoint = make_endpoint(project)
    endpoint.keep_secrets(auth_token="s3cret")
    endpoint.save()

    same = api.patch(f"/api/endpoints/{endpoint.pk}/", {"url": "https://bot.example.com:443/v2"}).json()
    moved = api.patch(f"/api/endpoints/{endpoint.pk}/", {"url": "https://bot.example.com.evil.example/chat"}).json()

    assert (same["has_secrets"], moved["has_secrets"]) == (True, False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "javascript:alert(1)",
        "https://user:pass@example.com/",
        "//example.com",
        "http:\\\\x",
        "x y",
    ],
)
def test_addresses_that_are_none_are_refused(api, project, url):
    response = api.post("/api/endpoints/", {**body_of("endpoints"), "url": url})

    assert [field for field, _ in errors_of(response)] == ["url"]
    assert Endpoint.objects.count() == 0


def test_a_configuration_in_full(api, project):
    endpoint, test_set = make_endpoint(project), make_test_set(project, external_id="refunds")
    evaluators = [make_evaluator(project, external_id=f"e{n}") for n in range(2)]
    body = {
        "project": str(project.pk),
        "name": "Nightly",
        "endpoint": str(endpoint.pk),
        "test_set": "refunds",
        "evaluators": ["e1", str(evaluators[0].pk)],
        "parameters": {"repetitions": 3},
    }

    made = api.post("/api/configurations/", body).json()
    changed = api.patch(f"/api/configurations/{made['id']}/", {"evaluators": ["e0"], "endpoint": None}).json()

    assert made["endpoint"] == {"id": str(endpoint.pk), "name": endpoint.name}
    assert made["test_set"] == {"id": "refunds", "name": test_set.name}
    assert [one["id"] for one in made["evaluators"]] == ["e1", "e0"]
    assert made["parameters"] == {"repetitions": 3}
    assert (changed["endpoint"], [one["id"] for one in changed["evaluators"]]) == (None, ["e0"])


def test_a_configuration_refers_to_its_own_project_only(api, project):
    other = make_project(api.organization)

    response = api.post("/api/configurations/", {**body_of("configurations"), "endpoint": str(make_endpoint(other).pk)})

    assert errors_of(response) == [("endpoint", "belongs to another project")]


def test_lists_are_narrowed_by_project(api, project):
    make_evaluator(project, name="here")
    make_evaluator(make_project(api.organization), name="elsewhere")
    make_evaluator(make_project(make_organization()), name="abroad")

    found = {
        ident: [row["name"] for row in api.get(f"/api/evaluators/?project={ident}").json()["items"]]
        for ident in ("support-bot", project.pk, "nothing")
    }

    assert found == {"support-bot": ["here"], project.pk: ["here"], "nothing": []}


def test_a_configuration_says_and_is_told_which_cases_of_its_set_it_asks(api, project):
    made = api.post(
        "/api/configurations/", {"project": project.slug, "name": "Safety", "category": "Safety", "topic": "Cards"}
    ).json()

    changed = api.patch(f"/api/configurations/{made['id']}/", {"topic": None}).json()

    assert [(one["category"], one["topic"], one["prompt"]) for one in (made, changed)] == [
        ("Safety", "Cards", None),
        ("Safety", None, None),
    ]
