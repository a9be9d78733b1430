"""Keyed digests of files and of sets of files. They say nothing to whoever lacks the source's key."""

import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.filesystem.found import Record

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Digests:
    """HMAC-SHA256 under the source's key, each use apart from the others."""

    key: bytes

    def path(self, record: "Record") -> str:
        """Which file, whatever became of it."""
        return self._short(b"path", os.fsencode(record.path))

    def record(self, record: "Record") -> str:
        """The file as it was found: path, size, modification time, inode. Not the device: a remount may change it."""
        facts = f"{record.size} {record.mtime_ns} {record.inode} ".encode()
        return self._short(b"record", facts + os.fsencode(record.path))

    def name(self, *parts: str) -> str:
        """A file name for the journal."""
        return self._short(b"journal", "\0".join(parts).encode())

    def collection(self, collection: str, records: "Iterable[Record]") -> bytes:
        """The set of files of a collection. 32 bytes."""
        members = "\n".join(sorted(self.record(record) for record in records))
        return self._mac(b"set", f"{collection}\0{members}".encode())

    def _short(self, use: bytes, data: bytes) -> str:
        return self._mac(use, data)[:_DIGEST_BYTES].hex()

    def _mac(self, use: bytes, data: bytes) -> bytes:
        return hmac.new(self.key, use + b"\0" + data, hashlib.sha256).digest()
