import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from evalhub.web import context
from evalhub.web.context import HOOKS
from evalhub.web.parts import Link
from tests.factories import make_organization, make_user
from tests.web.shell_pages import TEMPLATES

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shell_pages(monkeypatch):
    monkeypatch.setattr(context, "address", lambda name: f"/{name.replace(':', '/')}/")
    monkeypatch.setattr(HOOKS, "open_reviews", lambda actor: 0)
    monkeypatch.setattr(HOOKS, "projects", lambda actor: [])
    with override_settings(ROOT_URLCONF="tests.web.shell_pages", TEMPLATES=TEMPLATES):
        yield


@pytest.mark.parametrize(
    ("role", "superuser", "shown"),
    [
        ("viewer", False, []),
        ("lead", False, []),
        ("admin", False, ["Members", "Tokens"]),
        ("viewer", True, ["Admin"]),
        ("admin", True, ["Members", "Tokens", "Admin"]),
    ],
)
def test_the_rail_offers_what_the_reader_may_manage(client, role, superuser, shown):
    client.force_login(make_user(make_organization(), role, is_superuser=superuser))

    page = client.get("/styleguide/").text

    assert [word for word in ("Members", "Tokens", "Admin") if f"</svg>{word}</a>" in page] == shown


def test_the_rail_counts_what_waits_for_the_reader(client, monkeypatch):
    monkeypatch.setattr(HOOKS, "open_reviews", lambda actor: 1287)
    client.force_login(make_user(make_organization()))

    assert '<span class="sr">waiting: </span>1,287</span>' in client.get("/styleguide/").text


def test_the_head_of_the_rail_switches_project_and_organisation(client, monkeypatch):
    monkeypatch.setattr(HOOKS, "projects", lambda actor: [Link("Support bot", "/runs/?project=1")])
    first, second = make_organization(name="Acme"), make_organization(name="Beta")
    user = make_user(first)
    user.memberships.create(organization=second, role="viewer")
    client.force_login(user)

    page = client.get("/styleguide/").text

    assert 'href="/runs/?project=1"' in page
    assert f'name="organization" value="{second.pk}"' in page
    assert f'name="organization" value="{first.pk}" aria-current="true"' in page


def test_memberships_are_read_once_for_a_page(client):
    client.force_login(make_user(make_organization()))

    with CaptureQueriesContext(connection) as asked:
        client.get("/styleguide/")

    assert sum("accounts_membership" in query["sql"] for query in asked.captured_queries) == 1


def test_one_organisation_needs_no_switch(client):
    client.force_login(make_user(make_organization()))

    assert 'name="organization"' not in client.get("/styleguide/").text


def test_the_page_looks_and_listens_as_the_reader_chose(client):
    user = make_user(make_organization(), theme="dark", shortcuts=False)
    client.force_login(user)

    assert '<html lang="en" data-theme="dark" data-shortcuts="off"' in client.get("/styleguide/").text

    user.theme, user.shortcuts = "system", True
    user.save()

    assert '<html lang="en" data-login=' in client.get("/styleguide/").text


def test_strangers_see_no_rail(client):
    page = client.get("/styleguide/").text

    assert "not signed in" in page
    assert "Test sets" not in page


def test_a_page_that_does_not_exist_yet_is_not_linked(monkeypatch):
    monkeypatch.undo()

    assert context.address("nowhere:at-all") == ""


@pytest.mark.parametrize(
    ("cookie", "text"),
    [("Europe/Berlin", "21:44"), ("../../etc/passwd", "19:44"), ("Mars/Olympus", "19:44"), ("", "19:44")],
)
def test_times_are_shown_where_the_reader_is(client, cookie, text):
    client.cookies["evalhub-zone"] = cookie
    client.force_login(make_user(make_organization()))

    assert f"{text}</time>" in client.get("/styleguide/").text
