"""Which addresses the platform dials: public ones, and private networks only by the operator's allow-list."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from dsrkit.config import ConfigError
from dsrkit.errors import DsrError, invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOWHERE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible, deprecated (RFC 4291): some systems still dial the IPv4 address inside
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765), likewise
        "64:ff9b:1::/48",  # translation within one network, to wherever that network likes (RFC 8215)
        "fec0::/10",  # site-local, deprecated (RFC 3879): somebody's private network
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment identifiers (RFC 9602)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "168.63.129.16/32",  # Azure's own services, from within its machines
    )
)
"""Addresses that Python takes for public ones and that nobody on the Internet has."""


@dataclass(frozen=True)
class EgressGuard:
    """Checked at registration and again at every dial: names may point elsewhere by then."""

    allowed: Sequence[Network] = ()

    @classmethod
    def parse(cls, text: str) -> "EgressGuard":
        """From `DSR_PRIVATE_EGRESS`, a comma-separated list of networks. ConfigError."""
        try:
            return cls(tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()))
        except ValueError as error:
            raise ConfigError(f"DSR_PRIVATE_EGRESS must be networks such as 10.20.0.0/16: {error}") from None

    async def resolve(self, host: str, port: int, field: str) -> list[Address]:
        """The addresses of `host`, if all may be dialled; dial these and not the name. ADDRESS_FORBIDDEN."""
        addresses = await _addresses(host, port)
        if not addresses:
            raise DsrError("ADDRESS_FORBIDDEN", f"{field}: the host has no address.", field=field, why="NO_ADDRESS")
        # One forbidden address among several is enough to refuse: the next answer may come in another order.
        if not all(self.permits(address) for address in addresses):
            text = f"{field}: the platform does not dial that network."
            raise DsrError("ADDRESS_FORBIDDEN", text, field=field, why="NETWORK")
        return addresses

    def permits(self, address: Address) -> bool:
        """Whether an address may be dialled. IPv4 in IPv6 counts as the IPv4 address it is."""
        plain = _plain(address)
        if any(plain in network for network in self.allowed if network.version == plain.version):
            return True
        if any(plain in network for network in _NOWHERE if network.version == plain.version):
            return False
        return plain.is_global and not plain.is_multicast

    async def check_url(self, url: str, field: str) -> None:
        """ADDRESS_FORBIDDEN, or FIELD_INVALID, unless `url` is https (http on loopback) and may be dialled."""
        wrong = DsrError("FIELD_INVALID", f"{field} must be an https address.", field=field, why="not an https URL")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or parts.username or parts.fragment:
            raise wrong
        addresses = await self.resolve(parts.hostname, port or 443, field)
        if parts.scheme == "http" and not all(address.is_loopback for address in addresses):
            raise wrong


def _plain(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


async def _addresses(host: str, port: int) -> list[Address]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):  # UnicodeError: no name of a host could be like that
        return []
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


def host_and_port(address: str, field: str) -> tuple[str, int]:
    """The two of `host:port`. FIELD_INVALID."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise invalid(field, "must be host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
