"""Which addresses may be called: the rules alone. Nothing here resolves a name or opens a connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from evalhub.environment import read_place

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

PORTS: Final = {"http": 80, "https": 443}
UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")

#: What is_global lets through or judges differently from release to release.
NEVER: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
#: Where clouds keep the credentials of a machine: opened only by naming the very address, never by a wider network.
METADATA: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128")
)
NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
COMPATIBLE: Final = IPv6Network("::/96")


class AddressRefused(Exception):
    """An address that is not called; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes, before its name is resolved. ``host`` is ASCII."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """Scheme, host and port of an address that may be meant; AddressRefused for one that plays tricks."""
    if UNSAFE.search(url):
        raise AddressRefused("The address holds spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("The address cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS or "://" not in url:
        raise AddressRefused("Only http:// and https:// addresses are called.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise AddressRefused("The address holds a user name or a password.")
    if "#" in url:
        raise AddressRefused("The address holds a part from #, which is never sent.")
    if port == 0:
        raise AddressRefused("The address names port 0.")
    return Target(scheme, _ascii_host(parts.hostname or ""), port or PORTS[scheme])


def check_addresses(found: Iterable[str], target: Target) -> list[Address]:
    """All the addresses that a name stands for, each allowed; one that is not refuses the name."""
    addresses = list(dict.fromkeys(ip_address(text.split("%")[0]) for text in found))
    if not addresses:
        raise AddressRefused(f"{target.host} has no address.")
    opened = networks_opened_at(target.port)
    for address in addresses:
        if not may_call(address, opened):
            raise AddressRefused(
                f"{target.host} leads to {address}, which is not a public address. "
                "The operator can open private networks with EVALHUB_ALLOWED_NETWORKS."
            )
    return addresses


def may_call(address: Address, opened: Iterable[Network] = ()) -> bool:
    """Whether the address, and each IPv4 address hidden in it, is public or in an opened network."""
    opened = tuple(opened)
    return all(_is_open(one, opened) or _is_public(one) for one in _meanings(address))


def networks_opened_at(port: int) -> tuple[Network, ...]:
    """The operator's networks in which the port may be called."""
    opened = [read_place(text) for text in settings.ALLOWED_NETWORKS]
    return tuple(network for network, ports in opened if not ports or port in ports)


def _ascii_host(host: str) -> str:
    if not host or "%" in host:
        raise AddressRefused("The address names no host.")
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError:
            raise AddressRefused("The address holds a broken IPv6 address.") from None
    try:
        ascii_host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        raise AddressRefused("The address holds a host name that cannot be written in ASCII.") from None
    ascii_host = ascii_host.lower().rstrip(".")
    if len(ascii_host) > 253 or not HOST.fullmatch(ascii_host):
        raise AddressRefused("The address holds something that is no host name.")
    last = ascii_host.rsplit(".", 1)[-1]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):  # a number: then all of it has to be a plain IPv4 address
        try:
            return str(IPv4Address(ascii_host))
        except ValueError:
            raise AddressRefused("The address spells its number in a way that is not called.") from None
    return ascii_host


def _meanings(address: Address) -> Iterator[Address]:
    """The address, or what it wraps: a gateway would unpack it and call that."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in NAT64) or (address in COMPATIBLE and int(address) > 1):
        yield low
    if (int(address) >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE):  # ISATAP
        yield low


def _is_public(address: Address) -> bool:
    return address.is_global and not any(address in network for network in NEVER if network.version == address.version)


def _is_open(address: Address, opened: tuple[Network, ...]) -> bool:
    guarded = any(address in network for network in METADATA if network.version == address.version)
    return any(
        address in network and (not guarded or network.num_addresses == 1)
        for network in opened
        if network.version == address.version
    )
