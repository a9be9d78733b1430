"""Reaches files below one folder through folder handles that follow no link.

Names are strings as Python decodes them (surrogateescape), so that every byte sequence survives. Paths are relative
to the root, with `/`.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsrkit.errors import DsrError

MAX_DEPTH = 128
"""Folders within folders; a handle is open for each."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a pipe put in a file's place must not hang the reader.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REJECTED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def translated(source: str) -> Iterator[None]:
    """Turns an OSError into the contract's error. Its text, which holds a path, goes no further."""
    try:
        yield
    except OSError as error:
        raise _translate(source, error) from None


def _translate(source: str, error: OSError) -> DsrError:
    if error.errno in _REJECTED:
        return DsrError(
            "SOURCE_REJECTED",
            "The connector may not read or change a file or folder it needs. Give its user the permission.",
            source=source,
            why="PERMISSION",
        )
    return DsrError("SOURCE_UNAVAILABLE", "The source's file system failed. Retry.", source=source)


@contextmanager
def root(path: Path) -> Iterator[int]:
    """A handle of the root. It may itself be reached through links: the operator chose it."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def folder(parent: int, name: str) -> Iterator[int]:
    """A handle of a folder in `parent`. OSError if it isn't one, or is a link."""
    handle = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def folder_at(base: int, path: str) -> Iterator[int]:
    """A handle of the folder `path` (empty: `base` itself), each step without following a link."""
    handle = os.dup(base)
    try:
        for name in path.split("/") if path else ():
            if name in ("", ".", ".."):
                raise FileNotFoundError(errno.ENOENT, "not a path below the root")
            below = os.open(name, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def split(path: str) -> tuple[str, str]:
    """The folder and the name of a path."""
    parent, _, name = path.rpartition("/")
    return parent, name


def status(parent: int, name: str) -> os.stat_result | None:
    """What is called `name`, links not followed; None if nothing is, or nothing can be."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        return None
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeEncodeError:
        return None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            return None
        raise


def status_at(base: int, path: str) -> os.stat_result | None:
    """What stands at `path`, no link followed on the way; None if nothing does."""
    parent, name = split(path)
    try:
        with folder_at(base, parent) as handle:
            return status(handle, name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (UnicodeEncodeError, ValueError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return None
        raise


def names(handle: int) -> list[str]:
    """Everything in a folder, in a stable order."""
    return sorted(os.listdir(handle))


def is_literal(parent: int, name: str, found: os.stat_result) -> bool:
    """Whether `name` is how the folder itself writes it.

    Some file systems find `A` under `a`, or a composed letter under a decomposed one. Where an alias leads to the same
    file, only the listing knows.
    """
    aliases = {name.swapcase(), unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)} - {name}
    for alias in aliases:
        other = status(parent, alias)
        if other is not None and (other.st_dev, other.st_ino) == (found.st_dev, found.st_ino):
            return name in os.listdir(parent)
    return True


def open_file(base: int, path: str) -> int:
    """A handle of the regular file at `path`. OSError if it isn't one, or a link is on the way."""
    parent, name = split(path)
    with folder_at(base, parent) as handle:
        descriptor = os.open(name, _FILE, dir_fd=handle)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file")
    return descriptor
