import csv
import io
import json

import pytest

from evalhub.audit.models import AuditEvent
from results.models import Evaluation, Review, ReviewAssignment, ReviewRound
from results.records import Judgement
from runs.models import Comment, SavedView, Tag
from tests.api.conftest import Api, errors_of, problem
from tests.factories import make_case, make_evaluator, make_project, make_result, make_results, make_run


@pytest.fixture
def run(project):
    return make_run(project, external_id="run-1")


@pytest.fixture
def ann(api_of) -> Api:
    return api_of("reviewer")


@pytest.fixture
def ben(api_of) -> Api:
    return api_of("reviewer")


# --- reviews ----------------------------------------------------------------------------------------------------------


def test_a_review_changes_the_outcome_and_the_runs_numbers(api, ann, run):
    result = make_result(run, external_id="result-1")

    answer = ann.post("/api/results/result-1/reviews/", {"verdict": "failed", "comment": "No.", "seconds": 12.5})

    review = Review.objects.get()
    assert answer.status_code == 201, answer.content
    assert answer.json() == {
        "id": str(review.pk),
        "result": {"id": "result-1", "name": result.name},
        "reviewer": {"id": str(ann.user.pk), "name": ann.user.name, "email": ann.user.email},
        "assignment": None,
        "verdict": "failed",
        "comment": "No.",
        "via": "api",
        "is_current": True,
        "seconds": 12.5,
        "created_at": review.created_at.isoformat().replace("+00:00", "Z"),
        "withdrawn_at": None,
        "result_outcome": "failed",
        "result_corrected": True,
    }
    shown = api.get("/api/runs/run-1/").json()
    assert (shown["counts"]["failed"], shown["machine"]["passed"], shown["reviews"]["corrected"]) == (1, 1, 1)
    listed = api.get("/api/results/result-1/reviews/").json()["items"]
    assert listed == [{key: value for key, value in answer.json().items() if not key.startswith("result_")}]


def test_a_second_review_must_name_the_first(ann, run):
    result = make_result(run)
    first = ann.post(f"/api/results/{result.pk}/reviews/", {"verdict": "failed"}).json()

    again = ann.post(f"/api/results/{result.pk}/reviews/", {"verdict": "passed"})
    changed = ann.post(f"/api/results/{result.pk}/reviews/", {"verdict": "passed", "replaces": first["id"]})

    assert problem(again)["detail"] == "You have reviewed this result already. Open your review to change it."
    assert (changed.status_code, changed.json()["result_outcome"]) == (201, "passed")
    assert [row["is_current"] for row in ann.get(f"/api/results/{result.pk}/reviews/").json()["items"]] == [True, False]


def test_a_correction_names_its_evaluator_by_the_senders_own_uuid_in_any_case(ann, project, run):
    ident = "FACB6642-4725-4FAE-9323-634E72533C89"
    make_evaluator(project, name="tone", external_id=ident.lower())
    result = make_result(run)

    answer = ann.post(f"/api/results/{result.pk}/reviews/", {"corrections": [{"evaluator": ident, "passed": False}]})

    assert (answer.status_code, answer.json()["result_outcome"]) == (201, "failed")


def test_a_correction_counts_against_the_machines_judgement(ann, project, run):
    tone = make_evaluator(project, name="tone", external_id="tone")
    result = make_result(run, evaluations=[Judgement(evaluator=tone, value=0.9, passed=True)])

    answer = ann.post(
        f"/api/results/{result.pk}/reviews/",
        {"corrections": [{"evaluator": "tone", "passed": False, "explanation": "Rude."}]},
    )

    shown = ann.get(f"/api/results/{result.pk}/?expand=evaluations,reviews").json()
    assert (answer.status_code, answer.json()["result_outcome"]) == (201, "failed")
    assert [(one["source"], one["passed"], one["effective"]) for one in shown["evaluations"]] == [
        ("machine", True, False),
        ("human", False, False),
    ]
    assert shown["scores"][0]["effective"] is False
    assert len(shown["reviews"]) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("verdict", "is required without corrections")]),
        ({"verdict": "maybe"}, [("verdict", "must be one of: (empty), passed, failed, cant_tell")]),
        ({"verdict": "\ufffd"}, [("verdict", "must be one of: (empty), passed, failed, cant_tell")]),
        ({"corrections": [{"evaluator": "nothing", "passed": True}]}, [("corrections[0].evaluator", None)]),
        ({"verdict": "passed", "assignment": "1"}, [("assignment", "must be a UUID")]),
        ({"verdict": "passed", "assignment": "00000000-0000-4000-8000-000000000000"}, [("assignment", None)]),
        ({"verdict": "passed", "replaces": "00000000-0000-4000-8000-000000000000"}, [("replaces", None)]),
        ({"verdict": "passed", "reviewer": "x"}, [("reviewer", "is not known here")]),
    ],
)
def test_a_review_that_does_not_fit_is_refused(ann, run, body, expected):
    result = make_result(run)

    response = ann.post(f"/api/results/{result.pk}/reviews/", body)

    nobody = "is not the id of anything that you can see"
    assert errors_of(response) == [(field, message or nobody) for field, message in expected]
    assert Review.objects.count() == 0


