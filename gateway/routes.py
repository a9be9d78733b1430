"""Routes, read from the descriptors of the public services at start-up. None is written by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from dsr import services
from dsr.v1 import options_pb2, request_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf import duration_pb2, message_factory, timestamp_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from gateway.templates import PathTemplate, split

PUBLIC_SERVICES: Mapping[str, Sequence[ServiceDescriptor]] = services.descriptors()
"""What is offered over HTTP, by the name its upstream address is configured under."""
ALL_SERVICES: Sequence[ServiceDescriptor] = tuple(chain.from_iterable(PUBLIC_SERVICES.values()))

SCALAR_MESSAGES = frozenset({timestamp_pb2.Timestamp.DESCRIPTOR.full_name, duration_pb2.Duration.DESCRIPTOR.full_name})
"""Messages whose JSON is a string."""


class Kind(Enum):
    """What an answer looks like over HTTP."""

    RESOURCE = "resource"
    """One JSON document."""
    EVENTS = "events"
    """Server-sent events, numbered and typed by `RequestEvent`."""
    BYTES = "bytes"
    """A file: `DownloadInfo` becomes the headers, `data` the body."""


@dataclass(frozen=True)
class Route:
    """One HTTP method and path template, and the RPC behind it."""

    http_method: str
    template: PathTemplate
    rpc: MethodDescriptor
    upstream: str
    body: str
    """Field that the body fills; `*` for all that the path doesn't; empty for no body."""
    kind: Kind
    request: type[Message]
    response: type[Message]

    @property
    def path(self) -> str:
        """The RPC's path in gRPC."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    @property
    def allowed(self) -> tuple[str, ...]:
        """HTTP methods this route answers. HEAD of a stream of events would say nothing."""
        return ("GET", "HEAD") if self.http_method == "GET" and self.kind is not Kind.EVENTS else (self.http_method,)

    @property
    def query_fields(self) -> tuple[FieldDescriptor, ...]:
        """Request fields that may come as query parameters."""
        if self.body == "*":
            return ()
        bound = {variable.field for variable in self.template.variables} | {self.body}
        if self.kind is Kind.BYTES:
            bound |= {"offset", "length"}  # over HTTP that is the Range header, and nothing else
        return tuple(field for field in self.rpc.input_type.fields if field.name not in bound)


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._buckets: dict[tuple[int, str], list[Route]] = {}
        for route in self.routes:
            self._buckets.setdefault((len(route.template.segments), route.template.verb), []).append(route)

    def find(self, path: str) -> Sequence[tuple[Route, Mapping[str, str]]]:
        """Routes whose template matches the path as it was sent, with the fields bound; none for an unknown path."""
        parts = split(path)
        if parts is None:
            return ()
        segments, verb = parts
        found = []
        for route in self._buckets.get((len(segments), verb), ()):
            values = route.template.match(segments)
            if values is not None:
                found.append((route, values))
        return found


def routes_of(services: Mapping[str, Sequence[ServiceDescriptor]]) -> list[Route]:
    """Every route of these services. RuntimeError for a contract that this gateway could not serve faithfully."""
    routes = []
    for upstream, service in ((upstream, service) for upstream, found in services.items() for service in found):
        for rpc in service.methods:
            if not rpc.GetOptions().HasExtension(annotations_pb2.http):
                raise RuntimeError(f"{rpc.full_name} has no google.api.http annotation")
            rule = rpc.GetOptions().Extensions[annotations_pb2.http]
            routes += [_route(upstream, rpc, one) for one in (rule, *rule.additional_bindings)]
    seen: set[tuple[str, tuple[str, ...], str]] = set()
    for route in routes:
        key = (route.http_method, route.template.segments, route.template.verb)
        if key in seen:
            raise RuntimeError(f"{route.rpc.full_name} has the path of another RPC: {route.template.text}")
        seen.add(key)
    return routes


def _route(upstream: str, rpc: MethodDescriptor, rule: http_pb2.HttpRule) -> Route:
    method = rule.WhichOneof("pattern")
    if method not in ("get", "put", "post", "delete", "patch") or rule.response_body or rpc.client_streaming:
        raise RuntimeError(f"{rpc.full_name} has an HTTP binding that this gateway does not serve")
    route = Route(
        http_method=method.upper(),
        template=PathTemplate.parse(getattr(rule, method)),
        rpc=rpc,
        upstream=upstream,
        body=rule.body,
        kind=_kind(rpc),
        request=message_factory.GetMessageClass(rpc.input_type),
        response=message_factory.GetMessageClass(rpc.output_type),
    )
    fields = rpc.input_type.fields_by_name
    for name in [variable.field for variable in route.template.variables]:
        if name not in fields or fields[name].type != FieldDescriptor.TYPE_STRING or fields[name].is_repeated:
            raise RuntimeError(f"{rpc.full_name}: path field {name} is not a string field of the request")
    if rule.body not in ("", "*") and (rule.body not in fields or fields[rule.body].message_type is None):
        raise RuntimeError(f"{rpc.full_name}: body field {rule.body} is not a message field of the request")
    _check_representable(rpc.input_type, set())
    # A URL ends in logs and histories on its way: what can hold personal data must not be able to stand in one.
    for field in route.query_fields:
        if _personal(field, set()):
            raise RuntimeError(f"{rpc.full_name}: {field.name} can hold personal data and would stand in the URL")
    return route


def _kind(rpc: MethodDescriptor) -> Kind:
    if not rpc.server_streaming:
        return Kind.RESOURCE
    types = {field.message_type.full_name for field in rpc.output_type.fields if field.message_type is not None}
    if request_pb2.DownloadInfo.DESCRIPTOR.full_name in types and "data" in rpc.output_type.fields_by_name:
        return Kind.BYTES
    if request_pb2.RequestEvent.DESCRIPTOR.full_name in types and "event" in rpc.output_type.fields_by_name:
        return Kind.EVENTS
    raise RuntimeError(f"{rpc.full_name} streams something that has no form over HTTP")


def _check_representable(message: Descriptor, seen: set[str]) -> None:
    """The contract has no maps, no `Any`, no `Struct`: this gateway checks JSON without them, so it insists."""
    if message.full_name in seen or message.full_name in SCALAR_MESSAGES:
        return
    seen.add(message.full_name)
    if message.full_name.startswith("google.protobuf.") or message.GetOptions().map_entry:
        raise RuntimeError(f"{message.full_name} has no strict JSON form in this gateway")
    for field in message.fields:
        if field.message_type is not None:
            _check_representable(field.message_type, seen)


def _personal(field: FieldDescriptor, seen: set[str]) -> bool:
    if field.message_type is None:
        return field.GetOptions().Extensions[options_pb2.personal]
    if field.message_type.full_name in seen:
        return False
    seen.add(field.message_type.full_name)
    return any(_personal(inner, seen) for inner in field.message_type.fields)
