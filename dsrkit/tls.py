"""TLS between processes (policy P9): mutual, read again when the files change, so that certificates rotate without a
restart. Plaintext is for loopback only; `dsrkit.server` and `dsrkit.channels` refuse it elsewhere."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from dsrkit import log
from dsrkit.config import ConfigError

GATEWAY, EDGE = "urn:dsr:service:gateway", "urn:dsr:service:edge"
HOPS = frozenset({GATEWAY, EDGE})
"""Who pass on what others ask for, by the URI in their certificate: where a call came from is believed of them alone
(decision 0027)."""


def peer_uris(auth_context: Mapping[str, Iterable[bytes]]) -> frozenset[str]:
    """Who the other side is by its certificate: the URIs among its alternative names; none without mutual TLS."""
    return frozenset(uri.decode(errors="replace") for uri in auth_context.get("peer_uri", ()))


@dataclass
class TlsFiles:
    """A process's certificate chain, its key, and the authority it checks others by; all PEM."""

    certificate: Path
    key: Path
    authority: Path | None
    """None: a server that asks its callers for no certificate, a client that trusts whom the system trusts."""
    _stamps: tuple[int, ...] = field(default=())

    @classmethod
    def of(cls, certificate: str, key: str, authority: str, prefix: str = "DSR_TLS") -> "TlsFiles | None":
        """From configuration: all three, or none for plaintext on loopback. ConfigError."""
        given = {f"{prefix}_CERTIFICATE": certificate, f"{prefix}_KEY": key, f"{prefix}_CA": authority}
        if not any(given.values()):
            return None
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise ConfigError(f"{missing[0]} is not set; {', '.join(given)} belong together")
        unreadable = [value for value in given.values() if not os.access(value, os.R_OK)]
        if unreadable:
            raise ConfigError(f"{unreadable[0]} can't be read")
        return cls(Path(certificate), Path(key), Path(authority))

    def server(self) -> grpc.ServerCredentials:
        """Credentials of a server that takes calls from holders of the authority's certificates only."""
        fetch: Any = self._fetch  # may return None, which the stubs don't know
        mutual = self.authority is not None
        return grpc.dynamic_ssl_server_credentials(self._configuration(), fetch, require_client_authentication=mutual)

    def channel(self, authority: bytes = b"") -> grpc.ChannelCredentials:
        """Credentials of a client. `authority` (PEM): the only one to check the other side by, instead of ours."""
        return grpc.ssl_channel_credentials(
            authority or (self.authority.read_bytes() if self.authority else None),
            self.key.read_bytes(),
            self.certificate.read_bytes(),
        )

    def stamps(self) -> tuple[int, ...]:
        """When the files were last changed: other stamps, other certificates."""
        files = (self.certificate, self.key, self.authority)
        return tuple(path.stat().st_mtime_ns for path in files if path is not None)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        self._stamps = self.stamps()
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        roots = self.authority.read_bytes() if self.authority else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called at every handshake: the new configuration, or None while nothing has changed."""
        try:
            return self._configuration() if self.stamps() != self._stamps else None
        except OSError as error:
            # Half-way through a rotation the old certificate serves on.
            log.get_logger().warning("tls.unreadable", error=error)
            return None