def test_only_whoever_wrote_it_or_a_lead_withdraws_a_review(api, ann, ben, run):
    result = make_result(run)
    review = ann.post(f"/api/results/{result.pk}/reviews/", {"verdict": "failed"}).json()

    refused = ben.delete(f"/api/results/{result.pk}/reviews/{review['id']}/")
    withdrawn = [ann.delete(f"/api/results/{result.pk}/reviews/{review['id']}/") for _ in range(2)]

    assert refused.status_code == 403
    assert [answer.status_code for answer in withdrawn] == [204, 204]
    assert api.get(f"/api/results/{result.pk}/").json()["outcome"] == "passed"


def test_evaluations_are_added_later(api, run):
    result = make_result(run, passed=None)

    url = f"/api/results/{result.pk}/evaluations/"
    late, slow = {"evaluator": "late", "value": 0.1, "passed": False}, {"evaluator": "slow", "error": "timeout"}
    added = api.post(url, {"evaluations": [late, slow]})
    again = api.post(url, {"evaluations": [{**late, "value": 0.9, "passed": True}]})

    assert [(one["evaluator"]["name"], one["state"], one["passed"]) for one in added.json()["items"]] == [
        ("late", "scored", False),
        ("slow", "error", None),
    ]
    assert again.status_code == 201
    assert api.get(f"/api/results/{result.pk}/").json()["outcome"] == "error"  # one did not come to a verdict
    rows = api.get(f"/api/results/{result.pk}/evaluations/").json()["items"]
    assert [(one["evaluator"]["name"], one["value"], one["is_current"]) for one in rows] == [
        ("late", 0.1, False),
        ("late", 0.9, True),
        ("slow", None, True),
    ]


def test_evaluations_that_do_not_fit_are_named_by_index(api, run):
    result = make_result(run, passed=None)

    response = api.post(
        f"/api/results/{result.pk}/evaluations/",
        {"evaluations": [{"evaluator": "a", "value": 1}, {"evaluator": "b", "state": "error", "value": 1}]},
    )

    assert [(e["index"], e["field"], e["message"]) for e in problem(response)["errors"]] == [
        (1, "value", "is for scored evaluations, and this one is error")
    ]
    assert Evaluation.objects.count() == 0


# --- assignments ------------------------------------------------------------------------------------------------------


def test_reviewers_are_assigned_as_the_preview_said(api, ann, ben, run):
    make_results(run, passed=2, failed=4)
    asking = {"run": "run-1", "rule": {"failed": True}, "reviewers": [ann.user.email, str(ben.user.pk)]}

    preview = api.post("/api/assignments/previews/", asking).json()
    nothing_yet = ReviewRound.objects.count()
    made = api.post(
        "/api/assignments/",
        {**asking, "seed": preview["seed"], "name": "Failed ones", "due_at": "2026-06-25T16:00:00Z"},
    )

    assert {key: preview[key] for key in ("results", "reviews", "left_out", "missing")} == {
        "results": 4,
        "reviews": 4,
        "left_out": 0,
        "missing": 0,
    }
    assert [(share["reviewer"]["email"], share["open"], share["new"]) for share in preview["shares"]] == [
        (ann.user.email, 0, 2),
        (ben.user.email, 0, 2),
    ]
    assert (nothing_yet, made.status_code) == (0, 201), made.content
    shown = made.json()
    assert (shown["name"], shown["required"], shown["done"], shown["seed"]) == ("Failed ones", 4, 0, preview["seed"])
    assert api.get(made["Location"]).json() == shown
    mine = ann.get("/api/assignments/?reviewer=me&state=open,started").json()["items"]
    assert [(row["reviewer"]["id"], row["due_at"], row["run"]["id"]) for row in mine] == [
        (str(ann.user.pk), "2026-06-25T16:00:00Z", "run-1")
    ] * 2
    assert len(api.get("/api/assignments/?run=run-1").json()["items"]) == 4
    assert api.get("/api/assignments/?state=done").json()["items"] == []


