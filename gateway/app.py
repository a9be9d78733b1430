"""The ASGI application: finds the route, builds the message, calls the service, writes the answer."""

import asyncio
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from opentelemetry import trace
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message as ASGIMessage
from starlette.types import Receive, Scope, Send

from dsrkit import log
from dsrkit.auth import Authenticator
from dsrkit.errors import DsrError, invalid
from dsrkit.metrics import HTTP_DURATION, histogram
from gateway import binding, events, problems, strict_json
from gateway.downloads import Download
from gateway.output import to_json
from gateway.problems import Problem
from gateway.routes import Kind, Route, Router
from gateway.sending import ClientGone, Sender, Truncated, unless_gone
from gateway.upstreams import Metadata, Network, Upstreams, metadata_for, require_host

COMMON_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_BIG = 32 * 1024
"""Bytes of JSON from which on a thread does the work, so that one big body doesn't delay everybody's small ones."""

Page = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """What one client may take."""

    body_bytes: int = 1024 * 1024
    body_seconds: float = 20.0
    """In which a body must have arrived."""
    write_seconds: float = 60.0
    """In which 64 KiB of an answer must have been taken."""
    heartbeat_seconds: float = 15.0
    requests: int = 1000
    """Answered at the same time."""
    query_parameters: int = 100


class Gateway:
    """The application. `pages` are the few fixed GET paths: health, readiness, the description of the API."""

    def __init__(
        self,
        router: Router,
        upstreams: Upstreams,
        pages: Mapping[str, Page],
        draining: asyncio.Event,
        trusted_hops: Sequence[Network],
        limits: Limits,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._router = router
        self._upstreams = upstreams
        self._pages = pages
        self._draining = draining
        self._trusted_hops = trusted_hops
        self._limits = limits
        self._authenticator = authenticator
        self._running = 0
        self._tracer = trace.get_tracer("gateway")
        self._duration = histogram(HTTP_DURATION)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.monotonic()
        exchange = _Exchange(Request(scope, receive), send)
        with self._tracer.start_as_current_span(exchange.method, kind=trace.SpanKind.SERVER) as span:
            self._running += 1
            try:
                await self._answer(exchange)
            finally:
                self._running -= 1
            seconds = time.monotonic() - start
            attributes: dict[str, str | int] = {
                "http.request.method": exchange.method,
                "http.route": exchange.route,
                "http.response.status_code": exchange.status,
            }
            span.update_name(f"{exchange.method} {exchange.route}")
            span.set_attributes(attributes)
            if exchange.status >= 500:
                span.set_status(trace.StatusCode.ERROR)
            self._duration.record(seconds, attributes)
        log.get_logger().info(
            "http",
            method=exchange.method,
            route=log.Safe(exchange.route),
            status=exchange.status,
            outcome=exchange.outcome,
            ms=round(seconds * 1000, 1),
        )

    async def _answer(self, exchange: "_Exchange") -> None:
        """Whatever happens ends in an answer here, or in a broken connection when the answer had begun."""
        try:
            await self._dispatch(exchange)
            return
        except Problem as error:
            problem = error
        except DsrError as error:
            problem = problems.from_dsr(error, 413 if error.reason == "MESSAGE_TOO_LARGE" else None)
        except (ClientGone, ClientDisconnect, Truncated) as error:
            exchange.broke(type(error).__name__)
            return
        except Exception as error:
            problem = problems.defect()
            log.get_logger().error("defect", error=error, incident=problem.metadata["incident"])
            if exchange.started:
                exchange.broke("INTERNAL")
                return
        exchange.outcome = problem.reason
        await exchange.respond(problem.response())

    async def _dispatch(self, exchange: "_Exchange") -> None:
        request = exchange.request
        require_host(request)
        path = request.scope["raw_path"].decode("ascii")
        page = self._pages.get(path)
        if page is not None:
            exchange.route = path
            if exchange.method not in ("GET", "HEAD"):
                raise _not_allowed(("GET", "HEAD"))
            await exchange.respond(await page(request))
            return
        if self._running > self._limits.requests:
            raise DsrError("RATE_LIMITED", "Too many requests are being answered. Retry.", limit="requests")
        route, values = self._find(exchange.method, path)
        exchange.route = route.template.text
        metadata = metadata_for(request, self._trusted_hops)
        if self._authenticator is not None:
            # The first wall; the service behind checks again, and decides what the caller may do.
            self._authenticator.authenticate(metadata)
        message = await self._message(route, values, request)
        try:
            work = self._call(exchange, route, message, metadata)
            exchange.status = await unless_gone(exchange.receive, lambda: exchange.complete, work)
        except grpc.aio.AioRpcError as error:
            raise problems.from_rpc(error, route.rpc.input_type, route.body) from None

    def _find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        found = self._router.find(path)
        for route, values in found:
            if method in route.allowed:
                return route, values
        if found:
            raise _not_allowed(sorted({name for route, _ in found for name in route.allowed}))
        raise problems.from_dsr(DsrError("METHOD_UNKNOWN", "There is nothing at this path. See /openapi.json."), 404)

    async def _message(self, route: Route, values: Mapping[str, str], request: Request) -> Message:
        body = await self._body(route, request)
        query = _query(request, self._limits.query_parameters)
        if len(body) > _BIG:
            message = await asyncio.to_thread(_build, route, values, query, body)
        else:
            message = _build(route, values, query, body)
        if route.kind is Kind.EVENTS:
            events.resume_after(request, message)
        return message

    async def _body(self, route: Route, request: Request) -> bytes:
        limit = self._limits.body_bytes
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced[:19]) > limit:
            raise _too_large(limit)
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise _too_large(limit)
        except TimeoutError:
            raise problems.from_http(408, "The body took too long to arrive.") from None
        if body and not route.body:
            raise invalid("body", "this method takes none")
        if body:
            _require_json(request)
        return bytes(body)

    async def _call(self, exchange: "_Exchange", route: Route, message: Message, metadata: Metadata) -> int:
        """Calls the service and writes what it answers; the status written."""
        if route.kind is Kind.RESOURCE:
            answer = await self._upstreams.unary(route, message, metadata)
            big = answer.ByteSize() > _BIG
            content = await asyncio.to_thread(to_json, answer) if big else to_json(answer)
            await exchange.respond(Response(content, media_type="application/json"))
            return 200
        sender = Sender(exchange.send, self._limits.write_seconds)
        if route.kind is Kind.BYTES:
            return await Download(route, message, self._upstreams, metadata, exchange.request, sender).send()
        beat = self._limits.heartbeat_seconds
        return await events.send_events(route, message, self._upstreams, metadata, sender, self._draining, beat)


