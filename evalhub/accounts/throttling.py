"""Guessing passwords is slow: ten failures per person and address, thirty per address, in five minutes.

Somebody else's guessing never locks the right person out: it counts where it comes from.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Min, Q
from django.http import HttpRequest
from django.utils import timezone

from evalhub.accounts.models import LoginAttempt, digest_of

WINDOW: Final = timedelta(minutes=5)
PER_PERSON: Final = 10
PER_ADDRESS: Final = 30


class TooManyAttempts(Exception):
    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many tries. Wait {max(round(seconds / 60), 1)} min, then try again.")
        self.seconds = seconds


def begin_attempt(email: str, request: HttpRequest) -> int:
    """Count a try, before its password is checked; says how many are left after it."""
    account, address, now = digest_of(email.strip().lower()), network_of(client_address(request)), timezone.now()
    LoginAttempt.objects.filter(at__lt=now - WINDOW).delete()
    with transaction.atomic(), connection.cursor() as cursor:
        # One try of an address after the other, or a hundred at once would all find the first place free.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"login {address}"])
        mine = Q(account=account)
        seen = LoginAttempt.objects.filter(address=address, at__gte=now - WINDOW).aggregate(
            all=Count("pk"), mine=Count("pk", filter=mine), first=Min("at"), my_first=Min("at", filter=mine)
        )
        if seen["mine"] >= PER_PERSON:
            raise TooManyAttempts(seconds_until_free(seen["my_first"]))
        if seen["all"] >= PER_ADDRESS:
            raise TooManyAttempts(seconds_until_free(seen["first"]))
        LoginAttempt.objects.create(account=account, address=address, at=now)
    return min(PER_PERSON - seen["mine"], PER_ADDRESS - seen["all"]) - 1


def forgive(email: str, request: HttpRequest) -> None:
    """The right password: what this person mistyped here no longer counts."""
    address = network_of(client_address(request))
    LoginAttempt.objects.filter(account=digest_of(email.strip().lower()), address=address).delete()


def seconds_until_free(first: object) -> int:
    left = WINDOW - (timezone.now() - first)  # type: ignore[operator]
    return max(int(left.total_seconds()) + 1, 1)


def client_address(request: HttpRequest) -> str:
    """The nearest address that is not one of our own proxies (EVALHUB_TRUSTED_PROXIES).

    What a client writes into X-Forwarded-For itself lies further left, and is not looked at.
    """
    forwarded = request.headers.get("X-Forwarded-For", "")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] if len(forwarded) < 2_000 else []
    address = request.META.get("REMOTE_ADDR") or "unix"
    while hops and is_our_proxy(address):
        address = hops.pop()
    return address


def is_our_proxy(address: str) -> bool:
    proxies: list[str] = settings.TRUSTED_PROXIES
    if address in proxies:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(proxy, strict=False) for proxy in proxies if proxy != "unix")


def network_of(address: str) -> str:
    """Whom an address stands for: an IPv6 customer has 2^64 of them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(parsed), 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)
