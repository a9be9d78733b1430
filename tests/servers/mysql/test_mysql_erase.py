"""Erase: wholly or not at all, exactly what was planned, and nobody else's rows."""

import asyncio
from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2 as pb

from connectors.mysql import MysqlBackend
from connectors.mysql.session import MysqlSession
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import (
    DELETE,
    RETAIN,
    anchors,
    counts,
    erase,
    erase_one,
    grant,
    locate,
    subject,
    verify,
)
from tests.servers.mysql.harness import Database, backend, declaration, without

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


@pytest.fixture
async def unshared(shop: Database) -> Database:
    """Bob's message no longer concerns Ann, so that everything of hers may be deleted."""
    await shop.execute("UPDATE messages SET recipient_id = NULL WHERE tenant_id = 1")
    return shop


@pytest.mark.parametrize(
    "name", ["ann@example.com", "ANN@example.com", "ann@example.com ", "ann@example.com.au", "joann@example.com"]
)
async def test_one_person_goes_and_every_other_row_of_the_server_stays(
    source: MysqlBackend, unshared: Database, name: str
) -> None:
    who = subject("ann", email=name)
    located = (await locate(source, who))["ann"]
    left, before = await anchors(source, who), await unshared.rows()
    erased = (await erase(source, [(who, located)], grant(ALL)))["ann"]
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    assert {c.collection.removeprefix("public."): c.deleted for c in erased.collections} == counts(located)
    assert without(before, await unshared.rows()) == counts(located)
    remnants = await verify(source, who, left, ALL | {"invoices": RETAIN, "visits": RETAIN})
    assert remnants == {"invoices": (1, 0, []), "visits": (2, 0, [])}
    assert {i.identity.value for i in located.identities} >= {name}


async def test_a_retry_replays_the_journal_and_never_says_zero(source: MysqlBackend, unshared: Database) -> None:
    first = await erase_one(source, ANN, grant(ALL))
    after = await unshared.rows()
    for attempt in (1, 2, 2):
        again = await erase_one(source, ANN, grant(ALL, attempt=attempt))
        assert again.outcome == pb.Erased.OUTCOME_REPLAYED
        assert again.collections == first.collections
    assert await unshared.rows() == after


async def test_an_older_attempt_stops(source: MysqlBackend, unshared: Database) -> None:
    await erase_one(source, JO, grant(ALL, attempt=3))
    before = await unshared.rows()
    with pytest.raises(DsrError) as caught:
        await erase_one(source, ANN, grant(ALL, attempt=2))
    assert caught.value.reason == "ATTEMPT_SUPERSEDED"
    assert await unshared.rows() == before


async def test_two_attempts_that_race_erase_once(source: MysqlBackend, unshared: Database) -> None:
    located = (await locate(source, ANN))["ann"]
    twin = backend(unshared.dsn, declaration())
    before = await unshared.rows()
    results = await asyncio.gather(
        *(erase(s, [(ANN, located)], grant(ALL, attempt=a)) for s, a in ((source, 1), (twin, 2), (source, 2))),
        return_exceptions=True,
    )
    await twin.close()
    outcomes = [r["ann"].outcome for r in results if isinstance(r, dict)]
    assert outcomes.count(pb.Erased.OUTCOME_ERASED) == 1
    assert set(outcomes) <= {pb.Erased.OUTCOME_ERASED, pb.Erased.OUTCOME_REPLAYED}
    errors = [r for r in results if not isinstance(r, dict)]
    assert all(isinstance(error, DsrError) for error in errors), errors
    assert {e.reason for e in errors if isinstance(e, DsrError)} <= {"ATTEMPT_SUPERSEDED", "SOURCE_BUSY"}
    assert without(before, await unshared.rows()) == counts(located)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE notes SET body = 'new' WHERE tenant_id = 1 AND subject_id = '7' AND subject_type = 'Customer'",
        "INSERT INTO clicks (tenant_id, customer_id, page) VALUES (1, 7, 'new')",
        "DELETE FROM clicks WHERE tenant_id = 1 AND customer_id = 7 LIMIT 1",
        "UPDATE customers SET email = 'ann2@example.com' WHERE tenant_id = 1 AND id = 7",
        "UPDATE customers SET email = 'ANN@example.com' WHERE tenant_id = 1 AND id = 7",
        "UPDATE customers SET name = 'Ann ' WHERE tenant_id = 1 AND id = 7",
    ],
)
async def test_a_change_since_locate_leaves_that_person_alone_and_no_other(
    source: MysqlBackend, unshared: Database, change: str
) -> None:
    located = await locate(source, ANN, JO)
    await unshared.execute(change)
    before = await unshared.rows()
    erased = await erase(source, [(ANN, located["ann"]), (JO, located["jo"])], grant(ALL))
    assert erased["ann"].outcome == pb.Erased.OUTCOME_CHANGED
    assert erased["jo"].outcome == pb.Erased.OUTCOME_ERASED
    assert without(before, await unshared.rows()) == counts(located["jo"])


