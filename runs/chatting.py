"""Asking a language model through an OpenAI-compatible address: for judges, and for simulated users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings

from runs.asking import Asker, Caller, Failure, Turn
from runs.conversing import Asked, Speaker
from runs.extracting import BadAnswer, read_body, tokens_in
from runs.models import Endpoint

DONE: Final = "[DONE]"
NO_JUDGE: Final = "No judge model is set up for this evaluator, so nothing could judge."

#: What "OpenAI-compatible chat" fills into a new endpoint.
OPENAI_CHAT: Final[dict[str, Any]] = {
    "method": "POST",
    "url": "https://api.example.com/v1/chat/completions",
    "request_mapping": {"model": "MODEL", "messages": "{{ messages }}"},
    "response_mapping": {
        "output": "$.choices[0].message.content",
        "tool_calls": "$.choices[0].message.tool_calls",
        "usage": "$.usage",
        "model": "$.model",
    },
    "auth_type": Endpoint.Auth.BEARER,
}


@dataclass(slots=True, kw_only=True)
class Completion:
    text: str
    tokens: dict[str, int] = field(default_factory=dict)
    model: str = ""
    cost: float | None = None
    latency_ms: float = 0.0


def default_model() -> Endpoint | None:
    """The installation's own judge model, as an endpoint that is in no database."""
    if not settings.JUDGE_URL:
        return None
    endpoint = Endpoint(
        name=settings.JUDGE_MODEL or "judge model",
        url=settings.JUDGE_URL,
        auth_type=Endpoint.Auth.BEARER,
        timeout_seconds=120,
        max_concurrency=8,
    )
    endpoint.keep_secrets(auth_token=settings.JUDGE_KEY)
    return endpoint


class Model:
    """One model behind an OpenAI-compatible address."""

    def __init__(self, caller: Caller, endpoint: Endpoint, name: str, *, turn: Turn, retries: int = 2) -> None:
        plain = Endpoint(
            pk=endpoint.pk,
            name=endpoint.name,
            connection_type=endpoint.connection_type,
            url=endpoint.url,
            endpoint_path=endpoint.endpoint_path,
            request_headers=endpoint.request_headers,
            query_params=endpoint.query_params,
            auth_type=endpoint.auth_type,
            client_id=endpoint.client_id,
            token_url=endpoint.token_url,
            scopes=endpoint.scopes,
            sealed_secrets=endpoint.sealed_secrets,
            timeout_seconds=endpoint.timeout_seconds,
        )
        self.name = name or str(model_of(endpoint) or settings.JUDGE_MODEL)
        self.asker = Asker(caller, plain, retries=retries, turn=turn)

    async def complete(self, messages: list[dict[str, Any]], **more: Any) -> Completion:
        """The model's answer to the messages; Failure where there is none that can be read."""
        body: dict[str, Any] = {"messages": messages, "temperature": 0, **more}
        if self.name:
            body["model"] = self.name
        reply = await self.asker.post_json({key: value for key, value in body.items() if value is not None})
        try:
            answer = read_body(reply.body, Endpoint.Format.JSON, None)
        except BadAnswer as problem:
            raise Failure(problem.code, str(problem)) from None
        choices = answer.get("choices") if isinstance(answer, dict) else None
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        message = choice.get("message")
        text = message.get("content") if isinstance(message, dict) else None
        if isinstance(text, list):  # parts
            text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
        if choice.get("finish_reason") == "length":
            raise Failure("judge_cut_short", "The model's answer was cut at its length limit.")
        if not isinstance(text, str) or not text.strip():
            raise Failure("output_missing", "The model answered without a text.")
        usage = answer.get("usage")
        cost = usage.get("cost") if isinstance(usage, dict) else None
        return Completion(
            text=text,
            tokens=tokens_in(usage),
            model=str(answer.get("model") or self.name)[:300],
            cost=float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None,
            latency_ms=reply.latency_ms,
        )


def model_of(endpoint: Endpoint) -> Any:
    """The model's name in an endpoint's request."""
    mapping: Any = endpoint.request_mapping
    name = mapping.get("model") if isinstance(mapping, Mapping) else None
    return name if isinstance(name, str) and "{{" not in name else None


def speaker_for(model: Model, asked: Asked) -> Speaker:
    """A user that the model plays, after the case's plan. It stops when the goal is reached or out of reach."""
    plan = asked.plan or {}
    least = plan.get("min_turns") if isinstance(plan.get("min_turns"), int) else 1
    parts = [
        "You play the user of an application under test. Write only the user's next message, nothing around it.",
        f"Your goal: {plan.get('goal', '')}",
        *(f"{label}: {plan[name]}" for label, name in (
            ("The situation", "scenario"), ("How you behave", "instructions"),
            ("What the application must not do (try whether it does)", "restrictions"),
        ) if plan.get(name)),
        f"When the goal is reached, or clearly cannot be, write {DONE} instead of a message.",
    ]  # fmt: skip

    async def speak(messages: list[dict[str, Any]]) -> str | None:
        roles = {"user": "assistant", "assistant": "user"}  # the model speaks as the user
        turned = [
            {"role": roles.get(one["role"], "user"), "content": _as_text(one["content"])}
            for one in messages
            if one.get("role") in roles
        ]
        opening = [{"role": "user", "content": "Begin the conversation."}]
        completion = await model.complete([{"role": "system", "content": "\n".join(parts)}, *opening, *turned])
        spoken = sum(one.get("role") == "user" for one in messages)
        if completion.text.strip().startswith(DONE) and spoken >= int(least or 1):
            return None
        return completion.text.replace(DONE, "").strip() or "Go on."

    return speak


def _as_text(value: Any) -> str:
    from evalhub.web.json import dumps

    return value if isinstance(value, str) else dumps(value).decode()
