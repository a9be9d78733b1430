"""Erase: wholly or not at all, exactly what was planned, and nobody else's rows."""

import asyncio
from typing import Any

import asyncpg
import pytest
from dsr.connector.v1 import connector_pb2 as pb

from connectors.postgres import PostgresBackend, session
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import (
    DELETE,
    RETAIN,
    anchors,
    backend,
    blocked,
    counts,
    declaration,
    erase,
    erase_one,
    grant,
    locate,
    rows,
    subject,
    verify,
)

ALL: dict[str, Any] = {
    "customers": DELETE,
    "addresses": DELETE,
    "orders": DELETE,
    "order_items": DELETE,
    "clicks": DELETE,
    "comments": DELETE,
    "notes": DELETE,
    "messages": DELETE,
}
ANN, JO = subject("ann", email="ann@example.com"), subject("jo", email="joann@example.com")


async def unshare(connection: asyncpg.Connection) -> None:
    """Bob's message no longer concerns Ann, so that everything of hers may be deleted."""
    await connection.execute("UPDATE messages SET recipient_id = NULL WHERE tenant_id = 1")


def without(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, int]:
    """How many rows are gone, per table; and none came or changed."""
    for name in before:
        assert set(after[name]) <= set(before[name])
    return {
        name.removeprefix("public."): len(before[name]) - len(after[name])
        for name in before
        if len(before[name]) != len(after[name])
    }


