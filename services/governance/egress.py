"""Which addresses the platform dials: public ones, and private networks only by the operator's allow-list."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from dsrkit.errors import DsrError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class EgressGuard:
    """Checked at registration and again at every dial: names may point elsewhere by then."""

    allowed: Sequence[Network] = ()

    @classmethod
    def parse(cls, text: str) -> "EgressGuard":
        """From a comma-separated list of networks. Raises ValueError."""
        return cls(tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()))

    async def resolve(self, host: str, port: int, field: str) -> str:
        """An address of `host` that may be dialled; dial that and not the name. ADDRESS_FORBIDDEN."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):  # UnicodeError: no name of a host could be like that
            raise DsrError("ADDRESS_FORBIDDEN", f"{field}: the host has no address.", field=field) from None
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        # One forbidden address among several is enough to refuse: the next answer may come in another order.
        if not addresses or not all(self.permits(address) for address in addresses):
            raise DsrError("ADDRESS_FORBIDDEN", f"{field}: the platform does not dial that network.", field=field)
        return str(addresses[0])

    def permits(self, address: Address) -> bool:
        """Whether an address may be dialled. IPv4 in IPv6 counts as the IPv4 address it is."""
        mapped = getattr(address, "ipv4_mapped", None)
        plain = mapped or address
        if any(plain in network for network in self.allowed if network.version == plain.version):
            return True
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
        address = await self.resolve(parts.hostname, port or 443, field)
        if parts.scheme == "http" and not ipaddress.ip_address(address).is_loopback:
            raise wrong
