"""The example of a new kind, examples/sqlite_kind, is short and keeps the contract."""

import sqlite3
from collections.abc import AsyncIterator, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect

from connectors import registry
from tests.conformance.harness import Keys, open_backends, serve
from tests.support.contract import Told

EXAMPLE = Path(__file__).parents[2] / "examples" / "sqlite_kind" / "__init__.py"
SOURCE = "partners/acme/dataSources/guestbook"
DOWN = "partners/acme/dataSources/down"
MATERIAL: dict[str, Any] = {
    "present": {"identities": {"email": "ann@example.com"}, "records": {"posts": 3}},
    "absent": {"identities": {"email": "nobody@example.com"}},
    "disposable": {"identities": {"email": "joann@example.com"}, "records": {"posts": 3}},
    "unreachable": DOWN,
}


def write(file: Path) -> None:
    """People whose addresses are nearly alike, with three posts each."""
    people = ("ann@example.com", "joann@example.com", "ann@example.com.au", "ANN@example.com")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE posts (id PRIMARY KEY, email TEXT COLLATE NOCASE, text)")
        posts = [(f"{who}-{number}", who, "x" * 700_000) for who in people for number in range(3)]
        database.executemany("INSERT INTO posts VALUES (?, ?, ?)", posts)


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("sqlite")
    write(folder / "guests.db")
    keys = Keys.make(folder)
    sources = {
        SOURCE: {"kind": "sqlite", "options": {"file": str(folder / "guests.db")}},
        DOWN: {"kind": "sqlite", "options": {"file": str(folder / "none.db")}},
    }
    with pytest.MonkeyPatch.context() as patch:
        kinds = cast(MutableMapping[str, str], registry.KINDS)
        patch.setitem(kinds, "sqlite", "examples.sqlite_kind")  # the one line
        backends = open_backends(keys, sources)
    async with (
        serve(keys, backends) as target,
        open_bench(
            target,
            SOURCE,
            keys.credential,
            Material.parse(MATERIAL),
            GrantKey.load(folder / "grant-key.json"),
            20,
        ) as opened,
    ):
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_sqlite_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("sqlite", await expect(check, bench))


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 150
