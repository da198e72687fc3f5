"""Readers of environment variables: a value that cannot be meant stops the start and names its variable."""

import os
import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

PLACE = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:/\d+)?)\]|(?P<four>[0-9.]+(?:/\d+)?))(?::(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)?",
    re.ASCII,
)
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def read_text(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set: EvalHub does not start without it")
    return value


def read_choice(name: str, choices: Sequence[str], default: str) -> str:
    value = read_text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}, and must be one of: {', '.join(choices)}")
    return value


def read_flag(name: str, default: bool) -> bool:
    value = read_text(name, "yes" if default else "no").lower()
    if value not in YES + NO:
        raise ImproperlyConfigured(f"{name} is {value!r}, and must be yes or no")
    return value in YES


def read_number(name: str, default: int, *, least: int = 0) -> int:
    value = read_text(name, str(default))
    if not (value.isascii() and value.isdigit()) or int(value) < least:
        raise ImproperlyConfigured(f"{name} is {value!r}, and must be a whole number of at least {least}")
    return int(value)


def read_list(name: str, default: Sequence[str] | None = None) -> list[str]:
    text = read_text(name, None if default is None else ",".join(default) or " ")
    found = [item.strip() for item in text.split(",") if item.strip()]
    if text.strip() and not found:
        raise ImproperlyConfigured(f"{name} is {text!r}, and names nothing")
    return found


def read_web_address(name: str) -> str:
    """An http or https address without a password, or nothing."""
    text = read_text(name, "")
    try:
        url = urlsplit(text)
        fits = url.scheme in ("http", "https") and url.hostname and url.port != 0 and "@" not in url.netloc
    except ValueError:
        fits = False
    if text and not fits:
        raise ImproperlyConfigured(f"{name} is no http:// or https:// address of a host")  # it may hold a password
    return text


def read_networks(name: str, default: Sequence[str] | None = None) -> list[str]:
    """Addresses, networks, or the word "unix" for a socket."""
    found = read_list(name, default)
    for text in found:
        if text != "unix":
            try:
                ip_network(text, strict=False)
            except ValueError:
                raise ImproperlyConfigured(f"{name} holds {text!r}, which is no address and no network") from None
    return found


def read_places(name: str, default: Sequence[str] | None = None) -> list[str]:
    """Networks, each with the ports that are meant or with all of them: see ``read_place``."""
    found = read_list(name, default)
    for text in found:
        try:
            read_place(text)
        except ValueError:
            example = "write 10.0.0.0/8, 10.0.0.0/8:8000-8100 or [fd00::/8]:11434"
            raise ImproperlyConfigured(f"{name} holds {text!r}, which is no network with ports: {example}") from None
    return found


def read_place(text: str) -> tuple[IPv4Network | IPv6Network, range]:
    """The network of 10.0.0.0/8, 10.0.0.0/8:8080 or [fd00::/8]:8000-8100, and its ports; none where it names none."""
    named = PLACE.fullmatch(text)
    if named is None:
        return ip_network(text, strict=False), range(0)
    first = int(named["first"] or 0)
    last = int(named["last"] or first)
    if named["first"] and not 0 < first <= last < 65536:
        raise ValueError(f"{text} names ports that do not exist")
    network = ip_network(named["six"] or named["four"], strict=False)
    return network, range(first, last + 1) if named["first"] else range(0)


def read_folder(name: str, default: Path) -> Path:
    folder = Path(read_text(name, str(default)))
    if not folder.is_absolute():
        raise ImproperlyConfigured(f"{name} is {str(folder)!r}, and must be an absolute path")
    return folder


def read_database_url(name: str) -> dict[str, Any] | None:
    """Django's settings of the database that a postgresql:// address names; None where none is given."""
    text = read_text(name, "")
    if not text:
        return None
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ImproperlyConfigured(f"{name} is not an address that can be read") from None  # it holds a password
    if url.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            f"{name} starts with {url.scheme!r}, and must start with postgresql: nothing else works"
        )
    database = unquote(url.path.lstrip("/"))
    if not database:
        raise ImproperlyConfigured(f"{name} names no database: postgresql, user, host, then /database")
    options = dict(parse_qsl(url.query))
    host = options.pop("host", None) or unquote(url.hostname or "")
    return {
        "NAME": database,
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "OPTIONS": options,
    }
