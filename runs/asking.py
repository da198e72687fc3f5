"""The only place where HTTP leaves the house: calls of endpoints, with the address resolved once, checked and pinned.

Whatever goes wrong with a call becomes a ``Failure`` with a stable code and a sentence.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self

import httpx
import orjson

from evalhub.database.storable import storable
from runs.extracting import BadAnswer, BadMapping, compile_mapping, extract, read_body, tokens_in
from runs.guarding import AddressRefused, Target, check_addresses, target_of
from runs.models import Endpoint
from runs.templating import BadTemplate, compile_template, compile_templates

CONNECT_SECONDS: Final = 10.0
LARGEST_ANSWER: Final = 8 * 1024 * 1024
LARGEST_TOKEN_ANSWER: Final = 256 * 1024
KEPT_SECONDS: Final = 15.0  # a connection, for the next call
PINNED_SECONDS: Final = 30.0  # a name is resolved again after so long, and checked again
USUAL_RETRIES: Final = 2
MOST_RETRIES: Final = 20
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LONGEST_RETRY_AFTER: Final = 120.0
OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
EXCERPT: Final = 300

type Resolve = Callable[[str, int], Awaitable[list[str]]]
type Turn = Callable[[], AbstractAsyncContextManager[Any]]


class Failure(Exception):
    """A call without a usable answer. ``code`` stays the same from release to release."""

    def __init__(self, code: str, message: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.again, self.after = again, after  # worth another try; seconds that the endpoint asked to wait
        self.attempts = 1
        self.latency_ms: float | None = None


@dataclass(slots=True)
class Reply:
    """What came back over the wire."""

    status: int
    headers: httpx.Headers
    body: bytes
    latency_ms: float


@dataclass(slots=True)
class Said:
    """What an endpoint said to one message."""

    output: Any
    session_id: str = ""
    context: Any = None
    metadata: Any = None
    tool_calls: Any = None
    tokens: dict[str, int] = field(default_factory=dict)
    model: str = ""
    cost: float | None = None
    latency_ms: float = 0.0
    attempts: int = 1

    @property
    def is_text(self) -> bool:
        return isinstance(self.output, str)


async def resolve_name(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Caller:
    """Makes calls, and keeps connections and looked-up addresses of one event loop. Close it with the loop."""

    def __init__(self, *, resolve: Resolve = resolve_name, verify: ssl.SSLContext | None = None) -> None:
        self._resolve, self._verify = resolve, verify
        self._idle: dict[Target, list[httpx.AsyncHTTPTransport]] = {}
        self._pinned: dict[Target, tuple[float, list[str]]] = {}
        self.tokens: dict[str, tuple[float, str]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        for transports in self._idle.values():
            for transport in transports:
                await transport.aclose()
        self._idle.clear()

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        timeout: float,
        largest: int = LARGEST_ANSWER,
    ) -> Reply:
        """One exchange within ``timeout`` seconds. Any status is a Reply, except a redirect; the rest is a Failure."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                target = target_of(url)
                addresses = await self._addresses_of(target)
                for n, address in enumerate(addresses, 1):
                    try:
                        reply = await self._exchange(
                            target, address, method, url, headers, content, params, timeout, largest
                        )
                        break
                    except (httpx.ConnectError, httpx.ConnectTimeout):
                        if n == len(addresses):
                            raise
        except AddressRefused as reason:
            raise Failure("address_refused", str(reason)) from None
        except TimeoutError:
            raise Failure("timeout", f"No answer within {timeout:g} s.", again=True) from None
        except httpx.ConnectTimeout:
            raise Failure("connect_timeout", "The connection was not made in time.", again=True) from None
        except httpx.TimeoutException:
            raise Failure("timeout", f"No answer within {timeout:g} s.", again=True) from None
        except httpx.ConnectError as problem:
            raise _cannot_connect(problem) from None
        except httpx.RemoteProtocolError as problem:
            if str(problem).startswith("Server disconnected"):
                raise Failure("connection_lost", "The endpoint hung up without an answer.", again=True) from None
            raise Failure("answer_broken", f"The answer broke off or is not HTTP: {problem}.", again=True) from None
        except httpx.NetworkError:
            raise Failure("connection_lost", "The connection was lost during the call.", again=True) from None
        except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError) as problem:
            raise Failure("request_invalid", f"The request cannot be sent: {problem}.") from None
        reply.latency_ms = (time.monotonic() - began) * 1000
        return reply

    async def _addresses_of(self, target: Target) -> list[str]:
        known = self._pinned.get(target)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        try:
            found = await self._resolve(target.host, target.port)
        except OSError:
            raise Failure("address_unknown", f"The name {target.host} cannot be resolved.", again=True) from None
        except UnicodeError:
            raise Failure("address_refused", "The address holds something that is no host name.") from None
        checked = [str(address) for address in check_addresses(found, target)]
        self._pinned[target] = (time.monotonic() + PINNED_SECONDS, checked)
        return checked

    async def _exchange(
        self,
        target: Target,
        address: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        params: Mapping[str, str] | None,
        timeout: float,
        largest: int,
    ) -> Reply:
        where = httpx.URL(url).copy_with(host=address)
        if params:
            where = where.copy_merge_params(params)
        limits = {"connect": min(CONNECT_SECONDS, timeout), "read": timeout, "write": timeout, "pool": timeout}
        request = httpx.Request(
            method,
            where,
            headers={**headers, "Host": target.authority},
            content=content,
            extensions={"timeout": limits, "sni_hostname": target.host},
        )
        transport = self._take_transport(target)
        try:
            response = await transport.handle_async_request(request)
            try:
                if 300 <= response.status_code < 400 and response.status_code != 304:
                    said = f"The endpoint answered {response.status_code}: redirects are not followed."
                    raise Failure("redirected", said)
                body = await _read(response, largest)
            finally:
                await response.aclose()
        except BaseException:
            await transport.aclose()
            raise
        self._idle.setdefault(target, []).append(transport)
        return Reply(response.status_code, response.headers, body, 0.0)

    def _take_transport(self, target: Target) -> httpx.AsyncHTTPTransport:
        """One connection for one call at a time: a pool would look at each of its connections for every call.

        Each scheme, host and port has its own: one address may serve several names.
        """
        idle = self._idle.get(target)
        if idle:
            return idle.pop()
        if self._verify is None:
            self._verify = httpx.create_ssl_context(trust_env=False)
        return httpx.AsyncHTTPTransport(
            verify=self._verify,
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEPT_SECONDS),
        )


