"""Amend on a real PostgreSQL: what is set is what was asked, once; whatever can't be is left as it was."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, FieldValue, Grant

from connectors.postgres import PostgresBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import SOURCE, backend, blocked, declaration, locate, rows, subject

ANN = subject("ann", email="ann@example.com")
OPTIONS: dict[str, Any] = declaration()
OPTIONS["collections"]["public.customers"] |= {
    "amendable": ["name", "mood"],
    "flags": {"restriction": {"column": "restricted"}, "newsletter": {"column": "mails", "set": "no", "clear": "yes"}},
}
OPTIONS["collections"]["public.messages"] |= {"amendable": ["body"]}
OPTIONS["collections"]["public.comments"] |= {"amendable": ["body"]}
FLAGS = "ALTER TABLE customers ADD restricted boolean NOT NULL DEFAULT false, ADD mails varchar(3) DEFAULT 'yes'"
OPTIONS["collections"]["public.addresses"] |= {"amendable": ["postcode"]}
OPTIONS["collections"]["public.orders"] |= {"amendable": ["total"]}


@pytest.fixture
async def source(shop: str, connection: asyncpg.Connection) -> AsyncIterator[PostgresBackend]:
    await connection.execute(FLAGS)
    opened = backend(shop, OPTIONS)
    yield opened
    await opened.close()


def put(collection: str, cap: int = 1_000, **fields: str | None) -> Amendment:
    return Amendment(collection=f"public.{collection}", fields=[value(f, v) for f, v in fields.items()], cap=cap)


def value(field: str, text: str | None, current: str | None = None) -> FieldValue:
    return FieldValue(field=field, value=text, current_value=current)


def grant(*amendments: Amendment, task: str = "amend-1", attempt: int = 1) -> Grant:
    return Grant(
        source=SOURCE,
        operation=Grant.OPERATION_AMEND,
        task=task,
        attempt=attempt,
        plan_digest="d",
        approver="somebody",
        amendments=amendments,
    )


async def amend(
    source: PostgresBackend,
    permission: Grant,
    who: pb.Subject = ANN,
    located: pb.Located | None = None,
    *,
    preview: bool = False,
) -> pb.Amended:
    found = located or (await locate(source, who))[who.subject_ref]
    request = pb.AmendRequest(subject=who, expected=found.collections, preview=preview)
    (answer,) = [m.amended async for m in source.amend(request, permission) if m.HasField("amended")]
    return answer


def told(amended: pb.Amended) -> dict[str, tuple[int, int]]:
    return {c.collection.removeprefix("public."): (c.amended, c.unchanged) for c in amended.collections}


@pytest.mark.policy("P11", "a rectification sets the fields of one person in one transaction (Art. 16)")
async def test_one_person_is_put_right_and_no_other_row_changes(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    before = await rows(connection)
    permission = grant(put("customers", name="Ann O'Neil", mood="sad"), put("addresses", postcode="AB1 2CD"))
    preview = await amend(source, permission, preview=True)
    assert preview.outcome == pb.Amended.OUTCOME_PREVIEWED
    assert await rows(connection) == before
    amended = await amend(source, permission)
    assert amended.outcome == pb.Amended.OUTCOME_AMENDED
    assert told(amended) == told(preview)
    assert told(amended)["customers"] == (1, 0)
    after = await rows(connection)
    changed = {name: set(after[name]) ^ set(before[name]) for name in before if after[name] != before[name]}
    assert {name: len(found) for name, found in changed.items()} == {
        "public.customers": 2,
        "public.addresses": 2 * told(amended)["addresses"][0],
    }
    (row,) = await connection.fetch("SELECT name, mood FROM customers WHERE tenant_id = 1 AND id = 7")
    assert tuple(row) == ("Ann O'Neil", "sad")


async def test_a_retry_replays_the_journal_and_sets_nothing_twice(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    located = (await locate(source, ANN))["ann"]
    first = await amend(source, grant(put("customers", name="Anna")), located=located)
    await connection.execute("UPDATE customers SET name = 'later' WHERE tenant_id = 1 AND id = 7")
    for attempt in (1, 2, 2):
        again = await amend(source, grant(put("customers", name="Anna"), attempt=attempt), located=located)
        assert again.outcome == pb.Amended.OUTCOME_REPLAYED
        assert again.collections == first.collections
    with pytest.raises(DsrError) as caught:
        await amend(source, grant(put("customers", name="Anna"), attempt=1))
    assert caught.value.reason == "ATTEMPT_SUPERSEDED"
    assert await connection.fetchval("SELECT name FROM customers WHERE tenant_id = 1 AND id = 7") == "later"


async def test_two_attempts_that_race_amend_once(
    shop: str, source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE TABLE seen (name text);"
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.seen VALUES (new.name); RETURN new; END$$;"
        "CREATE TRIGGER see AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION see()"
    )
    options = {**OPTIONS, "collections": {**OPTIONS["collections"], "public.seen": {"no_personal_data": True}}}
    options["collections"]["public.customers"] = {**OPTIONS["collections"]["public.customers"], "acknowledged": ["see"]}
    sources = [backend(shop, options) for _ in range(2)]
    located = (await locate(source, ANN))["ann"]
    results = await asyncio.gather(
        *(
            amend(s, grant(put("customers", name="Anna"), attempt=a), located=located)
            for s, a in ((sources[0], 1), (sources[1], 2), (sources[0], 2))
        ),
        return_exceptions=True,
    )
    for opened in sources:
        await opened.close()
    outcomes = [r.outcome for r in results if isinstance(r, pb.Amended)]
    assert outcomes.count(pb.Amended.OUTCOME_AMENDED) == 1
    assert set(outcomes) <= {pb.Amended.OUTCOME_AMENDED, pb.Amended.OUTCOME_REPLAYED}
    assert {r.reason for r in results if isinstance(r, DsrError)} <= {"ATTEMPT_SUPERSEDED", "SOURCE_BUSY"}
    assert await connection.fetchval("SELECT count(*) FROM seen") == 1


async def test_a_change_since_locate_is_seen_even_while_waiting_for_the_lock(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    located = (await locate(source, ANN))["ann"]
    other = connection.transaction()
    await other.start()
    await connection.execute("UPDATE customers SET phone = NULL WHERE tenant_id = 1 AND id = 7")
    work = asyncio.create_task(amend(source, grant(put("customers", name="Anna")), located=located))
    await blocked(connection)
    await other.commit()
    assert (await work).outcome == pb.Amended.OUTCOME_CHANGED
    nobody = subject("nobody", email="nobody@example.com")
    assert (await amend(source, grant(put("customers", name="x")), nobody, located)).outcome == (
        pb.Amended.OUTCOME_CHANGED
    )
    absent = await amend(source, grant(put("customers", name="x")), nobody)
    assert (absent.outcome, told(absent)) == (pb.Amended.OUTCOME_AMENDED, {"customers": (0, 0)})


async def test_caps_count_the_records_in_which_something_is_set(
    shop: str, source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE comments SET body = 'right' WHERE id = 1000701")
    before = await rows(connection)
    for cap in (0, 28):
        refused = await amend(source, grant(put("comments", cap, body="right")))
        assert (refused.outcome, list(refused.collections)) == (pb.Amended.OUTCOME_CAP_EXCEEDED, [])
    small = backend(shop, OPTIONS | {"max_records_per_subject": 28})
    assert (await amend(small, grant(put("comments", body="right")))).outcome == pb.Amended.OUTCOME_CAP_EXCEEDED
    await small.close()
    assert await rows(connection) == before
    assert told(await amend(source, grant(put("comments", 29, body="right")))) == {"comments": (29, 1)}


async def test_only_records_with_the_wrong_value_are_put_right(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    changes = Amendment(collection="public.orders", fields=[value("total", "99.5", current="3")], cap=1)
    amended = await amend(source, grant(changes))
    assert told(amended) == {"orders": (1, 9)}
    totals = await connection.fetch("SELECT total FROM orders WHERE tenant_id = 1 AND customer_id = 7 ORDER BY id")
    assert [str(row[0]) for row in totals[:3]] == ["1.50", "99.50", "4.50"]
    assert told(await amend(source, grant(changes, task="again"))) == {"orders": (0, 10)}


UNFIT = [
    (put("customers", mood="elated"), "mood"),
    (put("customers", mood=""), "mood"),
    (put("customers", name="a\0b"), "name"),
    (put("addresses", postcode="X"), "postcode"),
    (put("addresses", postcode="far too long for one"), "postcode"),
    (put("orders", total="1.234"), "total"),
    (put("orders", total="12345678901.00"), "total"),
    (put("orders", total="dear"), "total"),
    (put("orders", total=""), "total"),
    (Amendment(collection="public.orders", fields=[value("total", "1", current="dear")]), "total"),
]
"""And the field that the error must name."""
FORBIDDEN = [
    (put("customers", email="new@example.com"), "email"),
    (put("customers", name_length="3"), "name_length"),
    (put("customers", tenant_id="2"), "tenant_id"),
    (put("orders", customer_id="8"), "customer_id"),
    (put("customers", absent="x"), "absent"),
    (Amendment(collection="public.customers", set_flags=["marketing"]), "marketing"),
    (Amendment(collection="public.orders", clear_flags=["restriction"]), "restriction"),
]


@pytest.mark.policy(
    "P11", "a value that its field can't hold is refused by name before anything is set, and never told"
)
async def test_what_can_not_be_set_is_refused_by_name_before_anything_is(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    located, before = (await locate(source, ANN))["ann"], await rows(connection)
    for reason, cases in (("VALUE_UNFIT", UNFIT), ("FIELD_NOT_AMENDABLE", FORBIDDEN)):
        for amendment, field in cases:
            for preview in (True, False):
                both = grant(put("comments", body="fits"), amendment)
                with pytest.raises(DsrError) as caught:
                    await amend(source, both, located=located, preview=preview)
                assert caught.value.reason == reason, field
                assert caught.value.metadata == {"collection": amendment.collection, "field": field}
                assert "elated" not in str(caught.value)
    assert await rows(connection) == before
    assert await connection.fetchval("SELECT to_regclass('dsr_journal.erasure') IS NULL") or not (
        await connection.fetchval("SELECT count(*) FROM dsr_journal.erasure")
    )


@pytest.mark.policy("P11", "a restriction and an objection are marked in the records themselves (Art. 18, 21)")
async def test_flags_are_set_and_cleared(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    described = await source.describe()
    customers = next(c for c in described.collections if c.name == "public.customers")
    assert pb.CAPABILITY_AMEND in described.capabilities
    assert {f.name for f in customers.fields if f.amendable} == {"name", "mood"}
    assert {(f.name, f.field, f.set_value, f.clear_value) for f in customers.flags} == {
        ("restriction", "restricted", "true", "false"),
        ("newsletter", "mails", '"no"', '"yes"'),
    }
    names = ["restriction", "newsletter"]
    await amend(source, grant(Amendment(collection="public.customers", set_flags=names, cap=1)))
    query = "SELECT id, restricted, mails FROM customers WHERE restricted OR mails = 'no'"
    assert [tuple(row) for row in await connection.fetch(query)] == [(7, True, "no")]
    await amend(source, grant(Amendment(collection="public.customers", clear_flags=names, cap=1), task="lift"))
    assert await connection.fetch(query) == []


async def test_shared_records_and_unknown_triggers_block(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    before = await rows(connection)
    for preview in (True, False):
        blocked_ = await amend(source, grant(put("messages", body="x")), preview=preview)
        assert (blocked_.outcome, [f.code for f in blocked_.findings]) == (
            pb.Amended.OUTCOME_BLOCKED,
            ["SHARED_RECORDS"],
        )
    await connection.execute(
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN new.name := old.name; RETURN new; END$$;"
        "CREATE TRIGGER undo BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION undo()"
    )
    found = await amend(source, grant(put("customers", name="Anna")))
    assert [f.code for f in found.findings] == ["TRIGGER"]
    assert await rows(connection) == before


async def test_a_trigger_or_constraint_that_undoes_or_refuses_rolls_everything_back(
    shop: str, source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    """What was set is read back before it is committed."""
    await connection.execute(
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF new.name = 'Quiet' THEN new.name := old.name; END IF; RETURN new; END$$;"
        "CREATE TRIGGER undo BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION undo();"
        "ALTER TABLE customers ADD CONSTRAINT polite CHECK (name <> 'Rude')"
    )
    customers = {**OPTIONS["collections"]["public.customers"], "acknowledged": ["undo"]}
    known = backend(shop, {**OPTIONS, "collections": {**OPTIONS["collections"], "public.customers": customers}})
    before = await rows(connection)
    for name, reason in (("Quiet", "SOURCE_INCONSISTENT"), ("Rude", "SOURCE_REJECTED")):
        with pytest.raises(DsrError) as caught:
            await amend(known, grant(put("comments", body="x"), put("customers", name=name), task=name))
        assert caught.value.reason == reason
        assert name not in caught.value.message
    assert await rows(connection) == before
    assert (await amend(known, grant(put("customers", name="Fine")))).outcome == pb.Amended.OUTCOME_AMENDED
    await known.close()


DECLARED: list[tuple[dict[str, dict[str, Any]], str]] = [
    ({"public.customers": {"amendable": ["email"]}}, "amendable.email"),
    ({"public.customers": {"amendable": ["id"]}}, "amendable.id"),
    ({"public.customers": {"amendable": ["tenant_id"]}}, "amendable.tenant_id"),
    ({"public.customers": {"amendable": ["name_length"]}}, "amendable.name_length"),
    ({"public.customers": {"amendable": ["country"]}}, "amendable.country"),
    ({"public.customers": {"amendable": ["none"]}}, "amendable"),
    ({"public.customers": {"flags": {"restriction": {"column": "phone", "set": "x", "clear": "y"}}}}, "flags"),
    ({"public.customers": {"flags": {"restriction": {"column": "name", "set": "x", "clear": "x"}}}}, "flags"),
    ({"public.customers": {"flags": {"restriction": {"column": "none"}}}}, "flags"),
    ({"public.notes": {"amendable": ["subject_type"]}}, "amendable.subject_type"),
    ({"public.clicks": {"amendable": ["page"]}}, "amendable.page"),
]


async def test_a_declaration_that_can_not_be_meant_is_refused_by_path(shop: str) -> None:
    for wrong, path in DECLARED:
        options = declaration()
        for name, more in wrong.items():
            options["collections"][name] |= more
        source = backend(shop, options)
        with pytest.raises(DsrError) as caught:
            await source.describe()
        await source.close()
        assert caught.value.reason == "SOURCE_REJECTED"
        assert path in caught.value.metadata["why"]