async def test_one_person_goes_and_every_other_row_of_the_database_stays(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    located = (await locate(source, ANN))["ann"]
    left, before = await anchors(source, ANN), await rows(connection)
    erased = (await erase(source, [(ANN, located)], grant(ALL)))["ann"]
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    assert {c.collection.removeprefix("public."): c.deleted for c in erased.collections} == counts(located)
    assert without(before, await rows(connection)) == counts(located)
    assert await verify(source, ANN, left, ALL | {"invoices": RETAIN}) == {"invoices": (1, 0, [])}


async def test_a_retry_replays_the_journal_and_never_says_zero(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    first = await erase_one(source, ANN, grant(ALL))
    after = await rows(connection)
    for attempt in (1, 2, 2):
        again = await erase_one(source, ANN, grant(ALL, attempt=attempt))
        assert again.outcome == pb.Erased.OUTCOME_REPLAYED
        assert again.collections == first.collections
    assert await rows(connection) == after


async def test_an_older_attempt_stops(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    await unshare(connection)
    await erase_one(source, JO, grant(ALL, attempt=3))
    before = await rows(connection)
    with pytest.raises(DsrError) as caught:
        await erase_one(source, ANN, grant(ALL, attempt=2))
    assert caught.value.reason == "ATTEMPT_SUPERSEDED"
    assert await rows(connection) == before


async def test_two_attempts_that_race_erase_once(
    shop: str, source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    located = (await locate(source, ANN))["ann"]
    twin = backend(shop, declaration())
    before = await rows(connection)
    results = await asyncio.gather(
        *(erase(s, [(ANN, located)], grant(ALL, attempt=a)) for s, a in ((source, 1), (twin, 2), (source, 2))),
        return_exceptions=True,
    )
    await twin.close()
    outcomes = [r["ann"].outcome for r in results if isinstance(r, dict)]
    assert outcomes.count(pb.Erased.OUTCOME_ERASED) == 1
    assert set(outcomes) <= {pb.Erased.OUTCOME_ERASED, pb.Erased.OUTCOME_REPLAYED}
    reasons = {r.reason for r in results if isinstance(r, DsrError)}
    assert reasons <= {"ATTEMPT_SUPERSEDED", "SOURCE_BUSY"}
    assert without(before, await rows(connection)) == counts(located)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE notes SET body = 'new' WHERE tenant_id = 1 AND subject_id = '7' AND subject_type = 'Customer'",
        "INSERT INTO clicks VALUES (1, 7, 'new')",
        "DELETE FROM clicks WHERE ctid = (SELECT min(ctid) FROM clicks WHERE tenant_id = 1 AND customer_id = 7)",
        "UPDATE customers SET email = 'ann2@example.com' WHERE tenant_id = 1 AND id = 7",
    ],
)
async def test_a_change_since_locate_leaves_that_person_alone_and_no_other(
    source: PostgresBackend, connection: asyncpg.Connection, change: str
) -> None:
    await unshare(connection)
    located = await locate(source, ANN, JO)
    await connection.execute(change)
    before = await rows(connection)
    erased = await erase(source, [(ANN, located["ann"]), (JO, located["jo"])], grant(ALL))
    assert erased["ann"].outcome == pb.Erased.OUTCOME_CHANGED
    assert erased["jo"].outcome == pb.Erased.OUTCOME_ERASED
    assert without(before, await rows(connection)) == counts(located["jo"])


async def test_a_row_that_arrives_while_erase_waits_for_a_lock_is_not_lost(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    """The writer holds Ann's customer row, and commits a new order for her while Erase waits for it."""
    await unshare(connection)
    located = await locate(source, ANN)
    other = connection.transaction()
    await other.start()
    await connection.execute("UPDATE customers SET name = name WHERE tenant_id = 1 AND id = 7")
    work = asyncio.create_task(erase(source, [(ANN, located["ann"])], grant(ALL)))
    await blocked(connection)
    await connection.execute("INSERT INTO orders VALUES (1, 799, '2026-01-01', 7, 1)")
    await other.commit()
    assert (await work)["ann"].outcome == pb.Erased.OUTCOME_CHANGED
    assert counts((await locate(source, ANN))["ann"])["orders"] == 11


async def test_locked_rows_are_source_busy_and_the_others_are_done(shop: str, connection: asyncpg.Connection) -> None:
    await unshare(connection)
    source = backend(shop, declaration() | {"lock_timeout": 0.2})
    located = await locate(source, ANN, JO)
    done: list[pb.Erased] = []
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM customers WHERE tenant_id = 1 AND id = 7 FOR UPDATE")
        request = pb.EraseRequest(
            subjects=[
                pb.EraseSubject(subject=ANN, expected=located["ann"].collections),
                pb.EraseSubject(subject=JO, expected=located["jo"].collections),
            ]
        )
        stream = source.erase(request, grant(ALL))
        done.append((await anext(stream)).erased)
        with pytest.raises(DsrError) as caught:
            await anext(stream)
    assert caught.value.reason == "SOURCE_BUSY"
    assert caught.value.retry_after is not None
    assert [(e.subject_ref, e.outcome) for e in done] == [("jo", pb.Erased.OUTCOME_ERASED)]
    again = await erase(source, [(ANN, located["ann"]), (JO, located["jo"])], grant(ALL, attempt=2))
    await source.close()
    assert again["ann"].outcome == pb.Erased.OUTCOME_ERASED
    assert again["jo"].outcome == pb.Erased.OUTCOME_REPLAYED


async def test_a_connection_that_dies_midway_leaves_nothing_half_done(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    """Killed at every statement of the transaction in turn, until one run is not hit; then the retry completes it."""
    await unshare(connection)
    located = (await locate(source, ANN))["ann"]
    before = await rows(connection)
    kill_at, seen = 0, 0

    async def deadly(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            await connection.execute("SELECT pg_terminate_backend($1)", self.get_server_pid())
        return await asyncpg.Connection._execute(self, *args, **kwargs)  # type: ignore[attr-defined]

    erased = None
    while erased is None:
        kill_at, seen = kill_at + 1, 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session._Connection, "_execute", deadly)
            work = erase(source, [(ANN, located)], grant(ALL, attempt=kill_at))
            (result,) = await asyncio.gather(work, return_exceptions=True)
        if isinstance(result, dict):
            erased = result["ann"]
        else:
            assert isinstance(result, DsrError)
            assert result.reason == "SOURCE_UNAVAILABLE"
        if erased is None:
            assert await rows(connection) == before
    assert kill_at > 20
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    assert without(before, await rows(connection)) == counts(located)


async def test_caps_refuse_and_a_forgotten_cap_is_no_licence(
    shop: str, source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    before = await rows(connection)
    for cap in (0, 29):
        assert (await erase_one(source, ANN, grant(ALL, cap=cap))).outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
    small = backend(shop, declaration() | {"max_records_per_subject": 50})
    assert (await erase_one(small, ANN, grant(ALL))).outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
    await small.close()
    assert await rows(connection) == before
    assert (await erase_one(source, ANN, grant(ALL, cap=30))).outcome == pb.Erased.OUTCOME_ERASED


async def test_retained_rows_hold_what_they_refer_to_and_the_finding_says_what_to_do(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    before = await rows(connection)
    erased = await erase_one(source, ANN, grant(ALL | {"orders": RETAIN}))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [(f.code, f.collection) for f in erased.findings] == [("RETAINED_REFERENCES_DELETED", "public.customers")]
    assert "Anonymise public.customers" in erased.findings[0].detail
    assert await rows(connection) == before


async def test_anonymised_parent_keeps_retained_children(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    plan = ALL | {
        "orders": RETAIN,
        "order_items": RETAIN,
        "addresses": DELETE,
        "customers": {
            "email": "gone@invalid",
            "customer_number": "gone",
            "name": None,
            "phone": None,
            "default_address": None,
        },
    }
    left = await anchors(source, ANN)
    erased = await erase_one(source, ANN, grant(plan))
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    outcome = {c.collection: c for c in erased.collections}
    assert outcome["public.customers"].anonymised == 1
    assert outcome["public.orders"].retained == 10
    person = await connection.fetchrow("SELECT * FROM customers WHERE tenant_id = 1 AND id = 7")
    assert person is not None
    assert (person["email"], person["name"], person["name_length"]) == ("gone@invalid", None, None)
    verified = await verify(source, ANN, left, plan | {"invoices": RETAIN})
    assert verified["customers"] == (1, 0, [])
    assert verified["orders"] == (10, 0, [])
    assert all(unexplained == 0 for _, unexplained, _ in verified.values())


async def test_shared_records_are_anonymised_but_never_deleted(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    erased = await erase_one(source, ANN, grant(ALL))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [f.code for f in erased.findings] == ["SHARED_RECORDS"]
    await connection.execute(
        "INSERT INTO customers (tenant_id, id, email, customer_number) VALUES (1, 0, 'ghost', 'ghost')"
    )
    plan = ALL | {"messages": {"body": "(erased)", "sender_id": 0, "recipient_id": None}}
    erased = await erase_one(source, ANN, grant(plan))
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    bodies = await connection.fetch("SELECT body FROM messages WHERE tenant_id = 1 AND id IN (1000007, 1000008)")
    assert [row["body"] for row in bodies] == ["(erased)", "(erased)"]


async def test_rows_outside_the_plan_block_before_any_delete(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    await connection.execute("UPDATE customers SET referred_by = 7 WHERE tenant_id = 1 AND id = 8")
    before = await rows(connection)
    erased = await erase_one(source, ANN, grant(ALL))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [f.code for f in erased.findings] == ["REFERENCED_OUTSIDE_PLAN"]
    assert await rows(connection) == before


async def test_a_cascade_into_another_partners_slice_is_refused(shop: str, connection: asyncpg.Connection) -> None:
    """Rows of tenant 2 hang on a row of tenant 1, without a tenant's column in the key: a scope stops no cascade."""
    await connection.execute(
        "CREATE TABLE files (id integer PRIMARY KEY, tenant_id integer, customer_number text);"
        "CREATE TABLE links (file_id integer REFERENCES files ON DELETE CASCADE, tenant_id integer);"
        "INSERT INTO files VALUES (1, 1, '7'); INSERT INTO links VALUES (1, 1), (1, 2)"
    )
    options = declaration()
    options["collections"]["public.files"] = {"identity": {"customer_number": {"type": "customer_number"}}}
    options["collections"]["public.links"] = {"references": {"links_file_id_fkey": "OWNED"}}
    source = backend(shop, options)
    who = subject(customer_number="7")
    located = (await locate(source, who))["s0"]
    assert counts(located)["links"] == 1
    assert {f.code for f in located.findings} == {"CASCADE_OUTSIDE_PLAN"}
    await unshare(connection)
    before = await rows(connection)
    plan = ALL | {"files": DELETE, "links": DELETE, "invoices": RETAIN}
    located = (await locate(source, who))["s0"]
    erased = (await erase(source, [(who, located)], grant(plan)))["s0"]
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert await rows(connection) == before


async def test_an_instruction_without_action_is_refused(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await unshare(connection)
    erased = await erase_one(source, ANN, grant(ALL | {"notes": 0}))
    assert [f.code for f in erased.findings] == ["ACTION_MISSING"]


async def test_collections_that_are_not_named_stay(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    before = await rows(connection)
    erased = await erase_one(source, ANN, grant({"clicks": DELETE}))
    assert [(c.collection, c.deleted) for c in erased.collections] == [("public.clicks", 4)]
    assert without(before, await rows(connection)) == {"clicks": 4}


@pytest.mark.parametrize(
    ("plan", "path"),
    [
        ({"nowhere": DELETE}, "grant.instructions[0].collection"),
        ({"notes": {}}, "grant.instructions[0].anonymise"),
        ({"notes": {"nothing": None}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"name_length": None}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"id": 9}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"tenant_id": 2}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"email": None}}, "grant.instructions[0].anonymise[0].field"),
    ],
)
async def test_instructions_that_can_not_be_meant_are_refused(
    source: PostgresBackend, connection: asyncpg.Connection, plan: dict[str, Any], path: str
) -> None:
    before = await rows(connection)
    with pytest.raises(DsrError) as caught:
        await erase_one(source, ANN, grant(plan))
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata["field"] == path
    assert await rows(connection) == before


async def test_a_person_of_whom_there_is_nothing_is_erased_with_nothing(source: PostgresBackend) -> None:
    erased = await erase_one(source, subject(email="nobody@example.com"), grant(ALL))
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    assert not erased.collections


async def test_rows_without_a_key_are_anonymised_duplicates_included(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    before = await rows(connection)
    erased = await erase_one(source, ANN, grant({"clicks": {"page": "(erased)"}}))
    assert [(c.collection, c.anonymised) for c in erased.collections] == [("public.clicks", 4)]
    after = await rows(connection)
    assert after["public.clicks"].count('(1,7,"(erased)")') == 4
    assert before["public.clicks"].count("(1,7,home)") == 4
    assert len(after["public.clicks"]) == len(before["public.clicks"])
    assert {name for name in after if after[name] != before[name]} == {"public.clicks"}
