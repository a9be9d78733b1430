"""What operating needs of every process: 256-bit suites, certificates replaced under way, health for probes, drains."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.credentials import Credential
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.certificates import Authority
from deploy.local.postgres import free_port
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.channels import Channels
from dsrkit.issuer import TrustFile
from dsrkit.server import RunningServer, open_server
from dsrkit.tls import TlsFiles
from tests.integration.rights.test_rights_tls import authority_in, issue

TLS13_256_BITS = {0x1302, 0x1303}
"""AES-256-GCM and ChaCha20-Poly1305 (RFC 8446, B.4)."""
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory(prefix="dsr-operated-") as name:
        yield Path(name)


@pytest.fixture
async def credential(folder: Path) -> Credential:
    TrustFile(folder / "trust.json").add_service("access", folder / "access.json")
    return Credential.load(folder / "access.json")


def opened(folder: Path, tls: TlsFiles | None, **more: Any) -> Any:
    authenticator = Authenticator(TrustStore(folder / "trust.json"), ["dsr"])
    return open_server(
        listen="127.0.0.1:0",
        registrations=[],
        service_names=[],
        authenticator=authenticator,
        tls=tls.server() if tls else None,
        **more,
    )


async def _check(channel: grpc.aio.Channel) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status


class _Wire:
    """A relay that reads the suite which the server chose: the ServerHello is in the clear."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.suites: list[int] = []
        self.closed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer, watch=True))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, watch: bool = False) -> None:
        try:
            if watch:
                record = await source.readexactly(5)
                hello = await source.readexactly(int.from_bytes(record[3:5], "big"))
                session = hello[38]  # after type, length, version and random
                self.suites.append(int.from_bytes(hello[39 + session : 41 + session], "big"))
                target.write(record + hello)
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed += 1  # the other side went; so does this one
        target.close()


@pytest.fixture
async def secured(folder: Path, credential: Credential) -> AsyncIterator[tuple[RunningServer, Authority, TlsFiles]]:
    authority = authority_in(folder / "pki")
    tls = issue(authority, "services")
    async with opened(folder, tls) as running:
        yield running, authority, tls


async def test_tls_1_3_between_our_processes_has_256_bit_keys(
    secured: tuple[RunningServer, Authority, TlsFiles], credential: Credential
) -> None:
    running, _, tls = secured
    wire = _Wire(running.port)
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as relay, Channels(credential, tls) as channels:
        address = f"127.0.0.1:{relay.sockets[0].getsockname()[1]}"
        assert await _check(channels.get(address)) == SERVING
        assert len(wire.suites) == 1
        assert set(wire.suites) <= TLS13_256_BITS


async def test_a_client_shows_its_new_certificate_without_a_restart(
    secured: tuple[RunningServer, Authority, TlsFiles], credential: Credential
) -> None:
    running, authority, _ = secured
    address = f"127.0.0.1:{running.port}"
    files = issue(authority_in(authority.path.parent.parent / "other"), "client")
    # At first the client holds a certificate that nobody here knows, and knows nobody here.
    async with Channels(credential, files) as channels:
        first = channels.get(address)
        with pytest.raises(grpc.aio.AioRpcError):
            await _check(first)
        ours = issue(authority, "client")
        assert files.authority is not None
        assert ours.authority is not None
        for old, new in (
            (files.authority, ours.authority),
            (files.key, ours.key),
            (files.certificate, ours.certificate),
        ):
            old.write_bytes(new.read_bytes())
        second = channels.get(address)
        assert second is not first
        assert await _check(second) == SERVING
        assert channels.get(address) is second


async def test_probes_learn_of_health_in_plaintext_and_of_nothing_else(folder: Path, credential: Credential) -> None:
    authority = authority_in(folder / "pki")
    address = f"127.0.0.1:{free_port()}"
    async with opened(folder, issue(authority, "services"), health_listen=address):
        async with grpc.aio.insecure_channel(address) as channel:
            assert await _check(channel) == SERVING
            call: Any = channel.unary_unary("/dsr.v1.AccessService/GetAccessRequest")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_says_no_before_calls_are_refused(folder: Path, credential: Credential) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as clients:
        async with opened(folder, None, health_listen=address, drain_notice_seconds=1.0) as running:
            probe = await clients.enter_async_context(grpc.aio.insecure_channel(address))
            caller = await clients.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
            stub: Any = health_pb2_grpc.HealthStub(probe)
            seen = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
            assert (await seen.read()).status == SERVING
            assert await _check(caller) == SERVING

            async def call_when_told() -> Any:
                assert (await seen.read()).status == NOT_SERVING
                return await _check(caller)

            told = asyncio.create_task(call_when_told())
        # The block has ended; the call that was made after the notice was answered all the same.
        assert await told == NOT_SERVING
