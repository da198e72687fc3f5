import pytest

from evalhub.audit.models import AuditEvent
from results.records import Judgement
from runs.evaluators import change_evaluator
from runs.launching import snapshots_of
from runs.models import Project, TestRun, Variant
from tests.api.conftest import errors_of, problem
from tests.factories import (
    make_case,
    make_configuration,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
)


def test_a_run_is_opened_read_changed_and_ended(api, project):
    configuration = make_configuration(project, external_id="nightly")
    body = {
        "project": "support-bot",
        "configuration": "nightly",
        "name": "Nightly 06-18",
        "branch": "main",
        "commit": "9f3a2c1",
        "model": "a-model",
        "planned_count": 3,
        "assignee": api.user.email,
        "tags": ["nightly"],
        "metadata": {"ci": {"type": "string", "value": "x"}},
        "attributes": {"build": 7},
        "started_at": "2026-06-18T10:00:00+02:00",
        "variants": [{"label": "short", "provider": "p", "parameters": {"t": 0.5}}, {"label": "long"}],
        "external_id": "run 7",
    }

    opened = api.post("/api/runs/", body)

    run = TestRun.objects.get()
    me = {"id": str(api.user.pk), "name": api.user.name, "email": api.user.email}
    times = {"created_at": run.created_at, "updated_at": run.updated_at}
    assert opened.status_code == 201, opened.content
    assert opened["Location"] == "http://testserver/api/runs/run%207/"
    assert opened.json() == {
        "id": "run 7",
        "uuid": str(run.pk),
        "number": 1,
        "name": "Nightly 06-18",
        "status": "running",
        "via": "api",
        "project": {"id": str(project.pk), "name": "Support bot"},
        "configuration": {"id": "nightly", "name": configuration.name},
        "branch": "main",
        "commit": "9f3a2c1",
        "model": "a-model",
        "tags": ["nightly"],
        "owner": me,
        "assignee": me,
        "created_by": me,
        "counts": {"planned": 3, "results": 0, "cases": 0, "passed": 0, "failed": 0, "errors": 0, "unjudged": 0},
        "machine": {"passed": 0, "failed": 0, "errors": 0, "unjudged": 0},
        "pass_rate": None,
        "pass_interval": None,
        "judged_share": None,
        "reviews": {"required": 0, "done": 0, "reviewed": 0, "corrected": 0, "conflicts": 0},
        "cost": None,
        "tokens": 0,
        "mean_latency_ms": None,
        **{name: moment.isoformat().replace("+00:00", "Z") for name, moment in times.items()},
        "started_at": "2026-06-18T08:00:00Z",
        "finished_at": None,
        "archived_at": None,
        "reference": None,
        "variants": [
            {"position": 0, "label": "short", "provider": "p", "prompt": "", "parameters": {"t": 0.5}},
            {"position": 1, "label": "long", "provider": "", "prompt": "", "parameters": {}},
        ],
        "snapshot": run.snapshot,
        "declared": {},
        "warnings": [],
        "error": "",
        "metadata": {"ci": {"type": "string", "value": "x"}},
        "attributes": {"build": 7},
    }
    assert api.get(f"/api/runs/{run.pk}/").json() == api.get("/api/runs/run 7/").json() == opened.json()

    make_result(run)
    ended = api.patch("/api/runs/run 7/", {"status": "finished", "name": "Renamed", "owner": None})
    again = api.patch("/api/runs/run 7/", {"status": "finished"})

    assert (ended.json()["status"], ended.json()["name"], ended.json()["owner"]) == ("completed", "Renamed", None)
    assert ended.json()["finished_at"] is not None
    assert again.json() == ended.json()
    assert list(AuditEvent.objects.order_by("id").values_list("action", flat=True)) == ["run.created", "run.changed"]


def test_a_run_needs_no_more_than_a_project(api, project):
    opened = api.post("/api/runs/", {"project": str(project.pk)})

    assert (opened.status_code, opened.json()["name"]) == (201, "Run 1")


