import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from procrastinate.contrib.django.models import ProcrastinateJob

from evalhub.importers.tasks import run_import
from runs.models import Import, TestRun
from tests.api.conftest import errors_of, problem
from tests.importers.building import make_header, make_sample, make_score, write_eval

TABLE = b"question,answer,tone\nWhy?,Because.,0.5\nHow?,So.,1\n"
MAPPING = {"layout": "wide", "columns": {"question": "input", "answer": "output", "tone": "score"}}


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


@pytest.fixture
def log(tmp_path) -> bytes:
    return write_eval(tmp_path, [make_sample(1)], make_header([make_score(accuracy=1.0)], total=1)).read_bytes()


def upload(api, content: bytes, name: str = "log.eval", headers: dict | None = None, **fields):
    data = {"project": "support-bot", "file": SimpleUploadedFile(name, content), **fields}
    return Client().post("/api/imports/", data, headers={"Authorization": f"Bearer {api.token}", **(headers or {})})


def work(entry_id: str) -> None:
    """What a worker does."""
    run_import(import_id=entry_id)


def kept(media) -> int:
    return sum(path.is_file() for path in media.rglob("*"))


def test_a_log_is_uploaded_and_comes_in(api, project, log):
    uploaded = upload(api, log)

    assert uploaded.status_code == 202, uploaded.content
    entry = uploaded.json()
    assert uploaded["Location"] == f"http://testserver/api/imports/{entry['id']}/"
    assert entry | {"id": 0, "created_at": 0} == {
        "id": 0,
        "project": {"id": str(project.pk), "name": "Support bot"},
        "filename": "log.eval",
        "size": len(log),
        "sha256": "",
        "format": "inspect-eval",
        "state": "queued",
        "needs_mapping": False,
        "mapping": None,
        "done": 0,
        "total": None,
        "message": "",
        "report": {},
        "run": None,
        "created_by": {"id": str(api.user.pk), "name": api.user.name, "email": api.user.email},
        "created_at": 0,
        "started_at": None,
        "finished_at": None,
    }
    assert [job.args for job in ProcrastinateJob.objects.all()] == [{"import_id": entry["id"]}]

    work(entry["id"])

    done = api.get(uploaded["Location"]).json()
    assert (done["state"], done["message"]) == ("done", "1 sample, 1 scorer, match accuracy 1.000 as in the log.")
    assert api.get(f"/api/runs/{done['run']['id']}/").json()["via"] == "import"
    assert [row["id"] for row in api.get("/api/imports/?state=done&project=support-bot").json()["items"]] == [
        entry["id"]
    ]
    assert api.delete(uploaded["Location"]).status_code == 409


def test_a_table_waits_for_its_mapping(api, project):
    waiting = upload(api, TABLE, "table.csv").json()
    no_jobs = ProcrastinateJob.objects.count()
    url = f"/api/imports/{waiting['id']}/"

    wrong = api.patch(url, {"mapping": {"layout": "wide", "columns": {"colour": "input"}}})
    mapped = api.patch(url, {"mapping": MAPPING}).json()
    work(waiting["id"])

    assert (waiting["state"], waiting["needs_mapping"], no_jobs) == ("queued", True, 0)
    assert errors_of(wrong) == [("mapping", "The mapping names a column that the file does not have: colour")]
    assert (mapped["needs_mapping"], mapped["mapping"]["columns"]["question"]) == (False, {"role": "input"})
    assert api.get(url).json()["state"] == "done"
    assert TestRun.objects.get().result_count == 2


def test_a_mapping_may_come_with_the_table(api, project):
    entry = upload(api, TABLE, "table.csv", mapping=json.dumps(MAPPING)).json()
    work(entry["id"])

    assert TestRun.objects.get().result_count == 2


