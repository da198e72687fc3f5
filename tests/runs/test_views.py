import csv
import io
import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from evalhub.audit.models import AuditEvent
from runs.models import SavedView, TestRun
from tests.factories import (
    make_actor,
    make_configuration,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db

LIST = "/runs/"


@pytest.fixture
def actor():
    return make_actor()


@pytest.fixture
def project(actor):
    return make_project(actor.organization, name="Support bot", slug="support-bot")


@pytest.fixture
def lead(client, actor):
    client.force_login(actor.user)
    return client


def login(client, actor, role):
    client.force_login(make_user(actor.organization, role))
    return client


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def test_signed_out_readers_sign_in_first(client):
    response = client.get(LIST)

    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


def test_the_start_page_is_the_runs_list(lead):
    assert lead.get("/")["Location"] == LIST


def test_without_runs_the_page_says_how_to_bring_one_in(lead, actor):
    make_run(make_project(), name="a stranger's")

    text = text_of(lead.get(LIST))

    assert "No run has arrived yet" in text
    assert "Push from your code" in text
    assert "stranger" not in text


def test_a_row_has_the_numbers_with_their_interval(lead, project):
    run = make_run(project, name="Nightly", branch="main", commit="9f3a2c1d", status="completed")
    make_results(run, passed=3, failed=1)

    text = text_of(lead.get(LIST))

    assert "75.0\u202f%" in text
    assert "30–95" in text
    assert "judge only" in text
    assert "<code>9f3a2c1</code>" in text
    assert f'href="/runs/{run.pk}/"' in text


def test_reviewed_rows_say_what_is_done_and_what_people_changed(lead, project):
    run = make_run(project)
    make_results(run, passed=2)
    TestRun.objects.filter(pk=run.pk).update(reviews_required=4, reviews_done=3, reviewed=2, corrected=1)

    text = text_of(lead.get(LIST))

    assert '3<span class="subtle"> / 4</span>' in text
    assert "1 corr." in text
    assert "judge only" not in text


def test_segments_carry_counts_and_keep_the_other_filters(lead, project):
    for status in ("completed", "completed", "failed"):
        make_run(project, name="nightly", status=status)
    make_run(project, name="other", status="completed")

    text = text_of(lead.get(LIST, {"q": "nightly", "status": "failed"}))

    assert '<a href="?q=nightly&amp;status=completed">Completed <span class="segmented__n">2</span></a>' in text
    assert (
        '<a href="?q=nightly&amp;status=failed" aria-current="true">Failed <span class="segmented__n">1</span></a>'
        in text
    )
    assert "1 run</span>" in text


def test_filters_that_find_nothing_can_be_cleared(lead, project):
    make_run(project, name="nightly")

    text = text_of(lead.get(LIST, {"q": "weekly"}))

    assert "No run fits" in text
    assert "1 filter is on" in text


def test_filters_that_cannot_be_read_are_left_out_and_the_page_says_so(lead, project):
    make_run(project, name="nightly")

    text = text_of(lead.get(LIST, {"pass_rate_min": "lots", "status": "done"}))

    assert "Some filters could not be read" in text
    assert "nightly" in text


def test_a_running_run_shows_progress_and_asks_again_by_itself(lead, project):
    run = make_run(project, status="running", planned_count=4)
    make_results(run, passed=1)

    text = text_of(lead.get(LIST))

    assert '<progress class="progress progress--running" value="1" max="4"' in text
    assert f'hx-get="/runs/progress/?run={run.pk}" hx-trigger="every 5s"' in text


def test_finished_runs_are_not_asked_for_again(lead, project):
    make_run(project, status="completed")

    assert "hx-trigger" not in text_of(lead.get(LIST))


def test_progress_sends_the_rows_and_stops_when_all_have_ended(lead, project):
    running, ended = make_run(project, status="running"), make_run(project, status="completed")
    stranger = make_run(status="running")
    query = {"run": [str(running.pk), str(ended.pk), str(stranger.pk)]}

    text = text_of(lead.get("/runs/progress/", query, headers={"HX-Request": "true"}))
    running.finish("completed")
    later = text_of(lead.get("/runs/progress/", query, headers={"HX-Request": "true"}))

    assert f'<hx-partial hx-target="#run-{running.pk}" hx-swap="outerHTML">' in text
    assert f'<tr id="run-{ended.pk}" data-row>' in text
    assert f'hx-get="/runs/progress/?run={running.pk}"' in text
    assert str(stranger.pk) not in text
    assert "hx-get" not in later


def test_page_two_goes_on_where_page_one_ended(lead, project):
    for n in range(52):
        make_run(project, name=f"run {n}")

    first = lead.get(LIST)
    text = text_of(lead.get(LIST, {"cursor": first.context["page"].next}))

    assert "51–52 of 52" in text
    assert [row["name"] for row in first.context["page"].rows][:2] == ["run 51", "run 50"]


def test_a_damaged_cursor_is_refused_in_a_sentence(lead, project):
    response = lead.get(LIST, {"cursor": "x"})

    assert response.status_code == 400
    assert "damaged" in response.content.decode()


@pytest.mark.parametrize("query", [{}, {"sort": "name"}, {"status": "completed", "q": "run"}])
def test_one_row_or_three_ask_the_database_equally_often(
    lead, project, query, django_assert_num_queries, django_assert_max_num_queries
):
    def add():
        run = make_run(project, name="run", status="completed", by=make_user(project.organization))
        make_results(run, passed=1)

    add()
    with django_assert_max_num_queries(12) as captured:
        lead.get(LIST, query)
    add()
    add()

    with django_assert_num_queries(len(captured)):
        lead.get(LIST, query)


def test_fifty_rows_weigh_little(lead, project):
    configuration = make_configuration(project)
    for n in range(50):
        make_run(
            project,
            name=f"Nightly regression {n}",
            status="completed",
            configuration=configuration,
            branch="release/4.2",
            commit="9f3a2c1",
        )
    TestRun.objects.update(
        passed=380,
        failed=40,
        result_count=420,
        machine_passed=380,
        machine_failed=40,
        pass_rate=0.9,
        pass_low=0.87,
        pass_high=0.93,
    )

    size = len(lead.get(LIST).content)

    assert size < 66_000


@pytest.mark.parametrize(("role", "ways"), [("viewer", 0), ("reviewer", 0), ("lead", 1)])
def test_who_may_import_is_led_there_once(client, actor, role, ways):
    login(client, actor, role)

    empty = text_of(client.get(LIST))
    make_run(make_project(actor.organization))
    full = text_of(client.get(LIST))

    assert [text.count('href="/imports/new/"') for text in (empty, full)] == [ways, ways]


def test_saved_views_are_ones_own_and_the_shared_ones(lead, actor, project):
    make_run(project)
    other = make_user(actor.organization)
    for user, name, shared in ((actor.user, "Mine", False), (other, "Hers", False), (other, "Ours", True)):
        SavedView.objects.create(
            organization=actor.organization, user=user, page="runs", name=name, query="status=failed", shared=shared
        )

    assert [view.name for view in lead.get(LIST).context["views"]] == ["Mine", "Ours"]


def test_the_filter_form_keeps_what_it_does_not_ask_for(lead, project):
    response = lead.get("/runs/filters/", {"status": "failed", "tag": "weekly", "configuration": "c-1", "cursor": "x"})

    text = text_of(response)
    assert '<input type="hidden" name="status" value="failed">' in text
    assert '<input type="hidden" name="configuration" value="c-1">' in text
    assert 'name="tag" maxlength="80" value="weekly"' in text
    assert 'name="cursor"' not in text


def test_the_filter_form_is_a_dialog_for_htmx(lead, project):
    response = lead.get("/runs/filters/", headers={"HX-Request": "true", "HX-Target": "dialog#dialog"})

    assert text_of(response).startswith('<div class="dialog__head">')


# --- what can be done with the selection ------------------------------------------------------------------------------


def test_archiving_takes_runs_out_of_the_list_and_can_be_undone(lead, actor, project):
    runs = [make_run(project, name=f"run {n}") for n in range(3)]

    response = lead.post("/runs/archival/", {"run": [runs[0].pk, runs[1].pk]}, follow=True)
    undo = response.content.decode().split('action="/runs/restoration/?')[1].split('"')[0].replace("&amp;", "&")
    names = [row["name"] for row in lead.get(LIST).context["page"].rows]
    lead.post(f"/runs/restoration/?{undo}")

    assert names == ["run 2"]
    assert "Archived 2 runs." in response.content.decode()
    assert TestRun.objects.filter(archived_at__isnull=False).count() == 0
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["run.archived"] * 2 + ["run.restored"] * 2


def test_everything_that_matches_can_be_archived_at_once(lead, project):
    for name in ("nightly 1", "nightly 2", "weekly"):
        make_run(project, name=name)

    lead.post("/runs/archival/", {"select": "all", "query": "q=nightly", "run": []})

    assert list(TestRun.objects.filter(archived_at__isnull=True).values_list("name", flat=True)) == ["weekly"]


def test_nothing_selected_archives_nothing(lead, project):
    make_run(project)

    lead.post("/runs/archival/", {"select": "", "query": ""})

    assert TestRun.objects.filter(archived_at__isnull=False).count() == 0


def test_another_organisations_run_cannot_be_archived(lead, project):
    theirs = make_run()

    lead.post("/runs/archival/", {"run": [theirs.pk]})

    theirs.refresh_from_db()
    assert theirs.archived_at is None


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("reviewer", 403), ("lead", 302), ("admin", 302)])
def test_leads_archive(client, actor, project, role, status):
    run = make_run(project)

    response = login(client, actor, role).post("/runs/archival/", {"run": [run.pk]})

    assert response.status_code == status


