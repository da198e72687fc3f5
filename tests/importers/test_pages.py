"""The import pages, and the job behind them."""

import re
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from procrastinate.contrib.django.models import ProcrastinateJob

from evalhub.accounts.rights import Role
from evalhub.audit.models import AuditEvent
from evalhub.importers.importing import begin
from evalhub.importers.tasks import run_import
from runs.models import Import, TestRun
from tests.factories import make_organization, make_project, make_user
from tests.importers.building import bring_in, make_header, make_sample, make_score, write_eval, write_text

pytestmark = pytest.mark.django_db
NEW, LIST = "/imports/new/", "/imports/"
TABLE = "id,question,answer,tone\n1,Why?,Because.,0.5\n2,How?,So.,1\n"


@pytest.fixture(autouse=True)
def uploads(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


@pytest.fixture
def project():
    return make_project(name="Bot")


@pytest.fixture
def lead(client, project):
    user = make_user(project.organization, Role.LEAD)
    client.force_login(user)
    return user


def upload(client, project, content, name="file"):
    content = content.encode() if isinstance(content, str) else content
    return client.post(NEW, {"project": project.pk, "file": SimpleUploadedFile(name, content)})


def upload_log(client, project, tmp_path, header=None):
    return upload(client, project, write_eval(tmp_path, [make_sample(1)], header).read_bytes(), "log.eval")


def kept(uploads):
    return sorted(path.name for path in uploads.rglob("*") if path.is_file())


def jobs():
    return [(job.task_name, job.args) for job in ProcrastinateJob.objects.order_by("id")]


def work(entry):
    """What a worker does."""
    run_import(import_id=str(entry.pk))
    entry.refresh_from_db()


# --- uploading --------------------------------------------------------------------------------------------------------


def test_a_log_is_kept_and_queued_and_then_a_worker_imports_it(client, project, lead, tmp_path, uploads):
    header = make_header([make_score(accuracy=1.0)], total=1)

    answer = upload_log(client, project, tmp_path, header)

    entry = Import.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/imports/{entry.pk}/")
    assert (entry.state, entry.filename, entry.format, entry.created_by) == ("queued", "log.eval", "inspect-eval", lead)
    assert (jobs(), kept(uploads)) == ([("run_import", {"import_id": str(entry.pk)})], [str(entry.pk)])
    assert TestRun.objects.count() == 0

    work(entry)

    assert (entry.state, entry.message) == ("done", "1 sample, 1 scorer, match accuracy 1.000 as in the log.")
    assert (entry.run.project, entry.run.created_by) == (project, lead)
    assert AuditEvent.objects.filter(action="import.upload", entity_id=entry.pk, user=lead).count() == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "The file is empty."),
        ("<testsuites></testsuites>", "This is a JUnit file: not importable yet."),
        ("input,output\n", "The file has a header but no rows."),
        ('a,b\n1,"2\n', "Line 2 is not CSV that can be read (unexpected end of data)"),
    ],
)
def test_what_cannot_be_imported_is_said_at_once_and_not_kept(client, project, lead, uploads, content, said):
    answer = upload(client, project, content)

    assert answer.status_code == 422
    assert said in answer.text
    assert (Import.objects.count(), jobs(), kept(uploads)) == (0, [], [])


@pytest.mark.parametrize(
    "content",
    [
        '{"input": "a", "output": "\\ud800", "score": 1}\n',
        '{"input": "a", "out\\udfffput": "b", "score": 1}\n',
        '{"input": {"deep": "\\ud800"}, "output": ["\\udc00"], "score": 1}\n',
    ],
)
def test_what_no_database_stores_is_replaced_on_the_way_through_the_columns_page(client, project, lead, content):
    upload(client, project, content, "table.jsonl")
    entry = Import.objects.get()

    page = client.get(f"/imports/{entry.pk}/mapping/")
    fields = {field.html_name: field.value() or "" for field in page.context["form"]}
    answer = client.post(f"/imports/{entry.pk}/mapping/", fields)
    work(entry)

    assert (page.status_code, answer.status_code, entry.state) == (200, 302, "done")


