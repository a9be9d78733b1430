"""What counts as emptied when it is read back, and what an export of it may look like."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Anonymisation, CollectionInstruction
from dsr.v1 import governance_pb2

from dsrkit.errors import DsrError
from dsrkit.instructions import reading_back
from services.erasure.readback import ReadBack, emptied, same

RULE = CollectionInstruction(
    collection="orders",
    action=CollectionInstruction.ACTION_ANONYMISE,
    anonymise=[Anonymisation(field="gift_for"), Anonymisation(field="item", constant='"removed"')],
)
GONE = {"gift_for": None, "item": "removed"}


@pytest.mark.parametrize(
    ("value", "constant", "expected"),
    [
        (None, None, True),
        ("", None, False),
        (0, None, False),
        (None, "removed", False),
        ("removed", "removed", True),
        ("removed   ", "removed", True),
        ("Removed", "removed", False),
        (" removed", "removed", False),
        (0, Decimal("0"), True),
        ("0.00", 0, True),
        (Decimal("0.0"), 0, True),
        (False, 0, True),
        (1, 0, False),
        ("1900-01-01T00:00:00Z", "1900-01-01", True),
        ("1900-01-02", "1900-01-01", False),
        ("AA==", "\\x00", True),
        ("AQ==", "\\x00", False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 2}, {"a": 1}, False),
        ("NaN", 0, False),
        ("ann@example.com", "removed", False),
        ("ann@example.com", 0, False),
        ("7", "70", False),
    ],
)
def test_what_counts_as_the_constant(value: Any, constant: Any, expected: bool) -> None:
    assert same(value, constant) is expected


def export(
    *records: Mapping[str, Any], collection: str = "orders", cut: int = 7, count: int | None = None
) -> list[pb.ExportResponse]:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    pieces = [data[n : n + cut] for n in range(0, len(data), cut)]
    return [
        pb.ExportResponse(header=pb.CollectionHeader(collection=collection)),
        *(pb.ExportResponse(data=piece) for piece in pieces),
        pb.ExportResponse(trailer=pb.CollectionTrailer(records=len(records) if count is None else count)),
        pb.ExportResponse(totals=pb.ExportTotals()),
    ]


def read(messages: Sequence[pb.ExportResponse], located: Mapping[str, int]) -> tuple[dict[str, int], set[str]]:
    reader = ReadBack("partners/acme/dataSources/s", emptied([RULE]))
    for message in messages:
        reader.take(message)
    reader.finish(located)
    return reader.left, reader.fields.get("orders", set())


def test_what_still_holds_something_is_counted_and_named_by_field() -> None:
    assert read(export(GONE, GONE), {"orders": 2}) == ({}, set())
    kept = {**GONE, "gift_for": "Uncle Bob"}
    assert read(export(GONE, kept, {"gift_for": 1, "item": "tea"}), {"orders": 3}) == (
        {"orders": 2},
        {"gift_for", "item"},
    )
    assert read(export({"gift_for": None}), {"orders": 1}) == ({"orders": 1}, {"item"}), "not shown is not emptied"
    assert read([pb.ExportResponse(totals=pb.ExportTotals())], {"people": 3}) == ({}, set())


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        (export(GONE), "READ_BACK_COUNTS"),
        (export(GONE, GONE, count=3), "COLLECTION_TOTALS"),
        (export(GONE, GONE)[:-1], "NO_TOTALS"),
        (export(GONE, collection="people"), "ORDER"),
        (export(GONE)[1:], "ORDER"),
        ([*export(GONE, GONE)[:-1], pb.ExportResponse(data=b"{}\n")], "ORDER"),
        ([export(GONE)[0], pb.ExportResponse(data=b"no json\n")], "LINE"),
        ([export(GONE)[0], pb.ExportResponse(data=b"[1]\n")], "LINE"),
        ([export(GONE)[0], pb.ExportResponse(data=b"x" * (1 << 20)), pb.ExportResponse(data=b"x")], "LINE"),
        ([pb.ExportResponse()], "ORDER"),
    ],
)
def test_an_export_that_contradicts_itself_proves_nothing(messages: Sequence[pb.ExportResponse], why: str) -> None:
    with pytest.raises(DsrError) as caught:
        read(messages, {"orders": 2})
    assert (caught.value.reason, caught.value.metadata["why"]) == ("SOURCE_INCONSISTENT", why)


def test_a_grant_to_read_back_shows_what_the_data_map_anonymises_and_nothing_else() -> None:
    anonymised = governance_pb2.FieldMap(field="item", anonymise=governance_pb2.FieldAnonymisation())
    orders = governance_pb2.CollectionMap(
        collection="orders",
        erase_action=governance_pb2.ERASE_ACTION_ANONYMISE,
        fields=[anonymised, governance_pb2.FieldMap(field="total")],
    )
    letters = governance_pb2.CollectionMap(collection="letters", erase_action=governance_pb2.ERASE_ACTION_DELETE)
    asked = [RULE, CollectionInstruction(collection="letters", action=CollectionInstruction.ACTION_ANONYMISE)]
    asked.append(CollectionInstruction(collection="orders2", action=CollectionInstruction.ACTION_ANONYMISE))
    told = reading_back(asked, governance_pb2.SourceMap(collections=[orders, letters]))
    assert told == [CollectionInstruction(collection="orders", include_fields=["item"])]
    deleted = [CollectionInstruction(collection="orders", action=CollectionInstruction.ACTION_DELETE)]
    assert reading_back(deleted, governance_pb2.SourceMap(collections=[orders])) == []
