"""Invitations by link: made, shown once, accepted once, by somebody new or somebody known."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from evalhub.accounts.invitations import accept, invite
from evalhub.accounts.models import Invitation, Membership, Organization, User
from evalhub.audit.models import AuditEvent
from tests.factories import PASSWORD, make_organization, make_user

pytestmark = pytest.mark.django_db
NEW = {"name": "Bea Berg", "new_password1": "purple monkey dishwasher", "new_password2": "purple monkey dishwasher"}


@pytest.fixture
def acme():
    return make_organization(name="Acme")


@pytest.fixture
def admin(client, acme):
    user = make_user(acme, role="admin", name="Ann")
    client.force_login(user)
    return user


def link_in(response):
    found = re.search(r'value="http://testserver(/invitations/[^"]+/)"', response.text)
    return found and found[1]


def make_link(organization, email="bea@example.com", role="reviewer"):
    invitation, secret = invite(organization, email, role)
    return invitation, f"/invitations/{secret}/"


def test_an_admin_gets_a_link_that_is_shown_once(client, admin):
    made = client.post("/members/invitations/", {"email": "Bea@Example.com", "role": "lead", "days": "7"})
    later = client.get("/members/")

    invitation = Invitation.objects.get()
    assert made.status_code == 201
    assert link_in(made) is not None
    assert link_in(later) is None
    assert "bea@example.com" in later.text
    assert (invitation.email, invitation.role, invitation.invited_by) == ("bea@example.com", "lead", admin)


def test_the_secret_of_a_link_is_not_in_the_database(client, admin):
    made = client.post("/members/invitations/", {"email": "bea@example.com", "role": "lead", "days": "7"})

    secret = link_in(made).split("/")[2]
    stored = [*Invitation.objects.values_list(), *AuditEvent.objects.values_list()]
    assert len(secret) == 43
    assert secret not in str(stored)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"email": "rubbish"}, "This is not an e-mail address."),
        ({"email": ""}, "This field is required."),
        ({"role": "owner"}, "Select a valid choice."),
        ({"days": "9999"}, "Select a valid choice."),
    ],
)
def test_an_invitation_that_cannot_be_made_says_why(client, admin, given, complaint):
    response = client.post("/members/invitations/", {"email": "bea@example.com", "role": "lead", "days": "7", **given})

    assert response.status_code == 422
    assert complaint in response.text
    assert Invitation.objects.count() == 0


def test_a_member_is_not_invited_again(client, admin, acme):
    make_user(acme, email="bea@example.com")

    response = client.post("/members/invitations/", {"email": "BEA@example.com", "role": "lead", "days": "7"})

    assert "This person is a member already." in response.text


def test_people_with_and_without_an_account_are_invited_alike(client, admin):
    make_user(make_organization(), email="known@example.com")

    known = client.post("/members/invitations/", {"email": "known@example.com", "role": "lead", "days": "7"})
    unknown = client.post("/members/invitations/", {"email": "unknown@example.com", "role": "lead", "days": "7"})

    assert (known.status_code, unknown.status_code) == (201, 201)


def test_inviting_again_ends_the_first_link(client, acme):
    _, first = make_link(acme)
    _, second = make_link(acme)

    assert [client.get(first).status_code, client.get(second).status_code] == [404, 200]


def test_somebody_new_makes_an_account_and_is_in(client, acme):
    invitation, link = make_link(acme)

    response = client.post(link, NEW)

    user = User.objects.get(email="bea@example.com")
    invitation.refresh_from_db()
    assert response["Location"] == "/"
    assert (user.name, user.check_password(NEW["new_password1"])) == ("Bea Berg", True)
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert [(m.organization, m.role) for m in user.memberships.all()] == [(acme, "reviewer")]
    assert invitation.accepted_by == user
    assert client.get("/profile/").status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "\x00"},
        {"new_password1": "short", "new_password2": "short"},
        {"new_password1": "bea berg 12", "new_password2": "bea berg 12", "name": "Bea Berg 12"},
        {"new_password1": "password1234", "new_password2": "password1234"},
        {"new_password2": "another one 123"},
    ],
)
def test_a_poor_name_or_password_makes_no_account(client, acme, given):
    _, link = make_link(acme)

    response = client.post(link, {**NEW, **given})

    assert response.status_code == 422
    assert not User.objects.filter(email="bea@example.com").exists()
    assert Invitation.objects.filter(accepted_at=None).count() == 1


def test_posted_extras_change_neither_mail_nor_rights(client, acme):
    _, link = make_link(acme)

    client.post(link, {**NEW, "email": "evil@example.com", "is_superuser": "on", "is_staff": "on", "role": "admin"})

    user = User.objects.get(memberships__organization=acme)
    assert (user.email, user.is_superuser, user.is_staff) == ("bea@example.com", False, False)
    assert user.memberships.get().role == "reviewer"


def test_somebody_with_an_account_signs_in_first_and_comes_back(client, acme):
    make_user(email="bea@example.com")
    _, link = make_link(acme)

    shown = client.get(link)
    posted = client.post(link, NEW)
    signed_in = client.post("/login/", {"email": "bea@example.com", "password": PASSWORD, "next": link})
    joined = client.post(link)

    assert f'href="/login/?next={link}"' in shown.text
    assert posted.status_code == 200  # nothing happened: the account is not theirs to take over
    assert signed_in["Location"] == link
    assert joined["Location"] == "/"
    assert Membership.objects.get(organization=acme).user.email == "bea@example.com"


def test_an_invitation_does_not_change_the_password_of_an_account(client, acme):
    user = make_user(email="bea@example.com")
    _, link = make_link(acme)

    client.post(link, NEW)

    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert Membership.objects.filter(organization=acme).count() == 0


def test_who_is_signed_in_joins_and_works_there_at_once(client, acme):
    user = make_user(make_organization(name="Aaa, their old one"), role="viewer")
    client.force_login(user)
    _, link = make_link(acme, email="another@example.com")

    shown = client.get(link)
    client.post(link)

    assert "The invitation was made for another@example.com." in shown.text
    assert client.get("/profile/").wsgi_request.actor.organization == acme


def test_looking_at_a_link_uses_nothing_up(client, acme):
    client.force_login(make_user())
    invitation, link = make_link(acme)

    client.get(link)
    client.head(link)

    invitation.refresh_from_db()
    assert invitation.accepted_at is None


def test_a_member_keeps_their_role(client, acme):
    user = make_user(acme, role="admin")
    client.force_login(user)
    _, link = make_link(acme, role="viewer")

    shown = client.get(link)
    client.post(link)

    assert "You are a member already." in shown.text
    assert user.memberships.get().role == "admin"


def test_links_that_are_used_expired_withdrawn_or_invented_say_so(client, acme):
    used, used_link = make_link(acme, "a@example.com")
    accept(used, make_user())
    _, expired_link = make_link(acme, "b@example.com")
    Invitation.objects.filter(email="b@example.com").update(expires_at=timezone.now() - timedelta(seconds=1))
    withdrawn, withdrawn_link = make_link(acme, "c@example.com")
    withdrawn.delete()

    answers = [client.get(link) for link in (used_link, expired_link, withdrawn_link, "/invitations/invented/")]

    assert [(answer.status_code, re.search("<h1>(.*?)</h1>", answer.text)[1]) for answer in answers] == [
        (410, "This invitation was used"),
        (410, "This invitation has expired"),
        (404, "This invitation doesn’t exist"),
        (404, "This invitation doesn’t exist"),
    ]


@pytest.mark.parametrize("secret", ["%00", "%ED%A0%80", "😀", "x" * 3_000, "..", "a b"])
def test_strange_links_are_links_that_do_not_exist(client, secret):
    assert client.get(f"/invitations/{secret}/").status_code == 404


def test_a_link_works_for_one_person_only(client, acme):
    _, link = make_link(acme)
    client.post(link, NEW)
    client.logout()

    second = client.post(link, {**NEW, "name": "Somebody else"})

    assert second.status_code == 410
    assert Membership.objects.filter(organization=acme).count() == 1


def test_an_expired_link_lets_nobody_in_by_post_either(client, acme):
    _, link = make_link(acme)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    response = client.post(link, NEW)

    assert response.status_code == 410
    assert User.objects.filter(email="bea@example.com").count() == 0


def test_an_admin_withdraws_an_invitation(client, admin, acme):
    invitation, link = make_link(acme)

    client.post(f"/members/invitations/{invitation.pk}/withdrawal/")
    client.logout()

    assert client.get(link).status_code == 404


def test_the_invitation_of_another_organisation_is_not_there(client, admin):
    foreign, link = make_link(make_organization())

    response = client.post(f"/members/invitations/{foreign.pk}/withdrawal/")

    assert response.status_code == 404
    assert client.get(link).status_code == 200


@pytest.mark.parametrize("role", ["lead", "reviewer", "viewer"])
def test_only_admins_invite(client, acme, role):
    client.force_login(make_user(acme, role=role))
    invitation, _ = make_link(acme)

    made = client.post("/members/invitations/", {"email": "x@example.com", "role": "admin", "days": "7"})
    withdrawn = client.post(f"/members/invitations/{invitation.pk}/withdrawal/")

    assert (made.status_code, withdrawn.status_code) == (403, 403)
    assert list(Invitation.objects.all()) == [invitation]


def test_the_way_of_an_invitation_is_written_down(client, admin, acme):
    made = client.post("/members/invitations/", {"email": "bea@example.com", "role": "lead", "days": "7"})
    client.logout()
    client.post(link_in(made), NEW)

    bea = User.objects.get(email="bea@example.com")
    events = AuditEvent.objects.filter(organization=acme)
    assert {(event.action, event.user) for event in events} == {
        ("invitation.made", admin),
        ("member.joined", bea),
        ("invitation.accepted", bea),
        ("login", bea),
    }


def test_no_log_line_holds_the_secret_of_a_link(client, acme, caplog):
    _, link = make_link(acme)

    with caplog.at_level("DEBUG"):
        client.get(link)
        client.post(link, NEW)

    secret = link.split("/")[2]
    lines = [f"{record.getMessage()} {getattr(record, 'facts', '')}" for record in caplog.records]
    assert "/invitations/…/" in " ".join(lines)
    assert [line for line in lines if secret in line and "sql" not in line.lower()] == []


# --- the first organisation -------------------------------------------------------------------------------------------


def run_command(*arguments):
    out = StringIO()
    call_command("create_organization", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_makes_an_organisation_and_prints_a_link_for_its_admin(client):
    said = run_command("Acme Labs", "--admin", "Bea@example.com", "--address", "https://evalhub.example/")
    link = re.search(r"https://evalhub\.example(/invitations/\S+/)", said)[1]
    client.post(link, NEW)

    membership = Membership.objects.get()
    assert (membership.organization.name, membership.organization.slug) == ("Acme Labs", "acme-labs")
    assert (membership.user.email, membership.role) == ("bea@example.com", "admin")


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ('{"base_url": "http://localhost:8123"}', "http://localhost:8123/"),
        ("{}", "http://localhost:8000/"),
        ("{", "http://localhost:8000/"),
        (None, "http://localhost:8000/"),
    ],
)
def test_the_link_leads_to_the_demo_where_there_is_one(settings, tmp_path, said, address):
    settings.VAR_DIR, settings.ALLOWED_HOSTS = tmp_path, ["localhost"]
    if said is not None:
        (tmp_path / "demo.json").write_text(said)

    printed = run_command("Acme Labs", "--admin", "bea@example.com")

    assert f"  {address}invitations/" in printed


def test_the_first_operator_comes_from_the_command_line(client, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", email="Op@Example.com", name="Op", interactive=False, stdout=StringIO())
    response = client.post("/login/", {"email": "op@example.com", "password": PASSWORD})

    assert response["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_fresh_installation_has_no_account_and_no_sign_up(client):
    assert User.objects.count() == 0
    assert [client.get(f"/{path}/").status_code for path in ("register", "signup", "sign-up")] == [404, 404, 404]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["Acme", "--admin", "rubbish"], "'rubbish' is not an e-mail address."),
        (
            ["///", "--admin", "a@example.com"],
            "NAME needs at least one letter or digit",
        ),
        (["Acme", "--admin", "a@example.com", "--slug", "a b"], "Enter a valid"),
        (["Acme", "--admin", "a@example.com", "--days", "0"], "--days must be between 1 and 365."),
        (["Taken", "--admin", "a@example.com"], "There is an organisation 'taken' already. Choose another --slug."),
        (["A" * 151, "--admin", "a@example.com", "--slug", "a"], "Ensure this value has at most 150 characters"),
    ],
)
def test_the_command_says_in_a_sentence_what_is_wrong(arguments, complaint):
    make_organization(slug="taken")

    with pytest.raises(CommandError, match=re.escape(complaint)):
        run_command(*arguments)

    assert Organization.objects.count() == 1
