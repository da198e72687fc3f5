"""The audit trail as admins read it."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from evalhub.audit.models import AuditEvent, record_event
from tests.factories import make_organization, make_project, make_result, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return make_organization(name="Acme")


@pytest.fixture
def admin(client, acme):
    user = make_user(acme, role="admin", name="Ann")
    client.force_login(user)
    return user


def note(action, organization, user=None, **data):
    record_event(action, user, by=None, organization_id=organization.pk, user_id=user and user.pk, **data)


def rows_of(response):
    """The cells of each row, as text."""
    body = response.text.partition("<tbody")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    return [
        [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
        for row in rows
    ]


def test_the_trail_says_who_did_what_to_what(client, admin, acme):
    note("member.role_changed", acme, admin, before="viewer", after="lead")

    ((when, *rest),) = rows_of(client.get("/audit/"))

    assert when
    assert rest == ["Ann", "Changed a role", "Ann", "change: viewer → lead"]


def test_what_an_event_holds_is_written_as_json_not_as_python(client, admin, acme):
    note("round.created", acme, admin, reviewers={"a": None})

    ((*_, details),) = rows_of(client.get("/audit/"))

    assert details == "reviewers: {&quot;a&quot;: null}"


def test_people_and_results_are_told_by_name(client, admin, acme):
    ben, stranger = make_user(acme, name="Ben"), make_user(make_organization(), name="Stranger")
    result = make_result(make_run(make_project(acme)), name="Refund after 30 days")
    AuditEvent.objects.all().delete()
    note("assignment.declined", acme, result=str(result.pk), passed_to=str(ben.pk), asked=str(stranger.pk))
    note("round.created", acme, reviewers={str(ben.pk): 2})

    details = [row[-1] for row in rows_of(client.get("/audit/"))]

    assert details == [
        "reviewers: {&quot;Ben&quot;: 2}",
        f"asked: {stranger.pk}, result: Refund after 30 days, passed to: Ben",
    ]


def test_a_word_that_is_not_known_is_still_readable(client, admin, acme):
    note("test_set.cases_added", acme)

    assert rows_of(client.get("/audit/"))[0][2] == "Test set cases added"


def test_what_others_wrote_is_text(client, admin, acme):
    note("login.failed", acme, email="<img src=x onerror=alert(1)>")

    page = client.get("/audit/").text
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_the_trail_of_another_organisation_is_not_there(client, admin):
    note("login", make_organization(), make_user(name="Stranger"))
    record_event("login.failed", by=None, email="nobody@example.com")

    assert rows_of(client.get("/audit/")) == []


@pytest.mark.parametrize("role", ["lead", "reviewer", "viewer"])
def test_only_admins_read_the_trail(client, acme, role):
    client.force_login(make_user(acme, role=role))

    assert client.get("/audit/").status_code == 403


def test_the_trail_is_read_page_by_page_newest_first(client, admin, acme):
    for n in range(120):
        note("login", acme, number=n)

    pages, address = [], "/audit/"
    while address:
        response = client.get(address)
        pages.append(rows_of(response))
        following = re.search(r'href="(\?[^"]+)" rel="next"', response.text)
        address = following and "/audit/" + following[1].replace("&amp;", "&")

    seen = [row[-1] for page in pages for row in page]
    assert [len(page) for page in pages] == [50, 50, 20]
    assert sorted(seen) == sorted(f"number: {n}" for n in range(120))


def test_a_kind_of_event_can_be_chosen(client, admin, acme):
    for action in ("login", "login.failed", "token.made", "member.removed", "access.denied", "console.changed"):
        note(action, acme)

    chosen = {kind: len(rows_of(client.get("/audit/", {"kind": kind}))) for kind in ("", "sign-in", "tokens", "bad")}

    assert chosen == {"": 6, "sign-in": 2, "tokens": 1, "bad": 6}


def test_the_page_asks_the_same_questions_for_one_event_and_for_many(client, admin, acme):
    def questions():
        with CaptureQueriesContext(connection) as asked:
            client.get("/audit/")
        return len(asked)

    note("login", acme, admin)
    client.get("/audit/")
    with_one = questions()
    for _ in range(3):
        note("login", acme, make_user())

    assert questions() == with_one


def test_no_page_and_no_address_changes_the_trail(client, admin, acme):
    note("login", acme, admin)
    event = AuditEvent.objects.get()

    answers = [client.post("/audit/"), client.delete("/audit/"), client.post(f"/audit/{event.pk}/")]

    assert [answer.status_code for answer in answers] == [405, 405, 404]
