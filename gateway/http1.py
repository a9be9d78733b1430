"""HTTP/1.1 within bounds: uvicorn's httptools protocol, with limits on heads and time, and problem documents."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.problems import MEDIA_TYPE, Problem, from_http, phrase

MAX_HEAD = 16 * 1024
"""Bytes of request line and headers."""
MAX_HEADERS = 64
HEAD_SECONDS = 10.0
"""In which a head must have arrived."""
LINGER_SECONDS = 5.0
LINGER_BYTES = 8 * 1024 * 1024
"""How long, and how much of, a body that nobody reads may still arrive after its answer. Closing at once would make
many clients lose the answer, because they send all of a body before they read."""
CIPHER_BITS = 256


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._reading_head = True
        self._head_bytes = 0
        self._discarded = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: Problem | None = None
        self._peer: frozenset[str] = frozenset()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        cipher = transport.get_extra_info("cipher")
        # TLS 1.3 suites can't be chosen through Python's ssl module, so a 128-bit one is refused here (policy P9).
        if cipher is not None and cipher[2] < CIPHER_BITS:
            transport.abort()
            return
        names = (transport.get_extra_info("peercert") or {}).get("subjectAltName", ())
        self._peer = frozenset(name for kind, name in names if kind == "URI")
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._reading_head:
            self._head_bytes += len(data)
            if self._timer is None:
                self._start_timer()
        super().data_received(data)
        # The parser hands a header over when it is whole; this stops one that never ends.
        if self._reading_head and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"dsr.abort": self.transport.abort, "dsr.peer": self._peer}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        size = len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers)
        if size > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            self._refusal = _too_large()
            raise ValueError  # the parser wraps it, and `send_400_response` is called

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._reading_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > LINGER_BYTES:
                self.transport.abort()

    def on_message_complete(self) -> None:
        self._reading_head = True
        self._head_bytes = 0
        self._stop_timer()
        super().on_message_complete()
        if self.cycle.response_complete:
            self._start_timer()  # the answer went before; nothing else limits the wait for the next request

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._reading_head and not self.transport.is_closing():
            self._discarded = 0
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for whatever its parser rejects."""
        self._refuse(self._refusal or from_http(400, "This is not an HTTP/1.1 request that can be read safely."))

    def _refuse(self, problem: Problem) -> None:
        self._stop_timer()
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer is under way; another one in its midst would be read as part of it.
            self.transport.abort()
            return
        body = problem.document()
        lines = [
            f"HTTP/1.1 {problem.status} {phrase(problem.status)}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "connection: close",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.transport.close()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._head_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_timeout(self) -> None:
        if self._head_bytes:
            self._refuse(from_http(408, "The request took too long to arrive."))
        else:
            self.transport.close()


def _too_large() -> Problem:
    return from_http(431, f"Send at most {MAX_HEAD} bytes and {MAX_HEADERS} headers.")
