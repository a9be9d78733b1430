"""Runs the gateway: listens, serves, drains."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import uvicorn
from dsr.credentials import PLATFORM_AUDIENCE
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health

from dsrkit import log
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.server import is_loopback, open_health
from gateway.app import Gateway, Limits
from gateway.config import Config
from gateway.http1 import BoundedProtocol
from gateway.pages import pages
from gateway.routes import PUBLIC_SERVICES, Router, routes_of
from gateway.tls import server_context
from gateway.upstreams import open_upstreams

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
    async with open_upstreams(config.upstreams, config.upstream_tls(), service_config) as upstreams:
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
            probes = health.HealthServicer()
            await probes.set("", health_pb2.HealthCheckResponse.SERVING)
            async with open_health(config.health_listen, probes):
                log.get_logger().info("listening", port=port)
                try:
                    yield RunningGateway(port, draining)
                finally:
                    await probes.enter_graceful_shutdown()
                    server.should_exit = True
                    await serving
                    log.get_logger().info("drained")


def _authenticator(config: Config) -> Authenticator | None:
    if not config.trust:
        return None
    return Authenticator(TrustStore(Path(config.trust)), [PLATFORM_AUDIENCE], loopback=is_loopback(config.listen))


def _settings(app: Gateway, config: Config) -> uvicorn.Config:
    files = config.server_tls()
    tls: dict[str, object] = {}
    if files is not None:
        context = server_context(files)
        tls = {"ssl_certfile": config.tls_certificate, "ssl_context_factory": lambda *_: context}
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