def test_a_reviewer_answers_an_assignment(api, ann, run):
    result = make_result(run)
    api.post("/api/assignments/", {"results": [str(result.pk)], "reviewers": [ann.user.email]})
    (asked,) = ann.get("/api/assignments/?reviewer=me").json()["items"]

    review = ann.post(f"/api/results/{result.pk}/reviews/", {"verdict": "passed", "assignment": asked["id"]}).json()

    assert review["assignment"] == asked["id"]
    assert ann.get(f"/api/assignments/{asked['id']}/").json()["state"] == "done"
    assert api.get("/api/runs/run-1/").json()["reviews"] == {
        "required": 1,
        "done": 1,
        "reviewed": 1,
        "corrected": 0,
        "conflicts": 0,
    }


def test_an_assignment_is_declined_by_its_reviewer_only(api, ann, ben, run):
    result = make_result(run)
    api.post("/api/assignments/", {"results": [str(result.pk)], "reviewers": [ann.user.email]})
    (asked,) = ann.get("/api/assignments/?reviewer=me").json()["items"]
    url = f"/api/assignments/{asked['id']}/declination/"

    assert ben.post(url, {"reason": "x"}).status_code == 403
    assert errors_of(ann.post(url, {"reason": " "})) == [("reason", "must not be empty")]
    declined = ann.post(url, {"reason": "I wrote it."})
    again = ann.post(url, {"reason": "I wrote it."})

    assert (declined.json()["state"], declined.json()["decline_reason"]) == ("declined", "I wrote it.")
    assert again.status_code == 409


def test_assignments_and_rounds_are_withdrawn_and_closed(api, ann, run):
    make_results(run, failed=3)
    made = api.post("/api/assignments/", {"run": "run-1", "reviewers": [ann.user.email]}).json()
    first, *_ = ann.get("/api/assignments/").json()["items"]

    withdrawn = api.post(f"/api/assignments/{first['id']}/withdrawal/").json()
    changed = api.patch(f"/api/rounds/{made['id']}/", {"name": "Renamed", "rubric": "**Be fair.**"}).json()
    closed = api.post(f"/api/rounds/{made['id']}/closure/").json()

    assert withdrawn["state"] == "withdrawn"
    assert (changed["name"], changed["rubric"], changed["required"]) == ("Renamed", "**Be fair.**", 2)
    assert (closed["state"], closed["required"]) == ("closed", 0)
    assert [row["id"] for row in api.get("/api/rounds/?project=support-bot&state=closed").json()["items"]] == [
        made["id"]
    ]
    assert api.post(f"/api/rounds/{made['id']}/withdrawal/").status_code == 200


def test_who_likes_takes_from_a_shared_round(api, ann, run):
    make_results(run, failed=1)
    made = api.post("/api/assignments/", {"run": "run-1"}).json()

    taken = ann.post(f"/api/rounds/{made['id']}/claims/")
    nothing = ann.post(f"/api/rounds/{made['id']}/claims/")

    assert (taken.status_code, taken.json()["reviewer"]["id"]) == (201, str(ann.user.pk))
    assert nothing.status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "results"),
        ({"run": "run-1", "filter": "tag=x"}, 400, "filter"),
        ({"run": "nothing"}, 400, "run"),
        ({"filter": "owner__password=x"}, 400, "filter"),
        ({"filter": "sort=score"}, 400, "filter"),
        ({"run": "run-1", "reviewers": ["stranger@example.com"]}, 400, "reviewers[0]"),
        ({"run": "run-1", "overlap": 0}, 400, "overlap"),
        ({"run": "run-1", "seed": "x"}, 400, "seed"),
        ({"run": "run-1", "rule": {"passed_percent": 101}}, 400, "rule.passed_percent"),
        ({"run": "run-1", "due_at": "2026-06-25"}, 400, "due_at"),
        ({"run": "run-1", "rule": {"conflicts": True}}, 409, None),
    ],
)
def test_an_assignment_that_does_not_fit_asks_nobody(api, run, body, status, field):
    make_results(run, failed=1)

    response = api.post("/api/assignments/", body)

    assert response.status_code == status, response.content
    assert [error["field"] for error in problem(response).get("errors", [])] == ([field] if field else [])
    assert ReviewAssignment.objects.count() == 0


