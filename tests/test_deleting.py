"""What is deleted is gone for everybody with all that belongs to it, and its senders' ids are free again."""

from operator import attrgetter

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models

from evalhub.accounts.rights import Role
from evalhub.accounts.tenancy import Deletable, Tenant
from results.assigning import assign_reviewers
from results.models import TestResult
from runs.archiving import archive, delete, restore
from runs.attaching import attach
from runs.cases import CaseSpec, ensure_cases
from runs.models import Case, Comment, EntityType, Task, TestRun
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_project,
    make_result,
    make_run,
    make_test_set,
    make_token,
    make_user,
)

ELSEWHERE = {  # keys that need not be followed, and why
    "Rollup.evaluator": "old runs keep the numbers of deleted evaluators",
    "Rollup.variant": "is of the same run",
    "TestResult.variant": "is of the same run",
    "Evaluation.run": "is the result's",
    "ReviewAssignment.round": "is about results of the same project",
    "ReviewRound.run": "is of the same project; a test of its own is below",
}
TENANTS = [model for model in apps.get_models() if issubclass(model, Tenant)]


def ancestors(model, path=""):
    """Every way up from a row to a thing that may be deleted, along the keys that would take the row with them."""
    for field in model._meta.local_fields:
        above = field.related_model
        if (
            isinstance(field, models.ForeignKey)
            and field.remote_field.on_delete is models.CASCADE
            and issubclass(above, Tenant)
            and above is not model
            and f"{model.__name__}.{field.name}" not in ELSEWHERE
        ):
            if issubclass(above, Deletable):
                yield f"{path}{field.name}__deleted_at"
            yield from ancestors(above, f"{path}{field.name}__")


@pytest.mark.parametrize("model", TENANTS, ids=lambda model: model.__name__)
def test_a_row_goes_with_what_it_belongs_to(model):
    own = {"deleted_at"} if issubclass(model, Deletable) else set()

    assert (own | set(ancestors(model))) - set(model.deleted_paths) == set()


@pytest.fixture
def actor(db):
    return make_actor(role=Role.ADMIN)


@pytest.fixture
def project(actor):
    return make_project(actor.organization)


def test_a_deleted_run_takes_its_round_with_it(client, actor, project):
    result = make_result(make_run(project))
    asked = assign_reviewers([result], [make_user(actor.organization, Role.REVIEWER)], by=actor)
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}
    client.force_login(actor.user)

    delete(result.run, by=actor)

    assert client.get(f"/rounds/{asked.pk}/").status_code == 404
    assert client.get(f"/api/rounds/{asked.pk}/", headers=bearer).status_code == 404
    assert client.get("/api/rounds/", headers=bearer).json()["items"] == []


@pytest.fixture
def media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


def things(project):
    """One of each kind that notes can be about."""
    result = make_result(make_run(project))
    return {
        EntityType.PROJECT: project,
        EntityType.ENDPOINT: make_endpoint(project),
        EntityType.TEST_SET: make_test_set(project),
        EntityType.CASE: result.case,
        EntityType.EVALUATOR: make_evaluator(project),
        EntityType.CONFIGURATION: make_configuration(project),
        EntityType.RUN: result.run,
        EntityType.RESULT: result,
    }


def note_on(kind, thing, actor):
    """A comment, a file and a task about it; every address that shows one of them, or lists them."""
    about = {"organization": actor.organization, "entity_type": kind, "entity_id": thing.pk}
    comment = Comment.objects.create(author=actor.user, text="Who wrote this?", **about)
    task = Task.objects.create(title="Ask who wrote this", **about)
    file = attach(SimpleUploadedFile("page.txt", b"This."), kind, thing.pk, by=actor)
    return [
        f"/api/comments/{comment.pk}/",
        f"/attachments/{file.pk}/",
        f"/rhesis/comments/{comment.pk}",
        f"/rhesis/tasks/{task.pk}",
        f"/rhesis/files/{file.pk}",
        f"/rhesis/files/{file.pk}/content",
    ], ["/api/comments/", f"/api/comments/?entity_type={kind}", "/rhesis/comments", "/rhesis/tasks", "/rhesis/files"]


def deletions():
    """Of the thing itself, and of each thing above it."""
    for kind in EntityType:
        above = ["run", "run.project"] if kind == EntityType.RESULT else ["project"] * (kind != EntityType.PROJECT)
        yield from ((kind, path) for path in ("", *above))


