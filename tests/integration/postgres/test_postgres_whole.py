"""Return and Destroy: a whole slice of a shared database, and not a row of anybody else's."""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

import asyncpg
import pytest
from dsr.connector.v1 import connector_pb2 as pb

from connectors.postgres import PostgresBackend
from connectors.relational import destroy
from connectors.relational.model import Inbound
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import backend, declaration, rows
from tests.integration.postgres.whole import caps, codes, destroyed, returned


async def of_tenant(connection: asyncpg.Connection, tenant: int) -> dict[str, int]:
    """Rows of one tenant by table, looked up directly."""
    found = {}
    for name in declaration()["collections"]:
        column = {"public.order_items": "order_tenant", "public.countries": None}.get(name, "tenant_id")
        if column:
            query = f"SELECT count(*) FROM {name} WHERE {column} = $1"  # noqa: S608 - names of the test's own schema
            found[name] = await connection.fetchval(query, tenant)
    return found


async def test_a_slice_is_returned_whole_and_nothing_else(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    there = await of_tenant(connection, 1)
    found = await returned(source)
    assert caps(found) == there
    assert all(there.values())
    assert {row["tenant_id"] for name in ("public.customers", "public.clicks") for row in found[name]} == {1}


async def test_a_source_of_its_own_returns_every_row_of_it(shop: str, connection: asyncpg.Connection) -> None:
    options = declaration()
    del options["scope"]
    source = backend(shop, options)
    found = await returned(source)
    assert caps(found) == {name: len(there) for name, there in (await rows(connection)).items()}
    await source.close()


@pytest.mark.policy("P14", "a whole slice is destroyed, circles and all, and not a row of anybody else's")
async def test_a_slice_is_destroyed_whole_and_nothing_else(
    source: PostgresBackend, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destroy, "ROWS", 20)
    limits, before, others = (
        caps(await returned(source)),
        await of_tenant(connection, 1),
        await of_tenant(connection, 2),
    )
    counted = await destroyed(source, limits, count_only=True)
    assert counted.outcome == pb.Destroyed.OUTCOME_COUNTED
    assert await of_tenant(connection, 1) == before
    for attempt in (1, 2):  # the second one finds the work done, and says what was done
        result = await destroyed(source, limits, attempt)
        assert result.outcome == pb.Destroyed.OUTCOME_DESTROYED
        assert {c.collection: (c.destroyed, c.left) for c in result.collections} == {
            name: (number, 0) for name, number in before.items()
        }
        assert codes(result) == {("NOT_IN_SCOPE", "public.countries")}
    assert not any((await of_tenant(connection, 1)).values())
    assert await of_tenant(connection, 2) == others
    assert await connection.fetchval("SELECT count(*) FROM countries") == 2
    assert not any(caps(await returned(source)).values())


async def test_what_somebody_elses_row_refers_to_is_not_destroyed(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    limits, before = caps(await returned(source)), await of_tenant(connection, 1)
    one = await connection.fetchval("SELECT id FROM comments WHERE tenant_id = 1 LIMIT 1")
    await connection.execute("UPDATE comments SET parent_id = $1 WHERE tenant_id = 2 AND id % 100 = 1", one)
    result = await destroyed(source, limits)
    assert result.outcome == pb.Destroyed.OUTCOME_BLOCKED
    assert ("REFERENCED_OUTSIDE_SCOPE", "public.comments") in codes(result)
    await connection.execute("UPDATE comments SET parent_id = NULL WHERE tenant_id = 2")
    await connection.execute("CREATE TABLE ours (t int, c bigint, FOREIGN KEY (t, c) REFERENCES customers)")
    await connection.execute("INSERT INTO ours VALUES (1, 7)")
    result = await destroyed(source, limits)
    assert ("REFERENCED_OUTSIDE_SCOPE", "public.customers") in codes(result)
    assert ("UNDECLARED_COLLECTION", "public.ours") in codes(result)
    assert await of_tenant(connection, 1) == before
    await connection.execute("DELETE FROM ours")
    assert (await destroyed(source, limits)).outcome == pb.Destroyed.OUTCOME_DESTROYED


async def test_what_was_not_returned_is_not_destroyed(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    limits, before = caps(await returned(source)), await of_tenant(connection, 1)
    await connection.execute("INSERT INTO clicks VALUES (1, NULL, 'late')")
    assert (await destroyed(source, limits)).outcome == pb.Destroyed.OUTCOME_CAP_EXCEEDED
    del limits["public.clicks"]
    result = await destroyed(source, limits)
    assert result.outcome == pb.Destroyed.OUTCOME_BLOCKED
    assert ("UNNAMED_COLLECTION", "public.clicks") in codes(result)
    assert await of_tenant(connection, 1) == {**before, "public.clicks": before["public.clicks"] + 1}


async def test_what_comes_while_it_is_destroyed_is_left(
    source: PostgresBackend, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, loosen = caps(await returned(source)), destroy.Destroyer._loosen
    late: list[int] = []

    async def begins(self: destroy.Destroyer, inbound: Inbound) -> None:
        if not late:
            late.append(1)
            await connection.execute("INSERT INTO clicks VALUES (1, NULL, 'late')")
        await loosen(self, inbound)

    monkeypatch.setattr(destroy.Destroyer, "_loosen", begins)
    with pytest.raises(DsrError) as caught:
        await destroyed(source, limits)
    assert (caught.value.reason, late) == ("SOURCE_BUSY", [1])
    assert await connection.fetchval("SELECT count(*) FROM clicks WHERE tenant_id = 1 AND page = 'late'") == 1
    assert (await destroyed(source, limits, 2)).outcome == pb.Destroyed.OUTCOME_CAP_EXCEEDED


async def test_a_trigger_that_nobody_acknowledged_blocks(
    source: PostgresBackend, shop: str, connection: asyncpg.Connection
) -> None:
    limits = caps(await returned(source))
    await connection.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keeps BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    result = await destroyed(source, limits)
    assert (result.outcome, ("TRIGGER", "public.notes") in codes(result)) == (pb.Destroyed.OUTCOME_BLOCKED, True)
    options = declaration()
    options["collections"]["public.notes"]["acknowledged"] = ["keeps"]
    knowing = backend(shop, options)
    with pytest.raises(DsrError) as caught:
        await destroyed(knowing, limits)
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    await knowing.close()


async def test_whose_rows_nobody_can_tell_is_refused(shop: str) -> None:
    options = declaration()
    options["collections"]["public.order_items"] = {"references": {"order_items_order_fkey": "LOOKUP"}}
    source = backend(shop, options)
    with pytest.raises(DsrError) as caught:
        await returned(source)
    assert caught.value.reason == "SOURCE_REJECTED"
    await source.close()


_MARKS = (
    "CREATE TABLE marks (id int PRIMARY KEY, kind text NOT NULL, about bigint NOT NULL, more bigint);"
    "INSERT INTO marks SELECT 1, 'Message', min(id), NULL FROM comments WHERE tenant_id = 1;"
    "INSERT INTO marks SELECT 2, 'Comment', min(id), min(id) FROM comments WHERE tenant_id = 1"
)


def _to(column: str, target: str, **when: str) -> dict[str, Any]:
    there = {"target": f"public.{target}", "target_columns": ["id"], "ownership": "OWNED"}
    return {"columns": [column], **there, **({"when": when} if when else {})}


_PAIR = {"comment": _to("about", "comments", kind="Comment"), "message": _to("about", "messages", kind="Message")}
_EITHER = {"one": _to("more", "comments"), "other": _to("about", "comments", kind="Comment")}
_ONE = {"one": _to("about", "comments"), "other": _to("more", "messages")}


@pytest.mark.policy("P14", "a reference that holds for some rows only doesn't make the others the partner's")
@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ({"references": _PAIR}, None),  # 1 is about a message, of whomever, that has a comment's number
        ({"references": _PAIR, "scope_via": "comment"}, None),
        ({"references": _EITHER}, None),  # 1 has no `more`, and would be left behind
        ({"references": {"one": _to("about", "customers")}}, None),  # each partner has customers of the same numbers
        ({"references": _EITHER, "scope_via": "one"}, [2]),
        ({"references": _ONE}, [1, 2]),
    ],
)
async def test_a_way_to_the_scope_holds_for_every_row(
    shop: str, connection: asyncpg.Connection, declared: dict[str, Any], found: list[int] | None
) -> None:
    await connection.execute(_MARKS)
    options = declaration()
    options["collections"]["public.marks"] = declared
    source = backend(shop, options)
    if found is None:
        with pytest.raises(DsrError) as caught:
            await returned(source)
        assert caught.value.reason == "SOURCE_REJECTED"
    else:
        assert [mark["id"] for mark in (await returned(source))["public.marks"]] == found
    await source.close()


async def test_an_older_attempt_stops(source: PostgresBackend) -> None:
    limits = caps(await returned(source))
    await destroyed(source, limits, 2)
    with pytest.raises(DsrError) as caught:
        await destroyed(source, limits, 1)
    assert caught.value.reason == "ATTEMPT_SUPERSEDED"


async def _attempt(shop: str, number: int, limits: dict[str, int], *kill: str) -> tuple[int | None, Any]:
    """One attempt, in a process of its own: how it ended, and what it answered."""
    arguments = [shop, str(number), json.dumps(limits), *kill]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.postgres.kill_whole", *arguments, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode, json.loads(out) if out else None


_SHORT = [("inside", "4")]
_LONG = [(where, str(number)) for where in ("inside", "behind") for number in (0, 1, 2, 5, 10, 20, 30)]


@pytest.mark.policy(
    "P14", "killed inside a transaction or behind it, a destruction goes on: nothing half, nothing twice"
)
@pytest.mark.parametrize("kills", [_SHORT, pytest.param(_LONG, marks=pytest.mark.long)], ids=["once", "everywhere"])
async def test_after_a_kill_the_next_attempt_goes_on(
    shop: str, source: PostgresBackend, connection: asyncpg.Connection, kills: list[tuple[str, str]]
) -> None:
    limits, before, others = (
        caps(await returned(source)),
        await of_tenant(connection, 1),
        await of_tenant(connection, 2),
    )
    left = sum(before.values())
    for number, kill in enumerate(kills, 1):
        ended, _ = await _attempt(shop, number, limits, *kill)
        assert number > 1 or ended == -signal.SIGKILL
        still = sum((await of_tenant(connection, 1)).values())
        if ended == -signal.SIGKILL:
            noted = await connection.fetch("SELECT collections::text FROM dsr_journal.erasure WHERE task = 'end'")
            deleted = sum(one["deleted"] for (text,) in noted for one in json.loads(text))
            assert still == sum(before.values()) - deleted, "what is gone is what was noted"
            assert still <= left
        left = still
    done = await destroyed(source, limits, 100)
    assert done.outcome == pb.Destroyed.OUTCOME_DESTROYED
    assert {c.collection: (c.destroyed, c.left) for c in done.collections} == {n: (c, 0) for n, c in before.items()}
    assert not any((await of_tenant(connection, 1)).values())
    assert await of_tenant(connection, 2) == others
