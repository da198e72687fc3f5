import json

import pytest
from django.test import RequestFactory, override_settings

from evalhub.web.pages import back_to, fragment_target, go_to, is_here, tell, wants_fragment
from tests.web.shell_pages import TEMPLATES

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def shell_pages():
    with override_settings(ROOT_URLCONF="tests.web.shell_pages", TEMPLATES=TEMPLATES):
        yield


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, False),
        (PARTIAL, True),
        ({"HX-Request": "true"}, True),
        ({**PARTIAL, "HX-Request-Type": "full"}, False),
        ({**PARTIAL, "HX-History-Restore-Request": "true"}, False),
        ({**PARTIAL, "HX-Boosted": "true"}, False),
        ({"HX-Request": "1"}, False),
    ],
)
def test_a_part_is_wanted_only_where_it_is_put_into_a_page(headers, wanted):
    assert wants_fragment(RequestFactory().get("/", headers=headers)) is wanted


def test_the_target_is_named_by_its_id():
    assert fragment_target(RequestFactory().get("/", headers={"HX-Target": "aside#drawer"})) == "drawer"
    assert fragment_target(RequestFactory().get("/")) == ""


@pytest.mark.django_db
def test_htmx_gets_the_part_and_everybody_else_the_page(client, shell_pages):
    page = client.get("/styleguide/dialog/")
    part = client.get("/styleguide/dialog/", headers=PARTIAL)

    assert page.text.startswith("<!doctype html>")
    assert part.text.lstrip().startswith('<div class="dialog__head">')
    assert part["Vary"] == "HX-Request, HX-Request-Type, HX-Target, Cookie"


@pytest.mark.django_db
def test_what_was_said_comes_with_the_next_part(client, shell_pages):
    answer = client.post("/list/2/", {"verdict": "passed"}, headers={**PARTIAL, "HX-Target": "aside#drawer"})

    assert '<div id="toasts" hx-swap-oob="beforeend">' in answer.text
    assert "Case 2: passed." in answer.text
    assert "Case 2" not in client.get("/styleguide/").text


@pytest.mark.django_db
def test_a_part_that_a_page_fetches_by_itself_takes_no_message_from_the_page_that_comes(client, shell_pages):
    client.post("/styleguide/", headers=PARTIAL)

    part, page = client.get("/styleguide/dialog/", headers=PARTIAL), client.get("/styleguide/")

    assert ("Case 412 reviewed." in part.text, "Case 412 reviewed." in page.text) == (False, True)


@pytest.mark.django_db
def test_what_was_said_comes_with_the_next_page_and_can_be_undone(client, shell_pages):
    page = client.post("/styleguide/", follow=True)

    assert "Case 412 reviewed." in page.text
    assert 'action="/styleguide/undone/"' in page.text
    assert '<input type="hidden" name="next" value="/styleguide/" data-here>' in page.text


def test_htmx_is_redirected_by_a_header():
    plain = go_to(RequestFactory().post("/"), "/runs/")
    htmx = go_to(RequestFactory().post("/", headers={"HX-Request": "true"}), "/runs/")

    assert (plain.status_code, plain["Location"]) == (302, "/runs/")
    assert (htmx.status_code, htmx["HX-Redirect"]) == (204, "/runs/")


def test_events_for_the_page_add_up():
    answer = go_to(RequestFactory().post("/", headers={"HX-Request": "true"}), "/runs/")

    tell(answer, results_changed=True)
    tell(answer, close_dialog={"name": "ä"})

    assert json.loads(answer["HX-Trigger"]) == {"results-changed": True, "close-dialog": {"name": "ä"}}
    assert answer["HX-Trigger"].isascii()


@pytest.mark.parametrize("url", ["/runs/", "/runs/?q=a%20b#row", "/"])
def test_the_way_back_may_lead_anywhere_on_this_site(url):
    assert back_to(RequestFactory().post("/", {"next": url}), "/default/") == url
    assert back_to(RequestFactory().get("/", {"next": url}), "/default/") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "http:evil.example",
        "evil.example",
        "https:/evil.example",
        "//testserver@evil.example",
        "http://testserver/runs/",
        "/\x00/evil.example",
        "data:text/html,x",
        "/\u2028/x",
        "?next=/x",
    ],
)
def test_the_way_back_never_leads_off_this_site(url):
    request = RequestFactory().post("/", {"next": url})

    assert not is_here(request, url)
    assert back_to(request, "/default/") == "/default/"