@pytest.mark.parametrize(("kind", "above"), list(deletions()))
def test_notes_go_with_what_they_are_about(client, actor, project, media, kind, above):
    thing = things(project)[kind]
    here = things(make_project(actor.organization))[kind]
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}
    shown, lists = note_on(kind, thing, actor)
    kept, _ = note_on(kind, here, actor)

    def answers(addresses):
        return {client.get(address, headers=bearer).status_code for address in addresses}

    def listed():
        pages = [client.get(address, headers=bearer).json() for address in lists]
        return [len(page["items"] if isinstance(page, dict) else page) for page in pages]

    before = answers(shown), listed()

    delete(attrgetter(above)(thing) if above else thing, by=actor)

    assert before == ({200}, [2] * len(lists))
    assert answers(shown) == {404}
    assert answers(kept) == {200}
    assert listed() == [1] * len(lists)


def test_a_task_about_nothing_stays(client, actor):
    task = Task.objects.create(organization=actor.organization, title="Water the plants")
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}

    assert [one["id"] for one in client.get("/rhesis/tasks", headers=bearer).json()] == [str(task.pk)]


def test_what_is_archived_keeps_its_notes(client, actor, project, media):
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}
    shown, _ = note_on(EntityType.PROJECT, project, actor)

    archive(project, by=actor)

    assert {client.get(address, headers=bearer).status_code for address in shown} == {200}


@pytest.mark.parametrize("gone", ["the comment", "what it is about"])
def test_the_id_of_a_comment_is_free_once_it_is_gone(client, actor, project, gone):
    first, second = make_result(make_run(project)), make_result(make_run(project))
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}

    def comment_on(result):
        body = {"entity_type": "result", "entity_id": str(result.pk), "text": "Why?", "external_id": "comment-1"}
        return client.post("/api/comments/", body, content_type="application/json", headers=bearer).status_code

    made, taken = comment_on(first), comment_on(second)
    if gone == "the comment":
        client.delete("/api/comments/comment-1/", headers=bearer)
    else:
        delete(first.run, by=actor)

    assert (made, taken, comment_on(second)) == (201, 409, 201)
    assert client.get("/api/comments/comment-1/", headers=bearer).json()["entity_id"] == str(second.pk)


def test_nothing_of_a_deleted_project_is_left(client, actor, project):
    result = make_result(make_run(project))
    asked = assign_reviewers([result], [make_user(actor.organization, Role.REVIEWER)], by=actor)
    rows = {
        "runs": result.run,
        "results": result,
        "rounds": asked,
        "cases": result.case,
        "evaluators": make_evaluator(project),
        "endpoints": make_endpoint(project),
        "test-sets": make_test_set(project),
        "configurations": make_configuration(project),
    }
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}
    paths = [f"/api/{noun}/{row.pk}/" for noun, row in rows.items()]
    before = [client.get(path, headers=bearer).status_code for path in paths]

    delete(project, by=actor)

    assert before == [200] * len(paths)
    assert [client.get(path, headers=bearer).status_code for path in paths] == [404] * len(paths)


def test_ids_of_results_are_free_once_their_run_is_deleted(actor, project):
    first = make_result(make_run(project), external_id="result-1")
    delete(first.run, by=actor)

    second = make_result(make_run(project), external_id="result-1")

    assert list(TestResult.objects.visible_to(actor).with_id("result-1")) == [second]


def test_ids_of_cases_and_runs_are_free_once_their_project_is_deleted(actor, project):
    ensure_cases(project, [CaseSpec(external_id="case-1")])
    make_run(project, external_id="run-1")
    delete(project, by=actor)
    again = make_project(actor.organization)

    case = ensure_cases(again, [CaseSpec(external_id="case-1")])["case-1"]
    run = make_run(again, external_id="run-1")

    assert list(Case.objects.visible_to(actor).with_id("case-1")) == [case]
    assert list(TestRun.objects.visible_to(actor).with_id("run-1")) == [run]


def test_a_result_keeps_showing_its_deleted_case(client, actor, project):
    result = make_result(make_run(project), case=make_case(project, name="Refund after 30 days").pk)
    client.force_login(actor.user)

    delete(result.case, by=actor)

    assert "Refund after 30 days" in client.get(f"/results/{result.pk}/").text
    assert client.get(f"/cases/{result.case_id}/").status_code == 404


@pytest.mark.parametrize("change", [[archive], [archive, restore], [delete]], ids=["archived", "restored", "deleted"])
def test_a_set_has_another_revision_once_it_asks_for_other_cases(actor, project, change):
    test_set = make_test_set(project)
    case = make_case(project, test_set)
    test_set.refresh_from_db()
    before = test_set.revision

    for step in change:
        step(case, by=actor)

    test_set.refresh_from_db()
    assert test_set.revision == before + len(change)


def test_a_case_deleted_through_the_api_raises_the_revision_too(client, actor, project):
    test_set = make_test_set(project)
    case = make_case(project, test_set)
    test_set.refresh_from_db()
    bearer = {"Authorization": f"Bearer {make_token(actor.user, actor.organization)}"}

    client.delete(f"/api/cases/{case.pk}/", headers=bearer)

    assert type(test_set).objects.get(pk=test_set.pk).revision == test_set.revision + 1