def test_a_configuration_names_the_project(api, project):
    opened = api.post("/api/runs/", {"configuration": str(make_configuration(project).pk)})

    assert opened.json()["project"]["id"] == str(project.pk)
    assert errors_of(api.post("/api/runs/", {})) == [("project", "is required without a configuration")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"project": "nothing"}, [("project", "is not the id of anything that you can see")]),
        ({"name": ""}, [("name", "must not be empty")]),
        ({"status": "completed"}, [("status", "must be one of: queued, running")]),
        (
            {"started_at": "2026-01-01T00:00:00"},
            [
                (
                    "started_at",
                    "must be a time with its offset, such as 2026-06-18T08:00:00Z or 2026-06-18T10:00:00+02:00",
                )
            ],
        ),
        (
            {"started_at": "0001-01-01T00:00:00+14:00"},
            [("started_at", "is not a time that exists in the years 1 to 9999")],
        ),
        ({"planned_count": "3"}, [("planned_count", "must be a whole number")]),
        ({"planned_count": 1.0}, [("planned_count", "must be a whole number")]),
        ({"planned_count": True}, [("planned_count", "must be a whole number")]),
        ({"planned_count": -1}, [("planned_count", "must be from 0 to 2,147,483,647")]),
        ({"variants": [{"label": "x", "colour": 1}]}, [("variants[0].colour", "is not known here")]),
        ({"variants": [{}]}, [("variants[0].label", "is required")]),
        ({"via": "import", "passed": 9}, [("via", "is not known here"), ("passed", "is not known here")]),
        ({"external_id": "a/b"}, [("external_id", "must not hold a slash, nor be . or ..")]),
        ({"external_id": " x"}, [("external_id", "must not begin or end with a space")]),
    ],
)
def test_what_does_not_fit_opens_no_run(api, project, change, expected):
    response = api.post("/api/runs/", {"project": "support-bot", **change})

    assert errors_of(response) == expected
    assert TestRun.objects.count() == 0


def test_the_list_filters_sorts_and_pages(api, project):
    other = make_project(api.organization)
    runs = [make_run(project, name=f"R{n}", branch="main" if n else "dev", tags=["t"]) for n in range(3)]
    make_run(other, name="elsewhere")
    make_run(make_project(make_organization()), name="abroad")
    make_run(project, name="hidden", kind=TestRun.Kind.PRODUCTION, day="2026-01-01")

    def names(query: str) -> list[str]:
        response = api.get(f"/api/runs/?{query}")
        assert response.status_code == 200, response.content
        return [row["name"] for row in response.json()["items"]]

    first = api.get("/api/runs/?limit=2&project=support-bot").json()
    assert names("") == ["elsewhere", "R2", "R1", "R0"]
    assert names("project=support-bot&branch=main&sort=name") == ["R1", "R2"]
    assert names(f"q={runs[0].pk}") == ["R0"]
    assert names("tag=t&status=running&limit=1") == ["R2"]
    assert names("project=nothing") == []
    assert [row["name"] for row in first["items"] + api.get(first["next"]).json()["items"]] == ["R2", "R1", "R0"]


