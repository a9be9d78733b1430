"""The sandbox keeps the contract like any live source, through the real host."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.sandbox.seed import rows
from tests.conformance.harness import Keys, open_backends, serve
from tests.support.contract import Told

SOURCE = "partners/acme-sandbox/dataSources/shop"
DOWN = "partners/acme-sandbox/dataSources/down"
RECORDS = {"customers": 1, "orders": 40, "tickets": 9, "logs": 900}
CALLS: Mapping[str, tuple["Grant.Operation.ValueType", Any]] = {
    "ListInactive": (Grant.OPERATION_LIST_INACTIVE, pb.ListInactiveRequest),
    "CountPeople": (Grant.OPERATION_COUNT, pb.CountPeopleRequest),
    "Amend": (Grant.OPERATION_AMEND, pb.AmendRequest),
    "Return": (Grant.OPERATION_RETURN, pb.ReturnRequest),
    "Destroy": (Grant.OPERATION_DESTROY, pb.DestroyRequest),
}
PEOPLE = {row["email"] for name, row in rows(datetime.now(UTC)) if name == "customers"}
MATERIAL = {
    "present": {"identities": {"email": "eve@sandbox.example", "customer_number": "S-1005"}, "records": RECORDS},
    "absent": {"identities": {"email": "notfound@sandbox.example"}},
    "disposable": {
        "identities": {"email": "ann@sandbox.example", "customer_number": "S-1001"},
        "records": {"customers": 1, "orders": 3, "invoices": 1, "tickets": 2, "reviews": 1, "logs": 12},
        "instructions": {"invoices": "RETAIN", "reviews": {"anonymise": {"author": "A former customer"}}},
        "amend": {"customers": {"name": "Annabel Sample", "birth_date": "1990-01-31"}},
    },
    "unreachable": DOWN,
    "people": len(PEOPLE),
    "inactive": {
        "collection": "customers",
        "field": "last_login_time",
        "identity_type": "email",
        "before": datetime.now(UTC) - timedelta(days=180),
        "unused": "unused@sandbox.example",
        "used": "eve@sandbox.example",
        "unknown": "slow@sandbox.example",
    },
    "destroyable": True,
}


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("sandbox")
    keys = Keys.make(folder)
    (folder / "state" / DOWN / "sandbox.db").mkdir(parents=True)  # no file: SQLite can't open it
    backends = open_backends(keys, {SOURCE: {"kind": "sandbox"}, DOWN: {"kind": "sandbox"}})
    async with (
        serve(keys, backends, sandboxes=[SOURCE, DOWN]) as target,
        open_bench(
            target,
            SOURCE,
            keys.credential,
            Material.parse(MATERIAL),
            GrantKey.load(folder / "grant-key.json"),
            20,
        ) as opened,
    ):
        yield opened


@pytest.mark.policy("P1", "no operation goes at a sandbox without its mark, whoever signed the grant")
@pytest.mark.parametrize("rpc", CALLS)
async def test_a_grant_without_the_mark_does_nothing(bench: Bench, rpc: str) -> None:
    operation, kind = CALLS[rpc]
    await bench.described()  # only then it marks grants
    grant = bench.grant(operation, [])
    assert grant.HasField("sandbox")
    grant.ClearField("sandbox")
    message = kind(grant=bench.sign(grant))
    if rpc == "Amend":
        message.subject.CopyFrom(bench.material.present.subject("one"))
    answer = await bench.call(rpc, message)
    assert (answer.code, answer.messages) == ("PERMISSION_DENIED / GRANT_INVALID", [])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_sandbox_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("sandbox", await expect(check, bench))