def test_reviewers_do_not_assign(ann, run):
    make_results(run, failed=1)

    assert ann.post("/api/assignments/", {"run": "run-1"}).status_code == 403


def test_lists_around_reviews_do_not_follow_their_rows(api, ann, run, django_assert_num_queries):
    def ask(result) -> None:
        api.post("/api/assignments/", {"results": [str(result.pk)], "reviewers": [ann.user.email]})
        ann.post(f"/api/results/{result.pk}/reviews/", {"verdict": "passed"})
        api.post("/api/comments/", {"entity_type": "run", "entity_id": "run-1", "text": "x"})
        api.post("/api/tags/", {"name": f"t{result.pk}"})
        api.post("/api/views/", {"page": "runs", "name": f"v{result.pk}", "query": ""})

    first = make_result(run)
    ask(first)
    lists = {
        "assignments": 2,
        "rounds": 2,
        "results": 3,
        "runs/run-1/results": 4,
        f"results/{first.pk}/reviews": 3,
        f"results/{first.pk}/evaluations": 3,
        "comments": 2,
        "tags": 2,
        "views": 2,
        "members": 2,
    }
    for path, queries in lists.items():
        with django_assert_num_queries(queries):
            assert len(api.get(f"/api/{path}/").json()["items"]) >= 1, path
    ask(make_result(run))
    ask(make_result(run))
    ann.post(
        f"/api/results/{first.pk}/reviews/",
        {"verdict": "failed", "replaces": str(Review.objects.filter(result=first).get().pk)},
    )
    for path, queries in lists.items():
        with django_assert_num_queries(queries):
            assert len(api.get(f"/api/{path}/").json()["items"]) >= 2, path