async def test_a_row_that_arrives_while_erase_waits_for_a_lock_is_not_lost(
    source: MysqlBackend, unshared: Database
) -> None:
    """The writer holds Ann's customer row, and commits a new order for her while Erase waits for it."""
    located = await locate(source, ANN)
    await unshared.execute("START TRANSACTION")
    await unshared.execute("UPDATE customers SET name = 'Anne' WHERE tenant_id = 1 AND id = 7")
    work = asyncio.create_task(erase(source, [(ANN, located["ann"])], grant(ALL)))
    await unshared.waited_for()
    await unshared.execute("UPDATE customers SET name = 'Ann' WHERE tenant_id = 1 AND id = 7")
    await unshared.execute("INSERT INTO orders VALUES (1, 799, '2026-01-01', 7, 1)")
    await unshared.execute("COMMIT")
    assert (await work)["ann"].outcome == pb.Erased.OUTCOME_CHANGED
    assert counts((await locate(source, ANN))["ann"])["orders"] == 11


async def test_locked_rows_are_source_busy_and_the_others_are_done(unshared: Database) -> None:
    source = backend(unshared.dsn, declaration() | {"lock_timeout": 1})
    located = await locate(source, ANN, JO)
    await unshared.execute("START TRANSACTION")
    await unshared.fetch("SELECT 1 FROM customers WHERE tenant_id = 1 AND id = 7 FOR UPDATE")
    request = pb.EraseRequest(
        subjects=[
            pb.EraseSubject(subject=ANN, expected=located["ann"].collections),
            pb.EraseSubject(subject=JO, expected=located["jo"].collections),
        ]
    )
    done: list[pb.Erased] = []

    async def run() -> None:
        async for message in source.erase(request, grant(ALL)):
            done.extend([message.erased] if message.HasField("erased") else [])

    with pytest.raises(DsrError) as caught:
        await run()
    await unshared.execute("ROLLBACK")
    assert caught.value.reason == "SOURCE_BUSY"
    assert caught.value.retry_after is not None
    assert [(e.subject_ref, e.outcome) for e in done] == [("jo", pb.Erased.OUTCOME_ERASED)]
    again = await erase(source, [(ANN, located["ann"]), (JO, located["jo"])], grant(ALL, attempt=2))
    await source.close()
    assert again["ann"].outcome == pb.Erased.OUTCOME_ERASED
    assert again["jo"].outcome == pb.Erased.OUTCOME_REPLAYED


