"""The id of the request being answered, for the answer, the log and the jobs it makes."""

import re
import secrets
from contextvars import ContextVar

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)

ACCEPTABLE = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)


def accept_or_make(offered: str | None) -> str:
    """A proxy's own id where it is a plain one, so that both logs name the same thing."""
    if offered is not None and ACCEPTABLE.fullmatch(offered):
        return offered
    return secrets.token_hex(12)
