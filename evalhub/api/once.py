"""Idempotency-Key: a request that names itself is done once, however often it arrives, also all at once.

The key's row is inserted in the request's own transaction. Whoever comes second waits at the unique index until the
first has committed, and then finds its answer; where the first failed, nothing is left and the second does the work.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import orjson
from django.db import connection
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.actor import Actor
from evalhub.api.problems import INVALID, KEY_REUSED, Problem
from evalhub.database.ids import new_id
from runs.models import IdempotencyKey

HEADER: Final = "Idempotency-Key"
ACCEPTABLE: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
KEPT: Final = timedelta(days=7)
KEPT_HEADERS: Final = ("Location", "ETag")
PATIENCE: Final = "15s"


def answer_once(request: Request, actor: Actor, digest: bytes, work: Callable[[], Response]) -> Response:
    """The answer of ``work``; of the first time, where the request's key was seen. Call it inside a transaction."""
    key = request.headers.get(HEADER)
    if key is None:
        return work()
    if not ACCEPTABLE.fullmatch(key):
        raise Problem(400, f"{HEADER} must be 1 to 255 printable ASCII characters.", kind=INVALID)
    named = hashlib.sha256(
        b"\n".join((str(actor.user.pk).encode(), (request.method or "").encode(), request.path.encode(), digest))
    ).hexdigest()
    row_id = claim(actor, key, named)
    if row_id is None:
        return repeated(actor, key, named)
    response = work()
    answer = {
        "body": orjson.loads(orjson.dumps(response.data, option=orjson.OPT_UTC_Z)),
        "headers": {name: response[name] for name in KEPT_HEADERS if name in response},
    }
    IdempotencyKey.objects.filter(pk=row_id).update(status=response.status_code, response=answer)
    return response


def claim(actor: Actor, key: str, digest: str) -> Any:
    """The id of the key's new row; None where it was there already, or came while we waited for it."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
        cursor.execute(
            "INSERT INTO runs_idempotencykey"
            " (id, organization_id, user_id, key, request_digest, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, key) DO NOTHING RETURNING id",
            [new_id(), actor.organization_id, actor.user.pk, key, digest, now, now],
        )
        row = cursor.fetchone()
        cursor.execute("SET LOCAL lock_timeout = 0")
    return row[0] if row else None


def repeated(actor: Actor, key: str, digest: str) -> Response:
    row = IdempotencyKey.objects.filter(organization=actor.organization, key=key).first()
    if row is None or row.request_digest != digest:
        raise Problem(
            422, f"This {HEADER} was used for another request. Use a new one for a new request.", kind=KEY_REUSED
        )
    first: dict[str, Any] = row.response or {}
    headers = {**first["headers"], "Idempotent-Replayed": "true"}
    return Response(first["body"], status=row.status, headers=headers)


def forget_old_keys() -> int:
    """Keys protect retries, not history."""
    deleted, _ = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    return deleted
