"""The filesystem connector keeps the contract, through the real host."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect

from tests.conformance.harness import Keys, open_backends, serve
from tests.support.contract import Told

SOURCE = "partners/acme/dataSources/files"
DOWN = "partners/acme/dataSources/down"
COLLECTIONS = {
    "avatars": {"pattern": "avatars/{customer_number}.png", "identity": {"customer_number": {"unique": True}}},
    "letters": {"pattern": "letters/{customer_number}/**/*", "identity": {"customer_number": {}}},
    "events": {
        "lake": "events/**/*",
        "format": "jsonl",
        "identity": {"customer_number": {"field": "user.id", "unique": True}, "email": {"field": "user.email"}},
    },
    "accounts": {
        "lake": "accounts/*",
        "format": "csv",
        "fields": {"seen": "datetime"},
        "identity": {"customer_number": {"field": "number", "unique": True}},
    },
    "assets": {"pattern": "assets/**/*", "no_personal_data": True},
}
MATERIAL = {
    "present": {"identities": {"customer_number": "C-1"}, "records": {"avatars": 1, "letters": 3, "events": 2}},
    "absent": {"identities": {"customer_number": "C-404"}},
    "disposable": {
        "identities": {"customer_number": "C-12"},
        "records": {"avatars": 1, "letters": 2, "events": 2},
        "instructions": {"letters": "DELETE"},
    },
    "unreachable": DOWN,
    "destroyable": True,
    "people": 6,
    "inactive": {
        "collection": "accounts",
        "field": "seen",
        "identity_type": "customer_number",
        "before": "2026-01-01T00:00:00Z",
        "unused": "C-20",
        "used": "C-30",
        "unknown": "C-21",
    },
}
ACCOUNTS = "number,seen\nC-20,2020-01-01\nC-21,2020-01-01\nC-21,\nC-30,2020-01-01T00:00:00Z\nC-30,2026-11-01\n"


def make_files(root: Path) -> None:
    """Two people whose numbers begin alike, and a folder without people."""
    events = b"".join(
        b'{"user": {"id": "C-%d", "email": "c%d@example.com"}}\n' % (number, number) for number in (1, 12, 120)
    )
    for path, content in {
        "events/2024/a.jsonl": events,
        "events/2025/b.jsonl.gz": gzip.compress(events),
        "avatars/C-1.png": b"\x89PNG" * 600_000,  # more than one data message
        "avatars/C-12.png": b"\x89PNG",
        "letters/C-1/welcome.txt": b"Dear Ann",
        "letters/C-1/2024/empty.txt": b"",
        "letters/C-1/2024/bé.txt": "é".encode(),
        "letters/C-12/one.txt": b"1",
        "letters/C-12/deep/er/two.txt": b"2",
        "assets/logo.svg": b"<svg/>",
        "accounts/2026.csv": ACCOUNTS.encode(),
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("filesystem")
    make_files(folder / "files")
    keys = Keys.make(folder)
    options = {"root": str(folder / "files"), "collections": COLLECTIONS}
    backends = open_backends(
        keys,
        {
            SOURCE: {"kind": "filesystem", "options": options},
            DOWN: {"kind": "filesystem", "options": {**options, "root": str(folder / "unmounted")}},
        },
    )
    grant_key = GrantKey.load(folder / "grant-key.json")
    async with (
        serve(keys, backends) as target,
        open_bench(target, SOURCE, keys.credential, Material.parse(MATERIAL), grant_key, 20) as opened,
    ):
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_filesystem_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("filesystem", await expect(check, bench))
