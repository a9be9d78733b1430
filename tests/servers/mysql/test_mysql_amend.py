"""Amend on a real MariaDB: what is set is what was asked, once; a value that a column can't hold is refused by name."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, FieldValue, Grant

from connectors.mysql import MysqlBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import SOURCE, locate, subject
from tests.servers.mysql.harness import Database, backend, declaration

ANN = subject("ann", email="ann@example.com")
EXTRA = (
    "ALTER TABLE customers ADD restricted tinyint(1) NOT NULL DEFAULT 0, ADD born date, ADD since datetime(3),"
    " ADD seen timestamp NULL, ADD points smallint unsigned, ADD latin varchar(20) CHARACTER SET latin1"
)


@pytest.fixture
async def source(shop: Database) -> AsyncIterator[MysqlBackend]:
    await shop.execute(EXTRA)
    options: dict[str, Any] = declaration()
    options["collections"]["public.customers"] |= {
        "amendable": ["name", "mood", "born", "since", "seen", "points", "latin"],
        "flags": {"restriction": {"column": "restricted", "set": 1, "clear": 0}},
    }
    options["collections"]["public.orders"] |= {"amendable": ["total"]}
    opened = backend(shop.dsn, options)
    yield opened
    await opened.close()


def put(collection: str, **fields: str | None) -> Amendment:
    found = [FieldValue(field=f, value=v) for f, v in fields.items()]
    return Amendment(collection=f"public.{collection}", fields=found, cap=100)


async def amend(source: MysqlBackend, *amendments: Amendment, task: str = "t", preview: bool = False) -> pb.Amended:
    permission = Grant(
        source=SOURCE,
        operation=Grant.OPERATION_AMEND,
        task=task,
        attempt=1,
        plan_digest="d",
        approver="x",
        amendments=amendments,
    )
    expected = (await locate(source, ANN))["ann"].collections
    request = pb.AmendRequest(subject=ANN, expected=expected, preview=preview)
    (answer,) = [m.amended async for m in source.amend(request, permission) if m.HasField("amended")]
    return answer


async def test_what_fits_is_set_and_read_back_once(source: MysqlBackend, shop: Database) -> None:
    right = {
        "name": "Änn ☃",
        "mood": "sad",
        "born": "1980-02-29",
        "since": "2024-01-02T03:04:05.678",
        "seen": "2024-01-02T03:04:05Z",
        "points": "65535",
        "latin": "Müller",
    }
    changes = [put("customers", **right), put("orders", total="99.5")]
    changes[0].set_flags.append("restriction")
    preview = await amend(source, *changes, preview=True)
    amended = await amend(source, *changes)
    assert (preview.outcome, amended.outcome) == (pb.Amended.OUTCOME_PREVIEWED, pb.Amended.OUTCOME_AMENDED)
    assert preview.collections == amended.collections
    assert [(c.amended, c.unchanged) for c in amended.collections] == [(1, 0), (10, 0)]
    assert (await amend(source, *changes)).outcome == pb.Amended.OUTCOME_REPLAYED
    again = await amend(source, *changes, task="again")
    assert [(c.amended, c.unchanged) for c in again.collections] == [(0, 1), (0, 10)]
    query = "SELECT id, name, mood, born, since, seen, points, latin FROM customers WHERE restricted = 1"
    ((number, *found),) = await shop.fetch(query)
    assert number == 7
    assert [str(v) for v in found[:3]] == ["Änn ☃", "sad", "1980-02-29"]
    assert [str(v) for v in found[3:]] == ["2024-01-02 03:04:05.678000", "2024-01-02 03:04:05", "65535", "Müller"]


UNFIT = {
    "name": ["x" * 101],
    "mood": ["elated", "sa"],
    "born": ["1981-02-29", "1981-2-3", "then"],
    "since": ["2024-13-01T00:00:00", "2024-01-02T03:04:05.6789", "2024-01-02T03:04:05Z"],
    "points": ["65536", "-1", "7x", "1.5"],
    "latin": ["☃"],
}


async def test_what_does_not_fit_is_refused_by_name(source: MysqlBackend) -> None:
    cases = [("customers", field, text) for field, texts in UNFIT.items() for text in texts]
    cases += [("orders", "total", text) for text in ("1.234", "12345678901", "dear")]
    for collection, field, text in cases:
        with pytest.raises(DsrError) as caught:
            pytest.fail(f"{field} took {text!r}: {await amend(source, put(collection, **{field: text}), preview=True)}")
        assert caught.value.reason == "VALUE_UNFIT", (field, text)
        assert caught.value.metadata == {"collection": f"public.{collection}", "field": field}
