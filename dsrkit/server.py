"""Builds and runs a `grpc.aio` server: interceptors, health, reflection, drain."""

import asyncio
import ipaddress
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
from dsr.v1 import options_pb2
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from dsrkit import log
from dsrkit.auth import Authenticator
from dsrkit.clock import Ahead
from dsrkit.clocked import ClockInterceptor
from dsrkit.interceptors import AuthInterceptor, ErrorInterceptor, FieldsInterceptor, StaffCheck, policy_of
from dsrkit.recording import Recorder, RecordInterceptor, Write

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
DRAIN_SECONDS = 10.0

OPTIONS: Sequence[tuple[str, object]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.max_ping_strikes", 0),
)


@dataclass
class RunningServer:
    """A server that listens. `draining` is set before anything is closed, so that streams can end themselves."""

    server: grpc.aio.Server
    port: int
    health: health.HealthServicer
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    counts: list[Callable[[], int]] = field(default_factory=list)
    """What `in_hand` adds up."""

    @property
    def in_hand(self) -> int:
        """How much is being worked on: calls of the public API, records not yet written, tasks, chores. 0: at rest."""
        return sum(count() for count in self.counts)

    async def wait_for_termination(self) -> None:
        """Returns when SIGTERM or SIGINT asked the process to end."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()


def policies(service_names: Sequence[str]) -> dict[str, options_pb2.AuthorizationPolicy]:
    """Path of every method of these services, and its policy. Raises when one declares none."""
    pool = descriptor_pool.Default()
    found = {}
    for name in service_names:
        service = pool.FindServiceByName(name)
        for method in service.methods:
            found[f"/{name}/{method.name}"] = policy_of(method)
    return found


def is_loopback(listen: str) -> bool:
    """Whether `host:port` is an address of this machine only."""
    if listen.startswith("unix:"):
        return True
    return is_loopback_host(listen.rsplit(":", 1)[0].strip("[]"))


def is_loopback_host(host: str) -> bool:
    """Whether a host, without brackets and port, is this machine. Of names only `localhost` is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def open_server(
    *,
    listen: str,
    registrations: Sequence[Callable[[grpc.aio.Server], None]],
    service_names: Sequence[str],
    authenticator: Authenticator,
    tls: grpc.ServerCredentials | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    draining: asyncio.Event | None = None,
    health_listen: str = "",
    drain_notice_seconds: float = 0.0,
    records: Write | None = None,
    staff: StaffCheck | None = None,
    ahead: Ahead | None = None,
) -> AsyncIterator[RunningServer]:
    """Starts a server on `listen` (`host:0` takes a free port) and drains it at the end.

    Plaintext outside loopback is refused (policy P9): ValueError. `health_listen`: see `open_health`. When it ends, its
    health says so for `drain_notice_seconds` before calls are refused, so that who balances load looks elsewhere.
    `records` stores the processing records of public RPCs (policy P5); `staff` says which roles were granted (P16);
    `ahead` by whose time a call goes.
    """
    loopback = is_loopback(listen)
    if tls is None and not loopback:
        raise ValueError(f"plaintext is refused outside loopback: give TLS credentials for {listen}")
    recorder = Recorder(records) if records is not None else None
    chain = [
        *interceptors,
        ErrorInterceptor(),
        *([RecordInterceptor(recorder)] if recorder is not None else []),
        AuthInterceptor(replace(authenticator, loopback=loopback), policies(service_names), staff),
        FieldsInterceptor(),
        *([ClockInterceptor(ahead)] if ahead is not None else []),
    ]
    server = grpc.aio.server(interceptors=chain, options=list(OPTIONS))
    for register in registrations:
        register(server)
    health_servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = [*service_names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port(listen) if tls is None else server.add_secure_port(listen, tls)
    await server.start()
    recording = asyncio.create_task(recorder.run()) if recorder is not None else None
    running = RunningServer(server, port, health_servicer, draining or asyncio.Event())
    if recorder is not None:
        running.counts.append(lambda: recorder.in_hand)
    serving = health_pb2.HealthCheckResponse.SERVING
    for name in ("", *service_names):
        await health_servicer.set(name, serving)
    log.get_logger().info("listening", port=port)
    try:
        async with open_health(health_listen, health_servicer):
            try:
                yield running
            finally:
                await health_servicer.enter_graceful_shutdown()
                await asyncio.sleep(drain_notice_seconds)
                running.draining.set()
    finally:
        await server.stop(DRAIN_SECONDS)
        if recorder is not None and recording is not None:
            await recorder.stop(recording)
        log.get_logger().info("drained")


@asynccontextmanager
async def open_health(listen: str, servicer: health.HealthServicer) -> AsyncIterator[int]:
    """Answers grpc.health.v1, and nothing else, in plaintext on `listen`; empty: doesn't listen.

    For probes that have no certificate, as Kubernetes' have none (decision 0033). Yields the port.
    """
    if not listen:
        yield 0
        return
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=16)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(listen)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
