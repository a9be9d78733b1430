"""Finds people's files. Synchronous: runs in a thread of the backend's own."""

import stat
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from dsr.connector.v1 import connector_pb2 as pb

from connectors.filesystem import tree
from connectors.filesystem.found import Found
from connectors.filesystem.options import Collection, Options
from connectors.filesystem.walk import Walk, Watch
from dsrkit.errors import DsrError


@dataclass
class Search:
    """One search for several people."""

    options: Options
    watch: Watch
    subjects: Sequence[pb.Subject]

    def run(self) -> list[Found]:
        """What was found, subject by subject. SearchCancelled soon after the watch is told so."""
        results = [Found() for _ in self.subjects]
        with tree.translated(self.watch.source), tree.root(self.options.root) as root:
            for name, collection in self.options.files.items():
                if not collection.no_personal_data:
                    self._search(root, name, collection, results)
            for found in results:
                note_hard_links(found)
                self._note_undeclared(root, found)
        return results

    def _search(self, root: int, name: str, collection: Collection, results: list[Found]) -> None:
        base = "/".join(collection.compiled.base)
        with ExitStack() as stack:
            try:
                handle = stack.enter_context(tree.folder_at(root, base))
            except (FileNotFoundError, NotADirectoryError):
                # An unmounted disk, or a link to elsewhere, must not look like "nothing found".
                raise DsrError(
                    "SOURCE_UNAVAILABLE",
                    f"The folder of collection {name} is not there, or is a link. Mount it, or correct the pattern.",
                    source=self.watch.source,
                ) from None
            for variable in collection.compiled.variables:
                Walk(self.watch, name, collection, variable, self.subjects, results).start(handle, base)

    def _note_undeclared(self, root: int, found: Found) -> None:
        for name, folders in found.folders.items():
            for path in sorted(folders):
                parent, folder = tree.split(path)
                with suppress(FileNotFoundError), tree.folder_at(root, parent) as handle:
                    self._walk_all(handle, folder, path, name, found)

    def _walk_all(self, parent: int, folder: str, path: str, collection: str, found: Found) -> None:
        """Looks through everything in a person's folder. One that is gone holds nothing."""
        with suppress(FileNotFoundError), tree.folder(parent, folder) as handle:
            self._look(handle, path, collection, found)

    def _look(self, handle: int, path: str, collection: str, found: Found) -> None:
        self.watch.check(path)
        for name in tree.names(handle):
            status = tree.status(handle, name)
            below = f"{path}/{name}"
            if status is None or any(below in records for records in found.records.values()):
                continue
            if stat.S_ISDIR(status.st_mode):
                self._walk_all(handle, name, below, collection, found)
            elif stat.S_ISREG(status.st_mode):
                found.note(collection, "UNDECLARED_FILE")
            else:
                found.note_other(collection, below, status.st_mode)


def note_hard_links(found: Found) -> None:
    """Files whose content has a name that isn't among these."""
    names = Counter((r.device, r.inode) for records in found.records.values() for r in records.values())
    for collection, records in found.records.items():
        if any(record.links > names[record.device, record.inode] for record in records.values()):
            found.note(collection, "HARD_LINK")
