"""Options of a MySQL or MariaDB source, and how its server is reached: encrypted and verified, or on this machine."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, model_validator

from connectors import secret
from connectors.relational.declaration import RelationalOptions
from dsrkit.errors import DsrError, invalid
from dsrkit.server import is_loopback_host

_VERIFIED = "VERIFY_IDENTITY"


class MysqlOptions(RelationalOptions):
    """`options` of a source of kind `mysql`; see docs/connectors/mysql.md."""

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
    """Where the server is. With `tls` the connection is encrypted and its other end proves who it is."""

    host: str
    port: int
    socket: str | None
    user: str
    password: str = field(repr=False)
    database: str
    tls: ssl.SSLContext | None


def address(options: MysqlOptions, source: str) -> Address:
    """The server's address. BACKEND_UNENCRYPTED unless the connection is verified or stays on this machine."""
    try:
        parts = urlsplit(secret.read("dsn", options.dsn, options.dsn_file).get_secret_value())
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        port = parts.port or 3306
    except ValueError:
        raise invalid("options.dsn", "it is not a URL like mysql://user@host:3306/database") from None
    if parts.scheme not in ("mysql", "mariadb"):
        raise invalid("options.dsn", "it must begin with mysql:// or mariadb://")
    host, socket = parts.hostname or "", query.get("socket")
    database = unquote(parts.path.removeprefix("/"))
    if not (host or socket) or not database or not parts.username:
        raise invalid("options.dsn", "it must name user, host and database; nothing is taken from the environment")
    return Address(
        host=host or "localhost",
        port=port,
        socket=socket,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=database,
        tls=_tls(options, query, here=socket is not None or is_loopback_host(host), source=source),
    )


def _tls(options: MysqlOptions, query: dict[str, str], *, here: bool, source: str) -> ssl.SSLContext | None:
    mode = query.get("ssl-mode", "").upper()
    if here and mode != _VERIFIED:
        return None
    if mode not in ("", _VERIFIED):
        message = f"The connection would not be verified. Leave ssl-mode out of the dsn, or make it {_VERIFIED}."
        raise DsrError("BACKEND_UNENCRYPTED", message, source=source)
    context = ssl.create_default_context(cafile=options.ca_file or query.get("ssl-ca"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES256GCM:ECDHE+CHACHA20")
    if "ssl-cert" in query:
        context.load_cert_chain(query["ssl-cert"], query.get("ssl-key"))
    return context