def test_strangers_find_nothing_of_reviews(api, ann, stranger, run):
    result = make_result(run, external_id="result-1")
    made = api.post("/api/assignments/", {"run": "run-1", "reviewers": [ann.user.email]}).json()
    (asked,) = api.get("/api/assignments/").json()["items"]

    answers = [
        stranger.get("/api/results/result-1/"),
        stranger.post("/api/results/result-1/reviews/", {"verdict": "passed"}),
        stranger.post("/api/results/result-1/evaluations/", {"evaluations": [{"evaluator": "a"}]}),
        stranger.get(f"/api/rounds/{made['id']}/"),
        stranger.post(f"/api/rounds/{made['id']}/claims/"),
        stranger.post(f"/api/rounds/{made['id']}/closure/"),
        stranger.get(f"/api/assignments/{asked['id']}/"),
        stranger.post(f"/api/assignments/{asked['id']}/withdrawal/"),
        stranger.get("/api/runs/run-1/export/"),
        stranger.get(f"/api/members/{api.user.pk}/"),
    ]
    refused = [
        stranger.post("/api/assignments/", {"results": [str(result.pk)]}),
        stranger.post("/api/assignments/", {"filter": f"run={run.pk}"}),
        stranger.post("/api/comments/", {"entity_type": "run", "entity_id": "run-1", "text": "x"}),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert [answer.status_code for answer in refused] == [400, 409, 400]
    for path in ("results", "assignments", "rounds", "comments", "tags", "views", "audit"):
        assert stranger.get(f"/api/{path}/").json()["items"] == [], path


# --- notes ------------------------------------------------------------------------------------------------------------


def test_comments_are_written_changed_and_deleted_by_their_author(ann, ben, run):
    result = make_result(run, external_id="result-1")

    made = ann.post(
        "/api/comments/",
        {"entity_type": "result", "entity_id": "result-1", "text": "<b>Who?</b>", "turn": 2, "external_id": "c1"},
    )
    listed = ben.get("/api/comments/?entity_type=result&entity_id=result-1").json()["items"]
    refused = ben.patch("/api/comments/c1/", {"text": "Me."}), ben.delete("/api/comments/c1/")
    changed = ann.patch("/api/comments/c1/", {"text": "Who wrote it?"}).json()

    assert made.json() | {"created_at": 0} == {
        "id": "c1",
        "uuid": str(Comment.objects.get().pk),
        "entity_type": "result",
        "entity_id": str(result.pk),
        "author": {"id": str(ann.user.pk), "name": ann.user.name, "email": ann.user.email},
        "text": "<b>Who?</b>",
        "turn": 2,
        "created_at": 0,
        "edited_at": None,
    }
    assert listed == [made.json()]
    assert [answer.status_code for answer in refused] == [403, 403]
    assert (changed["text"], changed["edited_at"] is None) == ("Who wrote it?", False)
    assert ann.delete("/api/comments/c1/").status_code == 204
    assert ann.get("/api/comments/c1/").status_code == 404
    assert errors_of(ann.get("/api/comments/?entity_id=result-1")) == [("entity_type", "is required with entity_id")]


def test_the_tag_list(api, ann):
    made = api.post("/api/tags/", {"name": "regression", "icon": "🐛"})
    taken = api.post("/api/tags/", {"name": "regression"})

    assert (made.status_code, taken.status_code) == (201, 409)
    assert ann.get("/api/tags/").json()["items"] == [made.json()]
    assert ann.post("/api/tags/", {"name": "x"}).status_code == 403
    assert api.delete(f"/api/tags/{made.json()['id']}/").status_code == 204
    assert Tag.objects.count() == 0


def test_saved_views_are_private_until_shared(ann, ben):
    made = ann.post("/api/views/", {"page": "runs", "name": "Failed", "query": "?status=failed&cursor=x"})
    url = f"/api/views/{made.json()['id']}/"

    hidden = ben.get(url), ben.get("/api/views/").json()["items"]
    shared = ann.patch(url, {"shared": True}).json()
    refused = ben.delete(url)
    replaced = ann.post("/api/views/", {"page": "runs", "name": "Failed", "query": "status=partial"}).json()

    assert made.json()["query"] == "status=failed"
    assert (hidden[0].status_code, hidden[1]) == (404, [])
    assert (shared["shared"], ben.get(url).status_code, refused.status_code) == (True, 200, 403)
    assert (replaced["id"], replaced["query"]) == (made.json()["id"], "status=partial")
    assert errors_of(ann.post("/api/views/", {"page": "runs", "name": "x", "query": "owner__password=1"})) == [
        ("query", "owner__password is not a parameter here")
    ]
    assert ann.delete(url).status_code == 204
    assert SavedView.objects.count() == 0


# --- people -----------------------------------------------------------------------------------------------------------


def test_members_are_listed(api, ann, stranger):
    listed = api.get("/api/members/").json()["items"]

    assert [(row["email"], row["role"]) for row in listed] == [(api.user.email, "lead"), (ann.user.email, "reviewer")]
    assert api.get("/api/members/me/").json() == listed[0]
    assert api.get(f"/api/members/{ann.user.email}/").json() == listed[1]
    assert [row["email"] for row in api.get("/api/members/?role=reviewer").json()["items"]] == [ann.user.email]


def test_admins_read_the_audit_trail(api, api_of, project):
    admin = api_of("admin")
    run = api.post("/api/runs/", {"project": "support-bot", "name": "R"}).json()

    (event,) = admin.get(f"/api/audit/?action=run.created&entity_id={run['uuid']}&user={api.user.email}").json()[
        "items"
    ]

    assert event | {"id": 0, "at": 0} == {
        "id": 0,
        "at": 0,
        "action": "run.created",
        "user": {"id": str(api.user.pk), "name": api.user.name, "email": api.user.email},
        "token": "test",
        "entity_type": "testrun",
        "entity_id": run["uuid"],
        "entity_label": "R #1",
        "data": {},
    }
    assert api.get("/api/audit/").status_code == 403
    assert admin.get("/api/audit/?until=2020-01-01T00:00:00Z").json()["items"] == []


# --- exports ----------------------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def test_formulas_are_only_text_in_a_csv(api, project, run):
    for formula in FORMULAS:
        make_result(run, output={"output": formula}, case=make_case(project, name=formula).pk)
    AuditEvent.objects.all().delete()

    response = api.get("/api/runs/run-1/export/?format=csv", headers={"Accept": "text/html"})

    text = b"".join(response.streaming_content).decode()
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="support-bot-run-1.csv"'
    assert head[-2:] == ["correct: score", "correct: verdict"]
    assert [row[head.index("output")] for row in rows] == [f"'{formula}" for formula in FORMULAS]
    assert [row[head.index("name")] for row in rows] == [f"'{formula}" for formula in FORMULAS]
    assert {tuple(row[-2:]) for row in rows} == {("1.0", "passed")}
    assert not any(cell[:1] in "=+-@\t\r" for row in rows for cell in row if cell)
    assert [event.action for event in AuditEvent.objects.all()] == ["run.exported"]


def test_json_lines_hold_everything(api, ann, run):
    make_results(run, passed=2, failed=1)
    failed = api.get("/api/runs/run-1/results/?outcome=failed").json()["items"][0]
    ann.post(f"/api/results/{failed['id']}/reviews/", {"verdict": "cant_tell"})

    lines = b"".join(api.get("/api/runs/run-1/export/?outcome=failed").streaming_content).splitlines()

    (row,) = map(json.loads, lines)
    expanded = api.get(f"/api/results/{failed['id']}/?expand=steps,evaluations,reviews").json()
    assert row == expanded


def test_an_export_needs_the_right_to_it(api_of, run):
    assert api_of("viewer").get("/api/runs/run-1/export/").status_code == 200
    assert api_of("lead", ["record"]).get("/api/runs/run-1/export/").status_code == 403
    assert errors_of(api_of("viewer").get("/api/runs/run-1/export/?format=xlsx")) == [
        ("format", "must be one of: csv, jsonl")
    ]


def test_the_lists_of_results_filter_and_sort(api, project, run):
    other = make_run(project)
    make_results(run, passed=2, failed=2)
    make_result(other, external_id="r9", tags=["odd"])
    evaluator = api.get("/api/runs/run-1/evaluators/").json()["items"][0]["evaluator"]["id"]

    def found(query: str) -> list[str]:
        response = api.get(f"/api/results/?{query}")
        assert response.status_code == 200, response.content
        return [row["outcome"] for row in response.json()["items"]]

    by_score = f"run=run-1&evaluator={evaluator}&sort=-score&limit=3"
    first = api.get(f"/api/results/?{by_score}").json()
    assert found("run=run-1") == ["failed", "failed", "passed", "passed"]
    assert found("run=run-1&outcome=passed") == ["passed", "passed"]
    assert found("tag=odd") == ["passed"]
    assert [row["outcome"] for row in first["items"]] == ["passed", "passed", "failed"]
    assert [row["outcome"] for row in api.get(first["next"]).json()["items"]] == ["failed"]
    assert len(api.get("/api/results/").json()["items"]) == 5
    assert errors_of(api.get("/api/results/?sort=score"))[0][0] == "sort"
    assert make_project(api.organization).runs.count() == 0


def test_a_result_in_a_list_in_full(api, project, run):
    result = make_result(run, external_id="r1", case=make_case(project, external_id="c1", name="One").pk, latency_ms=5)

    (row,) = api.get("/api/runs/run-1/results/").json()["items"]

    evaluation = Evaluation.objects.get()
    assert row == {
        "id": "r1",
        "uuid": str(result.pk),
        "run": {"id": "run-1", "name": run.name},
        "case": {"id": "c1", "number": 1, "name": "One"},
        "variant": None,
        "repetition": 1,
        "position": 1,
        "name": "One",
        "outcome": "passed",
        "machine_outcome": "passed",
        "human_verdict": "",
        "corrected": False,
        "review": {"state": "none", "required": 0, "done": 0, "count": 0},
        "error_code": "",
        "latency_ms": 5.0,
        "cost": None,
        "tokens": None,
        "tags": [],
        "created_at": result.created_at.isoformat().replace("+00:00", "Z"),
        "archived_at": None,
        "input": "Question 1?",
        "output": "An answer.",
        "scores": [
            {
                "evaluator": {"id": str(evaluation.evaluator_id), "name": "correct"},
                "state": "scored",
                "value": 1.0,
                "label": None,
                "passed": True,
                "effective": True,
            }
        ],
    }


def test_an_expansion_that_is_none_is_refused(api, run):
    result = make_result(run)

    response = api.get(f"/api/results/{result.pk}/?expand=steps,secrets")

    assert errors_of(response) == [("expand", "must be one of: steps, evaluations, reviews, case")]
