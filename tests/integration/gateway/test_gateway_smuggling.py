"""S4: whatever a client writes into headers, a service hears the token, the originating address and the trace only."""

import asyncio
import contextlib
import json
import random
import re

import httpx
import pytest

from gateway.config import Config
from gateway.server import RunningGateway, open_gateway
from tests.gateway_fake import PARTNER, Platform
from tests.support.http import PLAINTEXT

# What grpc itself adds to every call.
OWN = {"user-agent", "authorization", "x-dsr-originating-ip", "traceparent"}
PATH = f"/v1/{PARTNER}"
NAMES = [
    "Grpc-Metadata-Authorization",
    "Grpc-Metadata-X-Dsr-Originating-Ip",
    "grpcgateway-authorization",
    "X-Dsr-Originating-Ip",
    "x-dsr-partner",
    "X-Forwarded-For",
    "X-Forwarded-User",
    "X-Real-Ip",
    "Forwarded",
    "X-Envoy-External-Address",
    "X-Tenant",
    "X-Role",
    "Roles",
    "traceparent",
    "tracestate",
    "baggage",
    "x-user-bin",
    "grpc-status-details-bin",
    "grpc-timeout",
    "te",
    "cookie",
    "x-http-method-override",
    ":authority-x",
]
VALUES = [
    "partners/other",
    "ROLE_SERVICE",
    "127.0.0.9",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "AAAA",
    "",
]


async def exchange(port: int, data: bytes, *, wait: float = 15) -> tuple[list[int], bytes]:
    """Sends raw bytes and reads until the gateway closes; the statuses answered and all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(wait):
            answer = await reader.read()
    except (ConnectionResetError, BrokenPipeError):
        return [], b""
    finally:
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)], answer


def head(platform: Platform, *lines: str, method: str = "GET", path: str = PATH) -> bytes:
    start = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {platform.token()}", "Connection: close"]
    return ("\r\n".join([*start, *lines]) + "\r\n\r\n").encode("latin-1")


def heard(platform: Platform) -> None:
    for call in platform.calls:
        assert {key for key, _ in call.metadata} <= OWN
        assert call.header("x-dsr-originating-ip") == ["127.0.0.1"]
        assert len(call.header("authorization")) == 1
        assert "0af7651916cd43dd8448eb211c80319c" not in str(call.metadata)


async def test_no_header_of_a_client_reaches_a_service(gateway: RunningGateway, platform: Platform) -> None:
    chance = random.Random(7)
    requests = []
    for name in NAMES:
        for value in VALUES:
            spellings = (name, name.upper(), name.replace("-", "_"), f" {name}", f"{name} ")
            requests += [head(platform, f"{spelled}: {value}") for spelled in spellings]
    for _ in range(100):
        lines = [f"{chance.choice(NAMES)}: {chance.choice(VALUES)}" for _ in range(chance.randint(2, 12))]
        requests.append(head(platform, *lines, f"Connection: {chance.choice(NAMES)}, close"))
    for begin in range(0, len(requests), 50):
        answers = await asyncio.gather(*(exchange(gateway.port, one) for one in requests[begin : begin + 50]))
        assert all(statuses in ([200], [400]) for statuses, _ in answers)
    assert len(platform.calls) > 300
    heard(platform)


@pytest.mark.parametrize(
    "lines",
    [
        ["X-A: b\rX-Dsr-Originating-Ip: 6.6.6.6"],
        ["X-A: b\n X-B: c"],
        ["X-A: b\x00"],
        ["X-A\x00: b"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Host: y"],
        ["Authorization: Bearer other"],
        [": empty"],
        [" folded: yes"],
    ],
)
async def test_ambiguous_heads_are_refused(gateway: RunningGateway, platform: Platform, lines: list[str]) -> None:
    body = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    request = head(platform, *lines, method="POST", path=f"{PATH}/accessRequests/1:cancel") + body
    statuses, answer = await exchange(gateway.port, request)
    # Where the parser finds out after the head, the connection breaks without an answer.
    assert statuses in ([400], [401], [415], []), answer
    assert not statuses or b"application/problem+json" in answer
    assert not platform.calls


async def test_an_upgrade_is_not_taken_up(gateway: RunningGateway, platform: Platform) -> None:
    h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]
    statuses, _ = await exchange(gateway.port, head(platform, *h2c))
    assert statuses == [200]
    statuses, _ = await exchange(gateway.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert statuses == [400]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_problem_too(gateway: RunningGateway, data: bytes) -> None:
    statuses, answer = await exchange(gateway.port, data)
    assert statuses in ([400], [404]), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == statuses[0]


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(70)) + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 200_000,
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_heads_too_large(gateway: RunningGateway, data: bytes) -> None:
    statuses, answer = await exchange(gateway.port, data)
    assert statuses in ([431], [])  # without an answer when the client was still sending
    assert not statuses or b'"reason":"REQUEST_HEADER_FIELDS_TOO_LARGE"' in answer


async def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    two = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    statuses, _ = await exchange(gateway.port, one + two)
    assert statuses == [200, 404]


async def test_an_unread_body_is_not_the_next_request(gateway: RunningGateway, platform: Platform) -> None:
    """The 401 is sent before the body is read; what follows in the body must not be taken for a request."""
    inner = b"GET /v1/partners/acme HTTP/1.1\r\nHost: x\r\n\r\n"
    outer = b"POST /v1/partners HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    statuses, _ = await exchange(gateway.port, outer + inner + last)
    assert statuses == [401, 200]


async def test_the_address_behind_a_trusted_hop(config: Config, platform: Platform) -> None:
    hops = "127.0.0.0/8, 10.0.0.0/8"
    target = platform.target
    behind = Config(target, target, target, target, listen="127.0.0.1:0", trusted_hops=hops)
    cases = {
        "203.0.113.7": "203.0.113.7",
        "6.6.6.6, 203.0.113.7": "203.0.113.7",
        "6.6.6.6, 203.0.113.7, 10.0.0.1": "203.0.113.7",
        "::ffff:203.0.113.7": "203.0.113.7",
        "2001:db8::1": "2001:db8::1",
        "jane@example.org": "127.0.0.1",
        "": "127.0.0.1",
    }
    headers = {"authorization": f"Bearer {platform.token()}"}
    async with open_gateway(behind) as gateway, httpx.AsyncClient(headers=headers, verify=PLAINTEXT) as http:
        for sent, expected in cases.items():
            platform.calls.clear()
            await http.get(f"http://127.0.0.1:{gateway.port}{PATH}", headers={"x-forwarded-for": sent})
            assert platform.calls[0].header("x-dsr-originating-ip") == [expected]


async def test_slow_heads_and_idle_connections_end(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http1.HEAD_SECONDS", 0.2)
    async with open_gateway(config) as gateway:
        statuses, answer = await exchange(gateway.port, b"GET /healthz HTTP/1.1\r\nHos")
        assert statuses == [408]
        assert b'"reason":"REQUEST_TIMEOUT"' in answer
        assert await exchange(gateway.port, b"") == ([], b"")


async def test_an_unread_body_may_arrive_for_a_while_only(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http1.LINGER_SECONDS", 0.2)
    monkeypatch.setattr("gateway.http1.LINGER_BYTES", 1000)
    request = b"POST /v1/partners HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    async with open_gateway(config) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401 ")
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()  # ends when the gateway has waited long enough
        writer.close()
        statuses, _ = await exchange(gateway.port, request + b"x" * 2000)
        assert statuses in ([401], [])
