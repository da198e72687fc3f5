"""Keeps secrets out of the database that people leave in the configuration of a tool."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "[redacted]"
SECRET_KEY = re.compile(r"keys?$|token|secret|authorization|password|passphrase|cookie|credential", re.IGNORECASE)
ALL_SECRET = re.compile(r"^(env|environment|headers)$", re.IGNORECASE)
IN_TEXT = re.compile(
    r"(?P<keep>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}"  # authorisation headers
    r"|\b(?:sk|pk|ghp|gho|xox[abp]|hf|AKIA)[-_][\w-]{16,}"  # keys of well-known services
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]+@",  # user and password in an address
    re.IGNORECASE,
)


def redacted(value: Any, *, everything: bool = False) -> Any:
    """A copy without secrets: texts under telling keys, all of env and headers, and keys and passwords inside texts."""
    if isinstance(value, dict):
        return {key: _redacted_under(str(key), item, everything) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, everything=everything) for item in value]
    if isinstance(value, str):
        return REDACTED if everything and value else IN_TEXT.sub(_replace, value)
    return value


def _redacted_under(key: str, value: Any, everything: bool) -> Any:
    if everything or ALL_SECRET.match(key):
        return redacted(value, everything=True)
    if SECRET_KEY.search(key) and value and isinstance(value, str | list | dict):
        return redacted(value, everything=True)
    return redacted(value)


def _replace(match: re.Match[str]) -> str:
    if match["scheme"]:
        return f"{match['scheme']}{REDACTED}@"
    return f"{match['keep'] or ''}{REDACTED}"
