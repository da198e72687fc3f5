"""What leaves the house, and what a hostile or broken endpoint can do to us: nothing but one failed case."""

from __future__ import annotations

import asyncio
import gzip
import resource
import ssl
import subprocess
import time
from typing import Any

import orjson
import pytest

from runs import asking
from runs.asking import Asker, Caller, Failure, message_values
from runs.models import Endpoint
from tests.runs.stub import Stub, answer, says, stub_server

MAPPING = {"output": "$.output", "session_id": "$.session_id"}


@pytest.fixture(autouse=True)
def open_own_machine(settings):
    settings.ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.01)


def endpoint_at(url: str, *, secrets: dict[str, str] | None = None, **fields: Any) -> Endpoint:
    values = {"name": "bot", "request_mapping": {"message": "{{ input }}"}, "response_mapping": MAPPING, **fields}
    endpoint = Endpoint(url=url, **values)
    endpoint.keep_secrets(**(secrets or {}))
    return endpoint


async def ask(stub: Stub, text: str = "hi", *, resolve=None, timeout=2.0, retries=0, values=None, **fields: Any):
    async with Caller(**({"resolve": resolve} if resolve else {})) as caller:
        asker = Asker(caller, endpoint_at(fields.pop("url", stub.url), **fields), timeout=timeout, retries=retries)
        return await asker.ask(message_values(input=text, **(values or {})), key="k-1")


def asked(behave, **options):
    """The endpoint's answer (or Failure), and what it saw."""

    async def run():
        async with stub_server(behave) as stub:
            try:
                return await ask(stub, **options), stub
            except Failure as failure:
                return failure, stub

    return asyncio.run(run())


# --- what is sent, and what is read -----------------------------------------------------------------------------------


def test_a_message_goes_out_and_its_answer_comes_back():
    said, stub = asked(says({"output": "Hello", "session_id": "s1"}))

    assert (said.output, said.session_id, said.attempts) == ("Hello", "s1", 1)
    assert [(r.method, r.path, r.json) for r in stub.seen] == [("POST", "/chat", {"message": "hi"})]
    assert stub.seen[0].headers["idempotency-key"] == "k-1"


def test_mappings_speak_of_session_messages_and_inputs():
    mapping = {"q": "{{ q }}", "sid": "{{ session_id }}", "all": "{{ messages | tojson }}", "text": "I: {{ input }}"}
    _, stub = asked(
        says({"output": "x"}), request_mapping=mapping, values={"session_id": "s9", "inputs": {"q": "why?"}}
    )

    assert stub.seen[0].json == {
        "q": "why?", "sid": "s9", "all": [{"role": "user", "content": "hi"}], "text": "I: hi",
    }  # fmt: skip


def test_chat_completions_are_read_by_paths():
    body = {
        "choices": [{"message": {"content": "Hi!", "tool_calls": [{"id": 1}]}}], "model": "m-1",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }  # fmt: skip
    mapping = {
        "output": "$.choices[0].message.content", "tool_calls": "$.choices[0].message.tool_calls", "model": "$.model",
        "usage": "$.usage",
    }  # fmt: skip
    said, _ = asked(says(body), response_mapping=mapping)

    assert (said.output, said.tool_calls, said.model, said.tokens) == (
        "Hi!",
        [{"id": 1}],
        "m-1",
        {"input": 7, "output": 2},
    )


@pytest.mark.parametrize(
    ("mapping", "body", "output"),
    [
        ({"output": "$.a[*].b"}, {"a": [{"b": 1}, {"b": 2}]}, [1, 2]),
        ({"output": "answer.parts[0]"}, {"answer": {"parts": ["x"]}}, "x"),
        ({"output": "{{ answer }} ({{ lang }})"}, {"answer": "x", "lang": "en"}, "x (en)"),
        ({"output": "$"}, {"a": 1}, {"a": 1}),
        ({}, {"output": "x", "more": 1}, "x"),
        ({}, ["x"], ["x"]),
    ],
)
def test_outputs_are_found(mapping, body, output):
    assert asked(says(body), response_mapping=mapping)[0].output == output


