"""Channels to other processes."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc
from dsr.credentials import Credential

from dsrkit import telemetry
from dsrkit.egress import Address
from dsrkit.server import MAX_MESSAGE_BYTES, is_loopback
from dsrkit.tls import TlsFiles

_OPTIONS: Sequence[tuple[str, object]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A proxy named by the environment would be dialled instead of the address that was checked.
    ("grpc.enable_http_proxy", 0),
    # A name with several addresses: each call goes to the next, and names are asked for again soon after one has gone.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)


class Dialer:
    """One channel per address, opened at first use, closed together. Take one for each call: when the certificate is
    replaced, new calls get a new channel, and those under way end on the old one."""

    def __init__(self, tls: TlsFiles | None, more_options: Sequence[tuple[str, object]] = ()) -> None:
        self._tls = tls
        self._options = [*_OPTIONS, *more_options]
        self._stamps: tuple[int, ...] = ()
        self._open: dict[tuple[str, ...], grpc.aio.Channel] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def get(self, address: str) -> grpc.aio.Channel:
        """The channel to `host:port`. Plaintext goes to loopback only (policy P9): ValueError."""
        return self._get(address, is_loopback(address), "", "")

    def dial(self, addresses: Sequence[Address], port: int, name: str, authority: str = "") -> grpc.aio.Channel:
        """The channel to these addresses and no others, however often it reconnects. Whoever answers must be `name` by
        a certificate of `authority` (PEM), or of ours when that is empty. Plaintext goes to loopback only: ValueError.
        """
        family = [a for a in addresses if a.version == addresses[0].version]
        hosts = ",".join(f"[{a}]:{port}" if a.version == 6 else f"{a}:{port}" for a in family)
        loopback = all(address.is_loopback for address in family)
        return self._get(f"ipv{family[0].version}:{hosts}", loopback, name, authority)

    def _get(self, target: str, loopback: bool, name: str, authority: str) -> grpc.aio.Channel:
        if self._tls is not None:
            stamps = self._tls.stamps()
            if stamps != self._stamps:
                # The old channels stay open until the process ends: certificates change every few weeks.
                self._open.clear()
                self._stamps = stamps
        key = (target, name, authority)
        if key not in self._open:
            credentials = self._credentials(authority)
            if credentials is None and not loopback:
                raise ValueError("plaintext is refused outside loopback")
            interceptors: Any = list(telemetry.client_interceptors())
            # The name that a call is addressed to is the one that the certificate must carry.
            options = [*self._options, *([("grpc.default_authority", name)] if name else [])]
            channel = (
                grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
                if credentials is None
                else grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)
            )
            self._open[key] = channel
            self._stack.push_async_callback(channel.close)
        return self._open[key]

    def _credentials(self, authority: str) -> grpc.ChannelCredentials | None:
        if self._tls is not None:
            return self._tls.channel(authority.encode())
        return grpc.ssl_channel_credentials(authority.encode()) if authority else None


class Channels(Dialer):
    """Channels of a service, which speaks for itself."""

    def __init__(self, credential: Credential, tls: TlsFiles | None = None) -> None:
        super().__init__(tls)
        self._credential = credential

    def metadata(self, audience: str) -> tuple[tuple[str, str], ...]:
        """Call metadata with a fresh token for `audience`."""
        return (("authorization", f"Bearer {self._credential.token(audience)}"),)
