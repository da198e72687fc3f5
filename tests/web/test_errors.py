import json
import re

import pytest
from django.test import Client, override_settings

from evalhub.accounts.models import Membership
from tests.factories import make_organization, make_user
from tests.web.shell_pages import TEMPLATES

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shell_pages():
    with override_settings(ROOT_URLCONF="tests.web.shell_pages", TEMPLATES=TEMPLATES):
        yield


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        (400, "This request can’t be read"),
        (403, "You can’t do this here"),
        (404, "This page isn’t here"),
        (500, "That didn’t work"),
    ],
)
def test_a_mistake_has_a_page_a_part_and_problem_details(client, kind, heading):
    page = client.get(f"/broken/{kind}/")
    part = client.get(f"/broken/{kind}/", headers={"HX-Request": "true", "HX-Request-Type": "partial"})
    problem = client.get(f"/api/broken/{kind}/")

    assert [answer.status_code for answer in (page, part, problem)] == [kind] * 3
    assert re.search("<h1>(.*)</h1>", page.text)[1] == heading
    assert page.text.startswith("<!doctype html>")
    assert page["X-Request-Id"] in page.text
    assert part.text.startswith('<div class="empty empty--sm" role="alert">')
    assert problem["Content-Type"] == "application/problem+json"
    body = json.loads(problem.content)
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert (body["type"], body["status"], body["request_id"]) == ("about:blank", kind, problem["X-Request-Id"])


def test_an_address_that_takes_only_forms_cannot_be_opened_and_says_so(client):
    client.force_login(make_user(make_organization()))
    htmx = {"HX-Request": "true", "HX-Request-Type": "partial"}

    page, part = client.get("/comments/"), client.get("/comments/", headers=htmx)

    assert [(answer.status_code, answer["Allow"]) for answer in (page, part)] == [(405, "POST")] * 2
    assert re.search("<h1>(.*)</h1>", page.text)[1] == "There is nothing to open here"
    assert "Go to runs" in page.text
    assert part.text.startswith('<div class="empty empty--sm" role="alert">')


def test_a_page_that_is_only_read_takes_no_form(client):
    client.force_login(make_user(make_organization()))

    page, problem = client.post("/results/"), client.post("/api/docs/")

    assert [(answer.status_code, answer["Allow"]) for answer in (page, problem)] == [(405, "GET, HEAD")] * 2
    assert re.search("<h1>(.*)</h1>", page.text)[1] == "This page can only be read"
    assert json.loads(problem.content)["detail"] == "What was sent was not taken, and nothing was changed."


def test_a_refusal_says_why(client):
    assert "The cursor is damaged." in client.get("/broken/400/").text
    assert json.loads(client.get("/api/broken/400/").content)["detail"] == "The cursor is damaged."


def test_the_server_keeps_its_mistakes_to_itself(client):
    assert "a secret of the server" not in client.get("/broken/500/").text + client.get("/api/broken/500/").text


def test_a_server_error_asks_the_database_nothing(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        client.get("/broken/500/")


def test_members_keep_their_rail_on_a_page_that_is_not_there(client):
    organization = make_organization(name="Acme")
    client.force_login(make_user(organization))

    assert "Acme" in client.get("/broken/404/").text
    assert "not signed in" not in client.get("/broken/404/").text
    assert "not signed in" in Client().get("/broken/404/").text


def test_who_belongs_to_several_organisations_can_look_in_the_others(client):
    acme, bolt = make_organization(name="Acme"), make_organization(name="Bolt")
    ann = make_user(acme)
    Membership.objects.create(organization=bolt, user=ann, role="viewer")
    client.force_login(ann)

    lost = client.get("/broken/404/?tab=x")
    gone = client.post("/organization/", {"organization": str(bolt.pk), "next": "/broken/404/?tab=x"})

    assert '<input type="hidden" name="next" value="/broken/404/?tab=x">' in lost.text
    assert re.findall(r'name="organization" value="([^"]+)">Bolt<', lost.text) == [str(bolt.pk)]
    assert gone["Location"] == "/broken/404/?tab=x"
    assert "You are in Bolt" in client.get("/broken/404/?tab=x").text
    assert "You are in" not in client.get("/broken/403/").text


def test_an_address_that_never_was_looks_like_one_that_is_not_yours(client):
    unknown, foreign = (
        re.sub(r"[0-9a-f]{24}|(?<=CSRFToken\": \")\w+", "…", client.get(address).text)
        for address in ("/nothing/", "/broken/404/")
    )

    assert unknown == foreign


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_form_without_its_token_changes_nothing_and_says_what_to_do(headers):
    answer = Client(enforce_csrf_checks=True).post("/styleguide/", headers=headers)

    assert answer.status_code == 403
    assert "This form has expired" in answer.text
    assert "Open it again, and send it once more." in answer.text
    assert answer["X-Form-Expired"] == "true"


def test_a_form_that_has_expired_can_be_opened_again():
    client = Client(enforce_csrf_checks=True)

    here = client.post("/styleguide/", headers={"Referer": "http://testserver/styleguide/?tab=forms"})
    elsewhere = client.post("/styleguide/", headers={"Referer": "http://evil.example//evil.example/"})

    assert 'href="/styleguide/?tab=forms" data-expired' in here.text
    assert "data-expired" not in elsewhere.text


def test_htmx_sends_the_token_by_a_header():
    client = Client(enforce_csrf_checks=True)
    token = re.search(r"hx-headers:inherited='\{\"X-CSRFToken\": \"(\w+)\"\}'", client.get("/styleguide/").text)[1]

    answer = client.post("/styleguide/", headers={"HX-Request": "true", "X-CSRFToken": token})

    assert answer.status_code == 204
