"""What holds for every address: who gets in, what is read, what is answered, and how often."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evalhub.accounts.models import ApiToken, Membership
from evalhub.api import once
from evalhub.api.allowance import Allowance
from evalhub.api.authentication import PerToken
from evalhub.api.entrance import document
from evalhub.api.problems import field_problem
from evalhub.api.runs import RunList
from evalhub.worker import forget_old_idempotency_keys
from runs.models import Case, IdempotencyKey, Project, TestRun
from tests.api.conftest import Api, problem
from tests.factories import PASSWORD, make_organization, make_project, make_result, make_run, make_token, make_user

# --- who gets in ------------------------------------------------------------------------------------------------------


def bearer(token: str) -> Any:
    return Client().get("/api/runs/", headers={"Authorization": token})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer ehb_unknown",
        "Basic dXNlcjpwYXNz",
        "bearer\u00e4 x",
        "Bearer \u00e4\u00f6",
        "Bearer " + "x" * 7000,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "\x00",
    ],
)
def test_a_token_that_is_none_is_refused_whatever_it_is(db, header):
    response = bearer(header)

    assert problem(response)["status"] == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="EvalHub"'


def test_nobody_is_asked_to_sign_in(db):
    response = Client().get("/api/runs/")

    assert problem(response) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Sign in, or send a token: Authorization: Bearer ehb_...",
    }


def test_a_token_lives_as_long_as_its_right_to(organization):
    user = make_user(organization)
    token = make_token(user, organization)
    expired = make_token(user, organization, expires_at=timezone.now() - timedelta(seconds=1))

    statuses = [bearer(f"Bearer {token}").status_code, bearer(f"Bearer {expired}").status_code]
    ApiToken.objects.get(prefix=token[:10], expires_at=None).revoke()
    statuses.append(bearer(f"Bearer {token}").status_code)
    another = make_token(user, organization)
    user.is_active = False
    user.save()
    statuses.append(bearer(f"Bearer {another}").status_code)
    user.is_active = True
    user.save()
    Membership.objects.all().delete()
    statuses.append(bearer(f"Bearer {another}").status_code)

    assert statuses == [200, 401, 401, 401, 401]


def test_a_token_in_the_address_opens_nothing(api):
    client = Client()

    assert client.get(f"/api/runs/?token={api.token}").status_code == 401
    assert client.get(f"/api/runs/?access_token={api.token}").status_code == 401


def test_a_wrong_token_is_not_saved_by_a_session(api):
    client = Client()
    client.force_login(api.user)

    assert client.get("/api/runs/").status_code == 200
    assert client.get("/api/runs/", headers={"Authorization": "Bearer x"}).status_code == 401


def test_a_session_changes_things_with_its_csrf_token_only(api, project):
    client = Client(enforce_csrf_checks=True)
    client.login(username=api.user.email, password=PASSWORD)
    body = json.dumps({"project": "support-bot"})

    refused = [
        client.post("/api/runs/", body, content_type="application/json"),
        client.post("/api/runs/", body, content_type="application/json", headers={"X-CSRFToken": "x" * 32}),
        client.post("/api/runs/", body, content_type="text/plain"),
    ]
    secret = "c" * 32
    client.cookies["evalhub-csrf"] = secret
    accepted = client.post("/api/runs/", body, content_type="application/json", headers={"X-CSRFToken": secret})

    assert [problem(response)["status"] for response in refused] == [403, 403, 403]
    assert accepted.status_code == 201
    assert TestRun.objects.count() == 1


def test_somebody_without_an_organisation_is_told_so(db):
    client = Client()
    client.force_login(make_user())

    assert problem(client.get("/api/runs/"))["detail"].startswith("You are not a member of any organisation")


def test_the_organisation_of_the_token_counts(organization):
    other = make_organization()
    user = make_user(organization)
    Membership.objects.create(organization=other, user=user, role="viewer")
    make_run(make_project(other, slug="theirs"), name="of the other")
    make_project(organization, slug="mine")

    names = {
        name: [
            row["name"]
            for row in Client()
            .get("/api/runs/", headers={"Authorization": f"Bearer {make_token(user, where)}"})
            .json()["items"]
        ]
        for name, where in (("mine", organization), ("other", other))
    }

    made = {
        slug: Client()
        .post(
            "/api/runs/",
            {"project": slug},
            content_type="application/json",
            headers={"Authorization": f"Bearer {make_token(user, where)}"},
        )
        .status_code
        for slug, where in (("mine", organization), ("theirs", other))
    }

    assert names == {"mine": [], "other": ["of the other"]}
    assert made == {"mine": 201, "theirs": 403}  # a lead here, a viewer there


# --- what is read -----------------------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


STRANGE = {
    "NUL in a value": b'{"project": "support-bot", "attributes": {"a": "x\\u0000y"}}',
    "NUL in a key": b'{"project": "support-bot", "attributes": {"x\\u0000y": 1}}',
    "NUL deep down": b'{"project": "support-bot", "attributes": {"a": [[{"b": "\\u0000"}]]}}',
    "NUL as a byte": b'{"project": "support-bot", "name": "x\x00y"}',
    "half a character": b'{"project": "support-bot", "attributes": {"a": "\\ud800"}}',
    "half a character in a choice": b'{"project": "support-bot", "status": "\\ud800"}',
    "half a character in a key": b'{"project": "support-bot", "\\udfff": 1}',
    "half a character in an id": b'{"project": "\\ud800"}',
    "65 levels": b'{"project": "support-bot", "attributes": {"a": ' + nested(63) + b"}}",
    "5,000 levels": b'{"project": "support-bot", "attributes": {"a": ' + nested(5000) + b"}}",
    "100,000 levels": b"[" * 100_000,
    "an infinite number": b'{"project": "support-bot", "planned_count": 1e400}',
    "an infinite number as an id": b'{"project": 1e400}',
    "lists as an id": b'{"project": ' + nested(60) + b"}",
    "a number as an id": b'{"project": 1}',
    "NaN": b'{"project": "support-bot", "attributes": {"a": NaN}}',
    "minus infinity": b'{"project": "support-bot", "attributes": {"a": -Infinity}}',
    "4,301 digits": b'{"project": "support-bot", "planned_count": ' + b"1" * 4301 + b"}",
    "70 bits": b'{"project": "support-bot", "attributes": {"a": 1180591620717411303424}}',
    "a huge exponent": b'{"project": "support-bot", "attributes": {"a": 1e999999999}}',
    "a key twice": b'{"project": "support-bot", "project": "other"}',
    "a key twice deep down": b'{"project": "support-bot", "attributes": {"a": {"b": 1, "b": 2}}}',
    "a number as text": b'{"project": "support-bot", "planned_count": "1_000"}',
    "foreign digits": '{"project": "support-bot", "planned_count": "١"}'.encode(),
    "a time without offset": b'{"project": "support-bot", "started_at": "2026-01-01T00:00:00"}',
    "a day that is none": b'{"project": "support-bot", "started_at": "2026-02-30T00:00:00Z"}',
    "not UTF-8": b'{"project": "support-bot", "name": "\xff"}',
    "a byte order mark": b'\xef\xbb\xbf{"project": "support-bot"}',
    "UTF-16": '{"project": "support-bot"}'.encode("utf-16"),
    "nothing": b"",
    "blanks": b"  \n ",
    "a list": b"[]",
    "a text": b'"support-bot"',
    "half an object": b'{"project": "support-bot"',
    "two objects": b'{"project": "support-bot"}{}',
    "a comma too much": b'{"project": "support-bot",}',
    "comments": b'{"project": "support-bot" /* x */}',
    "100,000 unknown keys": json.dumps({f"k{n}": n for n in range(100_000)}).encode(),
    "200,000 items": json.dumps({"project": "support-bot", "attributes": {"a": [0] * 200_000}}).encode(),
    "ownership": b'{"project": "support-bot", "organization": "x", "created_by": "x", "__proto__": {"a": 1}}',
}


@pytest.mark.parametrize("strange", STRANGE)
def test_strange_bodies_are_refused_and_change_nothing(api, project, strange):
    response = api.post("/api/runs/", raw=STRANGE[strange])

    body = problem(response)
    assert body["status"] == 400
    assert len(response.content) < 10_000
    assert TestRun.objects.count() == 0


def test_strange_values_come_back_as_they_came(api, project):
    strange = {
        "bidi": "\u202eevil\u2066",
        "combining": "e\u0301 is not \u00e9",
        "emoji": "👩‍💻",
        "control": "\u0001\u001b[31m\u007f",
        "html": "<script>alert(1)</script>",
        "template": "{{ 7*7 }}${7*7}#{7*7}",
        "numbers": [0, -1, 1.5, 1e308, 5e-324, 2**63 - 1, -(2**63), 0.1],
        "deep": json.loads(nested(60)),
        "__proto__": {"constructor": None},
        "": "",
    }

    made = api.post("/api/runs/", {"project": "support-bot", "name": "n\u00e4me \u202e", "attributes": strange})

    assert made.status_code == 201, made.content
    content = api.get(f"/api/runs/{made.json()['id']}/").content
    back = json.loads(content, parse_int=lambda digits: int(digits) if len(digits) < 21 else float(digits))
    assert back["attributes"] == strange
    assert made.json()["name"] == "n\u00e4me \u202e"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "json",
        "",
    ],
)
def test_other_content_types_are_refused(api, project, content_type):
    response = api.post("/api/runs/", {"project": "support-bot"}, content_type=content_type)

    assert problem(response)["status"] == 415
    assert TestRun.objects.count() == 0


def test_json_is_read_as_utf_8(api, project):
    accepted = api.post("/api/runs/", {"project": "support-bot"}, content_type="application/json; charset=utf-8")
    refused = api.post("/api/runs/", {"project": "support-bot"}, content_type="application/json; charset=latin-1")

    assert (accepted.status_code, refused.status_code) == (201, 415)


def test_a_body_has_a_largest_size(api, project):
    run = make_run(project)
    large = json.dumps({"project": "support-bot", "attributes": {"a": "x" * (2 * 1024 * 1024)}}).encode()
    results = json.dumps({"results": [{"output": "x" * 900_000} for _ in range(3)]}).encode()
    larger = b" " * (33 * 1024 * 1024)

    assert problem(api.post("/api/runs/", raw=large))["detail"] == "The body is larger than 2 MiB."
    assert api.post(f"/api/runs/{run.pk}/results/", raw=results).status_code == 201
    assert problem(api.post(f"/api/runs/{run.pk}/results/", raw=larger))["detail"] == "The body is larger than 32 MiB."
    assert TestRun.objects.count() == 1


def test_a_body_in_chunks_is_not_taken_for_an_empty_one(api, project):
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}

    response = api.post("/api/runs/", {"project": "support-bot"}, **chunked)

    assert problem(response)["status"] == 411


IDS = [
    "%D9%A1",
    "+1",
    "1_0",
    "1",
    "-1",
    "%00",
    "%20",
    "..%2f",
    "%ED%A0%80",
    "a" * 256,
    "%7B%7D",
    "0x1",
    "1e5",
    "'",
    "%0a",
]


@pytest.mark.parametrize("ident", IDS)
def test_strange_ids_find_nothing(api, project, ident):
    make_result(make_run(project))

    paths = ("runs", "results", "projects", "cases", "assignments", "rounds", "comments", "tags", "views", "members")
    statuses = {
        method: {api.call(method, f"/api/{path}/{ident}/", {}).status_code for path in paths}
        for method in ("GET", "DELETE")
    }

    assert statuses["GET"] == {404}
    assert statuses["DELETE"] <= {404, 405}
    assert (TestRun.objects.count(), Case.objects.count(), Project.objects.count()) == (1, 1, 1)


def test_uuids_are_read_in_any_case_but_one_spelling(api, project):
    run = make_run(project)
    text = str(run.pk)

    found = {
        spelling: api.get(f"/api/runs/{spelling}/").status_code
        for spelling in (text, text.upper(), text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}")
    }

    assert list(found.values()) == [200, 200, 404, 404, 404]


def test_our_id_wins_over_a_clients(api, project):
    first = make_run(project)
    TestRun.objects.filter(pk=make_run(project).pk).update(external_id=str(first.pk))

    assert api.get(f"/api/runs/{first.pk}/").json()["number"] == 1


# --- what is answered -------------------------------------------------------------------------------------------------


def test_methods_that_do_not_exist_are_named(api, project):
    answers = [
        api.call("PUT", "/api/runs/", {}),
        api.call("DELETE", "/api/runs/"),
        api.call("OPTIONS", "/api/runs/"),
        api.call("TRACE", "/api/runs/"),
        api.call("PATCH", "/api/results/x/", {}),
        api.call("MADEUP", "/api/runs/"),
    ]

    assert [problem(answer)["status"] for answer in answers] == [405] * 6
    assert answers[0]["Allow"] == "GET, POST, HEAD"


def test_head_is_get_without_a_body(api, project):
    make_run(project)

    answer = api.call("HEAD", "/api/runs/")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["nothing/", "runs", "runs/x/y/", "", "v5/", "docs", ".json", "runs.json", "runs/.json"]
)
def test_addresses_that_are_none_are_told_so_in_json(api, path):
    response = api.get(f"/api/{path}")

    if path == "":
        assert response.json()["resources"]["runs"] == "http://testserver/api/runs/"
    else:
        assert problem(response)["status"] == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("text/html", 406),
        ("application/xml", 406),
        ("application/json; indent=4", 200),
        ("\x00", 406),
    ],
)
def test_answers_are_json_and_nothing_else(api, accept, status):
    response = api.get("/api/runs/", headers={"Accept": accept})

    assert response.status_code == status
    assert response["Content-Type"] == ("application/json" if status == 200 else "application/problem+json")


def test_every_answer_is_careful(api):
    for path in ("/api/runs/", "/api/runs/x/", "/api/nothing/", "/api/"):
        response = api.get(path, headers={"Origin": "https://evil.example"})

        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in response


def test_our_own_mistakes_are_told_without_details(api, monkeypatch):
    def broken(*args: Any) -> None:
        raise RuntimeError("SELECT secret FROM /srv/evalhub")

    monkeypatch.setattr(RunList, "get", broken)
    api.client.raise_request_exception = False

    response = api.get("/api/runs/")

    assert problem(response) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something broke on our side; nothing was changed. The operator finds it by the request id.",
    }
    assert response.json()["request_id"] == response["X-Request-Id"]


def test_a_database_that_is_away_is_told_with_a_time(api, monkeypatch):
    def away(*args: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(RunList, "get", away)

    response = api.get("/api/runs/")

    assert (problem(response)["status"], response["Retry-After"]) == (503, "5")


def test_a_full_disk_is_told_with_a_time(api, project, monkeypatch):
    def full(*args: Any, **kwargs: Any) -> None:
        with connection.wrap_database_errors:
            raise psycopg.errors.DiskFull("could not extend file")

    monkeypatch.setattr("evalhub.api.runs.record_event", full)

    response = api.post("/api/runs/", {"project": "support-bot"})

    told = problem(response)
    assert (told["status"], told["detail"]) == (503, "The server's disk is full; nothing was changed.")
    assert (response["Retry-After"], TestRun.objects.count()) == ("60", 0)


def test_a_change_that_fails_in_the_middle_changes_nothing(api, project, monkeypatch):
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("evalhub.api.runs.record_event", broken)
    api.client.raise_request_exception = False

    response = api.post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": "k"})

    assert response.status_code == 500
    assert (TestRun.objects.count(), IdempotencyKey.objects.count()) == (0, 0)


# --- how often --------------------------------------------------------------------------------------------------------


def test_a_token_has_an_allowance(api, api_of, settings):
    settings.API_REQUESTS_PER_MINUTE = 3
    another = api_of("viewer")

    statuses = [api.get("/api/runs/").status_code for _ in range(4)]
    refused = api.get("/api/runs/")

    assert statuses == [200, 200, 200, 429]
    assert problem(refused) == {
        "type": "/api/docs/#throttled",
        "title": "Too Many Requests",
        "status": 429,
        "detail": f"Too many requests with this token. Try again in {refused['Retry-After']} s.",
    }
    assert 1 <= int(refused["Retry-After"]) <= 20
    assert another.get("/api/runs/", headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 200
    assert api.get("/api/runs/", headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 429


def test_an_allowance_fills_up_again():
    now = 0.0
    allowance = Allowance(per_minute=60, clock=lambda: now)

    at_once = [allowance.take("a") for _ in range(61)]
    now = 1.0
    a_second_later = [allowance.take("a"), allowance.take("a")]
    now = 1000.0
    much_later = [allowance.take("a") for _ in range(61)]

    assert at_once == [0] * 60 + [1]
    assert a_second_later == [0, 1]
    assert much_later == [0] * 60 + [1]
    assert Allowance(per_minute=0).take("a") == 0


def test_allowances_are_forgotten_when_full(monkeypatch):
    now = 0.0
    allowance = Allowance(per_minute=60, clock=lambda: now)
    monkeypatch.setattr("evalhub.api.allowance.MOST_REMEMBERED", 3)
    for who in "abc":
        allowance.take(who)
    now = 10.0

    allowance.take("d")

    assert list(allowance.full_at) == ["d"]
    assert PerToken.allowance.full_at == {}


# --- once -------------------------------------------------------------------------------------------------------------


def test_a_request_that_names_itself_is_done_once(api, project):
    body = {"project": "support-bot", "name": "Once"}

    first = api.post("/api/runs/", body, headers={"Idempotency-Key": "k-1"})
    again = api.post("/api/runs/", body, headers={"Idempotency-Key": "k-1"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json(), again["Location"], again["ETag"]) == (first.json(), first["Location"], first["ETag"])
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert TestRun.objects.count() == 1


def test_a_key_is_for_one_request_of_one_person(api, api_of, project):
    api.post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": "k"})

    others = [
        api.post("/api/runs/", {"project": "support-bot", "name": "x"}, headers={"Idempotency-Key": "k"}),
        api.post("/api/tags/", {"name": "x"}, headers={"Idempotency-Key": "k"}),
        api_of().post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": "k"}),
    ]

    assert [problem(answer)["type"] for answer in others] == ["/api/docs/#key-reused"] * 3
    assert [answer.status_code for answer in others] == [422] * 3
    assert TestRun.objects.count() == 1


def test_the_same_key_in_another_organisation_is_another_key(api, stranger, project):
    make_project(stranger.organization, slug="support-bot")

    made = [
        caller.post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": "k"})
        for caller in (api, stranger)
    ]

    assert [answer.status_code for answer in made] == [201, 201]
    assert TestRun.objects.count() == 2


def test_a_request_that_was_refused_may_be_mended_under_the_same_key(api, project):
    refused = api.post("/api/runs/", {"project": "nothing"}, headers={"Idempotency-Key": "k"})
    mended = api.post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": "k"})

    assert (refused.status_code, mended.status_code) == (400, 201)


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "\u00e4", "\t"])
def test_a_key_that_is_none_is_refused(api, project, key):
    response = api.post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": key})

    assert problem(response)["status"] == 400
    assert TestRun.objects.count() == 0


def test_old_keys_are_forgotten(api, project):
    api.post("/api/runs/", {"project": "support-bot"}, headers={"Idempotency-Key": "k"})
    IdempotencyKey.objects.update(created_at=timezone.now() - once.KEPT - timedelta(seconds=1))

    forget_old_idempotency_keys(timestamp=0)

    assert IdempotencyKey.objects.count() == 0


def test_every_post_can_name_itself():
    posts = [
        (path, method)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if method == "post" and "Idempotency-Key" not in {one["name"] for one in operation["parameters"]}
    ]

    assert posts == []


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_leave_one(transactional_db):
    api = Api(make_organization())
    make_run(make_project(api.organization, slug="support-bot"), external_id="run-1")
    requests = [
        ("/api/runs/", {"project": "support-bot", "name": "Once"}),
        ("/api/runs/run-1/results/", {"results": [{"output": "x"}]}),
    ]

    def send(n: int) -> list[tuple[int, Any]]:
        client = Client()
        headers = {"Authorization": f"Bearer {api.token}"}
        try:
            return [
                (answer.status_code, answer.json().get("uuid") or answer.json().get("items"))
                for index, (path, body) in enumerate(requests)
                for answer in [
                    client.post(
                        path, body, content_type="application/json", headers={**headers, "Idempotency-Key": f"k{index}"}
                    )
                ]
            ]
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))

    assert len({json.dumps(answer) for answer in answers}) == 1
    assert [status for status, _ in answers[0]] == [201, 201]
    assert TestRun.objects.filter(name="Once").count() == 1
    assert TestRun.objects.get(external_id="run-1").result_count == 1


@pytest.mark.django_db(transaction=True)
def test_ten_changes_of_one_state_leave_one(transactional_db):
    api = Api(make_organization())
    run = make_run(make_project(api.organization))
    seen = api.get(f"/api/runs/{run.pk}/")["ETag"]

    def change(n: int) -> int:
        try:
            return api.patch(f"/api/runs/{run.pk}/", {"name": f"N{n}"}, headers={"If-Match": seen}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(change, range(10)))

    assert statuses == [200] + [412] * 9


def test_addresses_are_named():
    assert reverse("api:run-detail", args=["run 7"]) == "/api/runs/run%207/"


@pytest.mark.parametrize(
    ("field", "message", "detail"),
    [
        ("name", "is required", "name is required."),
        ("url", "Start the address with https://.", "url: Start the address with https://."),
        ("", "must be an object", "The body must be an object."),
    ],
)
def test_what_does_not_fit_is_a_sentence(field, message, detail):
    assert str(field_problem(field, message)) == detail
