"""Runs the gateway: listens, serves, drains."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import grpc
import uvicorn
from dsr.credentials import PLATFORM_AUDIENCE

from dsrkit import log
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.server import is_loopback
from gateway.app import Gateway, Limits
from gateway.config import Config
from gateway.http1 import BoundedProtocol
from gateway.pages import pages
from gateway.routes import PUBLIC_SERVICES, Router, routes_of
from gateway.upstreams import open_upstreams

# TLS 1.2 with forward secrecy and 256-bit keys (policy P9); of TLS 1.3 `BoundedProtocol` refuses the 128-bit suite.
_CIPHERS = "ECDHE+AESGCM+AES256:ECDHE+CHACHA20"
_KEEP_ALIVE_SECONDS = 15


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that listens."""

    port: int
    draining: asyncio.Event


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, draining: asyncio.Event, notice_seconds: float) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._draining = draining
        self._notice_seconds = notice_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of `__main__`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams end themselves, and readiness says so, before the first connection is closed.
        self._draining.set()
        await asyncio.sleep(self._notice_seconds)
        await super().shutdown(sockets)


@asynccontextmanager
async def open_gateway(config: Config, limits: Limits | None = None) -> AsyncIterator[RunningGateway]:
    """Serves until the block ends, then drains: streams are ended, answers under way are finished."""
    router = Router(routes_of(PUBLIC_SERVICES))
    draining = asyncio.Event()
    service_config = resources.files("dsr").joinpath("grpc_service_config.json").read_text()
    async with open_upstreams(config.upstreams, _upstream_credentials(config), service_config) as upstreams:
        app = Gateway(
            router,
            upstreams,
            pages(upstreams, draining),
            draining,
            config.hops(),
            limits or Limits(),
            _authenticator(config),
        )
        with socket.create_server(config.socket_address(), backlog=1024) as listener:
            server = _Server(_settings(app, config), draining, config.drain_notice_seconds)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            listening = asyncio.create_task(server.listening.wait())
            await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
            if serving.done():
                serving.result()
            port = listener.getsockname()[1]
            log.get_logger().info("listening", port=port)
            try:
                yield RunningGateway(port, draining)
            finally:
                server.should_exit = True
                await serving
                log.get_logger().info("drained")


def _authenticator(config: Config) -> Authenticator | None:
    if not config.trust:
        return None
    return Authenticator(TrustStore(Path(config.trust)), [PLATFORM_AUDIENCE], loopback=is_loopback(config.listen))


def _settings(app: Gateway, config: Config) -> uvicorn.Config:
    tls: Mapping[str, object] = {}
    if config.tls_certificate:
        tls = {
            "ssl_certfile": config.tls_certificate,
            "ssl_keyfile": config.tls_key,
            "ssl_ciphers": _CIPHERS,
            "ssl_context_factory": _tls_context,
        }
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=config.drain_seconds,
        reset_contextvars=True,
        **tls,  # type: ignore[arg-type]
    )


def _tls_context(_: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _upstream_credentials(config: Config) -> grpc.ChannelCredentials | None:
    if not config.upstream_ca:
        return None
    ca = Path(config.upstream_ca).read_bytes()
    if not config.upstream_key:
        return grpc.ssl_channel_credentials(ca)
    key, chain = Path(config.upstream_key).read_bytes(), Path(config.upstream_certificate).read_bytes()
    return grpc.ssl_channel_credentials(ca, key, chain)
