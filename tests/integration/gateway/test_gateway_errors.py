"""Every error is a problem document of one shape, whoever found it."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import httpx
import pytest

from dsrkit.errors import CODES, DsrError
from gateway.app import Limits
from gateway.config import Config
from gateway.problems import STATUS_OF
from gateway.server import open_gateway
from tests.gateway_fake import ABSENT, PARTNER, REQUEST_ID, Platform
from tests.integration.gateway.test_gateway_rpcs import BODY

SHAPE = {"type", "title", "status", "detail", "reason", "domain", "metadata", "errors"}
CREATE = f"/v1/{PARTNER}/accessRequests?requestId={REQUEST_ID}"


def problem_of(response: httpx.Response, status: int, reason: str) -> Any:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == SHAPE
    assert (response.status_code, problem["status"], problem["reason"]) == (status, status, reason)
    own = problem["domain"] == "dsr.v1"
    assert problem["type"] == (f"https://dsr.invalid/errors/{reason}" if own else "about:blank")
    return problem


async def test_unknown_path(http: httpx.AsyncClient, platform: Platform) -> None:
    for path in ("/v2/partners/acme", "/v1/partners/acme/nothing", "/v1/partners/acme:nothing", "/%2e%2e/etc/passwd"):
        problem_of(await http.get(path), 404, "METHOD_UNKNOWN")
    assert not platform.calls


async def test_wrong_method_names_the_right_ones(http: httpx.AsyncClient) -> None:
    response = await http.put(f"/v1/{PARTNER}/accessRequests")
    problem_of(response, 405, "METHOD_UNKNOWN")
    assert response.headers["allow"] == "GET, HEAD, POST"
    assert (await http.get(f"/v1/{PARTNER}/accessRequests/1:cancel")).headers["allow"] == "POST"
    assert (await http.head(f"/v1/{PARTNER}/accessRequests/1:watch")).headers["allow"] == "GET"
    problem_of(await http.post("/healthz"), 405, "METHOD_UNKNOWN")


async def test_unknown_field_is_named_by_its_path(http: httpx.AsyncClient) -> None:
    body = {"subject": {"identities": [{"type": "email", "valeu": "jane@example.org"}]}}
    problem = problem_of(await http.post(CREATE, json=body), 400, "FIELD_UNKNOWN")
    assert problem["metadata"]["field"] == "subject.identities[0].valeu"
    assert problem["errors"] == [{"field": "subject.identities[0].valeu", "detail": problem["detail"]}]
    assert "jane" not in str(problem)


async def test_missing_field_is_named_as_the_body_has_it(http: httpx.AsyncClient) -> None:
    body = {**BODY, "subject": {**BODY["subject"], "verification": {"method": 1, "verifier": "clerk-7"}}}
    problem = problem_of(await http.post(CREATE, json=body), 400, "FIELD_REQUIRED")
    assert problem["errors"][0]["field"] == "subject.verification.verifyTime"
    assert problem["metadata"]["field"] == "subject.verification.verifyTime"
    assert problem["detail"].startswith("subject.verification.verifyTime is required")
    url = f"/v1/{PARTNER}/accessRequests"
    assert problem_of(await http.post(url, json=BODY), 400, "FIELD_REQUIRED")["errors"][0]["field"] == "requestId"
    cancel = await http.post(f"/v1/{PARTNER}/accessRequests/1:cancel")
    assert problem_of(cancel, 400, "FIELD_REQUIRED")["errors"][0]["field"] == "requestId"


async def test_credentials(http: httpx.AsyncClient, platform: Platform) -> None:
    del http.headers["authorization"]
    url = f"/v1/{PARTNER}"
    response = await http.get(url)
    problem_of(response, 401, "CREDENTIAL_MISSING")
    assert response.headers["www-authenticate"].startswith("Bearer")
    for value in ("Basic YTpi", "Bearer", "Bearer a b", "Bearer " + "a" * 5000, "Bearer forged.to.ken"):
        problem_of(await http.get(url, headers={"authorization": value}), 401, "CREDENTIAL_INVALID")
    twice = [("authorization", f"Bearer {platform.token()}")] * 2
    problem_of(await http.get(url, headers=twice), 401, "CREDENTIAL_INVALID")
    assert not platform.calls
    foreign = await http.get("/v1/partners/other", headers=twice[:1])
    problem_of(foreign, 404, "NOT_FOUND")


async def test_foreign_and_absent_are_alike(http: httpx.AsyncClient) -> None:
    absent = await http.get(f"/v1/{PARTNER}/accessRequests/{ABSENT}")
    foreign = await http.get(f"/v1/partners/other/accessRequests/{ABSENT}")
    assert problem_of(absent, 404, "NOT_FOUND").keys() == problem_of(foreign, 404, "NOT_FOUND").keys()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ],
)
async def test_other_media_types(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await http.post(CREATE, content=b"{}", headers=headers)
    problem_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_bad_json_and_bad_query(http: httpx.AsyncClient) -> None:
    json = {"content-type": "application/json; charset=UTF-8"}
    problem_of(await http.post(CREATE, content=b"{", headers=json), 400, "FIELD_INVALID")
    problem_of(await http.post(CREATE, content=b"[" * 40 + b"]" * 40, headers=json), 413, "MESSAGE_TOO_LARGE")
    problem_of(await http.get(f"/v1/{PARTNER}/accessRequests?a"), 400, "FIELD_INVALID")
    problem_of(await http.get(f"/v1/{PARTNER}/accessRequests?pageToken=%ff"), 400, "FIELD_INVALID")
    problem_of(await http.get(f"/v1/{PARTNER}/accessRequests?" + "states=1&" * 200), 400, "FIELD_INVALID")
    problem_of(await http.request("GET", f"/v1/{PARTNER}", content=b"{}", headers=json), 400, "FIELD_INVALID")


async def test_too_large_a_body(http: httpx.AsyncClient, platform: Platform) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    json = {"content-type": "application/json"}
    problem_of(await http.post(CREATE, content=b" " * 1_048_577, headers=json), 413, "MESSAGE_TOO_LARGE")
    problem_of(await http.post(CREATE, content=chunks(), headers=json), 413, "MESSAGE_TOO_LARGE")
    assert not platform.calls


async def test_a_body_that_never_ends(http: httpx.AsyncClient) -> None:
    async def slowly() -> Any:
        yield b"{"
        await asyncio.sleep(3)
        yield b"}"

    response = await http.post(CREATE, content=slowly(), headers={"content-type": "application/json"})
    problem_of(response, 408, "REQUEST_TIMEOUT")


@pytest.mark.parametrize("reason", sorted(CODES))
async def test_every_reason_of_a_service_arrives(http: httpx.AsyncClient, platform: Platform, reason: str) -> None:
    def fail(_: Any) -> Any:
        raise DsrError(reason, "Something is so. Do that.", retry_after=timedelta(seconds=2.5), source="partners/a/b")

    platform.answers["GetPartner"] = fail
    response = await http.get(f"/v1/{PARTNER}")
    problem = problem_of(response, STATUS_OF[CODES[reason]], reason)
    assert problem["detail"] == "Something is so. Do that."
    assert problem["metadata"] == {"source": "partners/a/b"}
    assert response.headers["retry-after"] == "3"


async def test_a_defect_of_a_service_tells_nothing(http: httpx.AsyncClient, platform: Platform) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("jane@example.org")

    platform.answers["GetPartner"] = fail
    response = await http.get(f"/v1/{PARTNER}")
    assert problem_of(response, 500, "INTERNAL")["metadata"]["incident"]
    assert "jane" not in response.text


async def test_a_service_that_is_away(http: httpx.AsyncClient, config: Config, platform: Platform) -> None:
    """The others go on: each works while another is down."""
    away = Config("127.0.0.1:1", config.portability_address, "127.0.0.1:1", "127.0.0.1:1", listen="127.0.0.1:0")
    async with open_gateway(away) as gateway:
        base = f"http://127.0.0.1:{gateway.port}"
        response = await http.get(f"{base}/v1/{PARTNER}/accessRequests/1")
        problem = problem_of(response, 503, "SERVICE_UNAVAILABLE")
        assert problem["domain"] == "http"
        assert "127.0.0.1" not in response.text
        assert response.headers["retry-after"]
        assert (await http.get(f"{base}/v1/{PARTNER}/portabilityRequests/1")).status_code == 200
        ready = await http.get(f"{base}/readyz")
        assert ready.json()["services"] == {"access": False, "portability": True, "erasure": False, "governance": False}
    gone = "127.0.0.1:1"
    none = Config(gone, gone, gone, gone, listen="127.0.0.1:0")
    async with open_gateway(none) as gateway:
        problem_of(await http.get(f"http://127.0.0.1:{gateway.port}/readyz"), 503, "SERVICE_UNAVAILABLE")


async def test_too_many_at_once(http: httpx.AsyncClient, config: Config, platform: Platform) -> None:
    async with open_gateway(config, Limits(requests=0)) as gateway:
        response = await http.get(f"http://127.0.0.1:{gateway.port}/v1/{PARTNER}")
        problem_of(response, 429, "RATE_LIMITED")
        assert (await http.get(f"http://127.0.0.1:{gateway.port}/healthz")).status_code == 200


def test_every_grpc_code_has_a_status() -> None:
    assert set(STATUS_OF) == set(grpc.StatusCode) - {grpc.StatusCode.OK}
