"""Locate: exactly the person's rows. A server that takes 7 for '7x', and ANN for `ann `, decides nothing."""

from typing import Any

import pytest

from connectors.mysql import MysqlBackend
from tests.integration.postgres.harness import counts, export, grant, locate, subject
from tests.servers.mysql.harness import Database, backend

ANN = {
    "addresses": 2,
    "clicks": 4,
    "comments": 30,
    "customers": 1,
    "invoices": 1,
    "messages": 2,
    "notes": 11,
    "order_items": 30,
    "orders": 10,
    "visits": 2,
}


async def test_every_shape_is_followed_and_only_in_the_slice(source: MysqlBackend) -> None:
    located = (await locate(source, subject(email="ann@example.com", customer_number="7")))["s0"]
    assert counts(located) == ANN
    assert [p.person for p in located.people] == ["[1, 7]"]
    assert not located.findings


async def test_further_identities_say_where_they_stand_and_whether_they_may_be_followed(source: MysqlBackend) -> None:
    located = (await locate(source, subject(email="ann@example.com")))["s0"]
    assert [(i.identity.type, i.identity.value, i.unique, i.person) for i in located.identities] == [
        ("email", "ann@example.com", True, "[1, 7]"),
        ("customer_number", "7", True, "[1, 7]"),
        ("card", "7", True, "[1, 7]"),
        ("phone", "+44 20 7946 0958", False, "[1, 7]"),
    ]


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ({"email": "ann@example.com"}, ["[1, 7]"]),
        ({"email": "ANN@example.com"}, ["[1, 77]"]),
        ({"email": "ann@example.com "}, ["[1, 701]"]),
        ({"email": "ann@example.com  "}, []),
        ({"email": "Ann@example.com"}, []),
        ({"email": "änn@example.com"}, ["[1, 702]"]),
        ({"email": "joann@example.com"}, ["[1, 70]"]),
        ({"email": "ann@example.com.au"}, ["[1, 700]"]),
        ({"email": "ann@example.co_"}, []),
        ({"email": "%"}, []),
        ({"email": "ann@example.com\0"}, []),
        ({"email": "' OR '1'='1"}, []),
        ({"email": "\\"}, []),
        ({"customer_number": "7"}, ["[1, 7]"]),
        ({"customer_number": "007"}, ["[1, 77]"]),
        ({"customer_number": "7 "}, ["[1, 700]"]),
        ({"customer_number": "7x"}, ["[1, 701]"]),
        ({"customer_number": "7.0"}, ["[1, 702]"]),
        ({"customer_number": "70"}, ["[1, 70]"]),
        ({"customer_number": "7e0"}, []),
        ({"card": "7"}, ["[1, 7]"]),
        ({"card": "007"}, []),
        ({"card": "7 "}, []),
        ({"card": "7.0"}, []),
        ({"card": "7x"}, []),
        ({"card": "+7"}, []),
        ({"card": "70"}, ["[1, 70]"]),
        ({"card": "18446744073709551615"}, ["[1, 700]"]),
        ({"card": "18446744073709551616"}, []),
        ({"card": "18446744073709551614"}, []),
        ({"card": "-1"}, []),
        ({"card": "1e1"}, []),
        ({"loyalty_card": "7"}, []),
        ({"phone": "+442079460958"}, ["[1, 77]", "[1, 7]"]),
        ({"phone": "020 7946 0959"}, ["[1, 70]"]),
        ({"phone": "0958"}, []),
    ],
)
async def test_near_identical_identifiers_are_different_people(
    source: MysqlBackend, name: dict[str, str], people: list[str]
) -> None:
    located = (await locate(source, subject(**name)))["s0"]
    assert sorted(p.person for p in located.people) == sorted(people)
    owners = {record["id"] for record in (await _copied(source, subject(**name)))["customers"]}
    assert {f"[1, {owner}]" for owner in owners} == set(people)


async def _copied(source: MysqlBackend, who: Any) -> dict[str, list[dict[str, Any]]]:
    return {"customers": [], **await export(source, who, grant({"customers": 0}))}


