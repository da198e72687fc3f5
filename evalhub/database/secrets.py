"""Secrets at rest: sealed with a key derived from SECRET_KEY (old keys in SECRET_KEY_FALLBACKS still open)."""

import base64
import hashlib
import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


def seal(values: dict[str, str]) -> bytes:
    return _fernet().encrypt(json.dumps(values).encode())


def open_sealed(sealed: bytes) -> dict[str, str]:
    """The values; empty when no current key opens them (the operator changed SECRET_KEY: type the secret again)."""
    try:
        values: dict[str, str] = json.loads(_fernet().decrypt(sealed))
    except InvalidToken:
        return {}
    return values


def _fernet() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"evalhub.secrets:" + key.encode()).digest())
