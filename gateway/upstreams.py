"""The services behind the gateway: one channel each, and what is sent along with a call."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import propagate
from starlette.requests import Request

from dsrkit.channels import Dialer
from dsrkit.errors import DsrError
from dsrkit.tls import EDGE, TlsFiles
from gateway.problems import from_http
from gateway.routes import Route

MAX_AUTHORIZATION = 4096 + len("Bearer ")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Metadata = tuple[tuple[str, str], ...]


class Upstreams:
    """Channels to the services at `addresses`, by the names of `routes.PUBLIC_SERVICES`."""

    def __init__(self, dialer: Dialer, addresses: Mapping[str, str]) -> None:
        self._dialer = dialer
        self._addresses = addresses

    def _channel(self, name: str) -> grpc.aio.Channel:
        return self._dialer.get(self._addresses[name])

    def unary(self, route: Route, message: Message, metadata: Metadata) -> Any:
        """Starts a call with one answer. Deadline and retries are those of the service configuration."""
        call = self._channel(route.upstream).unary_unary(
            route.path, request_serializer=_serialize, response_deserializer=route.response.FromString
        )
        return call(message, metadata=metadata)

    def stream(self, route: Route, message: Message, metadata: Metadata) -> Any:
        """Starts a call with a stream of answers; whoever starts it cancels it at the end."""
        call = self._channel(route.upstream).unary_stream(
            route.path, request_serializer=_serialize, response_deserializer=route.response.FromString
        )
        return call(message, metadata=metadata)

    async def serving(self, timeout: float) -> Mapping[str, bool]:
        """Which services say that they serve, asked all at once."""
        names = list(self._addresses)
        answers = await asyncio.gather(*(self._serves(name, timeout) for name in names))
        return dict(zip(names, answers, strict=True))

    async def _serves(self, name: str, timeout: float) -> bool:
        stub: Any = health_pb2_grpc.HealthStub(self._channel(name))  # the stubs of the library name no methods
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def open_upstreams(
    addresses: Mapping[str, str], tls: TlsFiles | None, service_config: str
) -> AsyncIterator[Upstreams]:
    """The way to the services. With `tls` None, plaintext, which goes to loopback only."""
    async with Dialer(tls, [("grpc.service_config", service_config)]) as dialer:
        yield Upstreams(dialer, addresses)


def authorization(request: Request) -> str:
    """The one `Authorization: Bearer` header; CREDENTIAL_MISSING or CREDENTIAL_INVALID otherwise."""
    values = request.headers.getlist("authorization")
    if not values:
        raise DsrError("CREDENTIAL_MISSING", "Present a token: Authorization: Bearer <token>.")
    scheme, _, token = values[0].partition(" ")
    wrong = len(values) > 1 or scheme.lower() != "bearer" or len(values[0]) > MAX_AUTHORIZATION
    if wrong or not token.isascii() or not token.isprintable() or not token or " " in token:
        raise DsrError("CREDENTIAL_INVALID", "The token is not valid here. Get a new one for this audience.")
    return f"Bearer {token}"


def metadata_for(request: Request, trusted_hops: Sequence[Network]) -> Metadata:
    """All that a service hears besides the message: the token, where the caller is, and the trace.

    Nothing else a client writes in a header goes any further.
    """
    pairs = [("authorization", authorization(request))]
    address = originating_ip(request, trusted_hops)
    if address:
        pairs.append(("x-dsr-originating-ip", address))
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    pairs += [(key, value) for key, value in carrier.items() if key in ("traceparent", "tracestate")]
    return tuple(pairs)


def originating_ip(request: Request, trusted_hops: Sequence[Network]) -> str:
    """The socket's peer; behind the edge, known by its certificate, and behind trusted hops the nearest address that
    is not one of them. Empty when unknown."""
    chain = [hop.strip() for value in request.headers.getlist("x-forwarded-for") for hop in value.split(",")]
    address = _address(request.client.host if request.client else "")
    edge = EDGE in request.scope.get("extensions", {}).get("dsr.peer", ())
    while address is not None and chain and (edge or any(address in network for network in trusted_hops)):
        edge = False
        nearer = _address(chain.pop())
        if nearer is None:
            break
        address = nearer
    return str(address) if address is not None else ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def require_host(request: Request) -> None:
    """RFC 9112, 3.2: exactly one Host, or the request may mean different things to different readers."""
    if len(request.headers.getlist("host")) != 1 and request.scope["http_version"] != "1.0":
        raise from_http(400, "Send exactly one Host header.")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
