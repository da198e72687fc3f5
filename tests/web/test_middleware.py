import json
import logging

import pytest
from django.core.handlers.exception import convert_exception_to_response
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from evalhub.web.log_lines import JsonLines
from evalhub.web.middleware import RequestIdMiddleware


def test_every_answer_has_an_id_of_its_own(client):
    first, second = (client.get("/healthz")["X-Request-Id"] for _ in range(2))

    assert first != second
    assert len(first) == 24


def test_a_plain_id_from_a_proxy_is_kept(client):
    assert client.get("/healthz", headers={"X-Request-Id": "proxy-0123456789"})["X-Request-Id"] == "proxy-0123456789"


@pytest.mark.parametrize("offered", ["short", "with space in it", "a" * 65, "line\nbreak-line", "ünicode-id-1"])
def test_any_other_id_is_replaced(offered):
    request = RequestFactory().get("/", headers={"X-Request-Id": offered})

    response = RequestIdMiddleware(lambda request: HttpResponse())(request)

    assert response["X-Request-Id"] != offered


def test_answers_are_kept_by_nobody_and_tell_nobody(client):
    headers = client.get("/healthz").headers

    assert headers["Cache-Control"] == "private, no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"


def test_the_content_security_policy_allows_our_own_files_only(client):
    policy = client.get("/healthz").headers["Content-Security-Policy"]

    assert sorted(policy.split("; ")) == [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "frame-src 'self'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
    ]


def test_a_view_may_choose_its_own_caching():
    answer = RequestIdMiddleware(lambda request: HttpResponse(headers={"Cache-Control": "max-age=60"}))

    assert answer(RequestFactory().get("/"))["Cache-Control"] == "max-age=60"


def test_a_request_is_one_line_of_json_without_its_query(client, caplog):
    with caplog.at_level(logging.INFO, logger="evalhub.request"):
        response = client.get("/healthz?q=very-private")

    [line] = [JsonLines().format(record) for record in caplog.records if record.name == "evalhub.request"]
    told = json.loads(line)
    assert "very-private" not in line
    assert (told["method"], told["path"], told["status"]) == ("GET", "/healthz", 200)
    assert response["X-Request-Id"]


def test_a_hostile_message_stays_one_line():
    record = logging.LogRecord("evalhub", logging.INFO, "", 0, "one\r\ntwo \x1b[31m", (), None)

    line = JsonLines().format(record)

    assert line.isprintable()
    assert json.loads(line)["message"] == "one\r\ntwo \x1b[31m"


@pytest.mark.parametrize("path", ["/readyz", "/api/runs/"])
def test_a_database_that_goes_away_is_a_503_that_says_when_to_come_back(rf, path):
    def fail(request):
        raise OperationalError("connection refused: secret")

    response = convert_exception_to_response(fail)(rf.get(path))

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert b"The database is not answering just now." in response.content
    assert b"secret" not in response.content


def test_any_other_error_is_a_500(rf):
    def fail(request):
        raise ValueError("ours")

    assert convert_exception_to_response(fail)(rf.get("/readyz")).status_code == 500
