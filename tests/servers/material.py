"""What the conformance suite finds in an object store: people's own objects, and a lake with everybody's records."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material

from tests.conformance.harness import Keys, open_backends, serve

SOURCE = "partners/acme/dataSources/objects"
DOWN = "partners/acme/dataSources/down"
COLLECTIONS: dict[str, Any] = {
    "avatars": {"objects": "avatars/{customer_number}.png", "identity": {"customer_number": {"unique": True}}},
    "letters": {"objects": "letters/{customer_number}/**/*", "identity": {"customer_number": {}}},
    "events": {
        "lake": "events/**/*",
        "format": "jsonl",
        "identity": {"customer_number": {"field": "user.id", "unique": True}, "email": {"field": "user.email"}},
    },
    "accounts": {
        "lake": "accounts/*",
        "format": "jsonl",
        "fields": {"seen": "datetime"},
        "identity": {"customer_number": {"field": "id", "unique": True}},
    },
    "assets": {"objects": "assets/**/*", "no_personal_data": True},
}
MATERIAL: dict[str, Any] = {
    "present": {"identities": {"customer_number": "C-1"}, "records": {"avatars": 1, "letters": 2, "events": 4}},
    "absent": {"identities": {"customer_number": "C-404"}},
    "disposable": {
        "identities": {"customer_number": "C-12"},
        "records": {"avatars": 1, "letters": 2, "events": 4},
        "instructions": {"letters": "RETAIN"},
    },
    "unreachable": DOWN,
    "destroyable": True,
    "people": 33,
    "inactive": {
        "collection": "accounts",
        "field": "seen",
        "identity_type": "customer_number",
        "before": "2026-01-01T00:00:00Z",
        "unused": "C-91",
        "used": "C-92",
        "unknown": "C-93",
    },
}


def contents() -> Iterator[tuple[str, bytes]]:
    """(key, bytes) of every object."""
    people = [f"C-{number}" for number in range(1, 31)]
    for person in people:
        # One is more than one data message.
        yield f"avatars/{person}.png", b"\x89PNG" * (600_000 if person == "C-1" else 1)
        yield f"letters/{person}/welcome.txt", f"Dear {person}".encode()
        yield f"letters/{person}/2024/bé.txt", "é".encode()
    yield "assets/logo.svg", b"<svg/>"
    accounts = [("C-91", "2020-01-01"), ("C-92", "2020-01-01"), ("C-92", "2026-11-01T12:00:00Z"), ("C-93", None)]
    yield "accounts/a.jsonl", b"".join(json.dumps({"id": n, "seen": at}).encode() + b"\n" for n, at in accounts)
    rows = [{"user": {"id": person, "email": f"{person}@example.com"}, "what": "visit"} for person in people]
    lines = b"".join(json.dumps({**row, "at": at}).encode() + b"\n" for at in (1, 2) for row in rows)
    yield "events/2024/a.jsonl", lines
    yield "events/2025/b.jsonl.gz", gzip.compress(lines)


@asynccontextmanager
async def open_store(
    kind: str, folder: Path, options: Mapping[str, Any], down: Mapping[str, str], seconds: float = 20
) -> AsyncIterator[Bench]:
    """A connector on a store that holds `contents`, through the real host; `down`: what makes it unreachable."""
    keys = Keys.make(folder)
    sources = {
        SOURCE: {"kind": kind, "options": {**options, "collections": COLLECTIONS}},
        DOWN: {"kind": kind, "options": {**options, "collections": COLLECTIONS, **down}},
    }
    grant_key = GrantKey.load(folder / "grant-key.json")
    async with (
        serve(keys, open_backends(keys, sources)) as target,
        open_bench(target, SOURCE, keys.credential, Material.parse(MATERIAL), grant_key, seconds) as bench,
    ):
        yield bench