def test_text_and_xml_are_read_as_well():
    text, _ = asked(says("gr\xfc\xdf".encode("latin-1"), content_type="text/plain; charset=latin-1"),
                    response_format="text", response_mapping={})  # fmt: skip
    xml, _ = asked(says(b"<r><out a='1'>Hi</out></r>"), response_format="xml",
                   response_mapping={"output": "$.r.out"})  # fmt: skip

    assert text.output == "grüß"
    assert xml.output == {"@a": "1", "#text": "Hi"}


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"auth_type": "bearer_token", "secrets": {"auth_token": "t0k"}}, {"authorization": "Bearer t0k"}),
        ({"auth_type": "api_key", "secrets": {"auth_token": "t0k"}}, {"x-api-key": "t0k"}),
        (
            {"auth_type": "api_key", "secrets": {"auth_token": "t0k"}, "request_headers": {"Key": "{{ auth_token }}"}},
            {"key": "t0k"},
        ),
        ({"request_headers": {"X-Session": "{{ session_id }}", "X-App": "shop"}}, {"x-session": "", "x-app": "shop"}),
    ],
)
def test_credentials_and_headers_are_sent(fields, headers):
    _, stub = asked(says({"output": "x"}), **fields)

    sent = stub.seen[0].headers
    assert {name: sent.get(name) for name in ("authorization", "x-api-key", "key", "x-session", "x-app")} == {
        **dict.fromkeys(("authorization", "x-api-key", "key", "x-session", "x-app")), **headers,
    }  # fmt: skip


def test_headers_that_are_ours_cannot_be_replaced():
    _, stub = asked(says({"output": "x"}), request_headers={"host": "evil.example", "Content-Length": "1"})

    assert stub.seen[0].headers["host"] == f"127.0.0.1:{stub.port}"
    assert stub.seen[0].json == {"message": "hi"}


def test_client_credentials_fetch_one_token_for_many_calls():
    async def run():
        tokens = says({"access_token": "fetched", "expires_in": 600})
        async with stub_server(tokens) as desk, stub_server(says({"output": "x"})) as stub, Caller() as caller:
            endpoint = endpoint_at(
                stub.url, auth_type="client_credentials", client_id="me", token_url=desk.url, scopes=["a", "b"],
                secrets={"client_secret": "s3cret"},
            )  # fmt: skip
            asker = Asker(caller, endpoint)
            for _ in range(3):
                await asker.ask(message_values(input="hi"))
            return desk.seen, stub.seen

    desk, seen = asyncio.run(run())

    assert [r.body for r in desk] == [b"grant_type=client_credentials&client_id=me&client_secret=s3cret&scope=a+b"]
    assert [r.headers["authorization"] for r in seen] == ["Bearer fetched"] * 3


def test_cookies_of_one_conversation_do_not_reach_the_next():
    async def run():
        async with stub_server(says({"output": "x"}, set_cookie="a=1")) as stub, Caller() as caller:
            asker = Asker(caller, endpoint_at(stub.url))
            for _ in range(2):
                await asker.ask(message_values(input="hi"))
            return stub.seen

    assert [r.headers.get("cookie") for r in asyncio.run(run())] == [None, None]


# --- where it may go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "http://10.0.0.1/",
        "http://169.254.169.254/latest/", "file:///etc/passwd", "http://2130706433/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(settings, url):
    settings.ALLOWED_NETWORKS = []

    said, stub = asked(says({"output": "x"}), url=url)

    assert (said.code, stub.seen) == ("address_refused", [])


def test_a_network_that_is_opened_at_other_ports_is_refused(settings):
    settings.ALLOWED_NETWORKS = ["127.0.0.0/8:1-9"]

    said, stub = asked(says({"output": "x"}))

    assert (said.code, stub.seen) == ("address_refused", [])


def test_a_name_is_resolved_once_and_that_address_is_dialled():
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async def run():
        async with stub_server(says({"output": "x"})) as stub, Caller(resolve=resolve) as caller:
            endpoint = endpoint_at(f"http://bot.example.com:{stub.port}/chat")
            for _ in range(2):  # pinned: the second answer of the resolver is never asked for
                await Asker(caller, endpoint).ask(message_values(input="hi"))
            return stub.seen, stub.port

    seen, port = asyncio.run(run())

    assert [r.headers["host"] for r in seen] == [f"bot.example.com:{port}"] * 2
    assert answers == [["10.0.0.1"]]


