"""Writes a lake file anew beside it and puts it in its place, unless somebody else is at it. In threads throughout."""

import errno
import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path

from connectors.filesystem import lease, leftover, tree
from connectors.filesystem.threads import Threads
from connectors.objects.store import Gone, Overtaken
from dsrkit.errors import DsrError

_NEW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA})


class Rewriting:
    """One file's new content on its way."""

    def __init__(self, root: Path, path: str, source: str, threads: Threads, *, unguarded: bool) -> None:
        self._root = root
        self._parent, self._name = tree.split(path)
        self._source = source
        self._threads = threads
        self._unguarded = unguarded
        self._stack = ExitStack()
        self._temporary = ""

    def begin(self, etag: str) -> None:
        """Opens both files. Gone if the old one isn't what was found; Overtaken if another erasure is at it."""
        try:
            self._begin(etag)
        except BaseException:
            self.abort()
            raise

    def _begin(self, etag: str) -> None:
        base = self._stack.enter_context(tree.root(self._root))
        try:
            self._folder = self._stack.enter_context(tree.folder_at(base, self._parent))
            self._old = tree.open_file(self._folder, self._name)
        except (FileNotFoundError, NotADirectoryError):
            raise Gone from None
        self._stack.callback(os.close, self._old)
        self._found = os.fstat(self._old)
        if facts(self._found) != etag:
            raise Gone
        name = leftover.write(self._name, self._found)
        self._new = os.open(name, _NEW, 0o600, dir_fd=self._folder)
        self._stack.callback(os.close, self._new)
        try:
            fcntl.flock(self._new, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Overtaken from None
        if not self._stands(name, self._new):
            raise Overtaken
        self._temporary = name
        os.ftruncate(self._new, 0)

    def local(self, data: bytes) -> None:
        """Appends to the new file."""
        left = memoryview(data)
        with tree.translated(self._source):
            while left:
                left = left[os.write(self._new, left) :]

    async def write(self, data: bytes) -> None:
        """As `local`, from the event loop."""
        await self._threads.run(lambda: self.local(data))

    async def commit(self) -> None:
        """Puts the new file in place; the old one's content is gone then."""
        await self._threads.run(self._commit)

    def _commit(self) -> None:
        with tree.translated(self._source):
            self._dress()
            os.fsync(self._new)
            leased = self._lease()
            try:
                self._exchange(leased=leased)
            except FileNotFoundError:
                raise Overtaken from None
            os.fsync(self._folder)
            if self._temporary:
                os.unlink(self._temporary, dir_fd=self._folder)
                self._temporary = ""
                os.fsync(self._folder)

    def _dress(self) -> None:
        """Owner, permissions and extended attributes (access lists among them) of the old file."""
        new = os.fstat(self._new)
        if (new.st_uid, new.st_gid) != (self._found.st_uid, self._found.st_gid):
            os.fchown(self._new, self._found.st_uid, self._found.st_gid)
        os.fchmod(self._new, self._found.st_mode & 0o7777)
        if not hasattr(os, "listxattr"):
            return
        try:
            names = os.listxattr(self._old)
        except OSError as error:
            if error.errno in _NO_ATTRIBUTES:
                return
            raise
        for name in names:
            os.setxattr(self._new, name, os.getxattr(self._old, name))

    def _lease(self) -> bool:
        """Whether writers are held up. SOURCE_BUSY while somebody writes; SOURCE_REJECTED where that can't be known."""
        try:
            lease.take(self._old)
        except lease.InUse:
            raise DsrError(
                "SOURCE_BUSY", "A file is open for writing. Have it closed, then retry.", source=self._source
            ) from None
        except lease.Unsupported:
            if not self._unguarded:
                raise self._refused() from None
            return False
        return True

    def _exchange(self, *, leased: bool) -> None:
        if facts(os.fstat(self._old)) != facts(self._found):
            raise Overtaken
        try:
            lease.exchange(self._folder, self._temporary, self._name)
        except lease.Unsupported:
            if not self._unguarded:
                raise self._refused() from None
            os.replace(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = ""
            return
        same = self._stands(self._temporary, self._old) and facts(os.fstat(self._old)) == facts(self._found)
        if same and (not leased or lease.undisturbed(self._old)):
            return
        self._put_back()
        raise Overtaken

    def _put_back(self) -> None:
        """What came between goes where it belongs, however often that happens again."""
        while not self._stands(self._temporary, self._new):
            try:
                lease.exchange(self._folder, self._temporary, self._name)
            except FileNotFoundError:
                # The place is empty: somebody removed the new file.
                os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                self._temporary = ""
                return

    def _stands(self, name: str, descriptor: int) -> bool:
        status, mine = tree.status(self._folder, name), os.fstat(descriptor)
        return status is not None and (status.st_dev, status.st_ino) == (mine.st_dev, mine.st_ino)

    def _refused(self) -> DsrError:
        return DsrError(
            "SOURCE_REJECTED",
            "This file system can't tell whether somebody writes to a file. Stop the writers and say "
            "unguarded_rewrites: allow.",
            source=self._source,
            why="UNGUARDED",
        )

    def abort(self) -> None:
        """Removes what was not put in place, and lets go of both files."""
        if self._temporary:
            with suppress(FileNotFoundError):
                if self._stands(self._temporary, self._new):
                    os.unlink(self._temporary, dir_fd=self._folder)
            self._temporary = ""
        self._stack.close()


def facts(status: os.stat_result) -> str:
    """What tells a file, as it was found, from every other."""
    return f"{status.st_dev}-{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
