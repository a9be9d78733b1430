"""What a caller may send by mistake or on purpose: each gets an answer that names the field, never INTERNAL."""

import asyncio
import base64
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import orjson
import pytest
from dsr.credentials import Credential
from dsr.v1 import access_pb2, options_pb2
from dsr.v1 import governance_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from dsrkit.errors import from_rpc_error
from tests.support.services import PARTNER, SHOP, World, eventually, reason_of


def token(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


TOKENS = [
    "é",
    "!",
    base64.urlsafe_b64encode(b"[" * 5000).decode(),
    token(),
    token({}),
    token(5),
    token("2026-01-01T00:00:00+00:00", 5, "x"),
    token("2026-01-01T00:00:00+00:00", 5),
    token("0001-01-01T00:00:00+14:00", str(uuid.UUID(int=1))),
    token("x\0"),
]
NO_TIMES = [Timestamp(seconds=10**15), Timestamp(nanos=-1), Timestamp(seconds=-(10**12))]
HUGE = "x" * 70_000


async def wrong_field(call: Any) -> str:
    """The field that a FIELD_INVALID names."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = from_rpc_error(caught.value)
    assert info is not None
    assert info.reason == "FIELD_INVALID", caught.value.details()
    return str(info.metadata["field"])


async def test_lists_refuse_tokens_and_times_that_are_none(world: World) -> None:
    admin, reader = world.metadata("adam", "ROLE_ADMIN"), world.metadata("rita", "ROLE_READER")
    governance, access = world.governance, world.stub("access")
    for text in TOKENS:
        sources = pb.ListDataSourcesRequest(parent=PARTNER, page_token=text)
        assert await wrong_field(governance.ListDataSources(sources, metadata=admin)) == "page_token"
        holds = pb.ListHoldsRequest(parent=PARTNER, page_token=text)
        assert await wrong_field(governance.ListHolds(holds, metadata=admin)) == "page_token"
        requests = access_pb2.ListAccessRequestsRequest(parent=PARTNER, page_token=text)
        assert await wrong_field(access.ListAccessRequests(requests, metadata=reader)) == "page_token"
    for time in NO_TIMES:
        requests = access_pb2.ListAccessRequestsRequest(parent=PARTNER, due_before=time)
        assert await wrong_field(access.ListAccessRequests(requests, metadata=reader)) == "due_before"
        for field in ("after_time", "before_time"):
            records = pb.ListProcessingRecordsRequest(parent=PARTNER, **{field: time})  # type: ignore[arg-type]
            assert await wrong_field(governance.ListProcessingRecords(records, metadata=admin)) == field


async def test_a_list_of_sources_goes_on_from_its_own_token(world: World) -> None:
    admin = world.metadata("adam", "ROLE_ADMIN")
    first = await world.governance.ListDataSources(
        pb.ListDataSourcesRequest(parent=PARTNER, page_size=1), metadata=admin
    )
    rest = await world.governance.ListDataSources(
        pb.ListDataSourcesRequest(parent=PARTNER, page_token=first.next_page_token), metadata=admin
    )
    assert [s.name.rpartition("/")[2] for s in (*first.data_sources, *rest.data_sources)] == ["crm", "shop"]


async def test_partners_and_sources_that_nobody_could_work_with_are_refused(world: World) -> None:
    operator = Credential.load(world.folder / "operator.json").token("dsr", subject="olga", roles=["ROLE_OPERATOR"])

    def partner(field: str, value: Any) -> Any:
        plain = {"display_name": "New", "country": "IE", "time_zone": "Europe/Dublin", "privacy_contact": "x"}
        wanted = pb.Partner(**{"name": "partners/new-co", **plain, field: value})
        message = pb.CreatePartnerRequest(partner=wanted, request_id=str(uuid.uuid4()))
        return world.governance.CreatePartner(message, metadata=(("authorization", f"Bearer {operator}"),))

    for field, value in (
        ("time_zone", "America"),
        ("time_zone", "a" * 5000),
        ("time_zone", "../etc/passwd"),
        ("erasure_grace_period", Duration(seconds=10**15)),
        ("erasure_grace_period", Duration(seconds=315_576_000_000)),
        ("erasure_grace_period", Duration(seconds=90 * 86_400 + 1)),
        ("erasure_grace_period", Duration(seconds=-1)),
        ("bundle_lifetime", Duration(seconds=10**15)),
        ("display_name", "a\0b"),
        ("display_name", "a" * 201),
        ("privacy_contact", HUGE),
    ):
        assert await wrong_field(partner(field, value)) == f"partner.{field}"
    approvers = partner("contract_approvers", ["urn:dsr:partner:new-co#bob", "urn:dsr:partner:new-co#bob@example.com"])
    assert await wrong_field(approvers) == "partner.contract_approvers[1]"
    grant = pb.RoleGrant(grantee="urn:dsr:partner:acme#Bob Roe", role=options_pb2.ROLE_APPROVER)
    proposal = pb.GrantRoleRequest(parent=PARTNER, role_grant=grant, request_id=str(uuid.uuid4()))
    call = world.governance.GrantRole(proposal, metadata=world.metadata("adam", "ROLE_ADMIN"))
    assert await wrong_field(call) == "role_grant.grantee"

    for address in ("host:²", "127.0.0.1:１２", "127.0.0.1:", ":1", "127.0.0.1:65536"):
        source = pb.DataSource(
            name=f"{PARTNER}/dataSources/away",
            display_name="Away",
            connector_address=address,
            custody=pb.DataSource.CUSTODY_PARTNER,
            location=pb.Location(provider="x", site="x", country="IE"),
        )
        message = pb.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))
        call = world.governance.CreateDataSource(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
        assert await wrong_field(call) == "data_source.connector_address"

    hook = pb.CreateWebhookRequest(parent=PARTNER, webhook=pb.Webhook(url="https://[x"), request_id=str(uuid.uuid4()))
    call = world.governance.CreateWebhook(hook, metadata=world.metadata("adam", "ROLE_ADMIN"))
    assert await wrong_field(call) == "webhook.url"


async def test_one_request_id_at_the_same_moment_does_one_thing(world: World) -> None:
    created = [await world.create("access") for _ in range(6)]
    same = str(uuid.uuid4())
    calls = [world.act("access", "Cancel", request.name, request_id=same) for request in created]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert [reason_of(error) for error in refused] == ["REQUEST_ID_REUSED"] * 5

    message = pb.CreateWebhookRequest(
        parent=PARTNER, webhook=pb.Webhook(url="http://127.0.0.1:9/x"), request_id=str(uuid.uuid4())
    )
    admin = world.metadata("adam", "ROLE_ADMIN")
    made = await asyncio.gather(*(world.governance.CreateWebhook(message, metadata=admin) for _ in range(6)))
    assert len({webhook.name for webhook in made}) == 1


async def records(world: World) -> Counter[str]:
    """What was called in governance to change something, with who and how it ended."""
    found = await world.governance.ListProcessingRecords(
        pb.ListProcessingRecordsRequest(parent=PARTNER), metadata=world.metadata("adam", "ROLE_ADMIN")
    )
    changes = [r for r in found.processing_records if not r.operation.startswith("List")]
    assert all(r.originating_ip for r in changes)
    return Counter(f"{r.operation} {r.actor.rpartition('#')[2]} {r.outcome}" for r in changes)


@pytest.mark.policy("P5", "every call that changes governance is recorded, once, repetitions and refusals too")
async def test_every_call_that_changes_governance_is_recorded_once(world: World) -> None:
    before = {"CreatePartner olga OK": 1, "CreateDataSource adam OK": 2, "CreateDataMap adam OK": 1}
    assert await records(world) == before
    admin, governance = world.metadata("adam", "ROLE_ADMIN"), world.governance

    url = pb.Webhook(url="http://127.0.0.1:9/x")
    create = pb.CreateWebhookRequest(parent=PARTNER, webhook=url, request_id=str(uuid.uuid4()))
    hook, again = [await governance.CreateWebhook(create, metadata=admin) for _ in range(2)]
    assert again == hook
    await governance.DeleteWebhook(pb.DeleteWebhookRequest(name=hook.name), metadata=admin)

    hold = pb.Hold(source=SHOP, collection="orders", reason="x", legal_reference="x")
    hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    place = pb.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4()))
    placed = await governance.PlaceHold(place, metadata=admin)
    release = pb.ReleaseHoldRequest(name=placed.name, request_id=str(uuid.uuid4()))
    released = [await governance.ReleaseHold(release, metadata=admin) for _ in range(2)]
    assert released[0] == released[1]
    other = pb.ReleaseHoldRequest(name=f"{PARTNER}/holds/{uuid.uuid4()}", request_id=release.request_id)
    assert reason_of(await refused(governance.ReleaseHold(other, metadata=admin))) == "REQUEST_ID_REUSED"

    grants = await governance.ListRoleGrants(pb.ListRoleGrantsRequest(parent=PARTNER), metadata=admin)
    revoke = pb.RevokeRoleGrantRequest(name=grants.role_grants[0].name, request_id=str(uuid.uuid4()))
    revoked = [await governance.RevokeRoleGrant(revoke, metadata=admin) for _ in range(2)]
    assert {grant.state for grant in revoked} == {pb.RoleGrant.STATE_REVOKED}

    twice = {"CreateWebhook": 2, "DeleteWebhook": 1, "PlaceHold": 1, "ReleaseHold": 2, "RevokeRoleGrant": 2}
    calls = {f"{operation} adam OK": times for operation, times in twice.items()}
    refusal = {"ReleaseHold adam REQUEST_ID_REUSED": 1}

    async def all_there() -> bool:
        return await records(world) == before | calls | refusal

    await eventually(all_there)


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
