"""One's own page: name, look, password, and which organisation one works in."""

import re

import pytest
from django.test import Client

from evalhub.accounts.models import ApiToken, Membership
from evalhub.audit.models import AuditEvent
from tests.factories import PASSWORD, make_organization, make_token, make_user

pytestmark = pytest.mark.django_db
NEW = "purple monkey dishwasher"


@pytest.fixture
def acme():
    return make_organization(name="Acme")


@pytest.fixture
def ann(client, acme):
    user = make_user(acme, role="viewer", email="ann@example.com", name="Ann")
    client.force_login(user)
    return user


def root_of(response):
    return re.search("<html[^>]*>", response.text)[0]


def change_password(client, old=PASSWORD, new=NEW, again=None):
    return client.post("/password/", {"old_password": old, "new_password1": new, "new_password2": again or new})


@pytest.mark.parametrize(
    ("theme", "attribute"), [("system", ""), ("light", ' data-theme="light"'), ("dark", ' data-theme="dark"')]
)
def test_the_chosen_theme_reaches_every_page(client, ann, theme, attribute):
    client.post("/profile/", {"name": "Ann", "theme": theme, "shortcuts": "on"})

    assert root_of(client.get("/profile/")).startswith(f'<html lang="en"{attribute} data-login')


def test_keyboard_shortcuts_can_be_switched_off(client, ann):
    before = root_of(client.get("/profile/"))
    client.post("/profile/", {"name": "Ann", "theme": "system"})

    assert 'data-shortcuts="off"' not in before
    assert 'data-shortcuts="off"' in root_of(client.get("/profile/"))


def test_a_profile_that_cannot_be_saved_says_why_and_changes_nothing(client, ann):
    response = client.post("/profile/", {"name": "", "theme": "pink"})

    ann.refresh_from_db()
    assert response.status_code == 422
    assert "This field is required." in response.text
    assert "Select a valid choice. pink is not one" in response.text
    assert 'data-theme="pink"' not in response.text
    assert (ann.name, ann.theme) == ("Ann", "system")


def test_a_name_is_text(client, ann):
    client.post("/profile/", {"name": "<script>alert(1)</script>", "theme": "system"})

    page = client.get("/profile/").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_nobody_makes_themselves_an_operator(client, ann):
    client.post("/profile/", {"name": "Ann", "theme": "dark", "is_superuser": "on", "email": "x@example.com"})

    ann.refresh_from_db()
    assert (ann.theme, ann.is_superuser, ann.email) == ("dark", False, "ann@example.com")


@pytest.mark.parametrize("path", ["/profile/", "/password/"])
def test_visitors_sign_in_first(client, path):
    assert client.get(path)["Location"] == f"/login/?next={path}"


# --- password ---------------------------------------------------------------------------------------------------------


def test_a_new_password_ends_every_other_session(client, ann):
    elsewhere = Client()
    elsewhere.force_login(ann)

    response = change_password(client)

    ann.refresh_from_db()
    assert response["Location"] == "/profile/"
    assert ann.check_password(NEW)
    assert client.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/")["Location"] == "/login/?next=/profile/"


def test_a_new_password_is_written_down_in_every_organisation(client, ann, acme):
    other = make_organization()
    Membership.objects.create(organization=other, user=ann)

    change_password(client)

    events = AuditEvent.objects.filter(action="password.changed")
    assert {(event.organization, event.user, event.entity_id) for event in events} == {
        (acme, ann, ann.pk),
        (other, ann, ann.pk),
    }


@pytest.mark.parametrize(
    ("old", "new", "again", "field", "complaint"),
    [
        ("not this one", NEW, NEW, "old_password", "This is not your current password."),
        (PASSWORD, NEW, "another one 123", "new_password2", "The two passwords differ."),
        (PASSWORD, "short", "short", "new_password1", "This password is too short."),
        (PASSWORD, "1234567890", "1234567890", "new_password1", "This password is entirely numeric."),
        (PASSWORD, "ann@example.com", "ann@example.com", "new_password1", "The password is too similar to the email"),
    ],
)
def test_a_password_that_cannot_be_changed_says_why(client, ann, old, new, again, field, complaint):
    response = change_password(client, old, new, again)

    ann.refresh_from_db()
    assert response.status_code == 422
    assert [name for name, said in response.context["form"].errors.items() if complaint in str(said)] == [field]
    assert ann.check_password(PASSWORD)


def test_the_old_password_cannot_be_guessed_from_a_stolen_session(client, ann):
    guesses = [change_password(client, old=f"guess {n}").status_code for n in range(11)]
    right = change_password(client)

    ann.refresh_from_db()
    assert guesses == [422] * 10 + [429]
    assert right.status_code == 429
    assert ann.check_password(PASSWORD)


def test_api_tokens_outlive_a_password(client, ann, acme):
    make_token(ann, acme)

    change_password(client)

    assert ApiToken.objects.usable().count() == 1


# --- organisations ----------------------------------------------------------------------------------------------------


def current(client):
    return client.get("/profile/").wsgi_request.actor.organization


def test_one_switches_between_ones_own_organisations(client, ann, acme):
    beta = make_organization(name="Beta")
    Membership.objects.create(organization=beta, user=ann, role="admin")

    before = current(client)
    response = client.post("/organization/", {"organization": str(beta.pk)})

    assert (before, response["Location"], current(client)) == (acme, "/", beta)
    assert client.get("/members/").status_code == 200


@pytest.mark.parametrize("chosen", ["", "rubbish", "\x00", "00000000-0000-4000-8000-000000000000", "stranger"])
def test_other_organisations_are_not_there(client, ann, acme, chosen):
    stranger = make_organization()

    response = client.post("/organization/", {"organization": str(stranger.pk) if chosen == "stranger" else chosen})

    assert response.status_code == 404
    assert current(client) == acme


def test_switching_takes_a_post(client, ann):
    assert client.get("/organization/").status_code == 405


def test_who_belongs_nowhere_can_still_change_their_password_and_leave(client):
    client.force_login(make_user())

    page = client.get("/profile/")

    assert "You are not a member of any organisation." in page.text
    assert "not signed in" not in page.text
    assert 'action="/logout/"' in page.text
    assert client.get("/password/").status_code == 200
    assert client.get("/members/").status_code == 403