def test_a_running_run_can_be_cancelled_once(lead, project):
    run = make_run(project, status="running")
    url = reverse("runs:run-cancel", args=[run.pk])

    first, second = lead.post(url, follow=True), lead.post(url, follow=True)

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert "What has arrived stays" in first.content.decode()
    assert "had ended already" in second.content.decode()


def test_csv_has_one_line_a_run_and_no_formula(lead, actor, project):
    run = make_run(project, name="=HYPERLINK(1)", branch="@main", tags=["a", "b"])
    make_results(run, passed=3, failed=1)
    make_run(project, name="left out", status="failed")

    response = lead.get("/runs/export/", {"format": "csv", "q": "hyper"})

    content = b"".join(response.streaming_content).decode()
    assert content.startswith("\ufeffnumber,id,")
    [row] = csv.DictReader(io.StringIO(content[1:]))
    assert (row["name"], row["branch"], row["passed"], row["pass_rate"], row["tags"]) == (
        "'=HYPERLINK(1)",
        "'@main",
        "3",
        "0.75",
        "a, b",
    )
    assert response["Content-Disposition"] == 'attachment; filename="evalhub-runs.csv"'


def test_json_lines_keep_values_as_they_are(lead, project):
    run = make_run(project, name="=1+1")
    make_run(project, name="not ticked")

    response = lead.get("/runs/export/", {"format": "jsonl", "run": [run.pk]})

    [line] = b"".join(response.streaming_content).splitlines()
    assert json.loads(line)["name"] == "=1+1"
    assert json.loads(line)["pass_rate"] is None


