"""A folder's lake files, as an object store for the search in lakes: a file is an object with one version."""

import errno
import fcntl
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb

from connectors.filesystem import lease, leftover, tree
from connectors.filesystem.replace import Rewriting, facts
from connectors.filesystem.threads import Threads
from connectors.lake.record import Source, Unreadable
from connectors.objects import keys
from connectors.objects.options import Options
from connectors.objects.store import Facts, Gone, Version
from dsrkit.errors import DsrError

_ID = "file"
"""Version of what stands in a file's own place."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FolderStore:
    """Below one root. Links are never followed; where one stands, or a pipe, the version says so."""

    kind = "filesystem"

    def __init__(self, source: str, root: Path, options: Options, threads: Threads) -> None:
        self.source = source
        self._root = root
        self._options = options
        self._threads = threads
        self._depths = _depths(options)

    async def versions(self, prefix: str) -> AsyncGenerator[Sequence[Version], None]:
        """Folder by folder, in the order of names. Folders in folders for what a pattern begins with, not for a key."""
        base, _, start = prefix.rpartition("/")
        depth = self._depths.get(prefix, 0)
        todo = [base]
        while todo:
            folder = todo.pop()
            required = depth > 0 and folder == base
            look = partial(self._look, folder, start if folder == base else "", required)
            found, below = await self._threads.run(look)
            for versions in found:
                yield versions
            segments = folder.count("/") + 3 if folder else 2
            if segments > depth:
                continue
            if below and segments > tree.MAX_DEPTH:
                raise DsrError(
                    "SOURCE_REJECTED",
                    f"Folders are nested deeper than {tree.MAX_DEPTH}. Flatten them.",
                    source=self.source,
                    why="DEPTH",
                )
            todo += reversed(below)

    def _look(self, folder: str, start: str, required: bool) -> tuple[list[list[Version]], list[str]]:
        """What a folder holds, and the folders in it."""
        by_name: dict[str, list[Version]] = {}
        below: list[str] = []
        with tree.translated(self.source), tree.root(self._root) as root:
            try:
                with tree.folder_at(root, folder) as handle:
                    for name in tree.names(handle):
                        self._note(handle, folder, name, start, by_name, below)
            except (FileNotFoundError, NotADirectoryError):
                if required:
                    # An unmounted disk, or a link to elsewhere, must not look like "nothing found".
                    raise DsrError(
                        "SOURCE_UNAVAILABLE",
                        "The folder of a lake is not there, or is a link. Mount it, or correct the pattern.",
                        source=self.source,
                    ) from None
        return [by_name[name] for name in sorted(by_name)], below

    def _note(
        self, handle: int, folder: str, name: str, start: str, by_name: dict[str, list[Version]], below: list[str]
    ) -> None:
        left = leftover.read(name)
        own = left.name if left else name
        status = tree.status(handle, name) if own.startswith(start) else None
        if status is None:
            return
        path = f"{folder}/{own}" if folder else own
        if stat.S_ISDIR(status.st_mode):
            below.append(path)
        elif left is not None:
            if left.is_history(status):
                by_name.setdefault(own, []).append(_version(path, name, "NONCURRENT", status))
        elif stat.S_ISREG(status.st_mode):
            by_name.setdefault(own, []).insert(0, _version(path, _ID, "CURRENT", status))
        else:
            link = stat.S_ISLNK(status.st_mode)
            place = f"{path}/" if link and _leads_to_folder(handle, name) else path
            code = "SYMBOLIC_LINK" if link else "SPECIAL_FILE"
            by_name[own] = [_version(place, _ID, "CURRENT", status, code)]

    async def uploads(self, prefix: str) -> AsyncGenerator[Version, None]:
        """Copies that were never finished, of one file."""
        for version in await self._threads.run(partial(self._unfinished, prefix)):
            yield version

    def _unfinished(self, key: str) -> list[Version]:
        folder, own = tree.split(key)
        found = []
        with tree.translated(self.source), tree.root(self._root) as root:
            with suppress(FileNotFoundError, NotADirectoryError), tree.folder_at(root, folder) as handle:
                for name in tree.names(handle):
                    left = leftover.read(name)
                    status = tree.status(handle, name) if left and left.name == own else None
                    if left and status and not left.is_history(status):
                        found.append(_version(key, name, "INCOMPLETE_UPLOAD", status))
        return found

    async def has_obstacles(self) -> bool:
        """Files may have other names."""
        return True

    async def guarded(self, version: Version) -> bool:
        """Whether the file can be leased."""
        return await self._threads.run(partial(self._guarded, version))

    def _guarded(self, version: Version) -> bool:
        with tree.translated(self.source), tree.root(self._root) as root:
            try:
                descriptor = tree.open_file(root, _path(version))
            except (FileNotFoundError, NotADirectoryError):
                raise Gone from None
            try:
                return lease.given(descriptor)
            finally:
                os.close(descriptor)

    async def facts(self, version: Version) -> Facts:
        """By the file's own entry."""
        status = await self._threads.run(partial(self._status, version))
        return Facts(linked=status.st_nlink > 1)

    def _status(self, version: Version) -> os.stat_result:
        with tree.translated(self.source), tree.root(self._root) as root:
            status = tree.status_at(root, _path(version))
        if status is None or facts(status) != version.etag:
            raise Gone
        return status

    async def tags(self, version: Version) -> Mapping[str, str]:
        """Files have none."""
        return {}

    async def read(self, version: Version, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Not asked for: `open` gives the file itself."""
        raise NotImplementedError
        yield b""

    def open(self, version: Version) -> AbstractContextManager[Source]:
        """The file. Gone at the end if it isn't what it was."""
        return self._open(version)

    @contextmanager
    def _open(self, version: Version) -> Iterator[Source]:
        with tree.translated(self.source):
            try:
                with tree.root(self._root) as root:
                    descriptor = tree.open_file(root, _path(version))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise Gone from None
                raise
            try:
                # Readers of some formats close what they read from; the descriptor is asked afterwards.
                with open(descriptor, "rb", closefd=False) as file:
                    self._require(descriptor, version)
                    try:
                        yield file
                    except Unreadable:
                        self._require(descriptor, version)
                        raise
                    self._require(descriptor, version)
            finally:
                os.close(descriptor)

    def _require(self, descriptor: int, version: Version) -> None:
        if facts(os.fstat(descriptor)) != version.etag:
            raise Gone

    async def remove(self, version: Version) -> None:
        """Removes what an erasure left beside a file. Lake files themselves are never removed."""
        await self._threads.run(partial(self._remove, version))

    def _remove(self, version: Version) -> None:
        folder, name = tree.split(_path(version))
        left = leftover.read(name)
        with tree.translated(self.source), tree.root(self._root) as root:
            with suppress(FileNotFoundError), tree.folder_at(root, folder) as handle:
                descriptor = tree.open_file(handle, name)
                try:
                    # Whoever holds it locked is writing it.
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    status = os.fstat(descriptor)
                    if left is None or (left.is_history(status) and not left.is_untouched(status)):
                        raise DsrError(
                            "SOURCE_INCONSISTENT",
                            "Somebody wrote to a file in the instant in which an erasure of it was killed. What was "
                            "written stands in a file beside it, ending in .dsr- and digits: bring the two together.",
                            source=self.source,
                            why="WRITER",
                        )
                    os.unlink(name, dir_fd=handle)
                    os.fsync(handle)
                except BlockingIOError:
                    return
                finally:
                    os.close(descriptor)

    @asynccontextmanager
    async def replace(self, version: Version, over: Version) -> AsyncGenerator[Rewriting, None]:
        """By a file beside it, put in its place in one step."""
        unguarded = self._options.unguarded_rewrites == "allow"
        rewriting = Rewriting(self._root, over.key, self.source, self._threads, unguarded=unguarded)
        with tree.translated(self.source):
            await self._threads.run(partial(rewriting.begin, over.etag))
            try:
                yield rewriting
            finally:
                await self._threads.run(rewriting.abort)

    async def probe(self) -> pb.ProbeResponse:
        """Not asked for: the source's own says it."""
        raise NotImplementedError

    async def close(self) -> None:
        """Holds nothing."""


def _depths(options: Options) -> Mapping[str, int]:
    """Prefix of each lake's pattern to how many segments deep its files can stand."""
    found: dict[str, int] = {}
    for collection in options.collections.values():
        segments = collection.pattern.segments
        depth = tree.MAX_DEPTH + 1 if any(segment.deep for segment in segments) else len(segments)
        prefix = keys.prefix(collection.pattern)
        found[prefix] = max(depth, found.get(prefix, 0))
    return found


def _path(version: Version) -> str:
    """Where the version stands."""
    if version.id == _ID:
        return version.key
    folder, _ = tree.split(version.key)
    return f"{folder}/{version.id}" if folder else version.id


def _version(key: str, name: str, state: str, status: os.stat_result, obstacle: str = "") -> Version:
    try:
        modified = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:
        modified = _EPOCH
    return Version(key, name, state, facts(status), status.st_size, modified, obstacle=obstacle)  # type: ignore[arg-type]


def _leads_to_folder(handle: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=handle).st_mode)
    except OSError:
        return False