def test_a_name_that_moves_inside_is_refused_when_it_is_looked_up_again(monkeypatch):
    monkeypatch.setattr(asking, "PINNED_SECONDS", 0.0)
    answers = [["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1", "10.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async def run():
        codes = []
        async with stub_server(says({"output": "x"})) as stub, Caller(resolve=resolve) as caller:
            for _ in range(3):
                try:
                    await Asker(caller, endpoint_at(f"http://bot.example.com:{stub.port}/")).ask(
                        message_values(input="hi")
                    )
                    codes.append("said")
                except Failure as failure:
                    codes.append(failure.code)
            return codes, len(stub.seen)

    assert asyncio.run(run()) == (["said", "address_refused", "address_refused"], 1)


def test_the_second_address_is_tried_where_the_first_is_down():
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async def run():
        async with stub_server(says({"output": "x"})) as stub:
            return await ask(stub, url=f"http://bot.example.com:{stub.port}/", resolve=resolve)

    assert asyncio.run(run()).output == "x"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300])
def test_redirects_are_a_failure_and_not_followed(status):
    async def run():
        inner = stub_server(says({"output": "inside"}))
        async with inner as inside, stub_server(says(answer({}, status, location=inside.url))) as stub:
            with pytest.raises(Failure) as caught:
                await ask(stub, retries=2)
            return caught.value.code, len(stub.seen), inside.seen

    assert asyncio.run(run()) == ("redirected", 1, [])


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    said, _ = asked(says({"output": "x"}))

    assert said.output == "x"


