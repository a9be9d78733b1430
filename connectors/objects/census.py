"""People, each once, on disk: memory stays bounded however many there are, and nobody can be read from the file.

A person stands there under a keyed digest, the name encrypted; the key lives in this process and no longer than the
call. The file is unlinked as soon as it is open.
"""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_HELD = 20_000
"""People held in memory until they are written."""
_NEVER = -(2**62)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRAGMAS = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -32768;
"""
_SCHEMA = """
CREATE TABLE person (kind INTEGER, digest BLOB, name BLOB, seen INTEGER, silent INTEGER, PRIMARY KEY (kind, digest))
WITHOUT ROWID;
"""
_ADD = """
INSERT INTO person VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET seen = max(seen, excluded.seen), silent = max(silent, excluded.silent)
"""


class Census:
    """For one call. `kind`: people of different kinds are different people."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._key = token_bytes(32)
        self._cipher = ChaCha20Poly1305(token_bytes(32))
        self._held: dict[tuple[int, bytes], tuple[bytes, int, int]] = {}

    def add(self, kind: int, name: str, seen: datetime | None, *, named: bool = False) -> None:
        """Takes note of a record of somebody: when it was last used, None if it doesn't say. `named`: to be listed."""
        raw = name.encode(errors="surrogatepass")
        who = kind, blake2b(raw, key=self._key, digest_size=16).digest()
        time, silent = (_NEVER, 1) if seen is None else (_microseconds(seen), 0)
        known = self._held.get(who)
        if known is not None:
            self._held[who] = known[0], max(known[1], time), max(known[2], silent)
            return
        self._held[who] = self._seal(raw) if named else b"", time, silent
        if len(self._held) >= _HELD:
            self._write()

    def people(self, kind: int) -> int:
        """How many there are."""
        return self._one("SELECT count(*) FROM person WHERE kind = ?", kind)

    def unknown(self) -> int:
        """How many have a record that doesn't say when it was last used."""
        return self._one("SELECT count(*) FROM person WHERE silent = 1")

    def unused(self, before: datetime) -> int:
        """How many were last used before, every record of theirs."""
        return self._one("SELECT count(*) FROM person WHERE silent = 0 AND seen < ?", _microseconds(before))

    def names(self, before: datetime, size: int) -> Generator[list[str], None, None]:
        """Those by name, in pages."""
        self._write()
        sql = "SELECT name FROM person WHERE silent = 0 AND seen < ?"
        with closing(self._connection.execute(sql, (_microseconds(before),))) as cursor:
            while rows := cursor.fetchmany(size):
                yield [self._open(name) for (name,) in rows]

    def _one(self, sql: str, *values: int) -> int:
        self._write()
        return int(self._connection.execute(sql, values).fetchone()[0])

    def _write(self) -> None:
        rows = ((*who, *self._held[who]) for who in sorted(self._held))
        self._connection.executemany(_ADD, rows)
        self._held.clear()

    def _seal(self, raw: bytes) -> bytes:
        nonce = token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, raw, None)

    def _open(self, sealed: bytes) -> str:
        return self._cipher.decrypt(sealed[:12], sealed[12:], None).decode(errors="surrogatepass")


@contextmanager
def open_census(folder: Path) -> Iterator[Census]:
    """A census for one call."""
    with unlinked(folder, _SCHEMA) as connection:
        yield Census(connection)


@contextmanager
def unlinked(folder: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """A database whose file is in this folder as long as it takes to unlink it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=folder, prefix="census-") as made:
        connection = sqlite3.connect(Path(made, "people"), isolation_level=None, check_same_thread=False)
        connection.executescript(_PRAGMAS + schema)
    with closing(connection):
        connection.execute("BEGIN")  # one transaction, which nobody wants to keep
        yield connection


def _microseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)
