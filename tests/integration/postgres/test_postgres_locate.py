"""Locate: exactly the person's rows, whatever the shape of the schema, and nobody else's."""

from typing import Any

import asyncpg
import pytest
from dsr.connector.v1 import connector_pb2 as pb

from connectors.postgres import PostgresBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import (
    DELETE,
    anchors,
    backend,
    counts,
    declaration,
    erase,
    export,
    grant,
    locate,
    rows,
    subject,
    verify,
)

ANN = {
    "addresses": 2,
    "clicks": 4,
    "comments": 30,
    "customers": 1,
    "messages": 2,
    "notes": 11,
    "order_items": 30,
    "orders": 10,
}


async def test_every_shape_is_followed_and_only_in_the_slice(source: PostgresBackend) -> None:
    located = (await locate(source, subject(email="ann@example.com")))["s0"]
    assert counts(located) == ANN
    assert [p.person for p in located.people] == ["[1, 7]"]
    assert not located.findings


async def test_further_identities_say_where_they_stand_and_whether_they_may_be_followed(
    source: PostgresBackend,
) -> None:
    located = (await locate(source, subject(email="ann@example.com")))["s0"]
    assert [(i.identity.type, i.identity.value, i.unique, i.person) for i in located.identities] == [
        ("email", "ann@example.com", True, "[1, 7]"),
        ("customer_number", "7", True, "[1, 7]"),
        ("phone", "+44 20 7946 0958", False, "[1, 7]"),
    ]


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ({"email": "ann@example.com"}, ["[1, 7]"]),
        ({"email": "ANN@example.com"}, ["[1, 77]"]),
        ({"email": "Ann@example.com"}, []),
        ({"email": "joann@example.com"}, ["[1, 70]"]),
        ({"email": "ann@example.co"}, []),
        ({"email": "%"}, []),
        ({"email": "ann@example.com\0"}, []),
        ({"email": "' OR '1'='1"}, []),
        ({"email": ""}, []),
        ({"customer_number": "7"}, ["[1, 7]"]),
        ({"customer_number": "007"}, ["[1, 77]"]),
        ({"customer_number": "7 "}, ["[1, 700]"]),
        ({"customer_number": "70"}, ["[1, 70]"]),
        ({"loyalty_card": "7"}, []),
        ({"phone": "+442079460958"}, ["[1, 77]", "[1, 7]"]),
        ({"phone": "020 7946 0959"}, ["[1, 70]"]),
        ({"phone": "0958"}, []),
        ({"phone": "not a number"}, []),
    ],
)
async def test_near_identical_identifiers_are_different_people(
    source: PostgresBackend, name: dict[str, str], people: list[str]
) -> None:
    located = (await locate(source, subject(**name)))["s0"]
    assert sorted(p.person for p in located.people) == sorted(people)


async def test_a_thousand_subjects_in_one_call_are_each_their_own(source: PostgresBackend) -> None:
    names = ["ann@example.com", "bob@example.com", "joann@example.com", "nobody@example.com"]
    subjects = [subject(f"s{n}", email=names[n % 4]) for n in range(1000)]
    located = await locate(source, *subjects)
    alone = {name: (await locate(source, subject(email=name)))["s0"] for name in names}
    assert len(located) == 1000
    for n in range(1000):
        expected = alone[names[n % 4]]
        assert located[f"s{n}"].collections == expected.collections
        assert located[f"s{n}"].identities == expected.identities