def test_an_untrusted_certificate_is_a_failure(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def run():
        async with stub_server(says({"output": "x"}), tls=context) as stub:
            with pytest.raises(Failure) as caught:
                await ask(stub, url=f"https://localhost:{stub.port}/")
            return caught.value.code, stub.seen

    assert asyncio.run(run()) == ("tls_failed", [])


def test_a_server_without_tls_is_a_failure():
    async def run():
        async with stub_server(says({"output": "x"})) as stub:
            with pytest.raises(Failure) as caught:
                await ask(stub, url=f"https://localhost:{stub.port}/", timeout=1)
            return caught.value.code

    assert asyncio.run(run()) in ("tls_failed", "timeout", "connection_lost", "connect_failed")


# --- broken and hostile answers ---------------------------------------------------------------------------------------


async def stall_before(request, writer):
    await asyncio.sleep(60)


async def stall_in_headers(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await asyncio.sleep(60)


async def stall_in_body(request, writer):
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"output":')
    await asyncio.sleep(60)


async def drip(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.1)


async def endless_chunks(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        await writer.drain()


async def endless_headers(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def huge(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def gzip_bomb(request, writer):
    writer.write(answer(BOMB, content_encoding="gzip"))


async def cut_short(request, writer):
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"output": "x"}')
    writer.close()


async def reset(request, writer):
    writer.transport.abort()


async def not_http(request, writer):
    writer.write(b"SSH-2.0-OpenSSH_9.7\r\n\r\n")


BOMB = gzip.compress(b"0" * (200 * 1024 * 1024), 9)
HOSTILE = {
    "stalls before headers": (stall_before, "timeout"),
    "stalls within headers": (stall_in_headers, "timeout"),
    "stalls within the body": (stall_in_body, "timeout"),
    "one byte now and then": (drip, "timeout"),
    "endless chunks": (endless_chunks, "answer_too_large"),
    "endless headers": (endless_headers, "answer_broken"),
    "a gigabyte": (huge, "answer_too_large"),
    "a gzip bomb": (gzip_bomb, "answer_too_large"),
    "broken gzip": (says(b"not gzip", content_encoding="gzip"), "answer_encoding"),
    "gzip that ends early": (says(gzip.compress(b"x" * 10_000)[:20], content_encoding="gzip"), "answer_broken"),
    "brotli": (says(b"x", content_encoding="br"), "answer_encoding"),
    "a body shorter than it says": (cut_short, "answer_broken"),
    "a reset": (reset, "connection_lost"),
    "another protocol": (not_http, "answer_broken"),
    "bytes that are not UTF-8": (says(b'{"output": "\xff\xfe"}'), "answer_not_json"),
    "no JSON": (says(b"<html>"), "answer_not_json"),
    "an empty body": (says(b""), "answer_empty"),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), "answer_empty"),
    "JSON 10,000 levels deep": (says(b"[" * 10_000 + b"]" * 10_000), "answer_too_deep"),
    "a number of 5,000 digits": (says(b'{"output": ' + b"9" * 5000 + b"}"), "answer_not_json"),
    "no output": (says({"answer": "x"}), "output_missing"),
    "a null output": (says({"output": None}), "output_missing"),
    "a 429": (says(429), "rate_limited"),
    "a 500": (says(500), "http_500"),
    "a 404": (says(404), "http_404"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_endpoint_gives_one_failure_in_time(name):
    behave, code = HOSTILE[name]
    began, room = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    failure, _ = asked(behave, timeout=1.0)

    assert isinstance(failure, Failure), failure
    assert failure.code == code
    assert time.monotonic() - began < 2.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - room < 50 * 1024


def test_numbers_and_characters_that_cannot_be_stored_are_cleaned():
    said, _ = asked(
        says(b'{"output": {"a": NaN, "b": Infinity, "c": "x\\u0000y\\ud800", "d": 123456789012345678901234}}')
    )

    assert said.output == {"a": "NaN", "b": "Infinity", "c": "x�y�", "d": "123456789012345678901234"}
    orjson.dumps(said.output)


def test_an_xml_answer_with_entities_is_refused():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'

    failure, _ = asked(says(bomb), response_format="xml", response_mapping={"output": "$.x"})

    assert failure.code == "answer_not_xml"


# --- trying again -----------------------------------------------------------------------------------------------------


def test_what_may_help_is_tried_again():
    said, stub = asked(says(500, 503, {"output": "x"}), retries=2)

    assert (said.output, said.attempts, len(stub.seen)) == ("x", 3, 3)


def test_retries_are_capped_and_others_are_not_tried_again():
    failure, stub = asked(says(500), retries=2)
    refused, once = asked(says(400), retries=2)

    assert (failure.code, failure.attempts, len(stub.seen)) == ("http_500", 3, 3)
    assert (refused.code, refused.attempts, len(once.seen)) == ("http_400", 1, 1)


def test_retry_after_is_honoured():
    async def run():
        rests: list[float] = []
        async with stub_server(says(answer({}, 429, retry_after="1"), {"output": "x"})) as stub, Caller() as caller:
            asker = Asker(caller, endpoint_at(stub.url), retries=1, pause=rests.append)
            began = time.monotonic()
            await asker.ask(message_values(input="hi"))
            return time.monotonic() - began, rests

    waited, rests = asyncio.run(run())

    assert waited >= 1.0
    assert rests == [1.0]


def test_a_retry_after_of_an_hour_is_not_waited_for():
    failure, stub = asked(says(answer({}, 429, retry_after="3600")), retries=5)

    assert (failure.code, len(stub.seen)) == ("rate_limited", 1)


def test_a_refusal_is_quoted_without_the_secret():
    async def echo(request, writer):
        writer.write(answer({"your": request.headers["authorization"]}, 403))

    failure, _ = asked(echo, auth_type="bearer_token", secrets={"auth_token": "very-secret"})

    assert failure.code == "http_403"
    assert "very-secret" not in failure.message and "•••" in failure.message


def test_mappings_that_cannot_be_read_are_failures_before_any_call():
    found = [
        asked(says({"output": "x"}), **fields)
        for fields in (
            {"request_mapping": {"a": "{{ input"}},
            {"request_mapping": {"a": "{{ nobody }}"}},
            {"response_mapping": {"output": "$.a[?(@.b =~ /x/)]"}},
            {"response_mapping": {"output": "$..["}},
            {"connection_type": "WebSocket"},
        )
    ]

    assert [(failure.code, stub.seen) for failure, stub in found] == [
        ("request_template", []), ("request_template", []), ("response_mapping", []), ("response_mapping", []),
        ("connection_type", []),
    ]  # fmt: skip