class Asker:
    """One endpoint, ready to be asked: its templates and paths read, its secrets opened."""

    def __init__(
        self,
        caller: Caller,
        endpoint: Endpoint,
        *,
        timeout: float | None = None,
        retries: int = USUAL_RETRIES,
        turn: Turn = nullcontext,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self.caller, self.endpoint = caller, endpoint
        self.timeout = float(timeout or endpoint.timeout_seconds)
        self.retries = max(0, min(retries, MOST_RETRIES))
        self.turn, self.pause = turn, pause
        self.secrets = endpoint.secrets
        self.url = join_path(endpoint.url, endpoint.endpoint_path)
        reason = cannot_be_called(endpoint)
        if reason:
            raise Failure("connection_type", reason)
        try:
            self._body = compile_templates(endpoint.request_mapping) if endpoint.request_mapping else None
            self._headers = {name: compile_template(str(text)) for name, text in endpoint.request_headers.items()}
            self._params = {name: _template_of(value) for name, value in endpoint.query_params.items()}
            self._finders = compile_mapping(endpoint.response_mapping)
        except BadTemplate as problem:
            raise Failure("request_template", str(problem)) from None
        except BadMapping as problem:
            raise Failure("response_mapping", str(problem)) from None

    async def ask(self, values: Mapping[str, Any], *, key: str = "") -> Said:
        """What the endpoint says to one message, tried again where that may help."""
        reply, attempts = await self.post_again(lambda: self._send(values, key))
        try:
            body = read_body(reply.body, self.endpoint.response_format, _charset(reply.headers))
            found = extract(body, self._finders)
        except BadAnswer as problem:
            failure = Failure(problem.code, str(problem))
            failure.attempts, failure.latency_ms = attempts, reply.latency_ms
            raise failure from None
        session = found.get("session_id") or found.get("conversation_id")
        cost = found.get("cost")
        return Said(
            output=found.get("output"),
            session_id=str(session) if isinstance(session, str | int) else "",
            context=found.get("context"),
            metadata=found.get("metadata"),
            tool_calls=found.get("tool_calls"),
            tokens=tokens_in(found.get("usage")),
            model=str(found.get("model") or "")[:300],
            cost=float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None,
            latency_ms=reply.latency_ms,
            attempts=attempts,
        )

    async def post_json(self, body: Any) -> Reply:
        """The endpoint's address and credentials, with a body of the caller's own: how judge models are asked."""
        reply, _ = await self.post_again(lambda: self._send({}, "", body))
        return reply

    async def post_again(self, send: Callable[[], Awaitable[Reply]]) -> tuple[Reply, int]:
        """Send until it succeeds, the failure is final, or the retries are used up; pauses grow, with jitter."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self.turn():
                    reply = await send()
                if reply.status >= 400:
                    raise self._refusal(reply)
                if reply.status in (204, 205, 304):
                    raise Failure("answer_empty", f"The endpoint answered {reply.status}, without a body.")
                return reply, attempt
            except Failure as failure:
                failure.attempts = attempt
                wait = failure.after if failure.after is not None else _backoff(attempt)
                if not failure.again or attempt > self.retries or wait > LONGEST_RETRY_AFTER:
                    raise
                if failure.after is not None and self.pause is not None:
                    self.pause(failure.after)
                await asyncio.sleep(wait)

    async def _send(self, values: Mapping[str, Any], key: str, body: Any = None) -> Reply:
        known = {**values, **dict.fromkeys(Endpoint.SECRETS, ""), **self.secrets}
        headers = {
            "Accept": "application/json, */*;q=0.5",
            "Accept-Encoding": "gzip",
            "User-Agent": "EvalHub",
            **({"Idempotency-Key": key} if key else {}),
        }
        content: bytes | None = None
        try:
            given = {name: _header_text(fill(known)) for name, fill in self._headers.items()}
            params = {name: _text(fill(known)) for name, fill in self._params.items()}
            if body is None and self._body is not None:
                body = self._body(values)
        except BadTemplate as problem:
            raise Failure("request_template", str(problem)) from None
        if body is not None and self.endpoint.method == "GET":
            params |= {str(name): _text(value) for name, value in body.items()}
        elif body is not None:
            content = orjson.dumps(storable(body), option=orjson.OPT_NON_STR_KEYS)
            headers["Content-Type"] = "application/json"
        headers |= await self._credentials(given)
        given = {name: value for name, value in given.items() if name.lower() not in OURS}
        lower = {name.lower() for name in given}
        headers = {name: value for name, value in headers.items() if name.lower() not in lower} | given
        return await self.caller.call(
            self.endpoint.method or "POST",
            self.url,
            headers=headers,
            content=content,
            params=params,
            timeout=self.timeout,
        )

    async def _credentials(self, given: Mapping[str, str]) -> dict[str, str]:
        kind, token = self.endpoint.auth_type, self.secrets.get("auth_token", "")
        names = {name.lower() for name in given}
        if kind == Endpoint.Auth.CLIENT_CREDENTIALS:
            return {"Authorization": f"Bearer {await self._fetched_token()}"}
        if not token or token in " ".join(given.values()):  # a header's template has put it where it belongs
            return {}
        if kind == Endpoint.Auth.BEARER and "authorization" not in names:
            return {"Authorization": f"Bearer {_header_text(token)}"}
        if kind == Endpoint.Auth.API_KEY and "x-api-key" not in names:
            return {"X-API-Key": _header_text(token)}
        return {}

    async def _fetched_token(self) -> str:
        """An access token for the client's credentials; kept until shortly before it expires."""
        endpoint, secret = self.endpoint, self.secrets.get("client_secret", "")
        identity = "\n".join([endpoint.token_url, endpoint.client_id, secret, *endpoint.scopes])
        name = hashlib.sha256(identity.encode()).hexdigest()
        until, token = self.caller.tokens.get(name, (0.0, ""))
        if until > time.monotonic():
            return token
        form = {"grant_type": "client_credentials", "client_id": endpoint.client_id, "client_secret": secret}
        if endpoint.scopes:
            form["scope"] = " ".join(endpoint.scopes)
        reply = await self.caller.call(
            "POST",
            endpoint.token_url,
            headers={"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
            content=str(httpx.QueryParams(form)).encode(),
            timeout=min(self.timeout, 30.0),
            largest=LARGEST_TOKEN_ANSWER,
        )
        again = reply.status in RETRIED
        if reply.status >= 400:
            raise Failure("auth_failed", f"The token address answered {reply.status}.", again=again)
        try:
            answer = read_body(reply.body, Endpoint.Format.JSON, None)
        except BadAnswer:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            raise Failure("auth_failed", "The token address answered without an access token.")
        token, lives = answer["access_token"], answer.get("expires_in")
        seconds = float(lives) if isinstance(lives, int | float) else 300.0
        self.caller.tokens[name] = (time.monotonic() + max(0.0, min(seconds, 86_400.0) - 30), token)
        return token

    def _refusal(self, reply: Reply) -> Failure:
        excerpt = " ".join(storable(reply.body[: 4 * EXCERPT].decode("utf-8", "replace")).split())[:EXCERPT]
        for secret in self.secrets.values():
            excerpt = excerpt.replace(secret, "•••") if len(secret) > 3 else excerpt
        if reply.status == 401 and self.endpoint.auth_type == Endpoint.Auth.CLIENT_CREDENTIALS:
            self.caller.tokens.clear()  # perhaps revoked: the next call fetches a new one
        said = f"The endpoint answered {reply.status}" + (f": {excerpt}" if excerpt else ".")
        code = "rate_limited" if reply.status == 429 else f"http_{reply.status}"
        after = _retry_after(reply.headers) if reply.status in (429, 503) else None
        return Failure(code, said, again=reply.status in RETRIED, after=after)


def cannot_be_called(endpoint: Endpoint) -> str:
    """Why nobody can call it, as a sentence; empty where calling may work."""
    if endpoint.connection_type != Endpoint.Connection.REST:
        return f"{endpoint.connection_type} endpoints are stored, but EvalHub cannot call them: only REST endpoints."
    if not endpoint.url:
        return f"The endpoint “{endpoint.name}” has no address."
    return ""


def ask_once(endpoint: Endpoint, values: Mapping[str, Any], *, retries: int = 0) -> Said:
    """One message to an endpoint, from a request: what its "try it" does. Raises Failure."""

    async def run() -> Said:
        async with Caller() as caller:
            return await Asker(caller, endpoint, retries=retries).ask(message_values(**values))

    return asyncio.run(run())


def message_values(
    *,
    input: Any,
    inputs: Mapping[str, Any] | None = None,
    session_id: str | None = None,
    messages: list[dict[str, Any]] | None = None,
    context: Any = None,
    metadata: Any = None,
) -> dict[str, Any]:
    """What a request template may name. The case's own inputs are there too, where no usual name hides them."""
    inputs = inputs if inputs is not None else {"input": input}
    return {
        **{name: value for name, value in inputs.items() if name.isidentifier()},
        "input": input,
        "inputs": dict(inputs),
        "session_id": session_id or None,
        "conversation_id": session_id or None,
        "messages": messages if messages is not None else [{"role": "user", "content": input}],
        "context": context,
        "metadata": metadata if metadata is not None else {},
    }


def join_path(url: str, path: str) -> str:
    """The endpoint's address with its path, before a query that the address may carry."""
    if not path:
        return url
    base, mark, query = url.partition("?")
    return f"{base.rstrip('/')}/{path.lstrip('/')}{mark}{query}"


async def _read(response: httpx.Response, largest: int) -> bytes:
    """The body, unpacked by us: a library would unpack a whole chunk, and 64 kB of gzip can hold 64 MB."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    unpack: Any = None
    if encoding in ("gzip", "x-gzip", "deflate"):
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    elif encoding not in ("", "identity"):
        raise Failure("answer_encoding", f"The answer is packed as {encoding[:40]}, which was not asked for.")
    parts: list[bytes] = []
    size = 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        while chunk:
            if unpack is None:
                part, chunk = chunk, b""
            else:
                try:
                    part = unpack.decompress(chunk, largest - size + 1)
                except zlib.error:
                    raise Failure("answer_encoding", "The answer is not packed as it says.") from None
                chunk = unpack.unconsumed_tail
            size += len(part)
            if size > largest:
                raise Failure("answer_too_large", f"The answer has more than {largest // 1024:,} kB.")
            parts.append(part)
    if unpack is not None and parts and not unpack.eof:
        raise Failure("answer_broken", "The packed answer broke off.", again=True)
    return b"".join(parts)


def _cannot_connect(problem: httpx.ConnectError) -> Failure:
    causes: list[BaseException] = []
    cause: BaseException | None = problem
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    found = next((one for one in causes if isinstance(one, ssl.SSLError)), None)
    if found is not None:
        why = getattr(found, "verify_message", "") or found.reason or "the handshake failed"
        return Failure("tls_failed", f"No trusted TLS connection: {why}.")
    return Failure("connect_failed", "The endpoint does not accept connections.", again=True)


def _backoff(attempt: int) -> float:
    """Full jitter: anything up to a limit that doubles, so that many callers do not come back together."""
    limit = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
    return random.uniform(limit / 4, limit)  # noqa: S311 - nobody guards a secret with it


def _retry_after(headers: httpx.Headers) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 7:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _charset(headers: httpx.Headers) -> str | None:
    _, _, named = headers.get("content-type", "").partition("charset=")
    return named.split(";")[0].strip(" \"'") or None


def _template_of(value: Any) -> Any:
    return compile_template(value) if isinstance(value, str) else lambda values: value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def _header_text(value: Any) -> str:
    text = _text(value).strip()
    if not text.isascii() or not text.isprintable():
        raise BadTemplate("A header would hold something else than printable ASCII characters.")
    return text
