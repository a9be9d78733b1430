"""What the gateway is told by its environment, once, at start-up: field `listen` is `DSR_LISTEN`, and so on."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dsrkit.config import ConfigError
from dsrkit.server import is_loopback
from dsrkit.tls import TlsFiles
from gateway.upstreams import Network


@dataclass(frozen=True)
class Config:
    """The gateway's configuration. ConfigError for one that would send personal data in plaintext (policy P9)."""

    access_address: str
    """`host:port` of the access service."""
    portability_address: str
    """`host:port` of the portability service."""
    erasure_address: str
    """`host:port` of the erasure service."""
    governance_address: str
    """`host:port` of the governance service."""
    listen: str = "127.0.0.1:8080"
    """`host:port`; plaintext only on loopback."""
    tls_certificate: str = ""
    """Path of the PEM chain shown to clients; with `tls_key`."""
    tls_key: str = ""
    tls_client_ca: str = ""
    """Path of the PEM certificates that clients' own are checked against (mutual TLS); empty: clients need none."""
    upstream_ca: str = ""
    """Path of the PEM certificates that the services' own are checked against; with the two below (mutual TLS)."""
    upstream_certificate: str = ""
    """Path of the PEM chain shown to the services."""
    upstream_key: str = ""
    trust: str = ""
    """Path of the trust file, by which tokens are checked here already; empty: at the services only."""
    trusted_hops: str = ""
    """Networks, comma-separated, of proxies whose X-Forwarded-For is believed, besides the edge's; none when empty."""
    health_listen: str = ""
    """`host:port` that answers gRPC health checks in plaintext, for probes; empty: none."""
    drain_seconds: int = 20
    """How long answers under way may take after SIGTERM."""
    drain_notice_seconds: float = 0.0
    """How long readiness says no before connections are closed, for a load balancer to see."""
    otlp_endpoint: str = ""
    """`host:port` of an OpenTelemetry collector, over TLS with `upstream_certificate`; empty for none. Plaintext on
    loopback only."""
    otlp_interval_seconds: float = 15.0
    """Between two exports of metrics."""

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("DSR_TLS_CERTIFICATE and DSR_TLS_KEY belong together: give both or neither")
        if self.tls_client_ca and not self.tls_certificate:
            raise ConfigError(
                "DSR_TLS_CLIENT_CA needs DSR_TLS_CERTIFICATE and DSR_TLS_KEY: there is no mutual TLS without"
            )
        if not self.tls_certificate and not is_loopback(self.listen):
            raise ConfigError(
                "DSR_LISTEN is not loopback: plaintext is refused, give DSR_TLS_CERTIFICATE and DSR_TLS_KEY"
            )
        for name, address in self.upstreams.items():
            if not self.upstream_ca and not is_loopback(address):
                raise ConfigError(
                    f"DSR_{name.upper()}_ADDRESS is not loopback: plaintext is refused, give DSR_UPSTREAM_CA"
                )
        self.upstream_tls()
        self.socket_address()
        self.hops()

    def server_tls(self) -> TlsFiles | None:
        """What is shown to clients, and checked of them; None for plaintext."""
        if not self.tls_certificate:
            return None
        authority = Path(self.tls_client_ca) if self.tls_client_ca else None
        return TlsFiles(Path(self.tls_certificate), Path(self.tls_key), authority)

    def upstream_tls(self) -> TlsFiles | None:
        """What is shown to the services, and checked of them; None for plaintext. ConfigError for a part of it."""
        return TlsFiles.of(self.upstream_certificate, self.upstream_key, self.upstream_ca, "DSR_UPSTREAM")

    @property
    def upstreams(self) -> Mapping[str, str]:
        """Addresses by the names of `routes.PUBLIC_SERVICES`."""
        return {
            "access": self.access_address,
            "portability": self.portability_address,
            "erasure": self.erasure_address,
            "governance": self.governance_address,
        }

    def socket_address(self) -> tuple[str, int]:
        """`listen`, parsed."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ConfigError("DSR_LISTEN must be host:port")
        return host.strip("[]"), int(port)

    def hops(self) -> tuple[Network, ...]:
        """`trusted_hops`, parsed."""
        parts = [part.strip() for part in self.trusted_hops.split(",") if part.strip()]
        try:
            return tuple(ipaddress.ip_network(part) for part in parts)
        except ValueError:
            raise ConfigError("DSR_TRUSTED_HOPS must be networks such as 10.0.0.0/8, comma-separated") from None