async def test_a_bulk_locate_runs_as_many_statements_as_a_single_one(source: PostgresBackend) -> None:
    await locate(source, subject(email="ann@example.com"))
    ran: list[str] = []
    original = asyncpg.Connection._execute  # type: ignore[attr-defined]

    async def spy(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        ran.append(query)
        return await original(self, query, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_execute", spy)
        await locate(source, subject(email="ann@example.com"))
        single, ran[:] = len(ran), []
        await locate(source, *(subject(f"s{n}", email="ann@example.com") for n in range(500)))
    assert len(ran) == single


async def test_the_fingerprint_is_equal_as_long_as_the_set_is(
    source: PostgresBackend, connection: asyncpg.Connection
) -> None:
    async def prints() -> dict[str, bytes]:
        located = (await locate(source, subject(email="ann@example.com")))["s0"]
        return {c.collection: c.fingerprint for c in located.collections}

    first = await prints()
    assert await prints() == first
    assert all(len(value) == 32 for value in first.values())
    await connection.execute("UPDATE notes SET body = body WHERE subject_id = '7'")
    second = await prints()
    assert {name for name in first if first[name] != second[name]} == {"public.notes"}
    await connection.execute("UPDATE customers SET name = 'Bob' WHERE email = 'bob@example.com'")
    assert await prints() == second


async def test_a_choice_of_person_leaves_the_others_out(source: PostgresBackend) -> None:
    both = subject(phone="+442079460958")
    assert counts((await locate(source, both))["s0"])["customers"] == 2
    both.people.add(collection="public.customers", people=["[1,7]"])
    located = (await locate(source, both))["s0"]
    assert [p.person for p in located.people] == ["[1, 7]"]
    assert counts(located) == ANN
    assert {i.identity.value for i in located.identities} == {"ann@example.com", "7", "+44 20 7946 0958"}


async def test_a_choice_of_nobody_leaves_everybody_out(source: PostgresBackend) -> None:
    nobody = subject(email="ann@example.com")
    nobody.people.add(collection="public.customers")
    located = (await locate(source, nobody))["s0"]
    assert counts(located) == {}


@pytest.mark.parametrize(("collection", "people"), [("public.orders", []), ("public.customers", ["7"])])
async def test_a_choice_that_can_not_be_one_is_refused(
    source: PostgresBackend, collection: str, people: list[str]
) -> None:
    chosen = subject(email="ann@example.com")
    chosen.people.add(collection=collection, people=people)
    with pytest.raises(DsrError) as caught:
        await locate(source, chosen)
    assert caught.value.reason == "FIELD_INVALID"


async def test_anchors_are_unique_identities_and_keys_that_others_point_at(source: PostgresBackend) -> None:
    found = await anchors(source, subject(email="ann@example.com"))
    places = {(a.collection, tuple(a.fields)): list(a.values) for a in found}
    assert places["public.customers", ("email",)] == ['["ann@example.com"]']
    assert places["public.customers", ("tenant_id", "id")] == ["[1, 7]"]
    assert len(places["public.orders", ("tenant_id", "id", "placed")]) == 10
    assert ("public.customers", ("phone",)) not in places
    assert not any(collection == "public.order_items" for collection, _ in places)


async def test_rows_outside_the_plan_that_refer_to_the_person_are_findings(
    shop: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE customers SET referred_by = 7 WHERE tenant_id = 1 AND id = 8")
    await connection.execute("CREATE SCHEMA elsewhere")
    await connection.execute(
        "CREATE TABLE elsewhere.badges (tenant_id integer, customer_id bigint,"
        " FOREIGN KEY (tenant_id, customer_id) REFERENCES public.customers ON DELETE CASCADE)"
    )
    await connection.execute("INSERT INTO elsewhere.badges VALUES (1, 7)")
    narrowed = backend(shop, declaration() | {"schemas": ["public"]})
    located = await locate(narrowed, subject("ann", email="ann@example.com"), subject("bob", email="bob@example.com"))
    await narrowed.close()
    assert {f.code for f in located["ann"].findings} == {"REFERENCED_OUTSIDE_PLAN", "CASCADE_OUTSIDE_PLAN"}
    assert all(f.blocks_erasure and f.collection == "public.customers" for f in located["ann"].findings)
    assert not located["bob"].findings


async def test_shared_rows_are_found_but_name_nobody(shop: str, connection: asyncpg.Connection) -> None:
    """Bob's message to Ann is hers to see; what it says of Bob is no name of hers."""
    await connection.execute(
        "ALTER TABLE messages ADD written_by text;"
        "UPDATE messages m SET written_by = c.email FROM customers c"
        " WHERE c.tenant_id = m.tenant_id AND c.id = sender_id"
    )
    options = declaration()
    options["collections"]["public.messages"]["identity"] = {"written_by": {"type": "email", "unique": True}}
    source = backend(shop, options)
    located = (await locate(source, subject(email="ann@example.com")))["s0"]
    left = await anchors(source, subject(email="ann@example.com"))
    await source.close()
    assert counts(located)["messages"] == 2
    assert {i.identity.value for i in located.identities if i.identity.type == "email"} == {"ann@example.com"}
    assert "bob@example.com" not in "".join(value for anchor in left for value in anchor.values)


async def test_locate_changes_nothing(source: PostgresBackend, connection: asyncpg.Connection) -> None:
    before = await rows(connection)
    await locate(source, subject(email="ann@example.com"), anchors=True)
    assert await rows(connection) == before
    schemas = await connection.fetch("SELECT nspname FROM pg_namespace WHERE nspname = 'dsr_journal'")
    assert schemas == []


async def test_the_cost_grows_with_the_person_and_not_with_the_database(database: str) -> None:
    """No large table is read as a whole, although the key tables are new and nobody counted their rows."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE TABLE people (id integer PRIMARY KEY, email text UNIQUE, login varchar(20), phone text);"
        "CREATE TABLE things (id integer PRIMARY KEY, person integer NOT NULL REFERENCES people);"
        "CREATE TABLE parts (id integer PRIMARY KEY, thing integer NOT NULL REFERENCES things, text text);"
        "INSERT INTO people SELECT n, n || '@example.com', 'U' || n, '020 79' || n + 400000"
        " FROM generate_series(1, 20000) AS n;"
        "CREATE INDEX ON people (lower(login::text));"
        "CREATE INDEX ON people"
        " (right(regexp_replace(regexp_replace(phone, '[xX#;,].*$', ''), '[^0-9]', '', 'g'), 5));"
        "INSERT INTO things SELECT n, 1 + n % 20000 FROM generate_series(1, 40000) AS n;"
        "INSERT INTO parts SELECT n, 1 + n % 40000 FROM generate_series(1, 80000) AS n;"
        "CREATE INDEX ON things (person); CREATE INDEX ON parts (thing); ANALYZE"
    )
    await connection.close()  # a session reports its statistics when it ends
    connection = await asyncpg.connect(database)
    collections = {
        "public.people": {
            "people": True,
            "identity": {
                "email": {"type": "email", "unique": True},
                "login": {"type": "username", "match": "case_fold"},
                "phone": {"type": "phone", "match": "e164", "region": "GB"},
            },
        },
        "public.things": {"references": {"things_person_fkey": "OWNED"}},
        "public.parts": {"references": {"parts_thing_fkey": "OWNED"}},
    }
    source = backend(database, {"collections": collections})
    people = [subject(f"s{n}", email=f"{n}@example.com") for n in range(1, 21)]
    plan = {"people": DELETE, "things": DELETE, "parts": DELETE}

    async def scans() -> int:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        return int(
            await connection.fetchval("SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE schemaname = 'public'")
        )

    assert not (await source.describe()).findings
    before = await scans()
    located = await locate(source, *people)
    for other in ({"username": "u77"}, {"phone": "+442079400077"}):
        assert counts((await locate(source, subject(**other)))["s0"]) == {"parts": 4, "people": 1, "things": 2}
    left = await anchors(source, people[0])
    await export(source, people[0], grant(plan))
    erased = await erase(source, [(who, located[who.subject_ref]) for who in people], grant(plan))
    await verify(source, people[0], left, plan)
    await source.close()
    assert {e.outcome for e in erased.values()} == {pb.Erased.OUTCOME_ERASED}
    assert sum(c.deleted for e in erased.values() for c in e.collections) == 20 * 7
    assert await scans() == before
    await connection.close()


async def test_a_table_without_the_scope_column_is_scoped_by_what_it_refers_to(
    shop: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE TABLE parcels (id integer PRIMARY KEY, owner integer, customer bigint, receiver text,"
        " FOREIGN KEY (owner, customer) REFERENCES customers);"
        "INSERT INTO parcels VALUES (1, 1, 7, 'ann@example.com'), (2, 2, 7, 'ann@example.com'),"
        " (3, 1, 8, 'ann@example.com'), (4, NULL, NULL, 'ann@example.com')"
    )
    options = declaration()
    options["collections"]["public.parcels"] = {
        "identity": {"receiver": {"type": "email"}},
        "references": {"parcels_owner_customer_fkey": "LOOKUP"},
        "scope_via": "parcels_owner_customer_fkey",
    }
    source = backend(shop, options)
    copied = await export(source, subject(email="ann@example.com"), grant({"parcels": DELETE}))
    await source.close()
    assert sorted(record["id"] for record in copied["parcels"]) == [1, 3]


async def test_a_reference_that_holds_for_some_rows_scopes_no_others(shop: str, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "CREATE TABLE marks (id int PRIMARY KEY, kind text, about bigint, receiver text);"
        "INSERT INTO marks SELECT n, k, min(c.id), 'ann@example.com' FROM comments c,"
        " (VALUES (1, 'Comment'), (2, 'Message')) AS m (n, k) WHERE c.tenant_id = 1 GROUP BY n, k"
    )
    options, about = declaration(), {"columns": ["about"], "target": "public.comments", "target_columns": ["id"]}
    options["collections"]["public.marks"] = {
        "identity": {"receiver": {"type": "email"}},
        "references": {"comment": {**about, "ownership": "LOOKUP", "when": {"kind": "Comment"}}},
        "scope_via": "comment",
    }
    source = backend(shop, options)
    copied = await export(source, subject(email="ann@example.com"), grant({"marks": DELETE}))
    await source.close()
    assert [record["id"] for record in copied["marks"]] == [1]


async def test_a_schema_that_changes_is_followed_on_open_connections(shop: str, connection: asyncpg.Connection) -> None:
    source = backend(shop, declaration() | {"catalogue_max_age": 0.001, "pool_size": 1})
    who = subject(email="ann@example.com")
    assert counts((await locate(source, who))["s0"]) == ANN
    await connection.execute("ALTER TABLE clicks ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
    assert counts((await locate(source, who))["s0"]) == ANN
    await source.close()
