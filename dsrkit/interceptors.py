"""What happens around every RPC: errors are mapped once, callers are checked against the RPC's declared policy,
and what they send is complete and can be kept. One small class each."""

import ipaddress
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import unquote

import asyncpg
import grpc
from dsr.v1 import options_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_status import rpc_status

from dsrkit import log
from dsrkit.auth import STAFF, Authenticator, Caller, require_fresh_person, set_current_caller
from dsrkit.errors import DsrError, invalid, not_found, required
from dsrkit.metrics import CALL_DURATION, histogram
from dsrkit.tls import HOPS, peer_uris

Handler = Any  # grpc.RpcMethodHandler, which is generic in its stubs only
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
PUBLIC = "/dsr.v1."
"""What the path of every public RPC begins with."""
MAX_TEXT = 64 * 1024
"""Characters in any one string of the public API; most fields allow far fewer."""
_INFRASTRUCTURE = ("/grpc.health.v1.", "/grpc.reflection.")


def wrap(
    handler: Any,
    before: Callable[[Any, Any], Awaitable[None]] | None = None,
    around: Callable[[Any, Any, Callable[[], Awaitable[Any]]], Awaitable[Any]] | None = None,
    around_stream: Callable[[Any, Any, AsyncIterator[Any]], AsyncIterator[Any]] | None = None,
) -> Any:
    """The handler of an RPC with something before it, or around it."""
    if handler.request_streaming:
        return handler  # only server reflection streams requests here
    if handler.response_streaming:
        stream = handler.unary_stream

        async def call_stream(request: Any, context: Any) -> AsyncIterator[Any]:
            if before is not None:
                await before(request, context)
            items = stream(request, context)
            if around_stream is not None:
                items = around_stream(request, context, items)
            # Whoever stops reading ends the servicer's own stream too, with what it holds open.
            async with aclosing(items):
                async for item in items:
                    yield item

        return grpc.unary_stream_rpc_method_handler(
            call_stream, handler.request_deserializer, handler.response_serializer
        )
    unary = handler.unary_unary

    async def call(request: Any, context: Any) -> Any:
        if before is not None:
            await before(request, context)
        if around is not None:
            return await around(request, context, lambda: unary(request, context))
        return await unary(request, context)

    return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Outermost: every exception becomes a status with ErrorInfo; driver text never leaves. Also the access log."""

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Handler:
        method = str(details.method)
        handler = await continuation(details)
        if handler is None:
            return _unknown_method()
        if method.startswith(_INFRASTRUCTURE):
            return handler

        async def around(_: Any, context: Any, call: Callable[[], Awaitable[Any]]) -> Any:
            start = time.monotonic()
            try:
                result = await call()
            except Exception as error:
                await _abort(context, method, start, error)
            _log(method, start, "OK")
            return result

        async def around_stream(_: Any, context: Any, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
            start = time.monotonic()
            try:
                async with aclosing(cast(Any, items)):
                    async for item in items:
                        yield item
            except Exception as error:
                await _abort(context, method, start, error)
            _log(method, start, "OK")

        return wrap(handler, around=around, around_stream=around_stream)


def _unknown_method() -> Handler:
    async def call(_: Any, context: Any) -> None:
        error = DsrError("METHOD_UNKNOWN", "There is no such method.")
        await context.abort_with_status(rpc_status.to_status(error.status()))

    return grpc.unary_unary_rpc_method_handler(call)


async def _abort(context: Any, method: str, start: float, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    mapped = map_error(error)
    _log(method, start, mapped.reason, error if mapped.reason == "INTERNAL" else None, mapped.metadata.get("incident"))
    await context.abort_with_status(rpc_status.to_status(mapped.status()))


def map_error(error: Exception) -> DsrError:
    """The one place where an exception becomes what a caller may know."""
    match error:
        case DsrError():
            return error
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | ConnectionError() | TimeoutError():
            return DsrError("STORE_UNAVAILABLE", "The service's database can't be reached. Retry.")
        case asyncpg.CannotConnectNowError() | asyncpg.AdminShutdownError() | asyncpg.TooManyConnectionsError():
            return DsrError("STORE_UNAVAILABLE", "The service's database can't be reached. Retry.")
        case _:
            incident = str(uuid.uuid4())
            return DsrError("INTERNAL", "A defect of ours, in the log by its `incident`.", incident=incident)


def _log(method: str, start: float, outcome: str, error: Exception | None = None, incident: str | None = None) -> None:
    seconds = time.monotonic() - start
    attributes = {"rpc.system.name": "grpc", "rpc.method": method.removeprefix("/")}
    histogram(CALL_DURATION).record(seconds, attributes if outcome == "OK" else {**attributes, "error.type": outcome})
    elapsed = round(seconds * 1000, 1)
    logger = log.get_logger()
    if error is not None:
        logger.error("rpc", method=method, outcome=outcome, ms=elapsed, error=error, incident=incident)
    else:
        logger.info("rpc", method=method, outcome=outcome, ms=elapsed)


StaffCheck = Callable[[str, Collection[str]], Awaitable[None]]
"""FOUR_EYES unless two other people granted this member of staff one of these roles."""


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Checks the caller against the policy that the RPC declares in the proto."""

    def __init__(
        self,
        authenticator: Authenticator,
        policies: Mapping[str, options_pb2.AuthorizationPolicy],
        staff: StaffCheck | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._policies = policies
        self._staff = staff

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Handler | None:
        handler = await continuation(details)
        method = str(details.method)
        if handler is None or method.startswith(_INFRASTRUCTURE):
            return handler
        policy = self._policies[method]
        metadata = details.invocation_metadata

        async def before(request: Any, context: Any) -> None:
            ip = originating_ip(context.peer(), context.auth_context(), metadata)
            caller = replace(self._authenticator.authenticate(metadata), originating_ip=ip)
            set_current_caller(caller)  # before it is checked: who is refused is recorded, too
            needed = check_policy(policy, caller, request)
            if needed and self._staff is not None:
                await self._staff(caller.principal, needed)
            elif needed:
                raise DsrError("ROLE_REQUIRED", "This server knows no staff.", roles=",".join(sorted(needed)))

        return wrap(handler, before=before)


def originating_ip(peer: str, auth_context: Mapping[str, Iterable[bytes]], metadata: Any) -> str:
    """Where a call came from: the peer, or what gateway and edge say of their own peers (policy P5).

    With TLS it is the certificate that says who they are; in plaintext, which only loopback has, anybody is believed.
    """
    address = _address(unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]"))
    if address is None:
        return ""
    encrypted = b"ssl" in auth_context.get("transport_security_type", ())
    if peer_uris(auth_context) & HOPS if encrypted else address.is_loopback:
        told = next((v for k, v in metadata or () if k == "x-dsr-originating-ip" and isinstance(v, str)), "")
        address = _address(told) or address
    return str(address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def check_policy(policy: options_pb2.AuthorizationPolicy, caller: Caller, request: Message) -> frozenset[str]:
    """ROLE_REQUIRED, PERSON_REQUIRED, or NOT_FOUND when the named resource is another partner's.

    Returns the staff roles that the call rests on, which need a grant; none when the caller is no staff.
    """
    wanted = [options_pb2.Role.Name(role) for role in policy.any_of]
    held = caller.roles.intersection(wanted)
    staff = held if held <= STAFF else frozenset()
    if not held:
        raise DsrError("ROLE_REQUIRED", f"This needs one of the roles {', '.join(wanted)}.", roles=",".join(wanted))
    if policy.person_only:
        require_fresh_person(caller)
    if policy.partner_field:
        name = getattr(request, policy.partner_field)
        if not name:
            raise required(policy.partner_field)
        if "/".join(name.split("/")[:2]) != caller.partner and not staff:
            raise not_found("resource")
    return staff


@dataclass(frozen=True)
class _Rule:
    field: FieldDescriptor
    needed: bool


class FieldsInterceptor(grpc.aio.ServerInterceptor):
    """Enforces `(google.api.field_behavior) = REQUIRED`, and of the public API that every value can be kept.

    Between the platform's own parts values are data: what a source holds must be found and erased, NUL or not.
    """

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Handler | None:
        handler = await continuation(details)
        if handler is None or str(details.method).startswith(_INFRASTRUCTURE):
            return handler

        public = str(details.method).startswith(PUBLIC)

        async def before(request: Any, _: Any) -> None:
            check_required(request)
            if public:
                check_values(request)

        return wrap(handler, before=before)


_rules: dict[str, tuple[_Rule, ...]] = {}


def check_required(message: Message, path: str = "") -> None:
    """FIELD_REQUIRED with the path of the first REQUIRED field that is absent or empty."""
    descriptor = message.DESCRIPTOR
    rules = _rules.get(descriptor.full_name)
    if rules is None:
        rules = _rules[descriptor.full_name] = tuple(_field_rules(descriptor))
    for rule in rules:
        name = f"{path}{rule.field.name}"
        value = getattr(message, rule.field.name)
        if rule.field.message_type is None:
            if rule.needed and not value:
                raise required(name)
        elif rule.field.is_repeated:
            if rule.needed and not value:
                raise required(name)
            for index, item in enumerate(value):
                check_required(item, f"{name}[{index}].")
        elif message.HasField(rule.field.name):
            check_required(value, f"{name}.")
        elif rule.needed:
            raise required(name)


def check_values(message: Message, path: str = "") -> None:
    """FIELD_INVALID with the path of the first text, time or duration that nobody could store or compute with."""
    for field, value in message.ListFields():
        for index, one in enumerate(value if field.is_repeated else [value]):
            name = f"{path}{field.name}[{index}]" if field.is_repeated else f"{path}{field.name}"
            if isinstance(one, str):
                _check_text(one, name)
            elif isinstance(one, Timestamp | Duration):
                _check_moment(one, name)
            elif isinstance(one, Message):
                check_values(one, f"{name}.")


def _check_text(text: str, name: str) -> None:
    if "\0" in text:
        raise invalid(name, "must not contain NUL")
    if len(text) > MAX_TEXT:
        raise invalid(name, f"must have at most {MAX_TEXT:,} characters")


def _check_moment(value: Timestamp | Duration, name: str) -> None:
    try:
        value.ToJsonString()
    except ValueError:
        kind = "a time from year 1 to 9999" if isinstance(value, Timestamp) else "a duration of at most 10,000 years"
        raise invalid(name, f"must be {kind}") from None


def _field_rules(descriptor: Any) -> list[_Rule]:
    rules = []
    for field in descriptor.fields:
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        needed = field_behavior_pb2.REQUIRED in behaviors
        # What the server fills in is not the caller's to complete.
        if field_behavior_pb2.OUTPUT_ONLY in behaviors:
            continue
        if needed or (field.message_type is not None and not field.message_type.GetOptions().map_entry):
            rules.append(_Rule(field, needed))
    return rules


def policy_of(method: MethodDescriptor) -> options_pb2.AuthorizationPolicy:
    """The declared policy of an RPC; RuntimeError, so that no service starts without one."""
    options = method.GetOptions()
    if not options.HasExtension(options_pb2.authorization):
        raise RuntimeError(f"{method.full_name} declares no (dsr.v1.authorization)")
    policy = options.Extensions[options_pb2.authorization]
    if not policy.any_of or options_pb2.ROLE_UNSPECIFIED in policy.any_of:
        raise RuntimeError(f"{method.full_name} declares an authorization policy without a role")
    return policy
