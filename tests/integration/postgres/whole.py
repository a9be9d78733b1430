"""What tests of Return and Destroy share, whatever the kind of database."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.relational.backend import RelationalBackend
from tests.integration.postgres.harness import DELETE, SOURCE, instruct

Records = Mapping[str, list[Any]]


async def returned(source: RelationalBackend) -> dict[str, list[Any]]:
    """Records by collection, after a check of everything the stream says of itself."""
    permission = Grant(source=SOURCE, operation=Grant.OPERATION_RETURN, task="return", attempt=1)
    found: dict[str, list[Any]] = {}
    data, name, totals = b"", "", pb.ExportTotals()
    async for message in source.give_back(pb.ReturnRequest(), permission):
        match message.WhichOneof("part"):
            case "header":
                data, name = b"", message.header.collection
            case "data":
                assert 0 < len(message.data) <= 1 << 20
                data += message.data
            case "trailer":
                assert message.trailer.sha256 == hashlib.sha256(data).digest()
                found[name] = [json.loads(line) for line in data.split(b"\n")[:-1]]
                assert message.trailer.records == len(found[name])
            case "totals":
                totals = message.totals
    assert (totals.collections, totals.records) == (len(found), sum(map(len, found.values())))
    return found


async def destroyed(
    source: RelationalBackend, caps: Mapping[str, int], attempt: int = 1, **fields: Any
) -> pb.Destroyed:
    instructions = [i for name, cap in caps.items() for i in instruct({name: DELETE}, cap)]
    permission = Grant(
        source=SOURCE, operation=Grant.OPERATION_DESTROY, task="end", attempt=attempt, instructions=instructions
    )
    return [m.destroyed async for m in source.destroy(pb.DestroyRequest(**fields), permission)][-1]


def caps(records: Records) -> dict[str, int]:
    return {name: len(found) for name, found in records.items()}


def codes(result: pb.Destroyed) -> set[tuple[str, str]]:
    return {(f.code, f.collection) for f in result.findings}