def test_names_of_uploads_lead_nowhere(client, project, lead, tmp_path, uploads):
    content = write_eval(tmp_path, [make_sample(1)]).read_bytes()

    upload(client, project, content, "../../<b>log\x00.eval")

    entry = Import.objects.get()
    assert kept(uploads) == [str(entry.pk)]
    assert "/" not in entry.filename
    assert "<b>" not in client.get(LIST).text


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(client, project, lead, settings):
    settings.IMPORT_LIMITS = {"file_bytes": 1000}

    answer = client.post(NEW, {"project": project.pk, "file": SimpleUploadedFile("x", b"x" * 2_000_000)})

    assert answer.status_code == 400
    assert "The file is larger than 1,000 bytes." in answer.text
    assert Import.objects.count() == 0


def test_a_file_beyond_the_limit_is_a_message_at_its_field(client, project, lead, settings):
    settings.IMPORT_LIMITS = {"file_bytes": 1000}

    answer = upload(client, project, "x" * 2000)

    assert (answer.status_code, "The file is larger than 1,000 bytes." in answer.text) == (422, True)


def test_uploading_needs_the_token_of_the_form(project, lead, client):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(lead)

    assert upload(strict, project, TABLE).status_code == 403


def test_projects_of_others_are_not_offered_and_not_taken(client, project, lead):
    other = make_project(name="Secret")

    page, answer = client.get(NEW), upload(client, other, TABLE)

    assert ("Bot" in page.text, "Secret" in page.text) == (True, False)
    assert (answer.status_code, Import.objects.count()) == (422, 0)


# --- columns ----------------------------------------------------------------------------------------------------------


def test_a_table_waits_for_the_meaning_of_its_columns(client, project, lead):
    answer = upload(client, project, TABLE, "table.csv")

    entry = Import.objects.get()
    page = client.get(answer["Location"])
    assert (answer["Location"], jobs()) == (f"/imports/{entry.pk}/mapping/", [])
    assert re.findall(r'<option value="(\w+)" selected', page.text) == ["case", "input", "output", "score"]
    assert ("Because." in page.text, "Needs columns" in client.get(LIST).text) == (True, True)


def form_of(**changes):
    roles = {"role-0": "case", "role-1": "input", "role-2": "output", "role-3": "score"}
    empty = {f"{name}-{n}": "" for name in ("evaluator", "threshold") for n in range(4)}
    return {"layout": "wide", **empty, **roles, "evaluator-3": "tone", **changes}


def test_the_chosen_meanings_go_with_the_job(client, project, lead):
    upload(client, project, TABLE, "table.csv")
    entry = Import.objects.get()

    answer = client.post(f"/imports/{entry.pk}/mapping/", form_of(**{"threshold-3": "0.75"}))

    entry.refresh_from_db()
    assert (answer.status_code, answer["Location"]) == (302, f"/imports/{entry.pk}/")
    assert entry.mapping["columns"]["tone"] == {"role": "score", "evaluator": "tone", "threshold": 0.75}
    assert len(jobs()) == 1
    work(entry)
    assert (entry.message, entry.run.passed, entry.run.failed) == ("2 results, 1 evaluator.", 1, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role-2": "metadata", "role-3": "metadata"}, "Choose at least one column"),
        ({"role-3": "output"}, "Only one column can be: Output"),
        ({"role-0": "nonsense"}, "Select a valid choice"),
        ({"threshold-3": "much"}, "Enter a number."),
        ({"threshold-3": "nan"}, "Enter a number."),
        ({"layout": "tall"}, "Select a valid choice"),
    ],
)
def test_meanings_that_do_not_fit_are_explained(client, project, lead, changes, said):
    upload(client, project, TABLE, "table.csv")
    entry = Import.objects.get()

    answer = client.post(f"/imports/{entry.pk}/mapping/", form_of(**changes))

    assert answer.status_code == 422
    assert said in answer.text
    assert jobs() == []


