"""Every row of triggers.yaml, which is the table of docs/sandbox.md, against the real services."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.v1 import request_pb2, subject_pb2
from dsr.v1.erasure_pb2 import ErasureRequest

from connectors.sandbox import faults
from connectors.sandbox.seed import DOMAIN, TRIGGERS
from connectors.sandbox.table import as_markdown
from tests.integration.sandbox.conftest import Setting
from tests.support.sandbox import backend, connect, create_partner, serve
from tests.support.services import World, reason_of

ROWS = [(who, right) for who, told in TRIGGERS.items() for right in told["outcomes"]]


@dataclass
class Desk:
    """A sandbox without grace, and a request about everybody."""

    world: World
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def desk(setting: Setting) -> AsyncIterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "SLOW_SECONDS", 1)
        world = await create_partner(setting.live, "acme-faults", erasureGracePeriod="0s")
        source = "partners/acme-faults/dataSources/shop"
        async with serve(world, source, backend(world, source), [source]) as address:
            await connect(world, address)
            # All at once: they wait beside each other.
            names = {row: (await create(world, *row)).name for row in ROWS}
            yield Desk(world, names)


async def create(world: World, who: str, right: str) -> Any:
    return await world.create(right, identities=[("email", f"{who}@{DOMAIN}")])


@pytest.mark.parametrize(("who", "right"), ROWS)
async def test_a_request_comes_to_what_the_table_says(desk: Desk, who: str, right: str) -> None:
    world, name, wanted = desk.world, desk.names[who, right], TRIGGERS[who]["outcomes"][right]
    if right == "erasure":
        planned = await world.until(right, name, "PLANNED")
        found = {f.code for f in planned.plan.findings}
        assert found == ({wanted["finding"]} if "finding" in wanted else set())
        if "approval" in wanted:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await world.approve(planned, subject="manager-2")
            assert reason_of(refused.value) == wanted["approval"]
            return
        await world.approve(planned, subject="manager-2")
    if "waits" in wanted:
        await world.until_waiting(right, name, wanted["waits"])
        done = await world.get(right, name)
    else:
        done = await world.until(right, name, wanted["state"])
    assert request_pb2.RequestState.Name(done.state) == f"REQUEST_STATE_{wanted['state']}"
    if "records" in wanted:
        assert sum(c.records for c in done.bundle.collections) == wanted["records"]
    if "change" in wanted:
        kinds = {ErasureRequest.PlanChange.Kind.Name(c.kind) for c in done.plan_changes}
        assert kinds == {f"KIND_{wanted['change']}"}
    for count in ("retained", "unexplained"):
        if count in wanted:
            assert sum(getattr(o, count) for o in done.report.outcomes) == wanted[count]


def test_the_document_has_the_table() -> None:
    document = Path(__file__).parents[3] / "docs" / "sandbox.md"
    assert as_markdown() in document.read_text(), "put in what `python -m connectors.sandbox.table` prints"


async def test_what_the_law_refuses_is_refused_in_a_sandbox_too(desk: Desk) -> None:
    world = desk.world
    message = world.create_message("access", identities=[("email", f"bea@{DOMAIN}")])
    message.access_request.subject.verification.method = subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED
    refused = await world.stub("access").CreateAccessRequest(message, metadata=world.metadata())
    assert request_pb2.RequestState.Name(refused.state) == "REQUEST_STATE_REFUSED"
    assert refused.refusal.rule == "VERIFICATION_TOO_WEAK"
