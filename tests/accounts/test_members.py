"""The members page: roles and removal, by admins only, and never without an admin."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from evalhub.accounts.members import LastAdmin, change_role, remove_member
from evalhub.accounts.models import ApiToken, Membership
from evalhub.audit.models import AuditEvent
from results.assigning import assign_reviewers
from results.models import ReviewAssignment
from tests.factories import make_organization, make_project, make_results, make_run, make_token, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return make_organization(name="Acme")


@pytest.fixture
def admin(client, acme):
    user = make_user(acme, role="admin", name="Ann")
    client.force_login(user)
    return user


def membership_of(user):
    return Membership.objects.get(user=user)


def said(client):
    """What the next page tells."""
    return re.findall(r"data-toast>.*?<p>(.*?)</p>", client.get("/members/").text, re.DOTALL)


def test_an_admin_sees_the_members_of_the_current_organisation_only(client, admin, acme):
    make_user(acme, role="viewer", name="Vera")
    make_user(make_organization(), role="viewer", name="Stranger")

    page = client.get("/members/").text

    assert re.findall(r'<span class="who">.*?</span>([^<]+)</span>', page, re.DOTALL) == ["Ann", "Vera"]
    assert "Stranger" not in page


@pytest.mark.parametrize("role", ["lead", "reviewer", "viewer"])
def test_others_see_no_members_and_change_none(client, acme, admin, role):
    user = make_user(acme, role=role)
    client.force_login(user)
    target = membership_of(admin)

    answers = [
        client.get("/members/"),
        client.post(f"/members/{target.pk}/role/", {"role": "viewer"}),
        client.get(f"/members/{target.pk}/removal/"),
        client.post(f"/members/{target.pk}/removal/"),
        client.post(f"/members/{membership_of(user).pk}/role/", {"role": "admin"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    assert {m.user_id: m.role for m in acme.memberships.all()} == {admin.pk: "admin", user.pk: role}


def test_visitors_sign_in_first(client, acme):
    assert client.get("/members/")["Location"] == "/login/?next=/members/"


def test_an_admin_changes_a_role(client, admin, acme):
    vera = make_user(acme, role="viewer", name="Vera")

    client.post(f"/members/{membership_of(vera).pk}/role/", {"role": "lead"})

    assert membership_of(vera).role == "lead"
    assert said(client) == ["Vera is now evaluation lead."]


def test_a_role_that_does_not_exist_changes_nothing(client, admin, acme):
    vera = make_user(acme, role="viewer", name="Vera")

    client.post(f"/members/{membership_of(vera).pk}/role/", {"role": "owner"})

    assert membership_of(vera).role == "viewer"
    assert said(client) == ["This role does not exist."]


def test_a_removed_member_is_out_on_the_next_request(client, admin, acme, django_user_model):
    vera = make_user(acme, role="viewer", name="Vera")
    theirs = type(client)()
    theirs.force_login(vera)
    before = theirs.get("/profile/").text

    client.post(f"/members/{membership_of(vera).pk}/removal/")

    assert "Acme" in before
    assert "Acme" not in theirs.get("/profile/").text
    assert said(client) == ["Vera is no longer a member."]


def test_removal_asks_first_on_a_page_or_in_a_dialog(client, admin, acme):
    vera = make_user(acme, role="viewer", name="Vera")
    address = f"/members/{membership_of(vera).pk}/removal/"

    page = client.get(address).text
    dialog = client.get(address, headers={"HX-Request": "true", "HX-Target": "dialog#dialog"}).text

    assert "<html" in page
    assert "<html" not in dialog
    assert "Remove Vera" in page
    assert "Remove Vera" in dialog
    assert membership_of(vera) is not None


def test_who_removes_themselves_is_spoken_to(client, admin, acme):
    page = client.get(f"/members/{membership_of(admin).pk}/removal/").text

    assert "You lose access to Acme at once. Your API tokens here are revoked" in page
    assert "Their" not in page


def test_the_tokens_of_a_removed_member_stay_revoked_when_they_come_back(client, admin, acme):
    vera = make_user(acme, role="lead")
    make_token(vera, acme)

    client.post(f"/members/{membership_of(vera).pk}/removal/")
    Membership.objects.create(organization=acme, user=vera, role="lead")

    assert list(ApiToken.objects.usable()) == []


def test_tokens_for_other_organisations_stay(client, admin, acme):
    vera = make_user(acme, role="lead")
    other = make_organization()
    Membership.objects.create(organization=other, user=vera, role="lead")
    make_token(vera, other)

    remove_member(Membership.objects.get(user=vera, organization=acme), by=None)

    assert [token.organization for token in ApiToken.objects.usable()] == [other]


@pytest.mark.parametrize("change", ["removal", "demotion"])
def test_open_reviews_of_who_leaves_or_may_no_longer_review_go_to_others(client, admin, acme, change):
    rita, bea = make_user(acme, role="reviewer", name="Rita"), make_user(acme, role="reviewer", name="Bea")
    run = make_run(make_project(acme))
    results = make_results(run, passed=2)
    assign_reviewers(results, [rita, bea], by=admin)

    if change == "removal":
        client.post(f"/members/{membership_of(rita).pk}/removal/")
    else:
        client.post(f"/members/{membership_of(rita).pk}/role/", {"role": "viewer"})

    open_ones = ReviewAssignment.objects.open()
    assert open_ones.filter(reviewer=rita).count() == 0
    assert {assignment.result_id for assignment in open_ones} == {result.pk for result in results}


def test_a_change_between_roles_that_review_keeps_the_open_reviews(client, admin, acme):
    rita = make_user(acme, role="reviewer")
    run = make_run(make_project(acme))
    assign_reviewers(make_results(run, passed=1), [rita], by=admin)

    client.post(f"/members/{membership_of(rita).pk}/role/", {"role": "lead"})

    assert [assignment.reviewer for assignment in ReviewAssignment.objects.open()] == [rita]


@pytest.mark.parametrize("way", ["role", "removal"])
def test_the_last_admin_stays_admin(client, admin, acme, way):
    response = client.post(f"/members/{membership_of(admin).pk}/{way}/", {"role": "viewer"})

    assert response["Location"] == "/members/"
    assert membership_of(admin).role == "admin"
    assert said(client) == ["Acme would be left without an admin. Make somebody else admin first."]


def test_an_admin_who_is_switched_off_does_not_count(client, admin, acme):
    make_user(acme, role="admin", is_active=False)

    with pytest.raises(LastAdmin):
        change_role(membership_of(admin), "viewer", by=None)


def test_an_admin_may_leave_when_another_one_stays(client, admin, acme):
    make_user(acme, role="admin")

    response = client.post(f"/members/{membership_of(admin).pk}/removal/")

    assert response["Location"] == "/"
    assert client.get("/members/").status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["demote", "remove"])
def test_two_admins_cannot_get_rid_of_each_other_at_once(verb):
    acme = make_organization()
    admins = [make_user(acme, role="admin"), make_user(acme, role="admin")]
    start = Barrier(2)

    def get_rid_of(user):
        membership = Membership.objects.get(user=user)
        start.wait()
        try:
            if verb == "demote":
                change_role(membership, "viewer", by=None)
            else:
                remove_member(membership, by=None)
        except LastAdmin:
            return "refused"
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(get_rid_of, admins))

    assert outcomes == ["done", "refused"]
    assert acme.memberships.filter(role="admin").count() == 1


@pytest.mark.parametrize("way", ["role", "removal"])
def test_members_of_another_organisation_are_not_there(client, admin, way):
    stranger = make_user(make_organization(), role="viewer")

    response = client.post(f"/members/{membership_of(stranger).pk}/{way}/", {"role": "admin"})

    assert response.status_code == 404
    assert membership_of(stranger).role == "viewer"


def test_changes_are_written_down(client, admin, acme):
    vera = make_user(acme, role="viewer", name="Vera")
    client.post(f"/members/{membership_of(vera).pk}/role/", {"role": "lead"})
    client.post(f"/members/{membership_of(vera).pk}/removal/")

    events = AuditEvent.objects.filter(organization=acme, action__startswith="member.")
    assert {(event.action, event.user, event.entity_id): event.data for event in events} == {
        ("member.role_changed", admin, vera.pk): {"before": "viewer", "after": "lead"},
        ("member.removed", admin, vera.pk): {"role": "lead", "tokens_revoked": 0},
    }


def test_a_refusal_is_written_down(client, acme):
    vera = make_user(acme, role="viewer")
    client.force_login(vera)

    client.get("/members/")

    event = AuditEvent.objects.get(action="access.denied")
    assert (event.organization, event.user) == (acme, vera)
    assert event.data == {"right": "manage_members", "method": "GET", "path": "/members/"}


def test_the_page_asks_the_same_questions_for_one_member_and_for_many(client, admin, acme):
    def questions():
        with CaptureQueriesContext(connection) as asked:
            client.get("/members/")
        return len(asked)

    client.get("/members/")
    with_one = questions()
    for _ in range(3):
        make_user(acme, role="viewer")

    assert questions() == with_one


# --- the organisation's name ------------------------------------------------------------------------------------------


def test_an_admin_renames_the_organisation(client, admin, acme):
    answer = client.post("/organization/edit/", {"name": "Acme & Sons"})

    acme.refresh_from_db()
    assert (answer.status_code, answer["Location"]) == (302, "/members/")
    assert (acme.name, said(client)) == ("Acme & Sons", ["The organisation is called Acme &amp; Sons now."])
    assert list(AuditEvent.objects.values_list("action", "entity_id", "user", "data")) == [
        ("organization.renamed", acme.pk, admin.pk, {"before": "Acme", "after": "Acme & Sons"})
    ]
    assert "Renamed the organisation" in client.get("/audit/?kind=people").text


@pytest.mark.parametrize("name", ["", "   ", "x" * 151, "Ac\0me"])
def test_a_name_that_cannot_be_changes_nothing(client, admin, acme, name):
    answer = client.post("/organization/edit/", {"name": name})

    acme.refresh_from_db()
    assert (answer.status_code, acme.name, AuditEvent.objects.count()) == (422, "Acme", 0)


def test_the_same_name_again_is_no_event(client, admin, acme):
    client.post("/organization/edit/", {"name": "Acme"})

    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize("role", ["lead", "reviewer", "viewer"])
def test_only_admins_rename_the_organisation(client, acme, role):
    client.force_login(make_user(acme, role=role))

    answer = client.post("/organization/edit/", {"name": "Mine"})

    acme.refresh_from_db()
    assert (answer.status_code, acme.name) == (403, "Acme")
