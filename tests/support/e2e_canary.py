"""Looks for a person's names in everything that the platform writes, in every form in which they might stand there."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import asyncpg

from tests.support.e2e import World
from tests.support.e2e_people import Person

_SHORTEST = 7
"""Bytes of a form that can't be there by chance."""


def names(person: Person) -> list[str]:
    """What must not be found."""
    tag = person.family_name.removeprefix("Family")
    whole = f"{person.given_name} {person.family_name}"
    return [tag, person.email, person.customer_number, person.given_name, person.family_name, whole, person.phone]


def forms(person: Person) -> dict[bytes, str]:
    """Every form of every name, and what to call it."""
    tag = person.family_name.removeprefix("Family")
    found: dict[bytes, str] = {}
    for name in names(person):
        for variant in {name, name.lower(), name.upper(), name.strip("+").replace(" ", "")}:
            # The tag is in all names but the telephone number: what finds it finds them.
            kinds = [*_digests(variant), *(_spellings(variant) if name in (tag, person.phone) else ())]
            for form, kind in kinds:
                if len(form) >= _SHORTEST:
                    found.setdefault(form, f"{kind} of {name}")
    return found


def _spellings(text: str) -> Iterator[tuple[bytes, str]]:
    data = text.encode()
    yield data, "text"
    yield quote(text, safe="").encode(), "URL"
    yield quote_plus(text).encode(), "form"
    yield data.hex().encode(), "hex"
    yield data.hex().upper().encode(), "hex"
    yield text.encode("utf-16-le"), "UTF-16"
    for shift in range(3):
        # Whatever stands before and after, these digits are in between.
        first, last = (shift * 8 + 5) // 6, (shift + len(data)) * 8 // 6
        yield base64.b64encode(bytes(shift) + data)[first:last], "base64"
        yield base64.urlsafe_b64encode(bytes(shift) + data)[first:last], "base64"


def _digests(text: str) -> Iterator[tuple[bytes, str]]:
    for algorithm in ("sha256", "md5"):
        digest = hashlib.new(algorithm, text.encode()).digest()
        yield digest, algorithm
        yield digest.hex().encode(), algorithm
        yield base64.b64encode(digest).rstrip(b"="), algorithm
        yield base64.urlsafe_b64encode(digest).rstrip(b"="), algorithm


class Hunt:
    """One search. `found` says where, never what."""

    def __init__(self, person: Person) -> None:
        self._forms = forms(person)
        self.found: set[str] = set()
        self.searched = 0

    def search(self, content: bytes, place: str) -> None:
        """Searches some bytes."""
        self.searched += len(content)
        for form, kind in self._forms.items():
            if form in content:
                self.found.add(f"{place}: {kind}")

    def files(self, paths: Iterable[Path]) -> None:
        """Searches files and folders, names and contents. What a live service removes meanwhile isn't there."""
        for root in paths:
            for path in [root, *root.rglob("*")] if root.is_dir() else [root]:
                self.search(path.name.encode(), f"name of {path}")
                if path.is_file():
                    self.search(path.read_bytes(), str(path))

    async def tables(self, connection: asyncpg.Connection, *schemas: str) -> None:
        """Searches every value of every table in these schemas."""
        query = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY ($1) ORDER BY 1"
        tables = [row[0] for row in await connection.fetch(query, list(schemas))]
        for table in tables:
            rows = await connection.fetch(f"SELECT t.*, t::text AS whole_row FROM {table} AS t")  # noqa: S608
            for column in rows[0].keys() if rows else ():
                values = [row[column] for row in rows]
                texts = [value if isinstance(value, bytes) else str(value).encode() for value in values]
                self.search(b"\0".join(texts), f"{table}.{column}")


async def hunt(world: World, person: Person) -> Hunt:
    """Searches all that the platform has: logs, state, keys, its database row by row and byte by byte, the journal."""
    found = Hunt(person)
    own = world.platform_db.home
    found.files([world.platform.logs, world.platform.folder, *own.glob("*.log"), *world.source_db.home.glob("*.log")])
    told = world.collector.received if world.collector else []
    found.search(b"\0".join(message.SerializeToString() for message in told), "telemetry")
    async with world.store() as connection:
        await found.tables(connection, "governance", "access", "portability", "erasure", "dsr")
        await connection.execute("CHECKPOINT")
    found.files([own / "data" / "base", own / "data" / "pg_wal"])
    async with world.shop() as connection:
        await found.tables(connection, "dsr_journal")
    return found
