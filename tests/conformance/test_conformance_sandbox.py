"""The sandbox keeps the contract like any live source, through the real host."""

from collections.abc import AsyncIterator

import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect

from tests.conformance.harness import Keys, open_backends, serve
from tests.support.contract import Told

SOURCE = "partners/acme-sandbox/dataSources/shop"
DOWN = "partners/acme-sandbox/dataSources/down"
RECORDS = {"customers": 1, "orders": 40, "tickets": 9, "logs": 900}
MATERIAL = {
    "present": {"identities": {"email": "eve@sandbox.example", "customer_number": "S-1005"}, "records": RECORDS},
    "absent": {"identities": {"email": "notfound@sandbox.example"}},
    "disposable": {
        "identities": {"email": "ann@sandbox.example", "customer_number": "S-1001"},
        "records": {"customers": 1, "orders": 3, "invoices": 1, "tickets": 2, "reviews": 1, "logs": 12},
        "instructions": {"invoices": "RETAIN", "reviews": {"anonymise": {"author": "A former customer"}}},
    },
    "unreachable": DOWN,
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


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_sandbox_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("sandbox", await expect(check, bench))
