"""What the erasure service believes of a connector that says it destroyed a source."""

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from services.erasure.destructions import Destructions

SOURCE = "partners/acme/dataSources/crm"
ORDER = authority_pb2.DestructionOrder(termination="partners/acme/terminations/1", source=SOURCE)


class Governance:
    """A fake of the authority's client: one order, and what is reported of it."""

    def __init__(self) -> None:
        self.reports: list[Any] = []

    async def destruction_orders(self) -> list[authority_pb2.DestructionOrder]:
        return [ORDER]

    async def destruction_grant(self, _: Any, *, count_only: bool = False) -> authority_pb2.IssueGrantResponse:
        names = () if count_only else ("people", "orders")
        told = [CollectionInstruction(collection=name, cap=5) for name in names]
        grant = Grant(source=SOURCE, instructions=told).SerializeToString()
        response = authority_pb2.IssueGrantResponse(connector_address="127.0.0.1:1")
        response.grant.grant = grant
        return response

    async def report_destruction(self, report: Any) -> None:
        self.reports.append(report)


class Connectors:
    """A fake of a partner's own connector, which counts what it likes."""

    def __init__(self, collections: list[str], findings: int = 0) -> None:
        self._collections, self._findings = collections, findings

    async def describe(self, _: Any) -> pb.DescribeResponse:
        return pb.DescribeResponse(capabilities=[pb.CAPABILITY_DESTROY])

    async def destroy(self, _: Any, request: pb.DestroyRequest) -> pb.Destroyed:
        outcome = pb.Destroyed.OUTCOME_COUNTED if request.count_only else pb.Destroyed.OUTCOME_DESTROYED
        found = pb.Destroyed(outcome=outcome)
        for name in self._collections:
            found.collections.add(collection=name, destroyed=5)
        for number in range(self._findings):
            found.findings.add(code="UNDECLARED_COLLECTION", collection=str(number))
        return found


class Store:
    """A fake of the service's database: nobody else is at it."""

    def __init__(self) -> None:
        self.pool = self

    @asynccontextmanager
    async def acquire(self) -> Any:
        yield self

    async def fetchval(self, *_: Any) -> bool:
        return True

    async def execute(self, *_: Any) -> None: ...

    async def add_records(self, *_: Any) -> None: ...


async def reported(connectors: Connectors) -> list[Any]:
    governance = Governance()
    parts = SimpleNamespace(authority=governance, store=Store())
    tools: Any = SimpleNamespace(parts=parts, connectors=connectors)
    await Destructions(tools).pull()
    return governance.reports


@pytest.mark.policy("P14", "a connector that counts only some of what was returned hasn't destroyed it")
async def test_everything_that_was_returned_has_to_be_counted() -> None:
    (failed,) = await reported(Connectors(["people"]))
    assert failed.failure
    assert not failed.records
    (done,) = await reported(Connectors(["people", "orders"], findings=2))
    assert (done.failure, done.records, done.stays) == (0, 10, 2)
