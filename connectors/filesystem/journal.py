"""What an erasure set out to do and did, on disk before and after it is done, so that a retry never has to guess.

Below the state folder: `erasures/<task>/attempt` and `erasures/<task>/<subject>`, names and contents being keyed
digests and counts. No path and no identity is kept.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from connectors.filesystem.fingerprint import Digests
from dsrkit.errors import DsrError

KEEP_SECONDS = 400 * 86_400
"""How long outcomes are kept: longer than any request lives."""


@dataclass(frozen=True)
class Entry:
    """One person's part of a task."""

    done: bool
    intended: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By collection, the files to remove: digest of the path to digest of the file. Empty once done."""
    deleted: Mapping[str, int] = field(default_factory=dict)
    """By collection, once done."""
    retained: Mapping[str, int] = field(default_factory=dict)
    """By collection."""


@dataclass(frozen=True)
class TaskJournal:
    """One task's entries. Held by one erasure at a time."""

    folder: Path
    source: str
    digests: Digests

    def enter(self, attempt: int) -> None:
        """Notes that this attempt began. ATTEMPT_SUPERSEDED if a later one did."""
        path = self.folder / "attempt"
        latest = int(path.read_text()) if path.exists() else 0
        if latest > attempt:
            raise DsrError("ATTEMPT_SUPERSEDED", "Another attempt of this task is newer. Stop.")
        if latest < attempt:
            self._write(path, str(attempt).encode())

    def read(self, subject_ref: str) -> Entry | None:
        """The person's entry, or None if nothing was begun."""
        path = self._path(subject_ref)
        if not path.exists():
            return None
        try:
            return Entry(**orjson.loads(path.read_bytes()))
        except (ValueError, TypeError):
            raise DsrError(
                "SOURCE_INCONSISTENT",
                "The connector's journal can't be read. An engineer must look before anything is erased.",
                source=self.source,
                why="JOURNAL",
            ) from None

    def write(self, subject_ref: str, entry: Entry) -> None:
        """Replaces the person's entry, durably."""
        self._write(self._path(subject_ref), orjson.dumps(asdict(entry)))

    def _path(self, subject_ref: str) -> Path:
        return self.folder / self.digests.name("subject", subject_ref)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f"{path.name}.new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


@dataclass(frozen=True)
class Journal:
    """The journal of one source."""

    state_dir: Path
    source: str
    digests: Digests

    @contextmanager
    def task(self, task: str) -> Iterator[TaskJournal]:
        """The task's entries, nobody else's meanwhile. SOURCE_BUSY if another process holds them."""
        folder = self.state_dir / "erasures" / self.digests.name("task", task)
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            for parent in (folder.parent, self.state_dir, self.state_dir.parent):
                sync_folder(parent)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DsrError(
                    "SOURCE_BUSY", "Another process works on this task. Retry.", source=self.source
                ) from None
            yield TaskJournal(folder, self.source, self.digests)
        finally:
            os.close(lock)

    def purge(self) -> None:
        """Removes what no retry can ask for any more."""
        oldest = time.time() - KEEP_SECONDS
        erasures = self.state_dir / "erasures"
        for folder in erasures.iterdir() if erasures.exists() else ():
            if folder.stat().st_mtime < oldest:
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()


def sync_folder(path: Path) -> None:
    """Makes a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
