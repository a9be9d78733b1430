"""Takes files and emptied folders away, durably. Synchronous: runs in a thread of the backend's own."""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from connectors.filesystem import tree
from connectors.filesystem.found import Record

_LEFT = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY})


def forbidden(root: Path, paths: Iterable[str]) -> bool:
    """Whether the process may not remove entries of a folder concerned. Asked first, so that nobody is half done."""
    with tree.root(root) as base:
        for parent in {tree.split(path)[0] for path in paths}:
            with suppress(FileNotFoundError), tree.folder_at(base, parent) as handle:
                # An open handle's folder is `.`; os.access has no variant that takes a handle alone.
                if not os.access(".", os.W_OK | os.X_OK, dir_fd=handle, effective_ids=True):
                    return True
    return False


def files(root: Path, records: Sequence[Record]) -> list[Record]:
    """Removes the files that still are what was found; returns those that changed, which are left alone."""
    changed = []
    ordered = sorted(records, key=lambda record: tree.split(record.path))
    with tree.root(root) as base:
        for parent, group in groupby(ordered, key=lambda record: tree.split(record.path)[0]):
            # A folder that is gone took its files with it.
            with suppress(FileNotFoundError), tree.folder_at(base, parent) as handle:
                for record in group:
                    name = tree.split(record.path)[1]
                    status = tree.status(handle, name)
                    if status is not None and not record.is_still(status):
                        changed.append(record)
                    elif status is not None:
                        with suppress(FileNotFoundError):
                            os.unlink(name, dir_fd=handle)
                os.fsync(handle)
    return changed


def empty_folders(root: Path, paths: Iterable[str]) -> None:
    """Removes each folder and those in it as far as they are empty: their names are the person's too."""
    with tree.root(root) as base:
        for path in sorted(paths, key=len, reverse=True):
            parent, name = tree.split(path)
            with suppress(FileNotFoundError), tree.folder_at(base, parent) as handle:
                _prune(handle, name)
                os.fsync(handle)


def _prune(parent: int, name: str) -> None:
    with suppress(FileNotFoundError), tree.folder(parent, name) as handle:
        for inner in tree.names(handle):
            status = tree.status(handle, inner)
            if status is not None and stat.S_ISDIR(status.st_mode):
                _prune(handle, inner)
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in _LEFT and error.errno != errno.ENOENT:
            raise
