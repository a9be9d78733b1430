"""Every RPC is reachable by its annotation, with all that the annotation allows, and answers in the mapping's JSON."""

from typing import Any

import httpx
import pytest
from dsr.v1 import governance_pb2, options_pb2, request_pb2

from dsrkit.interceptors import policy_of
from gateway.routes import ALL_SERVICES, PUBLIC_SERVICES, Kind, Route, routes_of
from tests.gateway_fake import PARTNER, REQUEST_ID, Platform

ROUTES = routes_of(PUBLIC_SERVICES)
BODY: dict[str, Any] = {
    "subject": {
        "identities": [{"type": "email", "value": "jane@example.org"}],
        "capacity": "REQUESTER_CAPACITY_SELF",
        "verification": {
            "method": "METHOD_ACCOUNT_LOGIN",
            "verifier": "clerk-7",
            "verifyTime": "2026-01-31T12:00:00Z",
        },
    },
    "clock": {"receivedTime": "2026-01-31T11:00:00+01:00"},
}


PARTNERS_ROLES = ("ROLE_READER", "ROLE_REQUESTER", "ROLE_APPROVER", "ROLE_ADMIN")


def operators_only(route: Route) -> bool:
    """Whether nobody of a partner may call it."""
    return not {options_pb2.Role.Value(role) for role in PARTNERS_ROLES} & set(policy_of(route.rpc).any_of)


def url_of(route: Route) -> str:
    text = route.template.text
    for variable in route.template.variables:
        pieces = route.template.segments[variable.start : variable.end]
        value = "/".join("acme" if piece == "*" else piece for piece in pieces)
        start, end = text.index("{"), text.index("}")
        text = text[:start] + value + text[end + 1 :]
    return text


def test_every_rpc_has_a_route() -> None:
    rpcs = {rpc.full_name for service in ALL_SERVICES for rpc in service.methods}
    assert {route.rpc.full_name for route in ROUTES} == rpcs
    assert len(rpcs) > 40


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.rpc.name)
async def test_every_route_reaches_its_rpc(http: httpx.AsyncClient, platform: Platform, route: Route) -> None:
    """The services' answers differ (a body of `{}` lacks fields); that they answer at all is what is asked here."""
    content: dict[str, Any] = {"content": b"{}", "headers": {"content-type": "application/json"}} if route.body else {}
    http.headers["authorization"] = f"Bearer {platform.token(roles=PARTNERS_ROLES)}"
    response = await http.request(route.http_method, url_of(route), **content)
    if response.status_code == 200:
        assert [call.rpc for call in platform.calls] == [route.rpc.name]
        return
    problem = response.json()
    operators = operators_only(route)
    assert problem["reason"] == ("ROLE_REQUIRED" if operators else "FIELD_REQUIRED"), problem
    assert route.body or operators


async def test_create_binds_path_query_and_body(http: httpx.AsyncClient, platform: Platform) -> None:
    response = await http.post(f"/v1/{PARTNER}/accessRequests", params={"requestId": REQUEST_ID}, json=BODY)
    assert response.status_code == 200, response.text
    message = platform.calls[0].message
    assert (message.parent, message.request_id) == (PARTNER, REQUEST_ID)
    assert message.access_request.subject.identities[0].value == "jane@example.org"
    assert message.access_request.clock.received_time.ToJsonString() == "2026-01-31T10:00:00Z"


async def test_names_of_the_contract_are_accepted_too(http: httpx.AsyncClient, platform: Platform) -> None:
    body = {**BODY, "data_sources": ["partners/acme/dataSources/shop"], "validate_only": True, "ground": 1}
    response = await http.post(f"/v1/{PARTNER}/erasureRequests", params={"request_id": REQUEST_ID}, json=body)
    assert response.status_code == 200, response.text
    assert platform.calls[0].message.erasure_request.validate_only


async def test_query_parameters_of_every_kind(http: httpx.AsyncClient, platform: Platform) -> None:
    query = "pageSize=5&states=REQUEST_STATE_PENDING&states=11&dueBefore=2026-02-28T00%3A00%3A00Z&page_token=a%20b"
    response = await http.get(f"/v1/{PARTNER}/accessRequests?{query}")
    assert response.status_code == 200, response.text
    message = platform.calls[0].message
    assert (message.page_size, message.page_token) == (5, "a b")
    assert list(message.states) == [request_pb2.REQUEST_STATE_PENDING, request_pb2.REQUEST_STATE_COMPLETED]
    assert message.due_before.ToJsonString() == "2026-02-28T00:00:00Z"


async def test_durations_in_a_body(http: httpx.AsyncClient, platform: Platform) -> None:
    http.headers["authorization"] = f"Bearer {platform.token()}"
    body = {"sources": [{"source": "partners/acme/dataSources/shop", "collections": [{"collection": "orders"}]}]}
    response = await http.post(f"/v1/{PARTNER}/dataMaps", params={"requestId": REQUEST_ID}, json=body)
    assert response.json()["errors"][0]["field"] == "sources[0].collections[0].title"
    partner = {"name": PARTNER, "displayName": "Acme", "country": "IE", "timeZone": "Europe/Dublin"}
    partner |= {"privacyContact": "dpo", "erasureGracePeriod": "3600.5s"}
    response = await http.post("/v1/partners", params={"requestId": REQUEST_ID}, json=partner)
    assert response.json()["reason"] == "ROLE_REQUIRED"  # past the gateway: the duration was understood


async def test_json_of_an_answer(http: httpx.AsyncClient, platform: Platform) -> None:
    response = await http.get(f"/v1/{PARTNER}/accessRequests/1")
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["dataMapRevision"] == "9007199254740993"  # 64 bits don't fit a JavaScript number
    assert answer["createTime"] == "2026-01-31T12:00:00.125Z"
    assert answer["state"] == "REQUEST_STATE_LOCATING"
    assert answer["candidates"] == []
    assert answer["creator"] == ""
    assert "bundle" not in answer
    assert answer["identities"][0]["value"] == "zoë@example.org"


async def test_head_says_what_get_would(http: httpx.AsyncClient) -> None:
    get = await http.get(f"/v1/{PARTNER}/accessRequests/1")
    head = await http.head(f"/v1/{PARTNER}/accessRequests/1")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_common_headers(http: httpx.AsyncClient) -> None:
    for path in (f"/v1/{PARTNER}", "/healthz", "/nowhere", "/openapi.json"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_streams_have_a_form() -> None:
    kinds = {route.rpc.name: route.kind for route in ROUTES}
    assert kinds["WatchAccessRequest"] is Kind.EVENTS
    assert kinds["DownloadErasureReport"] is Kind.BYTES
    assert kinds["GetPartner"] is Kind.RESOURCE
    assert governance_pb2.DESCRIPTOR.services_by_name["GovernanceService"] in ALL_SERVICES
