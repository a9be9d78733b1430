"""The public services with canned answers, on a real server with real authentication: what stands behind the gateway,
the client and the command in their tests."""

import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from dsr.credentials import PLATFORM_AUDIENCE, Credential
from dsr.v1 import request_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from dsrkit.auth import Authenticator, TrustStore, current_caller
from dsrkit.errors import DsrError, not_found
from dsrkit.issuer import TrustFile
from dsrkit.server import open_server
from gateway.routes import ALL_SERVICES

PARTNER = "partners/acme"
ABSENT = "00000000-0000-4000-8000-000000000404"
REQUEST_ID = "5f0c9d3e-7a55-4b6e-9d0f-111111111111"
CONTENT = bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DONE = (request_pb2.REQUEST_STATE_COMPLETED, "state.changed")

Answer = Callable[[Any], Any]


@dataclass(frozen=True)
class Call:
    """What a service heard."""

    rpc: str
    message: Any
    metadata: tuple[tuple[str, str], ...]
    originating_ip: str = ""
    """As the service's own interceptor understood it."""

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.metadata if key == name]


@dataclass
class Platform:
    """The fake. `answers` replaces an RPC's canned answer; `calls` is what arrived past authentication."""

    port: int = 0
    credential_file: Path = Path()
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def reset(self) -> None:
        self.answers.clear()
        self.calls.clear()
        self.cancelled.clear()

    def token(self, **claims: Any) -> str:
        claims = {"subject": "person-1", "actor_type": "person", "roles": ["ROLE_REQUESTER", "ROLE_ADMIN"], **claims}
        return Credential.load(self.credential_file).token(PLATFORM_AUDIENCE, **claims)

    def handler(self, service: ServiceDescriptor) -> grpc.GenericRpcHandler:
        handlers: dict[str, Any] = {}
        for rpc in service.methods:
            request = message_factory.GetMessageClass(rpc.input_type)
            response = message_factory.GetMessageClass(rpc.output_type)
            make = grpc.unary_stream_rpc_method_handler if rpc.server_streaming else grpc.unary_unary_rpc_method_handler
            call = self._stream(rpc.name, response) if rpc.server_streaming else self._unary(rpc.name, response)
            handlers[rpc.name] = make(call, request.FromString, response.SerializeToString)
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _record(self, name: str, message: Any, context: Any) -> Answer | None:
        self.calls.append(Call(name, message, tuple(context.invocation_metadata()), current_caller().originating_ip))
        if getattr(message, "name", "").endswith(ABSENT):
            raise not_found("request")
        return self.answers.get(name)

    def _unary(self, name: str, response: type[Message]) -> Any:
        async def call(message: Any, context: Any) -> Any:
            answer = self._record(name, message, context)
            return answer(message) if answer else resource(response, message)

        return call

    def _stream(self, name: str, response: type[Message]) -> Any:
        async def call(message: Message, context: Any) -> AsyncIterator[Message]:
            answer = self._record(name, message, context)
            canned = events if "event" in response.DESCRIPTOR.fields_by_name else pieces
            items = answer(message) if answer else canned(response, message)
            try:
                async for item in items:
                    yield item
            except BaseException:
                self.cancelled.append(name)
                raise

        return call


def resource(response: type[Any], message: Any) -> Any:
    """An answer with something of every kind in it: times, enums, 64-bit numbers, nested and repeated messages."""
    answer = response()
    fields = response.DESCRIPTOR.fields_by_name
    for name, one in fields.items():
        if one.is_repeated and one.message_type is not None and "name" in one.message_type.fields_by_name:
            for number in (1, 2):
                _fill(getattr(answer, name).add(), f"{getattr(message, 'parent', PARTNER)}/things/{number}")
    if "name" in fields:
        _fill(answer, getattr(message, "name", "") or f"{PARTNER}/things/1")
    return answer


def _fill(one: Any, name: str) -> None:
    fields = one.DESCRIPTOR.fields_by_name
    one.name = name
    if "create_time" in fields:
        one.create_time.FromJsonString("2026-01-31T12:00:00.125Z")
    if "data_map_revision" in fields and "sources" in fields:
        one.state = request_pb2.REQUEST_STATE_LOCATING
        one.data_map_revision = 9_007_199_254_740_993
        one.clock.received_time.FromJsonString("2026-01-31T12:00:00Z")
        one.sources.add(source=f"{PARTNER}/dataSources/shop", step="locate", records=7, attempts=1)
        one.data_sources.append(f"{PARTNER}/dataSources/shop")
        one.identities.add(type="email", value="zoë@example.org", followed=True)
    if "sources" in fields and "revision" in fields:
        one.revision = 3
        one.sources.add(source=f"{PARTNER}/dataSources/shop").collections.add(collection="orders").fields.add(
            field="email"
        ).anonymise.SetInParent()


async def events(response: type[Any], message: Any) -> AsyncIterator[Any]:
    """Three events, the last of them terminal."""
    pending, locating = request_pb2.REQUEST_STATE_PENDING, request_pb2.REQUEST_STATE_LOCATING
    for number, (state, kind) in enumerate([(pending, "state.changed"), (locating, "located"), DONE], 1):
        if number > message.after_event:
            yield response(event=request_pb2.RequestEvent(event=number, state=state, type=kind))


async def pieces(response: type[Any], message: Any) -> AsyncIterator[Any]:
    """`CONTENT`, or the part asked for."""
    if message.offset >= len(CONTENT):
        raise DsrError("OUT_OF_RANGE", "offset lies beyond the end.", size=str(len(CONTENT)))
    part = CONTENT[message.offset : message.offset + message.length if message.length else None]
    yield response(
        info=request_pb2.DownloadInfo(
            size_bytes=len(CONTENT),
            etag=SHA256[:16],
            sha256=SHA256,
            filename="access-1.zip",
            media_type="application/zip",
            offset=message.offset,
            length=len(part),
        )
    )
    for begin in range(0, len(part), 1_000_000):
        yield response(data=part[begin : begin + 1_000_000])


@asynccontextmanager
async def open_platform(
    folder: Path, tls: grpc.ServerCredentials | None = None, *, development: bool = True
) -> AsyncIterator[Platform]:
    """Starts the fake with a trust file and one partner's credential in `folder`."""
    platform = Platform(credential_file=folder / "acme.json")
    trust = TrustFile(folder / "trust.json")
    trust.add_partner("acme", platform.credential_file, development=development)
    services = ALL_SERVICES
    async with open_server(
        listen="127.0.0.1:0",
        registrations=[lambda server: server.add_generic_rpc_handlers([platform.handler(s) for s in services])],
        service_names=[service.full_name for service in services],
        authenticator=Authenticator(TrustStore(folder / "trust.json"), [PLATFORM_AUDIENCE]),
        tls=tls,
        staff=_granted,
    ) as running:
        platform.port = running.port
        yield platform


async def _granted(principal: str, roles: Collection[str]) -> None:
    """Every role of staff was granted: who was is governance's to know."""
