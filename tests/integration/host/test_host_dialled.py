"""Whom the platform takes for a partner's connector, and what one may do to it: over real TLS, on real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceServicer, add_ConnectorServiceServicer_to_server
from dsr.credentials import Credential
from dsr.v1.subject_pb2 import Identity

from dsrkit.channels import Channels
from dsrkit.config import ConfigError
from dsrkit.egress import EgressGuard
from dsrkit.errors import DsrError
from dsrkit.issuer import TrustFile
from dsrkit.requests.connector import Connector, Connectors, Limits
from tests.support.pki import Authority, Pair, new_key
from tests.support.services import eventually

SOURCE, NAME = "partners/acme/dataSources/shop", "connector.acme.example"
ACME, KEY = Authority(), new_key()
SUBJECT = pb.Subject(subject_ref="s", identities=[Identity(type="email", value="ann@example.com")])


class Behaving(ConnectorServiceServicer):
    """Finds nobody; `heard` counts the calls that got through."""

    def __init__(self) -> None:
        self.heard = 0

    async def Probe(self, request: pb.ProbeRequest, context: Any) -> pb.ProbeResponse:
        return pb.ProbeResponse(reachable=True)

    async def Export(self, request: pb.ExportRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.ExportResponse()

    async def Erase(self, request: pb.EraseRequest, context: Any) -> AsyncIterator[pb.EraseResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.EraseResponse()

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> AsyncIterator[pb.VerifyResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.VerifyResponse()

    async def ListInactive(
        self, request: pb.ListInactiveRequest, context: Any
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.ListInactiveResponse()

    async def Return(self, request: pb.ReturnRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.ExportResponse()

    async def Destroy(self, request: pb.DestroyRequest, context: Any) -> AsyncIterator[pb.DestroyResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.DestroyResponse()

    async def Amend(self, request: pb.AmendRequest, context: Any) -> AsyncIterator[pb.AmendResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.AmendResponse()

    async def CountPeople(self, request: pb.CountPeopleRequest, context: Any) -> AsyncIterator[pb.CountPeopleResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.CountPeopleResponse()

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        self.heard += 1
        return pb.DescribeResponse(connector="shop")

    async def Locate(self, request: pb.LocateRequest, context: Any) -> AsyncIterator[pb.LocateResponse]:
        yield pb.LocateResponse(located=pb.Located(subject_ref=request.subjects[0].subject_ref))


@asynccontextmanager
async def listening(servicer: Any, pair: Pair | None, at: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves; yields `host:port`."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if isinstance(servicer, grpc.GenericRpcHandler):
        server.add_generic_rpc_handlers((servicer,))
    else:
        add_ConnectorServiceServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials([(pair.key, pair.certificate)]) if pair else None
    port = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    await server.start()
    try:
        yield f"{at.rpartition(':')[0]}:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
async def channels(tmp_path: Path) -> AsyncIterator[Channels]:
    TrustFile(tmp_path / "trust.json").add_service("access", tmp_path / "access.json")
    async with Channels(Credential.load(tmp_path / "access.json")) as opened:
        yield opened


def client(channels: Channels, allowed: str = "127.0.0.0/8", **limits: Any) -> Connectors:
    return Connectors(channels, EgressGuard.parse(allowed), Limits(**{"unary": 5.0, "idle": 5.0, **limits}))


def connector(address: str, authority: str = ACME.pem, name: str = NAME) -> Connector:
    return Connector(SOURCE, address, name, authority)


async def _error(call: Any) -> DsrError | None:
    try:
        await call
    except DsrError as error:
        return error
    return None


async def outcome(call: Any) -> str:
    error = await _error(call)
    return error.reason if error else "OK"


CERTIFICATES: dict[str, tuple[Pair | None, str]] = {
    "right": (ACME.issue(NAME, key=KEY), "OK"),
    "rotated with the same key": (ACME.issue(NAME, key=KEY), "OK"),
    "rotated with another key": (ACME.issue(NAME), "OK"),
    "one of two names": (ACME.issue("other.acme.example", NAME), "OK"),
    "another name": (ACME.issue("other.acme.example"), "CONNECTOR_UNTRUSTED"),
    "the address as name": (ACME.issue("127.0.0.1"), "CONNECTOR_UNTRUSTED"),
    "no name": (ACME.issue(), "CONNECTOR_UNTRUSTED"),
    "expired": (ACME.issue(NAME, valid_until=timedelta(seconds=-1)), "CONNECTOR_UNTRUSTED"),
    "another authority of that name": (Authority().issue(NAME), "CONNECTOR_UNTRUSTED"),
    "another authority, same key": (Authority("Globex CA").issue(NAME, key=KEY), "CONNECTOR_UNTRUSTED"),
    "plaintext": (None, "CONNECTOR_UNTRUSTED"),
}


@pytest.mark.parametrize(("pair", "expected"), CERTIFICATES.values(), ids=CERTIFICATES)
@pytest.mark.policy("P9", "a partner's connector is known by the certificate that two of its people confirmed")
async def test_whom_the_platform_talks_to(channels: Channels, pair: Pair | None, expected: str) -> None:
    servicer = Behaving()
    async with listening(servicer, pair) as address:
        assert await outcome(client(channels).describe(connector(address))) == expected
    assert servicer.heard == (expected == "OK"), "whoever is not trusted is told nothing"


async def test_a_trusted_name_is_trusted_for_its_own_source_only(channels: Channels) -> None:
    """Two sources at one address: each is known by what its own people confirmed, whatever is connected already."""
    async with listening(Behaving(), ACME.issue(NAME)) as address:
        connectors = client(channels)
        assert await outcome(connectors.describe(connector(address))) == "OK"
        assert await outcome(connectors.describe(connector(address, Authority().pem))) == "CONNECTOR_UNTRUSTED"
        assert await outcome(connectors.describe(connector(address, name="x.acme.example"))) == "CONNECTOR_UNTRUSTED"
        assert await outcome(connectors.describe(connector(address))) == "OK"


async def test_a_certificate_rotates_under_a_connected_platform(channels: Channels) -> None:
    connectors, servicer = client(channels), Behaving()
    async with listening(servicer, ACME.issue(NAME, key=KEY)) as address:
        assert await outcome(connectors.describe(connector(address))) == "OK"
    async with listening(servicer, ACME.issue(NAME, key=KEY), address):
        await eventually(lambda: _is_ok(connectors, address), within=10)  # gRPC pauses before it connects again
    async with listening(servicer, Authority().issue(NAME), address):
        assert await outcome(connectors.describe(connector(address))) != "OK"
    assert servicer.heard == 2


async def _is_ok(connectors: Connectors, address: str) -> bool:
    return await outcome(connectors.describe(connector(address))) == "OK"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "CONNECTOR_UNCONFIRMED"),
        ("127.0.0.1:1", "ADDRESS_FORBIDDEN"),
        ("localhost:1", "ADDRESS_FORBIDDEN"),
        ("[::1]:1", "ADDRESS_FORBIDDEN"),
        ("[::ffff:127.0.0.1]:1", "ADDRESS_FORBIDDEN"),
        ("[64:ff9b::7f00:1]:1", "ADDRESS_FORBIDDEN"),
        ("[2002:7f00:1::]:1", "ADDRESS_FORBIDDEN"),
        ("169.254.169.254:80", "ADDRESS_FORBIDDEN"),
        ("10.0.0.1:443", "ADDRESS_FORBIDDEN"),
        ("0.0.0.0:443", "ADDRESS_FORBIDDEN"),
        ("2130706433:443", "ADDRESS_FORBIDDEN"),
        ("nowhere.invalid:443", "SOURCE_UNAVAILABLE"),
        ("a..b:443", "SOURCE_UNAVAILABLE"),
    ],
)
async def test_where_the_platform_does_not_go(channels: Channels, address: str, expected: str) -> None:
    assert await outcome(client(channels, allowed="").describe(connector(address))) == expected


@pytest.mark.parametrize("text", ["10.0.0.1/8", "everything", "10.0.0.0/8;10.1.0.0/16"])
def test_a_network_that_is_none_ends_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="DSR_PRIVATE_EGRESS"):
        EgressGuard.parse(text)


async def test_a_name_that_leads_elsewhere_later_leads_nowhere(
    channels: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: checked and dialled are the same address, at every dial, also when gRPC reconnects by itself."""
    answers = ["127.0.0.1"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: [_entry(a, port) for a in answers])
    connectors, servicer = client(channels, allowed="127.0.0.1/32"), Behaving()
    trap = Behaving()
    async with listening(servicer, ACME.issue(NAME)) as address:
        port = address.rpartition(":")[2]
        wanted = connector(f"{NAME}:{port}")
        assert await outcome(connectors.describe(wanted)) == "OK"
        # The trap has a good certificate: only the address tells them apart.
        async with listening(trap, ACME.issue(NAME), f"127.0.0.2:{port}"):
            for answers[:] in (["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["169.254.169.254"]):
                assert await outcome(connectors.describe(wanted)) == "ADDRESS_FORBIDDEN"
                assert await outcome(connectors.locate(wanted, SUBJECT, with_anchors=False)) == "ADDRESS_FORBIDDEN"
            answers[:] = ["127.0.0.1"]
            assert await outcome(connectors.describe(wanted)) == "OK"
            answers[:] = []
            assert await outcome(connectors.describe(wanted)) == "SOURCE_UNAVAILABLE"
    assert (servicer.heard, trap.heard) == (2, 0)


def _entry(address: str, port: int) -> Any:
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)


async def test_no_proxy_of_the_environment_is_dialled_instead(
    channels: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("https_proxy", "http_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    async with listening(Behaving(), ACME.issue(NAME)) as address:
        assert await outcome(client(channels).describe(connector(address))) == "OK"


# Behind the right certificate -----------------------------------------------------------------------------------------


class Hanging(Behaving):
    """Accepts and never answers."""

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def Locate(self, request: pb.LocateRequest, context: Any) -> AsyncIterator[pb.LocateResponse]:
        await asyncio.Event().wait()
        yield pb.LocateResponse()


class Endless(Behaving):
    """Says that it is busy, for ever; copies without end."""

    async def Locate(self, request: pb.LocateRequest, context: Any) -> AsyncIterator[pb.LocateResponse]:
        while True:
            yield pb.LocateResponse(progress=pb.Progress(records=1))

    async def Export(self, request: pb.ExportRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        while True:
            yield pb.ExportResponse(data=b"\n" * 65_536)


class Garbage(grpc.GenericRpcHandler):
    """Answers with bytes that are no message."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def one(request: bytes, context: Any) -> bytes:
            return b"\xff" * 64

        async def many(request: bytes, context: Any) -> AsyncIterator[bytes]:
            yield b"\xff" * 64

        unary = (handler_call_details.method or "").endswith("/Describe")
        return grpc.unary_unary_rpc_method_handler(one) if unary else grpc.unary_stream_rpc_method_handler(many)


class Chatty(Behaving):
    """Puts whatever it likes into an error."""

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "ann@example.com", (("x-secret", "ann@example.com"),))
        raise AssertionError


MISBEHAVING: dict[str, tuple[Any, tuple[str, str, str]]] = {
    "hanging": (Hanging(), ("SOURCE_TIMEOUT", "SOURCE_TIMEOUT", "SOURCE_REJECTED")),
    "endless": (Endless(), ("OK", "CAP_EXCEEDED", "CAP_EXCEEDED")),
    "garbage": (Garbage(), ("SOURCE_INCONSISTENT", "SOURCE_INCONSISTENT", "SOURCE_INCONSISTENT")),
    "chatty": (Chatty(), ("SOURCE_REJECTED", "OK", "SOURCE_REJECTED")),
}


@pytest.mark.parametrize(("servicer", "expected"), MISBEHAVING.values(), ids=MISBEHAVING)
async def test_a_connector_that_misbehaves_costs_little_and_says_nothing(
    channels: Channels, servicer: Any, expected: tuple[str, str, str]
) -> None:
    connectors = client(channels, unary=0.5, idle=0.5, answer=1 << 20, export=1 << 22)
    async with listening(servicer, ACME.issue(NAME)) as address, asyncio.timeout(10):
        there = connector(address)
        calls = (
            connectors.describe(there),
            connectors.locate(there, SUBJECT, with_anchors=True),
            _drain(connectors.export(there, pb.ExportRequest(subject=SUBJECT))),
        )
        errors = [await _error(call) for call in calls]
    assert tuple(error.reason if error else "OK" for error in errors) == expected
    assert not [error for error in errors if error and "ann" in f"{error.message}{error.metadata}"]


async def _drain(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass
