"""ListInactive: by the latest use of every record, in scope, in pages; who is not known is never listed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from connectors.postgres import PostgresBackend
from dsrkit.errors import DsrError
from tests.integration.postgres.harness import backend
from tests.support import inactive
from tests.support.inactive import CUTOFF

SCHEMA = """
CREATE TABLE account (id bigint PRIMARY KEY, tenant int NOT NULL, email text, seen timestamptz, local timestamp,
                      day date, note text);
CREATE INDEX ON account (email);
INSERT INTO account
SELECT n, 1, 'p' || n, timestamptz '2026-05-25 11:59:59+00', timestamp '2026-05-24 11:59:59', date '2026-05-23', ''
FROM generate_series(1, 2001) n;
INSERT INTO account VALUES
  (5001, 1, 'active', '2026-05-25 12:00:00+00', '2026-05-24 12:00:00', '2026-05-24', ''),
  (5002, 1, 'unknown', NULL, NULL, NULL, ''),
  (5003, 1, 'twice', '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5004, 1, 'twice', '2026-11-01', '2026-11-01', '2026-11-01', ''),
  (5005, 1, 'half', '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5006, 1, 'half', NULL, NULL, NULL, ''),
  (5007, 2, 'elsewhere', '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5008, 1, NULL, '2026-01-01', '2026-01-01', '2026-01-01', ''),
  (5009, 1, 'never', '-infinity', '-infinity', '-infinity', '');
"""
OPTIONS: dict[str, Any] = {
    "scope": {"tenant": 1},
    "collections": {"public.account": {"people": True, "identity": {"email": {"type": "email", "unique": True}}}},
}


@pytest.fixture
async def accounts(database: str) -> AsyncIterator[PostgresBackend]:
    connection = await asyncpg.connect(database)
    await connection.execute(SCHEMA)
    await connection.close()
    source = backend(database, OPTIONS)
    yield source
    await source.close()


async def ask(source: PostgresBackend, field: str, **request: Any) -> tuple[list[str], int, int]:
    return await inactive.ask(source, request.pop("collection", "public.account"), field, **request)


@pytest.mark.policy("P6", "last use is the latest of all records; who has one that doesn't say is never listed")
async def test_who_is_listed(accounts: PostgresBackend) -> None:
    everybody = sorted(f"p{n}" for n in range(1, 2002))
    # A time without zone, and a date, may be up to a day later elsewhere: they are read a day earlier.
    for field in ("seen", "local", "day"):
        people, total, unknown = await ask(accounts, field)
        assert sorted(people) == everybody, field
        assert (total, unknown) == (2001, 3)
    assert await ask(accounts, "seen", before=CUTOFF - timedelta(seconds=1)) == ([], 0, 3)
    assert await ask(accounts, "seen", count_only=True) == ([], 2001, 3)
    assert await ask(accounts, "seen", value="p7") == (["p7"], 1, 0)
    for who in ("active", "twice", "elsewhere", "nobody", "half", "unknown", "never"):
        assert (await ask(accounts, "seen", value=who))[:2] == ([], 0)
    assert await ask(accounts, "", count_only=True) == ([], 2006, 0)


async def test_spellings_that_locate_finds_together_are_one_person(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE TABLE account (id int PRIMARY KEY, tenant int, email text, seen timestamptz);"
        "CREATE INDEX ON account (lower(email));"
        "INSERT INTO account VALUES (1, 1, 'Ann@x', '2020-01-01'), (2, 1, 'ann@x', '2026-11-01'),"
        " (3, 1, 'Bob@x', '2020-01-01')"
    )
    await connection.close()
    folded = {"email": {"type": "email", "unique": True, "match": "case_fold"}}
    source = backend(database, {**OPTIONS, "collections": {"public.account": {"people": True, "identity": folded}}})
    assert await ask(source, "seen") == (["bob@x"], 1, 0)
    assert await ask(source, "seen", value="ANN@x") == ([], 0, 0)
    assert await ask(source, "seen", value="BOB@X") == (["bob@x"], 1, 0)
    await source.close()


@pytest.mark.parametrize(
    ("field", "fields"), [("note", {}), ("none", {}), ("", {}), ("seen", {"collection": "public.none"})]
)
async def test_what_can_not_be_meant_is_rejected(accounts: PostgresBackend, field: str, fields: Any) -> None:
    with pytest.raises(DsrError) as caught:
        await ask(accounts, field, **fields)
    assert caught.value.reason == "SOURCE_REJECTED"
