"""API tokens: made and revoked on a page by admins, and the actor that stands behind one."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evalhub.accounts.models import ApiToken, Membership, User
from evalhub.accounts.rights import Scope
from evalhub.accounts.tokens import TokenRefused, actor_from_bearer
from evalhub.audit.models import AuditEvent
from tests.factories import make_organization, make_token, make_user

pytestmark = pytest.mark.django_db
FORM = {"name": "CI", "scopes": ["read", "record"], "expires": "90"}


@pytest.fixture
def acme():
    return make_organization(name="Acme")


@pytest.fixture
def admin(client, acme):
    user = make_user(acme, role="admin", name="Ann")
    client.force_login(user)
    return user


def secret_in(response):
    found = re.search(r'value="(ehb_[^"]+)"', response.text)
    return found and found[1]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_an_admin_makes_a_token_whose_secret_is_shown_once(client, admin, acme):
    made = client.post("/tokens/", FORM)
    later = client.get("/tokens/")

    secret = secret_in(made)
    token = ApiToken.objects.get()
    assert made.status_code == 201
    assert made["Cache-Control"] == "private, no-store"
    assert f'data-copy="{secret}"' in made.text
    assert secret not in later.text
    assert token.prefix in later.text
    assert actor_from_bearer(f"Bearer {secret}").user == admin
    assert (token.organization, token.scopes) == (acme, ["read", "record"])
    assert timedelta(days=89) < token.expires_at - timezone.now() <= timedelta(days=90)


def test_the_secret_is_not_in_the_database(client, admin):
    secret = secret_in(client.post("/tokens/", FORM))

    stored = str([*ApiToken.objects.values_list(), *AuditEvent.objects.values_list()])
    assert secret not in stored
    assert secret[10:] not in stored


def test_a_token_may_live_for_ever(client, admin):
    client.post("/tokens/", {**FORM, "expires": "never"})

    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "\x00"}, "Null characters are not allowed."),
        ({"scopes": []}, "Choose at least one."),
        ({"scopes": ["everything"]}, "Select a valid choice."),
        ({"expires": "-1"}, "Select a valid choice."),
    ],
)
def test_a_token_that_cannot_be_made_says_why(client, admin, given, complaint):
    response = client.post("/tokens/", {**FORM, **given})

    assert response.status_code == 422
    assert complaint in response.text
    assert ApiToken.objects.count() == 0


def test_an_admin_revokes_the_token_of_a_colleague(client, admin, acme):
    secret = make_token(make_user(acme, role="admin"), acme)
    token = ApiToken.objects.get()

    client.post(f"/tokens/{token.pk}/revocation/")

    with pytest.raises(TokenRefused):
        actor_from_bearer(f"Bearer {secret}")
    assert "Revoked" in client.get("/tokens/").text


def test_revoking_twice_is_written_down_once(client, admin, acme):
    make_token(admin, acme)
    token = ApiToken.objects.get()

    client.post(f"/tokens/{token.pk}/revocation/")
    client.post(f"/tokens/{token.pk}/revocation/")

    events = AuditEvent.objects.filter(organization=acme, action="token.revoked")
    assert [(event.user, event.entity_id) for event in events] == [(admin, token.pk)]


def test_making_a_token_is_written_down(client, admin, acme):
    client.post("/tokens/", FORM)

    event = AuditEvent.objects.get(action="token.made")
    assert (event.organization, event.user, event.data) == (acme, admin, {"scopes": ["read", "record"]})


@pytest.mark.parametrize("role", ["lead", "reviewer", "viewer"])
def test_others_see_no_tokens_and_make_none(client, acme, role):
    make_token(make_user(acme, role="admin"), acme)
    token = ApiToken.objects.get()
    client.force_login(make_user(acme, role=role))

    answers = [
        client.get("/tokens/"),
        client.post("/tokens/", FORM),
        client.post(f"/tokens/{token.pk}/revocation/"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert list(ApiToken.objects.usable()) == [token]


def test_the_tokens_of_another_organisation_are_not_there(client, admin):
    other = make_organization()
    make_token(make_user(other, role="admin", name="Stranger"), other)
    token = ApiToken.objects.get()

    listed, revoked = client.get("/tokens/"), client.post(f"/tokens/{token.pk}/revocation/")

    assert "Stranger" not in listed.text
    assert revoked.status_code == 404
    assert list(ApiToken.objects.usable()) == [token]


def test_the_page_asks_the_same_questions_for_one_token_and_for_many(client, admin, acme):
    def questions():
        with CaptureQueriesContext(connection) as asked:
            client.get("/tokens/")
        return len(asked)

    make_token(admin, acme)
    client.get("/tokens/")
    with_one = questions()
    for _ in range(3):
        make_token(make_user(acme), acme)

    assert questions() == with_one


# --- the actor --------------------------------------------------------------------------------------------------------


def test_the_actor_is_the_tokens_user_in_its_organisation_with_its_scopes(acme):
    user = make_user(acme, role="lead")
    make_user(make_organization())
    secret = make_token(user, acme, scopes=["read", "record"])

    actor = actor_from_bearer(f"Bearer {secret}")

    assert (actor.user, actor.organization, actor.role, actor.scopes, actor.token) == (
        user,
        acme,
        "lead",
        {Scope.READ, Scope.RECORD},
        ApiToken.objects.get(),
    )
    assert (actor.may("record"), actor.may("set_up")) == (True, False)


def test_no_token_may_manage_members_or_tokens(acme):
    actor = actor_from_bearer(f"Bearer {make_token(make_user(acme, role='admin'), acme)}")

    assert [actor.may(right) for right in ("manage_members", "manage_tokens", "manage_organization")] == [False] * 3


def test_a_role_that_was_lowered_lowers_the_token_too(acme):
    user = make_user(acme, role="lead")
    secret = make_token(user, acme)
    Membership.objects.filter(user=user).update(role="viewer")

    assert actor_from_bearer(f"Bearer {secret}").may("record") is False


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER   {}", " Bearer {} ", b"Bearer %s"])
def test_the_header_is_read_as_programs_write_it(acme, header):
    secret = make_token(make_user(acme), acme)
    text = header % secret.encode() if isinstance(header, bytes) else header.format(secret)

    assert actor_from_bearer(text).organization == acme


def test_one_question_finds_the_actor_and_a_second_notes_the_use_once_a_minute(acme, django_assert_num_queries):
    secret = make_token(make_user(acme), acme)

    with django_assert_num_queries(2):
        actor_from_bearer(f"Bearer {secret}")
    first = ApiToken.objects.get().last_used_at
    with django_assert_num_queries(1):
        actor_from_bearer(f"Bearer {secret}")
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    with django_assert_num_queries(2):
        actor_from_bearer(f"Bearer {secret}")

    assert timezone.now() - first < timedelta(seconds=10)
    assert timezone.now() - ApiToken.objects.get().last_used_at < timedelta(seconds=10)


def expired(token):
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def revoked(token):
    token.revoke()


def user_switched_off(token):
    User.objects.filter(pk=token.user_id).update(is_active=False)


def member_removed(token):
    Membership.objects.all().delete()


@pytest.mark.parametrize("what_happened", [expired, revoked, user_switched_off, member_removed])
def test_a_token_that_lost_its_ground_is_refused_at_once(acme, what_happened):
    secret = make_token(make_user(acme), acme)
    assert actor_from_bearer(f"Bearer {secret}")

    what_happened(ApiToken.objects.get())

    with pytest.raises(TokenRefused):
        actor_from_bearer(f"Bearer {secret}")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        b"",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Token abc",
        "ehb_abc",
        "Bearer ehb_unknown",
        "Bearer two parts",
        "Bearer ehb_\x00",
        "Bearer ehb_\n",
        "Bearer é",
        "Bearer \ud800",
        "Bearer " + "a" * 7_000,
        b"Bearer \xff\xfe",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
)
def test_headers_that_name_no_token_are_refused(acme, header):
    make_token(make_user(acme), acme)

    with pytest.raises(TokenRefused):
        actor_from_bearer(header)
