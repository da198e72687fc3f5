"""Tasks, comments, emojis, tags, files, statuses, lists of values, users, and the key itself."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from runs.models import Attachment, Comment, Lookup
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db

ABOUT = {"entity_type": "TestRun", "entity_id": "run-123"}


def test_a_task_is_made_changed_and_done(door: Door, world: World):
    body = {"title": "Look", "status_id": "Open", "priority_id": "High", "assignee_id": "ada@example.com", **ABOUT,
            "task_metadata": {"a": 1}}  # fmt: skip
    made = door.post("tasks", body)
    done = door.ask("PATCH", f"tasks/{made['id']}", {"status_id": "completed"})
    open_again = door.ask("PATCH", f"tasks/{made['id']}", {"status_id": "in_progress", "title": "Look twice"})

    assert (made["status"]["name"], made["priority"]["type_value"], made["assignee"]["name"]) == ("Open", "High", "Ada")
    assert (made["entity_type"], made["entity_id"], made["task_metadata"]) == ("TestRun", "run-123", {"a": 1})
    assert (done["status_id"], done["completed_at"] is None) == ("completed", False)
    assert (open_again["status"]["name"], open_again["title"], open_again["completed_at"]) == (
        "In Progress", "Look twice", None,
    )  # fmt: skip
    assert door.get("tasks/TestRun/run-123") == [open_again]
    assert door.get("test_runs/run-123")["counts"]["tasks"] == 1
    assert door.filtered("tasks", "entity_type eq 'TestRun' and entity_id eq 'run-123'") == [made["id"]]
    assert door.delete(f"tasks/{made['id']}")["id"] == made["id"]
    assert door.refused("DELETE", f"tasks/{made['id']}")[0] == 404


def test_wrong_tasks_are_refused(door: Door, world: World):
    assert door.refused("POST", "tasks", {"title": "x"})[0] == 422
    assert door.refused("POST", "tasks", {"title": "x", "status_id": "asleep"})[0] == 400
    assert door.refused("POST", "tasks", {"title": "x", "status_id": "open", "priority_id": "huge"})[0] == 400
    assert door.refused("POST", "tasks", {"title": "x", "status_id": "open", "entity_type": "Test"})[0] == 422
    assert door.refused("POST", "tasks", {"title": "x", "status_id": "open", **ABOUT, "entity_id": "no"})[0] == 400
    assert door.refused("GET", "tasks/Mood/x")[0] == 422
    assert door.refused("GET", "tasks/TestRun/run-404")[0] == 404


def test_comments_and_their_emojis(door: Door, world: World):
    colleague = Door(make_token(make_user(world.organization, name="Bo"), world.organization))
    made = door.post("comments", {"content": "Why?", **ABOUT})
    changed = door.put(f"comments/{made['id']}", {"content": "Why not?"})
    door.post(f"comments/{made['id']}/emoji/👍")
    door.post(f"comments/{made['id']}/emoji/👍")
    liked = colleague.post(f"comments/{made['id']}/emoji/👍")
    cooler = door.delete(f"comments/{made['id']}/emoji/👍")
    cold = colleague.delete(f"comments/{made['id']}/emoji/👍")

    assert (made["content"], made["user"]["name"], made["emojis"]) == ("Why?", "Ada", {})
    assert (changed["content"], changed["edited_at"] is None) == ("Why not?", False)
    assert [one["user_name"] for one in liked["emojis"]["👍"]] == ["Ada", "Bo"]
    assert [one["user_name"] for one in cooler["emojis"]["👍"]] == ["Bo"]
    assert cold["emojis"] == {}
    assert [row["id"] for row in door.get("comments/entity/TestRun/run-123")] == [made["id"]]
    assert door.get("test_runs/run-123")["counts"]["comments"] == 1
    assert colleague.refused("PUT", f"comments/{made['id']}", {"content": "x"})[0] == 403
    assert door.delete(f"comments/{made['id']}")["id"] == made["id"]
    assert door.refused("GET", f"comments/{made['id']}")[0] == 404
    assert Comment.objects.get().deleted_at is not None


@pytest.mark.parametrize(
    ("kind", "ident"),
    [("TestRun", "run-123"), ("test_run", "run-123"), ("TestResult", "result-1"), ("Test", "case-1"),
     ("TestSet", "test-set-456"), ("Endpoint", "endpoint-123"), ("TestConfiguration", "config-123")],
)  # fmt: skip
def test_tags_go_on_and_come_off(door: Door, world: World, kind: str, ident: str):
    resource = {"test": "tests"}.get(kind.lower(), "")
    resource = resource or {"testrun": "test_runs", "testresult": "test_results", "testset": "test_sets",
                            "endpoint": "endpoints", "testconfiguration": "test_configurations"}[
        kind.lower().replace("_", "")
    ]  # fmt: skip

    tag = door.post(f"tags/{kind}/{ident}", {"name": "nightly", "icon_unicode": "🌙"})
    tagged = door.get(f"{resource}/{ident}")["tags"]
    off = door.delete(f"tags/{kind}/{ident}/{tag['id']}")

    assert tagged == [{"id": tag["id"], "name": "nightly", "icon_unicode": "🌙"}]
    assert off["name"] == "nightly"
    assert door.get(f"{resource}/{ident}")["tags"] == []
    assert door.refused("DELETE", f"tags/{kind}/{ident}/{tag['id']}")[0] == 404


def test_the_list_of_tags(door: Door, world: World):
    made = door.post("tags", {"name": "slow"})
    again = door.post("tags", {"name": "slow", "icon_unicode": "🐌"})

    assert (again["id"], again["icon_unicode"]) == (made["id"], "🐌")
    assert door.put(f"tags/{made['id']}", {"icon_unicode": "🐢"})["icon_unicode"] == "🐢"
    assert door.refused("PUT", f"tags/{made['id']}", {"name": "fast"})[0] == 409
    assert door.delete(f"tags/{made['id']}")["name"] == "slow"
    assert door.refused("POST", "tags", {})[0] == 422


def upload(door: Door, query: dict[str, str], *files: SimpleUploadedFile) -> tuple[int, object]:
    answer = Client().post(
        "/rhesis/files", {"files": list(files)}, query_params=query, headers={"Authorization": f"Bearer {door.token}"}
    )
    return answer.status_code, answer.json()


def test_files_are_kept_and_given_back(door: Door, world: World):
    sent = [SimpleUploadedFile("a.txt", b"Hello", "text/plain"), SimpleUploadedFile("x.html", b"<b>", "text/html")]
    status, files = upload(door, {"entity_id": "result-1", "entity_type": "TestResult"}, *sent)
    text, page = files

    assert status == 200
    facts = {"filename": "a.txt", "content_type": "text/plain", "size_bytes": 5, "position": 0,
             "entity_id": "result-1", "entity_type": "TestResult"}  # fmt: skip
    assert {key: text[key] for key in facts} == facts
    assert door.get("test_results/result-1/files") == [text, page]
    assert door.get(f"files/{text['id']}/content") == "Hello"
    door.get(f"files/{page['id']}/content")
    assert door.answer["Content-Disposition"] == 'attachment; filename="x.html"'
    assert door.answer["Content-Type"] == "application/octet-stream"
    assert door.delete(f"files/{text['id']}")["filename"] == "a.txt"
    assert door.refused("DELETE", f"files/{text['id']}")[0] == 404
    assert Attachment.objects.count() == 1


def test_wrong_files_are_refused(door: Door, world: World):
    file = SimpleUploadedFile("a.txt", b"Hello")

    assert upload(door, {"entity_id": "result-1"}, file)[0] == 422
    assert upload(door, {"entity_id": "result-404", "entity_type": "TestResult"}, file)[0] == 404
    assert upload(door, {"entity_id": "result-1", "entity_type": "TestResult"})[0] == 422
    assert door.refused("POST", "files", b"no multipart")[0] == 422


def test_statuses_have_readable_ids(door: Door, world: World):
    of_results = door.get("statuses", entity_type="TestResult", skip=0, limit=100)
    of_runs = door.get("statuses", entity_type="TestRun")

    assert [(row["id"], row["name"]) for row in of_results] == [
        ("passed", "Pass"), ("failed", "Fail"), ("error", "Error"), ("review", "Review"),
    ]  # fmt: skip
    assert [row["name"] for row in of_runs] == ["Queued", "Progress", "Completed", "Partial", "Failed", "Cancelled"]
    assert door.get("statuses/failed", entity_type="TestRun")["name"] == "Failed"


def test_statuses_of_the_organisations_own(door: Door, world: World):
    made = door.post("statuses", {"name": "Golden", "entity_type_id": "entitytype-test", "description": "d"})
    same = door.post("statuses", {"name": "golden", "entity_type_id": "Test"})
    test = door.put("tests/case-1", {"status_id": made["id"]})
    renamed = door.put(f"statuses/{made['id']}", {"name": "Gold"})

    assert (same["id"], made["entity_type"]["type_value"], made["description"]) == (made["id"], "Test", "d")
    assert test["status"] == {"id": made["id"], "name": "Golden", "description": None}
    assert door.get("tests/case-1")["status"]["name"] == renamed["name"] == "Gold"
    assert door.refused("POST", "statuses", {"name": "Odd", "entity_type_id": "TestRun"})[0] == 400
    assert door.refused("DELETE", "statuses/passed")[0] == 403
    assert door.delete(f"statuses/{made['id']}")["name"] == "Gold"
    assert not Lookup.objects.exists()


def test_lists_of_values(door: Door, world: World):
    priorities = door.get("type_lookups", odata_filter="type_name eq 'TaskPriority'")
    made = door.post("type_lookups", {"type_name": "Mood", "type_value": "Good"})

    assert [row["type_value"] for row in priorities] == ["Low", "Medium", "High"]
    assert door.get(f"type_lookups/{made['id']}") == made
    assert door.put(f"type_lookups/{made['id']}", {"type_value": "Great"})["type_value"] == "Great"
    assert door.refused("PUT", f"type_lookups/{priorities[0]['id']}", {"type_value": "x"})[0] == 403
    assert door.delete(f"type_lookups/{made['id']}")["type_value"] == "Great"


def test_users_and_the_key_itself(door: Door, world: World):
    make_user(name="Stranger")

    assert [row["name"] for row in door.get("users")] == ["Ada"]
    assert door.get("users/me")["email"] == door.get(f"users/{world.user.pk}")["email"] == "ada@example.com"
    assert door.get("tokens/current")["project_id"] is None
    door.headers = {"X-Project-Id": str(world.project.pk)}
    assert door.get("tokens/current")["project_id"] == str(world.project.pk)