async def test_a_connection_that_dies_midway_leaves_nothing_half_done(source: MysqlBackend, unshared: Database) -> None:
    """Killed at every statement in turn, before it and after it, until one run is not hit; then the retry completes."""
    located = (await locate(source, ANN))["ann"]
    before = await unshared.rows()
    customers = "SELECT count(*) FROM public.customers"
    at_first = await unshared.fetch(customers)
    original = MysqlSession._prepared
    kill_at, seen = 0, 0

    async def deadly(self: MysqlSession, *args: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            await unshared.execute(f"KILL CONNECTION {self._connection.thread_id()}")
        return await original(self, *args)

    erased, killed_after_commit = None, 0
    while erased is None:
        kill_at, seen = kill_at + 1, 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MysqlSession, "_prepared", deadly)
            work = erase(source, [(ANN, located)], grant(ALL, attempt=kill_at))
            (result,) = await asyncio.gather(work, return_exceptions=True)
        if isinstance(result, dict):
            erased = result["ann"]
            break
        assert isinstance(result, DsrError), result
        assert result.reason == "SOURCE_UNAVAILABLE", result
        # Half of it done would show in the end: the retry would find less than was located.
        if await unshared.fetch(customers) != at_first:  # the answer to COMMIT was lost: the retry has to know
            killed_after_commit += 1
    assert kill_at > 20
    assert erased.outcome == (pb.Erased.OUTCOME_REPLAYED if killed_after_commit else pb.Erased.OUTCOME_ERASED)
    assert {c.collection.removeprefix("public."): c.deleted for c in erased.collections} == counts(located)
    assert without(before, await unshared.rows()) == counts(located)


async def test_an_answer_that_is_lost_after_the_commit_is_replayed(source: MysqlBackend, unshared: Database) -> None:
    located = (await locate(source, ANN))["ann"]
    before = await unshared.rows()
    original = MysqlSession._prepared

    async def deaf(self: MysqlSession, sql: Any, values: Any) -> Any:
        result = await original(self, sql, values)
        if sql == "COMMIT" and "dsr_journal" in ran:
            raise ConnectionResetError
        ran.append("dsr_journal" if "`dsr_journal`.erasure" in sql and sql.startswith("INSERT") else "")
        return result

    ran: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MysqlSession, "_prepared", deaf)
        with pytest.raises(DsrError) as caught:
            await erase(source, [(ANN, located)], grant(ALL))
    assert caught.value.reason == "SOURCE_UNAVAILABLE"
    assert without(before, await unshared.rows()) == counts(located)
    again = await erase_one(source, ANN, grant(ALL, attempt=2))
    assert again.outcome == pb.Erased.OUTCOME_REPLAYED
    assert {c.collection.removeprefix("public."): c.deleted for c in again.collections} == counts(located)


async def test_caps_refuse_and_a_forgotten_cap_is_no_licence(source: MysqlBackend, unshared: Database) -> None:
    before = await unshared.rows()
    for cap in (0, 29):
        assert (await erase_one(source, ANN, grant(ALL, cap=cap))).outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
    small = backend(unshared.dsn, declaration() | {"max_records_per_subject": 50})
    assert (await erase_one(small, ANN, grant(ALL))).outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
    await small.close()
    assert await unshared.rows() == before
    assert (await erase_one(source, ANN, grant(ALL, cap=30))).outcome == pb.Erased.OUTCOME_ERASED


async def test_retained_rows_hold_what_they_refer_to(source: MysqlBackend, unshared: Database) -> None:
    before = await unshared.rows()
    erased = await erase_one(source, ANN, grant(ALL | {"orders": RETAIN}))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [(f.code, f.collection) for f in erased.findings] == [("RETAINED_REFERENCES_DELETED", "public.customers")]
    assert await unshared.rows() == before


async def test_anonymised_parent_keeps_retained_children(source: MysqlBackend, unshared: Database) -> None:
    customers = {"email": "gone@invalid", "customer_number": "gone", "card": None, "name": None, "phone": None}
    plan = ALL | {"orders": RETAIN, "order_items": RETAIN, "customers": customers | {"default_address": None}}
    left = await anchors(source, ANN)
    erased = await erase_one(source, ANN, grant(plan))
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    outcome = {c.collection: c for c in erased.collections}
    assert outcome["public.customers"].anonymised == 1
    assert outcome["public.orders"].retained == 10
    (person,) = await unshared.fetch(
        "SELECT email, card, name, name_length, initial FROM customers WHERE tenant_id = 1 AND id = 7"
    )
    assert person == ("gone@invalid", None, None, None, None)
    verified = await verify(source, ANN, left, plan | {"invoices": RETAIN, "visits": RETAIN})
    assert verified["customers"] == (1, 0, [])
    assert verified["orders"] == (10, 0, [])
    assert all(unexplained == 0 for _, unexplained, _ in verified.values())


