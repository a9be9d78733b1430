"""CountPeople on a real MariaDB: collations don't take two people for one, nor one for two."""

from typing import Any

from tests.servers.mysql.harness import Database, backend
from tests.support.counting import count

SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, tenant int, email varchar(40), INDEX (email));
CREATE TABLE guest (id int PRIMARY KEY, tenant int, email varchar(40), INDEX (email));
INSERT INTO account VALUES (1, 1, 'ann@x'), (2, 1, 'Ann@x'), (3, 1, 'bob@x'), (4, 2, 'eve@x');
INSERT INTO guest VALUES (1, 1, 'BOB@x'), (2, 1, 'carl@x'), (3, 2, 'dan@x');
"""


async def counted(database: Database, match: str) -> Any:
    people = {"people": True, "identity": {"email": {"type": "email", "unique": True, "match": match}}}
    options = {"scope": {"tenant": 1}, "collections": {"public.account": people, "public.guest": people}}
    source = backend(database.dsn, options)
    found = await count(source)
    await source.close()
    return found


async def test_everybody_is_counted_once(database: Database) -> None:
    database.script(SCHEMA)
    folded = {"public.account": ("email", 2, True), "public.guest": ("email", 2, True)}
    assert await counted(database, "case_fold") == (folded, 3, True)
    exact = {"public.account": ("email", 3, True), "public.guest": ("email", 2, True)}
    assert await counted(database, "exact") == (exact, 5, True)
    database.script("INSERT INTO guest VALUES (7, 1, NULL)")
    assert (await counted(database, "exact"))[1:] == (6, False)