@pytest.mark.parametrize(
    ("content", "name", "fields", "expected"),
    [
        (b"", "x", {}, ("file", "cannot be imported: The file is empty")),
        (b"<testsuites/>", "x.xml", {}, ("file", "cannot be imported: This is a JUnit file: not importable yet")),
        (TABLE, "t.csv", {"mapping": "{"}, ("mapping", None)),
        (TABLE, "t.csv", {"mapping": "[]"}, ("mapping", "must be an object")),
        (TABLE, "t.csv", {"mapping": '{"layout": "round"}'}, ("mapping", None)),
        (TABLE, "t.csv", {"mapping": '{"a": "\\u0000"}'}, ("mapping", None)),
        (TABLE, "t.csv", {"project": "nothing"}, ("project", "is not the id of anything that you can see")),
        (TABLE, "t.csv", {"project": "\x00"}, ("project", None)),
        (TABLE, "t.csv", {"project": ["support-bot", "support-bot"]}, ("project", "is given more than once")),
        (TABLE, "t.csv", {"colour": "red"}, ("colour", "is not known here")),
        (TABLE, "t.csv", {"file": "text"}, ("file", "must be a file")),
    ],
)
def test_what_cannot_be_imported_is_told_at_once_and_not_kept(api, project, media, content, name, fields, expected):
    response = upload(api, content, name, **fields)

    assert response.status_code == 400, response.content
    [(field, message)] = errors_of(response)
    assert (field, message) == (expected[0], expected[1] or message)
    assert (Import.objects.count(), ProcrastinateJob.objects.count(), kept(media)) == (0, 0, 0)


def test_a_mapping_is_for_tables(api, project, log, media):
    response = upload(api, log, mapping=json.dumps(MAPPING))

    assert errors_of(response) == [("mapping", "is for tables, and this file says by itself what it is")]
    assert (Import.objects.count(), kept(media)) == (0, 0)


def test_a_file_has_a_largest_size(api, project, settings, media):
    settings.IMPORT_LIMITS = {"file_bytes": 100}

    assert errors_of(upload(api, b"x" * 101)) == [("file", "is larger than 100 bytes")]
    assert problem(upload(api, b"x" * 1_100_000))["status"] == 413
    assert kept(media) == 0


def test_forms_that_are_broken_are_refused(api, project):
    headers = {"Authorization": f"Bearer {api.token}"}

    answers = [
        Client().post("/api/imports/", b"--x\r\n", content_type=content_type, headers=headers)
        for content_type in (
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=é",
        )
    ]
    as_json = api.post("/api/imports/", {"project": "support-bot"})

    assert [problem(answer)["status"] for answer in answers] == [400, 400, 400]
    assert problem(as_json)["status"] == 415


def test_a_failed_import_is_tried_again_or_discarded(api, project, log, media):
    entry = upload(api, log).json()
    Import.objects.update(state="failed", message="No.", finished_at="2026-01-01T00:00:00Z")
    url = f"/api/imports/{entry['id']}/"

    again = api.post(f"{url}retries/")
    twice = api.post(f"{url}retries/")
    Import.objects.update(state="failed")
    discarded = api.delete(url)

    assert (again.status_code, again.json()["state"], twice.status_code) == (202, "queued", 409)
    assert (discarded.status_code, Import.objects.count(), kept(media)) == (204, 0, 0)


def test_an_upload_that_names_itself_is_kept_once(api, project, log, media):
    first = upload(api, log, headers={"Idempotency-Key": "k"})
    again = upload(api, log, headers={"Idempotency-Key": "k"})
    other = upload(api, TABLE, headers={"Idempotency-Key": "k"})

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert first.json() == again.json()
    assert (Import.objects.count(), kept(media)) == (1, 1)


def test_imports_are_for_those_who_may(api, api_of, stranger, project, log):
    entry = upload(api, log).json()

    assert upload(api_of("reviewer"), log).status_code == 403
    assert upload(api_of("lead", ["read"]), log).status_code == 403
    assert api_of("viewer").get(f"/api/imports/{entry['id']}/").status_code == 200
    assert stranger.get(f"/api/imports/{entry['id']}/").status_code == 404
    assert stranger.post(f"/api/imports/{entry['id']}/retries/").status_code == 404
    assert stranger.get("/api/imports/").json()["items"] == []
    assert errors_of(upload(stranger, log)) == [("project", "is not the id of anything that you can see")]


def test_the_list_makes_two_queries_whatever_it_shows(api, project, log, django_assert_num_queries):
    upload(api, log)

    with django_assert_num_queries(2):
        api.get("/api/imports/")
    upload(api, log)
    upload(api, log)
    with django_assert_num_queries(2):
        assert len(api.get("/api/imports/").json()["items"]) == 3
