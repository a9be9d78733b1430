"""Options of a PostgreSQL source, and how its server is reached: encrypted and verified, or on this machine."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, model_validator

from connectors import secret
from connectors.relational.declaration import RelationalOptions
from dsrkit.errors import DsrError, invalid
from dsrkit.server import is_loopback_host


class PostgresOptions(RelationalOptions):
    """`options` of a source of kind `postgres`; see docs/connectors/postgres.md."""

    dsn: SecretStr | None = None
    dsn_file: Path | None = None
    ca_file: Path | None = None
    connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        secret.check_one("dsn", self.dsn, self.dsn_file)
        return self


@dataclass(frozen=True)
class Address:
    """Where the server is. `verified`: the connection is encrypted and its other end proves who it is."""

    dsn: SecretStr
    tls: ssl.SSLContext | bool
    verified: bool


def address(options: PostgresOptions, source: str) -> Address:
    """The server's address. BACKEND_UNENCRYPTED unless the connection is verified or stays on this machine."""
    dsn = secret.read("dsn", options.dsn, options.dsn_file)
    try:
        parts = urlsplit(dsn.get_secret_value())
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    except ValueError:
        raise invalid("options.dsn", "it is not a URL like postgresql://user@host:5432/database") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise invalid("options.dsn", "it must begin with postgresql://")
    hosts = query.get("host", "").split(",") if "host" in query else _hosts(parts.netloc)
    if not all(hosts) or parts.path in ("", "/") or not (parts.username or "user" in query):
        raise invalid("options.dsn", "it must name user, host and database; nothing is taken from the environment")
    mode = query.get("sslmode", "")
    if all(map(_here, hosts)) and mode != "verify-full":
        return Address(dsn, tls=False, verified=False)
    if mode not in ("", "verify-full"):
        message = "The connection would not be verified. Leave sslmode out of the dsn, or make it verify-full."
        raise DsrError("BACKEND_UNENCRYPTED", message, source=source)
    context = ssl.create_default_context(cafile=options.ca_file or query.get("sslrootcert"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES256GCM:ECDHE+CHACHA20")
    if "sslcert" in query:
        context.load_cert_chain(query["sslcert"], query.get("sslkey"))
    return Address(dsn, tls=context, verified=True)


def _hosts(netloc: str) -> list[str]:
    hosts = []
    for entry in netloc.rpartition("@")[2].split(","):
        host = entry[1 : entry.index("]")] if entry.startswith("[") and "]" in entry else entry.partition(":")[0]
        hosts.append(unquote(host))
    return hosts


def _here(host: str) -> bool:
    """A Unix socket or a loopback address."""
    return host.startswith("/") or is_loopback_host(host)
