"""TLS towards clients: 256-bit suites, certificates asked for where an authority is given, both replaced without a
restart."""

import ssl
from typing import Any

from dsrkit import log
from dsrkit.tls import TlsFiles

# TLS 1.2 with forward secrecy and 256-bit keys (policy P9); of TLS 1.3 `BoundedProtocol` refuses the 128-bit suite.
_CIPHERS = "ECDHE+AESGCM+AES256:ECDHE+CHACHA20"


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context whose every handshake uses the files as they are then."""
    first = current = _read(files)
    stamps = files.stamps()

    def choose(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal current, stamps
        try:
            now = files.stamps()
            if now != stamps:
                current, stamps = _read(files), now
        except OSError as error:  # ssl.SSLError too: half-way through a rotation the old certificate serves on
            log.get_logger().warning("tls.unreadable", error=error)
        connection.context = current

    # OpenSSL calls it at every handshake, whether or not the client names the server.
    first.sni_callback = choose
    return first


def _read(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.load_cert_chain(files.certificate, files.key)
    if files.authority is not None:
        context.load_verify_locations(files.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