def test_the_list_makes_three_queries_whatever_it_shows(api, project, django_assert_num_queries):
    make_run(project)
    api.get("/api/runs/")

    with django_assert_num_queries(3):
        api.get("/api/runs/")
    make_run(project)
    make_run(project)
    with django_assert_num_queries(3):
        assert len(api.get("/api/runs/").json()["items"]) == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("owner__password__startswith=p", "owner__password__startswith"),
        ("sort=owner__password", "sort"),
        ("sort=-created&sort=name", "sort"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%2B1", "limit"),
        ("archived=banana", "archived"),
        ("pass_rate_min=%D9%A1", "pass_rate_min"),
        ("pass_rate_min=nan", "pass_rate_min"),
        ("created_after=2026-01-01T00:00:00", "created_after"),
        ("created_after=yesterday", "created_after"),
        ("status=flying", "status"),
        ("q=%00", "q"),
        ("q=%ED%A0%80", "q"),
        ("%00=1", "\ufffd"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(api, project, query, field):
    response = api.get(f"/api/runs/?{query}")

    assert response.status_code == 400, response.content
    assert [name for name, _ in errors_of(response)] == [field]


def test_a_choice_that_is_none_is_told_the_choices(api, project):
    (wrong,) = errors_of(api.get("/api/runs/?status=sleeping"))

    assert wrong == ("status", "must be one of active, queued, running, completed, partial, failed, cancelled")


@pytest.mark.parametrize("cursor", ["x", "%00", "W10~abc", "~", "a" * 5000])
def test_a_cursor_that_is_not_ours_is_refused(api, cursor):
    assert api.get(f"/api/runs/?cursor={cursor}").status_code == 400


def test_a_run_is_cancelled_once(api, project):
    run = make_run(project)

    answers = [api.post(f"/api/runs/{run.pk}/cancellation/") for _ in range(2)]
    ended = api.post(f"/api/runs/{make_run(project, status='completed').pk}/cancellation/")

    assert [answer.json()["status"] for answer in answers] == ["cancelled", "cancelled"]
    assert problem(ended)["detail"] == "The run is completed already."
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["run.cancelled"]


def test_a_run_that_has_ended_does_not_start_again(api, project):
    run = make_run(project, status="failed")

    response = api.patch(f"/api/runs/{run.pk}/", {"status": "running", "name": "Changed"})

    assert errors_of(response) == [("status", "cannot follow failed")]
    assert api.get(f"/api/runs/{run.pk}/").json()["name"] == run.name


def test_a_run_is_archived_restored_and_deleted_with_its_results(api, project):
    run = make_run(project)
    result = make_result(run)

    archived = api.post(f"/api/runs/{run.pk}/archival/").json()
    listed = api.get("/api/runs/").json()["items"], api.get("/api/runs/?archived=true").json()["items"]
    restored = api.delete(f"/api/runs/{run.pk}/archival/").json()
    deleted = api.delete(f"/api/runs/{run.pk}/")

    assert (archived["archived_at"] is None, restored["archived_at"]) == (False, None)
    assert (listed[0], len(listed[1])) == ([], 1)
    assert deleted.status_code == 204
    assert [api.get(f"/api/{path}/").status_code for path in (f"runs/{run.pk}", f"results/{result.pk}")] == [404, 404]


def test_a_change_of_an_older_state_is_refused_while_results_arrive(api, project):
    run = make_run(project)
    seen = api.get(f"/api/runs/{run.pk}/")["ETag"]
    make_result(run)

    first = api.patch(f"/api/runs/{run.pk}/", {"name": "First"}, headers={"If-Match": seen})
    second = api.patch(f"/api/runs/{run.pk}/", {"name": "Second"}, headers={"If-Match": seen})

    assert (first.status_code, second.status_code) == (200, 412)
    assert api.get(f"/api/runs/{run.pk}/").json()["name"] == "First"


def test_the_numbers_of_a_runs_evaluators(api, project, django_assert_num_queries):
    run = make_run(project)
    tone = make_evaluator(project, name="tone", threshold=0.5, external_id="tone")
    for value in (0.2, 0.4, 0.9):
        make_result(
            run, evaluations=[Judgement(evaluator=tone, value=value), Judgement(evaluator="exact", passed=True)]
        )
    api.get(f"/api/runs/{run.pk}/evaluators/")

    with django_assert_num_queries(4):
        rows = api.get(f"/api/runs/{run.pk}/evaluators/").json()["items"]

    assert [row["evaluator"]["name"] for row in rows] == ["tone", "exact"]
    assert rows[0] == {
        "evaluator": {"id": "tone", "name": "tone"},
        "who": "heuristic",
        "threshold": 0.5,
        "variant": None,
        "scored": 3,
        "unscored": 0,
        "pending": 0,
        "errors": 0,
        "passed": 1,
        "failed": 2,
        "machine_passed": 1,
        "machine_failed": 2,
        "corrected": 0,
        "pass_rate": pytest.approx(1 / 3),
        "pass_interval": [pytest.approx(0.0615, abs=1e-3), pytest.approx(0.7923, abs=1e-3)],
        "mean": pytest.approx(0.5),
        "min": 0.2,
        "max": 0.9,
    }


def test_the_threshold_of_a_runs_evaluator_is_the_one_it_was_judged_by(api, project):
    tone = make_evaluator(project, name="tone", threshold=0.5)
    run = make_run(project, snapshot={"evaluators": snapshots_of([tone])})
    make_result(run, evaluations=[Judgement(evaluator=tone, value=0.7)])
    change_evaluator(tone, threshold=0.9)

    (row,) = api.get(f"/api/runs/{run.pk}/evaluators/").json()["items"]

    assert (row["threshold"], row["passed"]) == (0.5, 1)


def test_an_evaluators_interval_does_not_take_repetitions_for_cases(api, project):
    """Two cases of two results each, one passes: n = 0.25 / (2 * 2 / 4^2) = 1, for each variant and for those without.

    ``tests/results/test_summary.py`` has the sums.
    """
    run = make_run(project)
    Variant.objects.create(organization=run.organization, run=run, position=0, label="zero")
    for passed in (True, False):
        case = make_case(project).pk
        for repetition in (1, 2):
            judged = {
                "case": case,
                "repetition": repetition,
                "evaluations": [Judgement(evaluator="exact", passed=passed)],
            }
            make_result(run, **judged)
            make_result(run, **judged, variant=0)

    rows = api.get(f"/api/runs/{run.pk}/evaluators/").json()["items"]

    interval = [pytest.approx(0.0546, abs=5e-5), pytest.approx(0.9454, abs=5e-5)]
    assert [(row["variant"] and row["variant"]["label"], row["pass_interval"]) for row in rows] == [
        (None, interval),
        ("zero", interval),
    ]


def test_counts_follow_the_results(api, project):
    run = make_run(project)
    make_results(run, passed=3, failed=1)

    (row,) = api.get("/api/runs/").json()["items"]

    assert row["counts"] == {
        "planned": 0,
        "results": 4,
        "cases": 4,
        "passed": 3,
        "failed": 1,
        "errors": 0,
        "unjudged": 0,
    }
    assert (row["pass_rate"], len(row["pass_interval"])) == (0.75, 2)


def test_what_rights_say_holds(api_of, project):
    run = make_run(project)

    def statuses(caller) -> list[int]:
        return [
            caller.get(f"/api/runs/{run.pk}/").status_code,
            caller.post("/api/runs/", {"project": "support-bot"}).status_code,
            caller.patch(f"/api/runs/{run.pk}/", {}).status_code,
            caller.post(f"/api/runs/{run.pk}/archival/").status_code,
        ]

    assert statuses(api_of("viewer")) == [200, 403, 403, 403]
    assert statuses(api_of("reviewer")) == [200, 403, 403, 403]
    assert statuses(api_of("lead", ["record"])) == [200, 201, 200, 403]
    assert statuses(api_of("lead", ["read"])) == [200, 403, 403, 403]
    assert statuses(api_of("lead", ["manage"])) == [200, 403, 200, 200]


def test_strangers_find_no_run(stranger, project):
    run = make_run(project, external_id="run-123")

    answers = [
        stranger.get("/api/runs/run-123/"),
        stranger.get(f"/api/runs/{run.pk}/"),
        stranger.patch(f"/api/runs/{run.pk}/", {"name": "mine"}),
        stranger.post(f"/api/runs/{run.pk}/cancellation/"),
        stranger.get(f"/api/runs/{run.pk}/results/"),
        stranger.post(f"/api/runs/{run.pk}/results/", {"results": [{}]}),
        stranger.get(f"/api/runs/{run.pk}/evaluators/"),
        stranger.delete(f"/api/runs/{run.pk}/"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert stranger.get("/api/runs/").json()["items"] == []
    assert (Project.objects.count(), TestRun.objects.get().status, Variant.objects.count()) == (1, "running", 0)