def test_exports_hold_nothing_of_strangers(lead, project):
    theirs = make_run(name="theirs")

    response = lead.get("/runs/export/", {"format": "jsonl", "run": [theirs.pk]})

    assert b"".join(response.streaming_content) == b""


def test_assigning_leads_on_with_the_ticked_runs(lead, project):
    one, two = make_run(project), make_run(project)

    response = lead.get("/runs/assignments/", {"run": [one.pk, two.pk], "select": "", "query": "status=failed"})

    assert response["Location"] == f"/assignments/?run={one.pk}&run={two.pk}"


def test_assigning_all_that_matches_leads_on_with_the_lists_query(lead, project):
    response = lead.get("/runs/assignments/", {"run": ["x"], "select": "all", "query": "status=failed&tag=a"})

    assert response["Location"] == "/assignments/?select=all&list=runs&status=failed&tag=a"


def test_runs_of_today_and_of_last_year_are_told_apart(lead, project):
    run = make_run(project)
    TestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=700))

    assert f"{(timezone.now() - timedelta(days=700)).year}</time>" in text_of(lead.get(LIST))


def test_results_without_a_run_of_their_own_stay_out_of_the_list(lead, project):
    hidden = make_run(project, name="adhoc", kind="adhoc", day=timezone.localdate())
    make_result(hidden)

    assert lead.get(LIST).context["page"].rows == []
