"""Channels to other processes."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc
from dsr.credentials import Credential

from dsrkit import telemetry
from dsrkit.server import MAX_MESSAGE_BYTES, is_loopback
from dsrkit.tls import TlsFiles

_OPTIONS: Sequence[tuple[str, object]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Dialer:
    """One channel per address, opened at first use, closed together. Take one for each call: when the certificate is
    replaced, new calls get a new channel, and those under way end on the old one."""

    def __init__(self, tls: TlsFiles | None, options: Sequence[tuple[str, object]] = _OPTIONS) -> None:
        self._tls = tls
        self._options = list(options)
        self._stamps: tuple[int, ...] = ()
        self._open: dict[str, grpc.aio.Channel] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def get(self, address: str) -> grpc.aio.Channel:
        """The channel to `host:port`. Plaintext goes to loopback only (policy P9): ValueError."""
        if self._tls is not None:
            stamps = self._tls.stamps()
            if stamps != self._stamps:
                # The old channels stay open until the process ends: certificates change every few weeks.
                self._open.clear()
                self._stamps = stamps
        if address not in self._open:
            if self._tls is None and not is_loopback(address):
                raise ValueError("plaintext is refused outside loopback")
            interceptors: Any = list(telemetry.client_interceptors())
            channel = (
                grpc.aio.insecure_channel(address, options=self._options, interceptors=interceptors)
                if self._tls is None
                else grpc.aio.secure_channel(
                    address, self._tls.channel(), options=self._options, interceptors=interceptors
                )
            )
            self._open[address] = channel
            self._stack.push_async_callback(channel.close)
        return self._open[address]


class Channels(Dialer):
    """Channels of a service, which speaks for itself."""

    def __init__(self, credential: Credential, tls: TlsFiles | None = None) -> None:
        super().__init__(tls)
        self._credential = credential

    def metadata(self, audience: str) -> tuple[tuple[str, str], ...]:
        """Call metadata with a fresh token for `audience`."""
        return (("authorization", f"Bearer {self._credential.token(audience)}"),)
