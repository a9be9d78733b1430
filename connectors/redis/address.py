"""How the server is reached: encrypted and verified, or on this machine."""

import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from connectors import secret
from connectors.redis.options import Options
from dsrkit.errors import DsrError, invalid
from dsrkit.server import is_loopback_host

_CONNECTIONS = 8


def pool(options: Options, source: str) -> BlockingConnectionPool:
    """The connections, none open yet. BACKEND_UNENCRYPTED unless they are verified or stay on this machine."""
    try:
        parts = urlsplit(secret.read("url", options.url, options.url_file).get_secret_value())
        port, database = parts.port or 6379, int(parts.path.strip("/") or 0) if parts.scheme != "unix" else 0
    except ValueError:
        raise invalid("options.url", "it is not a URL like rediss://user@host:6379/0") from None
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.scheme == "unix"):
        raise invalid("options.url", "it must begin with rediss://host, redis://host or unix:///path")
    if parts.query or parts.fragment:
        raise invalid("options.url", "it has no parameters; what else there is to say stands beside it")
    host = parts.hostname or ""
    shared: dict[str, Any] = {
        "max_connections": _CONNECTIONS,
        "timeout": options.timeout,
        "socket_timeout": options.timeout,
        "socket_connect_timeout": options.timeout,
        "retry": Retry(ConstantBackoff(0.1), 1),
        "protocol": 2,
        "db": database,
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "client_name": "dsr-connector",
    }
    if parts.scheme == "unix":
        return BlockingConnectionPool(connection_class=UnixDomainSocketConnection, path=unquote(parts.path), **shared)
    if parts.scheme == "redis" and not is_loopback_host(host):
        message = "The connection would not be encrypted. Begin the url with rediss://."
        raise DsrError("BACKEND_UNENCRYPTED", message, source=source)
    if parts.scheme == "redis":
        return BlockingConnectionPool(connection_class=Connection, host=host, port=port, **shared)
    return BlockingConnectionPool(
        connection_class=SSLConnection,
        host=host,
        port=port,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
        ssl_ca_certs=str(options.ca_file) if options.ca_file else None,
        ssl_min_version=ssl.TLSVersion.TLSv1_2,
        ssl_ciphers="ECDHE+AES256GCM:ECDHE+CHACHA20",
        **shared,
    )