def test_a_table_that_failed_can_be_read_otherwise(client, project, lead):
    upload(client, project, "id,answer,ok\n1,a,maybe\n", "table.csv")
    entry = Import.objects.get()
    columns = {"layout": "wide", "role-0": "case", "role-1": "output", "role-2": "passed"}
    client.post(f"/imports/{entry.pk}/mapping/", columns)
    work(entry)
    assert (entry.state, entry.message) == (
        "failed",
        "Line 2: the verdict is not pass or fail: maybe. Nothing was imported.",
    )

    client.post(f"/imports/{entry.pk}/mapping/", {**columns, "role-2": "metadata"})
    work(entry)

    assert (entry.state, entry.run.result_count) == ("done", 1)


def test_what_is_in_already_has_no_columns_to_choose(client, project, lead):
    upload(client, project, TABLE, "table.csv")
    entry = Import.objects.get()
    client.post(f"/imports/{entry.pk}/mapping/", form_of())
    work(entry)

    assert client.get(f"/imports/{entry.pk}/mapping/")["Location"] == f"/imports/{entry.pk}/"


# --- watching ---------------------------------------------------------------------------------------------------------


def test_a_page_asks_for_news_until_there_are_no_more(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()
    poll = {"HX-Request": "true", "HX-Target": "div#import-state"}

    waiting = client.get(f"/imports/{entry.pk}/", headers=poll)
    Import.objects.filter(pk=entry.pk).update(state="running", done=200, total=450)
    running = client.get(f"/imports/{entry.pk}/", headers=poll)
    Import.objects.filter(pk=entry.pk).update(state="queued")
    work(entry)
    done = client.get(f"/imports/{entry.pk}/", headers=poll)

    assert ["every 2s" in answer.text for answer in (waiting, running, done)] == [True, True, False]
    assert "Waiting for a worker." in waiting.text
    assert "200 of 450 results read." in running.text
    assert "1 sample, 1 scorer." in done.text
    assert "<html" not in done.text


def test_a_row_of_the_list_asks_for_itself(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()
    poll = {"HX-Request": "true", "HX-Target": f"tr#import-{entry.pk}"}

    before = client.get(f"/imports/{entry.pk}/", headers=poll)
    work(entry)
    after = client.get(f"/imports/{entry.pk}/", headers=poll)

    assert [answer.text.strip().startswith("<tr") for answer in (before, after)] == [True, True]
    assert ["hx-get" in answer.text for answer in (before, after)] == [True, False]


def test_totals_that_differ_stand_first(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path, make_header([make_score(accuracy=0.5)], total=1))
    entry = Import.objects.get()
    work(entry)

    page = client.get(f"/imports/{entry.pk}/").text

    assert "match accuracy: the file says 0.5, and holds 1." in page
    assert re.findall(r'<td role="cell" class="c-main">([^<]*)</td>', page) == [
        "match accuracy",
        "samples",
        "completed samples",
    ]


def test_what_evalhub_keeps_for_itself_is_not_shown_as_metadata(client, project, lead, tmp_path):
    one = bring_in(write_eval(tmp_path, [make_sample(1, metadata={"topic": "sums"})]), project)
    result = one.run.results.get()

    pages = [client.get(f"/results/{result.pk}/").text, client.get(f"/runs/{one.run.pk}/?tab=configuration").text]

    assert "sums" in pages[0]
    assert ["evalhub:" in page for page in pages] == [False, False]


def test_a_failed_import_says_why_and_can_be_tried_again_or_discarded(client, project, lead, tmp_path, uploads):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()
    Import.objects.filter(pk=entry.pk).update(state="failed", message="The worker was out of memory.")

    page = client.get(f"/imports/{entry.pk}/").text
    client.post(f"/imports/{entry.pk}/attempts/")

    assert "The worker was out of memory." in page
    assert (Import.objects.get().state, len(jobs())) == ("queued", 2)

    Import.objects.update(state="failed")
    answer = client.post(f"/imports/{entry.pk}/removal/")

    assert (answer["Location"], Import.objects.count(), kept(uploads)) == (LIST, 0, [])


def test_an_import_that_brought_something_is_not_discarded(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()
    work(entry)

    assert client.post(f"/imports/{entry.pk}/removal/").status_code == 400
    assert Import.objects.count() == 1


def test_imports_of_the_command_line_are_listed_and_cannot_be_tried_again(client, project, lead, tmp_path):
    broken = write_text(tmp_path, "<testsuites></testsuites>", "broken.xml")
    with pytest.raises(Exception, match="JUnit"):
        bring_in(broken, project)
    entry = Import.objects.get()

    page = client.get(f"/imports/{entry.pk}/").text
    client.post(f"/imports/{entry.pk}/attempts/")

    assert ("broken.xml" in client.get(LIST).text, "Try again" in page) == (True, False)
    assert (jobs(), Import.objects.get().state) == ([], "failed")


def test_the_list_asks_the_same_number_of_questions_for_1_and_3_imports(client, project, lead, tmp_path):
    asked = []
    for n in range(3):
        bring_in(write_eval(tmp_path, [make_sample(1)], make_header(spec={"eval_id": f"e{n}"})), project, by=lead)
        client.get(LIST)
        with CaptureQueriesContext(connection) as questions:
            client.get(LIST)
        asked.append(len(questions))

    assert asked[0] == asked[2]


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "may"), [(Role.VIEWER, False), (Role.REVIEWER, False), (Role.LEAD, True), (Role.ADMIN, True)]
)
def test_leads_and_admins_import_and_others_look(client, project, tmp_path, role, may):
    one = bring_in(write_eval(tmp_path, [make_sample(1)]), project)
    entry = Import.objects.get(run=one.run)
    client.force_login(make_user(project.organization, role))

    found = {
        "list": client.get(LIST).status_code,
        "detail": client.get(f"/imports/{entry.pk}/").status_code,
        "new": client.get(NEW).status_code,
        "upload": upload(client, project, TABLE).status_code,
        "retry": client.post(f"/imports/{entry.pk}/attempts/").status_code,
    }

    assert found == {
        "list": 200,
        "detail": 200,
        "new": 200 if may else 403,
        "upload": 302 if may else 403,
        "retry": 302 if may else 403,
    }
    assert ("Import a file" in client.get(LIST).text) == may


def test_strangers_find_nothing(client, tmp_path, project):
    bring_in(write_eval(tmp_path, [make_sample(1)]), project)
    entry = Import.objects.get()
    client.force_login(make_user(make_organization(), Role.ADMIN))

    statuses = [
        client.get(f"/imports/{entry.pk}/").status_code,
        client.get(f"/imports/{entry.pk}/", headers={"HX-Request": "true"}).status_code,
        client.get(f"/imports/{entry.pk}/mapping/").status_code,
        client.post(f"/imports/{entry.pk}/attempts/").status_code,
        client.post(f"/imports/{entry.pk}/removal/").status_code,
    ]

    assert statuses == [404] * 5
    assert "log.eval" not in client.get(LIST).text


# --- the job ----------------------------------------------------------------------------------------------------------


def test_a_job_that_comes_twice_imports_once(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()

    work(entry)
    finished = entry.finished_at
    work(entry)

    assert (entry.finished_at, TestRun.objects.count()) == (finished, 1)


def test_a_job_whose_worker_died_is_done_by_the_next(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()
    Import.objects.update(state="running", done=3)

    work(entry)

    assert (entry.state, entry.run.result_count) == ("done", 1)


def test_a_job_without_its_file_says_so(client, project, lead, tmp_path):
    upload_log(client, project, tmp_path)
    entry = Import.objects.get()
    Path(entry.file.path).unlink()

    work(entry)

    assert (entry.state, entry.message) == ("failed", "The uploaded file is gone. Upload it again.")


def test_a_job_of_a_discarded_import_does_nothing(project):
    entry = begin(project, by=None, filename="x")
    entry_id = str(entry.pk)
    entry.delete()

    run_import(import_id=entry_id)

    assert Import.objects.count() == 0


def test_every_page_has_its_name():
    assert [reverse(f"imports:import-{name}") for name in ("list", "create")] == [LIST, NEW]