@pytest.mark.parametrize(
    "collation",
    [
        "utf8mb4_general_ci",
        "utf8mb4_unicode_ci",
        "utf8mb4_uca1400_ai_ci",
        "utf8mb4_uca1400_as_cs",
        "utf8mb4_nopad_bin",
        "utf8mb4_bin",
        "latin1_swedish_ci",
        "latin1_bin",
        "latin2_general_ci",
        "ucs2_general_ci",
        "utf16_general_ci",
        "cp1250_general_ci",
        "utf8mb3_general_nopad_ci",
        "ascii_general_ci",
    ],
)
@pytest.mark.parametrize("match", ["exact", "case_fold"])
async def test_no_collation_has_a_say_in_who_is_who(database: Database, collation: str, match: str) -> None:
    """Case, accents and trailing spaces, under each kind of collation; and values that its characters can't spell."""
    names = ["ann@example.com", "ANN@example.com", "ann@example.com ", "ann@example.com.au", "joann@example.com"]
    names += ["Ann@Example.com", "a?n@example.com", "aenn@example.com"]
    if not collation.startswith("ascii"):
        names += ["änn@example.com", "ÄNN@example.com"]
    charset = collation.partition("_")[0]
    await database.execute(
        "CREATE TABLE people (id int PRIMARY KEY, email varchar(100)"
        f" CHARACTER SET {charset} COLLATE {collation}, INDEX (email))"
    )
    for number, name in enumerate(names):
        await database.execute(f"INSERT INTO people VALUES ({number}, '{name}')")
    identity = {"email": {"type": "email", "match": match}}
    source = backend(database.dsn, {"collections": {"public.people": {"people": True, "identity": identity}}})

    def same(left: str, right: str) -> bool:
        return left == right if match == "exact" else left.lower() == right.lower()

    for asked in [
        *names,
        "ann@example.com\t",
        "łnn@example.com",
        "😀nn@example.com",
        "annexample.com",
        "ANN@EXAMPLE.COM ",
    ]:
        located = (await locate(source, subject(email=asked)))["s0"]
        found = {names[int(p.person.strip("[]"))] for p in located.people}
        assert found == {name for name in names if same(name, asked)}, asked
    await source.close()


async def test_a_declared_reference_compares_as_exactly_as_an_identity(database: Database) -> None:
    """Only where a foreign key holds does the server's own comparison decide: there, it has already decided."""
    database.script("""
        CREATE TABLE people (id int PRIMARY KEY, email varchar(100), nick varchar(40) UNIQUE, INDEX (email));
        CREATE TABLE letters (id int PRIMARY KEY, sender varchar(100), INDEX (sender));
        CREATE TABLE posts (
          id int PRIMARY KEY, nick varchar(40), CONSTRAINT posts_nick FOREIGN KEY (nick) REFERENCES people (nick)
        );
        INSERT INTO people VALUES (1, 'ann@example.com', 'ann'), (2, 'ANN@example.com', 'bob');
        INSERT INTO people VALUES (3, 'ann@example.com ', 'jo');
        INSERT INTO letters VALUES (1, 'ann@example.com'), (2, 'ANN@example.com'), (3, 'ann@example.com ');
        INSERT INTO posts VALUES (1, 'ANN'), (2, 'Bob'), (3, 'ann');
    """)
    sender = {"columns": ["sender"], "target": "public.people", "target_columns": ["email"], "ownership": "OWNED"}
    options = {
        "collections": {
            "public.people": {"people": True, "identity": {"email": {"type": "email"}}},
            "public.letters": {"references": {"sender": sender}},
            "public.posts": {"references": {"posts_nick": "OWNED"}},
        }
    }
    source = backend(database.dsn, options)
    copied = await export(source, subject(email="ann@example.com"), grant({"people": 0, "letters": 0, "posts": 0}))
    await source.close()
    assert {name: [record["id"] for record in records] for name, records in copied.items()} == {
        "people": [1],
        "letters": [1],
        "posts": [1, 3],
    }


async def test_a_thousand_subjects_in_one_call_are_each_their_own(source: MysqlBackend) -> None:
    names = ["ann@example.com", "ANN@example.com", "ann@example.com ", "nobody@example.com"]
    alone = {name: (await locate(source, subject(email=name)))["s0"] for name in names}
    located = await locate(source, *(subject(f"s{n}", email=names[n % 4]) for n in range(1000)))
    assert len(located) == 1000
    for n in range(1000):
        assert located[f"s{n}"].collections == alone[names[n % 4]].collections
        assert located[f"s{n}"].identities == alone[names[n % 4]].identities


async def test_the_fingerprint_is_equal_as_long_as_the_set_is(source: MysqlBackend, shop: Database) -> None:
    async def prints() -> dict[str, bytes]:
        located = (await locate(source, subject(email="ann@example.com")))["s0"]
        return {c.collection: c.fingerprint for c in located.collections}

    first = await prints()
    assert await prints() == first
    assert all(len(value) == 32 for value in first.values())
    await shop.execute("UPDATE notes SET body = 'Nice' WHERE subject_id = '7' AND tenant_id = 1")
    second = await prints()
    assert {name for name in first if first[name] != second[name]} == {"public.notes"}
    await shop.execute("UPDATE customers SET name = 'Bob' WHERE email = 'bob@example.com'")
    assert await prints() == second


async def test_a_choice_of_person_leaves_the_others_out(source: MysqlBackend) -> None:
    both = subject(phone="+442079460958")
    assert counts((await locate(source, both))["s0"])["customers"] == 2
    both.people.add(collection="public.customers", people=["[1,7]"])
    located = (await locate(source, both))["s0"]
    assert [p.person for p in located.people] == ["[1, 7]"]
    assert counts(located)["orders"] == 10