class _Exchange:
    """One request and its answer, and what is told of them in logs, traces and metrics."""

    def __init__(self, request: Request, send: Send) -> None:
        self.request = request
        self.receive = request.receive
        # A method is an arbitrary token of the client's; only the known ones are told.
        known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        self.method: str = request.method if request.method in known else "_OTHER"
        self.route = "unknown"
        self.status = 0
        self.outcome = "OK"
        self.started = False
        self.complete = False
        self._send = send

    async def send(self, message: ASGIMessage) -> None:
        """Adds what every answer carries."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            present = {name for name, _ in message["headers"]}
            extra = [header for header in COMMON_HEADERS if header[0] not in present]
            message = {**message, "headers": [*message["headers"], *extra]}
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def respond(self, response: Response) -> None:
        """Writes a whole answer."""
        await response(self.request.scope, self.receive, self.send)

    def broke(self, outcome: str) -> None:
        """Breaks the connection: an answer that had begun must not look whole."""
        self.outcome = outcome
        abort = self.request.scope.get("extensions", {}).get("dsr.abort")
        if abort is not None:
            abort()


def _build(route: Route, values: Mapping[str, str], query: Sequence[tuple[str, str]], body: bytes) -> Message:
    return binding.request_message(route, values, query, strict_json.parse(body) if body else None)


def _query(request: Request, limit: int) -> list[tuple[str, str]]:
    raw = request.scope["query_string"]
    if not raw:
        return []
    try:
        return urllib.parse.parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=limit
        )
    except ValueError:
        raise invalid("query", f"it must be up to {limit} pairs of name=value in UTF-8") from None


def _require_json(request: Request) -> None:
    types = request.headers.getlist("content-type")
    essence, _, parameters = (types[0] if len(types) == 1 else "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if essence.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise problems.from_http(415, "Send the body as application/json in UTF-8.", {"Accept": "application/json"})
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise problems.from_http(415, "Send the body uncompressed.", {"Accept-Encoding": "identity"})


def _too_large(limit: int) -> Problem:
    error = DsrError("MESSAGE_TOO_LARGE", f"The body is larger than {limit} bytes. Send less.", limit=str(limit))
    return problems.from_dsr(error, 413)


def _not_allowed(allowed: Sequence[str]) -> Problem:
    error = DsrError("METHOD_UNKNOWN", f"This path answers {', '.join(allowed)}.")
    return problems.from_dsr(error, 405, {"Allow": ", ".join(allowed)})
