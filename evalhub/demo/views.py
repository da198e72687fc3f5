"""The endpoint that the demo's configurations call: the rule-based bot over HTTP. Only served by `manage.py demo`."""

from uuid import uuid4

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from evalhub.demo import bot
from evalhub.web.json import BadJson, loads_strict

SIZE_LIMIT = 64 * 1024


@csrf_exempt
@require_POST
def chat(request: HttpRequest) -> JsonResponse:
    """``{"message", "session_id"?, "history"?}`` in; ``{"output", "session_id", "tool_calls"}`` out."""
    if len(request.body) > SIZE_LIMIT:
        return JsonResponse({"error": "That message is too long."}, status=413)
    try:
        asked = loads_strict(request.body)
    except BadJson as problem:
        return JsonResponse({"error": str(problem)}, status=400)
    message = asked.get("message") if isinstance(asked, dict) else None
    history = asked.get("history", []) if isinstance(asked, dict) else []
    if not isinstance(message, str) or not isinstance(history, list):
        return JsonResponse({"error": "Send an object with a message."}, status=400)
    answer = bot.reply(message, history=texts_of(history))
    session = asked.get("session_id")
    return JsonResponse(
        {
            "output": answer.text,
            "session_id": session if isinstance(session, str) and session else str(uuid4()),
            "tool_calls": answer.tool_calls,
        }
    )


def texts_of(history: list[object]) -> list[str]:
    """What the user said before, from texts or from messages with roles."""
    said = [one.get("content") if isinstance(one, dict) else one for one in history if not is_answer(one)]
    return [text for text in said if isinstance(text, str)]


def is_answer(one: object) -> bool:
    return isinstance(one, dict) and one.get("role") != "user"