async def test_shared_records_are_anonymised_but_never_deleted(source: MysqlBackend, shop: Database) -> None:
    erased = await erase_one(source, ANN, grant(ALL))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [f.code for f in erased.findings] == ["SHARED_RECORDS"]
    await shop.execute("INSERT INTO customers (tenant_id, id, email, customer_number) VALUES (1, 0, 'ghost', 'ghost')")
    plan = ALL | {"messages": {"body": "(erased)", "sender_id": 0, "recipient_id": None}}
    erased = await erase_one(source, ANN, grant(plan))
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    bodies = await shop.fetch("SELECT body FROM messages WHERE tenant_id = 1 AND id IN (1000007, 1000008)")
    assert [body for (body,) in bodies] == ["(erased)", "(erased)"]


async def test_rows_outside_the_plan_block_before_any_delete(source: MysqlBackend, unshared: Database) -> None:
    await unshared.execute("UPDATE customers SET referred_by = 7 WHERE tenant_id = 1 AND id = 8")
    before = await unshared.rows()
    erased = await erase_one(source, ANN, grant(ALL))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [f.code for f in erased.findings] == ["REFERENCED_OUTSIDE_PLAN"]
    assert await unshared.rows() == before


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL"])
async def test_a_cascade_into_another_partners_slice_is_refused(unshared: Database, rule: str) -> None:
    """Rows of tenant 2 hang on a row of tenant 1, without a tenant's column in the key: a scope stops no cascade."""
    unshared.script(f"""
        CREATE TABLE files (id int PRIMARY KEY, tenant_id int, customer_number varchar(40));
        CREATE TABLE links (
          id int PRIMARY KEY, file_id int, tenant_id int,
          CONSTRAINT links_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE {rule}
        );
        INSERT INTO files VALUES (1, 1, '7');
        INSERT INTO links VALUES (1, 1, 1), (2, 1, 2);
    """)
    options = declaration()
    options["collections"]["public.files"] = {"identity": {"customer_number": {"type": "customer_number"}}}
    options["collections"]["public.links"] = {"references": {"links_file": "OWNED"}}
    source = backend(unshared.dsn, options)
    who = subject(customer_number="7")
    before = await unshared.rows()
    located = (await locate(source, who))["s0"]
    assert counts(located)["links"] == 1
    assert {f.code for f in located.findings} == {"CASCADE_OUTSIDE_PLAN"}
    plan = ALL | {"files": DELETE, "links": DELETE, "invoices": RETAIN, "visits": RETAIN}
    erased = (await erase(source, [(who, located)], grant(plan)))["s0"]
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert await unshared.rows() == before


async def test_collections_that_are_not_named_stay(source: MysqlBackend, shop: Database) -> None:
    before = await shop.rows()
    erased = await erase_one(source, ANN, grant({"clicks": DELETE}))
    assert [(c.collection, c.deleted) for c in erased.collections] == [("public.clicks", 4)]
    assert without(before, await shop.rows()) == {"clicks": 4}


@pytest.mark.parametrize(
    ("plan", "path"),
    [
        ({"nowhere": DELETE}, "grant.instructions[0].collection"),
        ({"notes": {}}, "grant.instructions[0].anonymise"),
        ({"customers": {"name_length": None}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"initial": None}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"id": 9}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"tenant_id": 2}}, "grant.instructions[0].anonymise[0].field"),
        ({"customers": {"email": None}}, "grant.instructions[0].anonymise[0].field"),
    ],
)
async def test_instructions_that_can_not_be_meant_are_refused(
    source: MysqlBackend, shop: Database, plan: dict[str, Any], path: str
) -> None:
    before = await shop.rows()
    with pytest.raises(DsrError) as caught:
        await erase_one(source, ANN, grant(plan))
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata["field"] == path
    assert await shop.rows() == before
