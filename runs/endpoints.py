"""Setting up endpoints: their addresses, and the secrets that belong to an address."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from runs.changing import apply_changes, locked, save_changes
from runs.guarding import PORTS, AddressRefused, check_addresses, target_of
from runs.models import Endpoint, Project

SCHEMES = {"http": 80, "https": 443, "ws": 80, "wss": 443}
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")

type Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin | None:
    """Scheme, host and port of an address, defaults filled in; None where it has none."""
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return None
    if scheme not in SCHEMES or not host:
        return None
    return scheme, host.rstrip("."), port or SCHEMES[scheme]


def is_same_origin(old: str, new: str) -> bool:
    """Whether a secret kept for ``old`` may go to ``new``: compared parsed, never by prefix."""
    return old == new or (origin_of(old) is not None and origin_of(old) == origin_of(new))


def check_address(url: str) -> None:
    """Refuse what no endpoint can have. Names are looked up, and judged by their address, at each call."""
    if UNSAFE.search(url):
        raise ValidationError("The address must not contain spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValidationError("This is not an address. Write it like https://bot.example.com/chat.") from None
    if "://" not in url or parts.scheme.lower() not in SCHEMES:
        raise ValidationError("Start the address with https:// or http://.")
    if parts.username is not None or parts.password is not None:
        raise ValidationError("Put the user name and password into the secret, not into the address.")
    if parts.fragment or url.endswith("#"):
        raise ValidationError("Leave out the part from #: it is never sent.")
    host = parts.hostname or ""
    if not host or "%" in host or port == 0:
        raise ValidationError("This is not an address. Write it like https://bot.example.com/chat.")
    try:
        host.encode("idna") if ":" not in host else None
    except UnicodeError:
        raise ValidationError(f"“{host}” is not a host name.") from None
    if parts.scheme.lower() in PORTS:
        _refuse_private_number(url)


def _refuse_private_number(url: str) -> None:
    """An address that is spelled in numbers needs no look-up to be refused."""
    try:
        target = target_of(url)
        host = target.host
        if host == "localhost" or host.endswith(".localhost"):
            check_addresses(["127.0.0.1"], target)
        elif ":" in host or host.replace(".", "").isdigit():
            check_addresses([host], target)
    except AddressRefused as reason:
        raise ValidationError(str(reason)) from None


def create_endpoint(
    project: Project, *, by: Actor, auth_token: str = "", client_secret: str = "", **fields: Any
) -> Endpoint:
    endpoint = Endpoint(organization_id=project.organization_id, project=project, **{"owner": by.user, **fields})
    endpoint.keep_secrets(auth_token=auth_token, client_secret=client_secret)
    with transaction.atomic():
        endpoint.save()
        record_event("endpoint.created", endpoint, by=by, secret=bool(endpoint.sealed_secrets))
    return endpoint


def change_endpoint(
    endpoint: Endpoint, *, by: Actor, auth_token: str | None = None, client_secret: str | None = None, **changes: Any
) -> Endpoint:
    """Change an endpoint. A secret that is None stays, an empty one is forgotten.

    Secrets belong to the address that they were given for: a new scheme, host or port of it forgets those that are
    not given again.
    """
    given = {"auth_token": auth_token, "client_secret": client_secret}
    with transaction.atomic():
        endpoint = locked(endpoint)
        moved = any(
            name in changes and not is_same_origin(getattr(endpoint, name), changes[name])
            for name in ("url", "token_url")
        )
        secrets = {name: value for name, value in given.items() if value is not None}
        if moved:
            secrets = {**dict.fromkeys(endpoint.SECRETS, ""), **secrets}
        before = endpoint.secrets
        endpoint.keep_secrets(**secrets)
        changed = apply_changes(endpoint, changes)
        if endpoint.secrets != before:
            changed.append("sealed_secrets")
        forgotten = sorted(set(before) - set(endpoint.secrets))
        save_changes(endpoint, changed, by=by, **({"forgotten": forgotten} if forgotten else {}))
    return endpoint
