"""ListInactive on a real MariaDB: the same answers as of PostgreSQL, and what only this server has."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.mysql import MysqlBackend
from dsrkit.errors import DsrError
from tests.servers.mysql.harness import Database, backend
from tests.support import inactive
from tests.support.inactive import CUTOFF

SCHEMA = """
CREATE TABLE account (id bigint PRIMARY KEY, tenant int NOT NULL, email varchar(40), number int(8) unsigned ZEROFILL,
                      seen timestamp(6) NULL, local datetime, day date, note text, INDEX (email), INDEX (number));
INSERT INTO account
SELECT seq, 1, concat('p', seq), seq, '2026-05-25 11:59:59', '2026-05-24 11:59:59', '2026-05-23', '' FROM seq_1_to_2001;
SET sql_mode = '';
INSERT INTO account VALUES
  (5001, 1, 'active', 5001, '2026-05-25 12:00:00', '2026-05-24 12:00:00', '2026-05-24', ''),
  (5002, 1, 'unknown', 5002, NULL, NULL, NULL, ''),
  (5003, 1, 'twice', 5003, '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5004, 1, 'twice', 5003, '2026-11-01', '2026-11-01', '2026-11-01', ''),
  (5005, 1, 'half', 5005, '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5006, 1, 'half', 5005, NULL, NULL, NULL, ''),
  (5007, 2, 'elsewhere', 5007, '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5008, 1, NULL, NULL, '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5009, 1, 'zero', 5009, '0000-00-00', '0000-00-00', '0000-00-00', ''),
  (5010, 1, 'P7', 5010, '2026-11-01', '2026-11-01', '2026-11-01', '');
"""
IDENTITY = {"email": {"type": "email", "unique": True}, "number": {"type": "number", "unique": True}}
OPTIONS: dict[str, Any] = {
    "scope": {"tenant": 1},
    "collections": {"public.account": {"people": True, "identity": IDENTITY}},
}


@pytest.fixture
async def accounts(database: Database) -> AsyncIterator[MysqlBackend]:
    database.script(f"SET time_zone = '+00:00'; {SCHEMA}")
    source = backend(database.dsn, OPTIONS)
    yield source
    await source.close()


async def ask(source: MysqlBackend, field: str, **request: Any) -> tuple[list[str], int, int]:
    return await inactive.ask(source, request.pop("collection", "public.account"), field, **request)


@pytest.mark.policy("P6", "last use is the latest of all records; who has one that doesn't say is never listed")
async def test_who_is_listed(accounts: MysqlBackend) -> None:
    everybody = sorted(f"p{n}" for n in range(1, 2002))
    for field in ("seen", "local", "day"):
        people, total, unknown = await ask(accounts, field)
        assert sorted(people) == everybody, field
        # A date of zeros says nothing.
        assert (total, unknown) == (2001, 3)
    assert await ask(accounts, "seen", count_only=True) == ([], 2001, 3)
    # The server takes P7 for p7; identities that differ are two people.
    assert await ask(accounts, "seen", value="p7") == (["p7"], 1, 0)
    for who in ("P7", "active", "twice", "elsewhere", "nobody", "half", "unknown", "zero"):
        assert (await ask(accounts, "seen", value=who))[:2] == ([], 0)
    assert await ask(accounts, "", count_only=True) == ([], 2007, 0)
    # As Locate is asked, without the zeros that the column shows.
    assert await ask(accounts, "seen", value="7", identity_type="number") == (["7"], 1, 0)


async def test_spellings_that_locate_finds_together_are_one_person(database: Database) -> None:
    database.script(
        "CREATE TABLE account (id int PRIMARY KEY, tenant int, email varchar(40), seen datetime, INDEX (email));"
        "INSERT INTO account VALUES (1, 1, 'Ann@x', '2020-01-01'), (2, 1, 'ann@x', '2026-11-01'),"
        " (3, 1, 'Bob@x', '2020-01-01')"
    )
    folded = {"email": {"type": "email", "unique": True, "match": "case_fold"}}
    source = backend(database.dsn, {**OPTIONS, "collections": {"public.account": {"people": True, "identity": folded}}})
    assert await ask(source, "seen") == (["bob@x"], 1, 0)
    assert await ask(source, "seen", value="ANN@x") == ([], 0, 0)
    assert await ask(source, "seen", value="BOB@X") == (["bob@x"], 1, 0)
    await source.close()


@pytest.mark.parametrize(
    ("field", "fields"), [("note", {}), ("none", {}), ("", {}), ("seen", {"collection": "public.none"})]
)
async def test_what_can_not_be_meant_is_rejected(accounts: MysqlBackend, field: str, fields: Any) -> None:
    with pytest.raises(DsrError) as caught:
        await ask(accounts, field, **fields)
    assert caught.value.reason == "SOURCE_REJECTED"
    assert (await ask(accounts, "seen", before=CUTOFF.replace(year=2000)))[1] == 0
