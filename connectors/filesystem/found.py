"""What a search finds: files of people, and what stands in their way."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsr.connector.v1 import connector_pb2 as pb

from connectors.objects import found as objects


@dataclass(frozen=True, slots=True)
class Record:
    """One file, as it was found."""

    path: str
    size: int
    mtime_ns: int
    device: int
    inode: int
    links: int
    values: tuple[tuple[str, str], ...]
    """Identity values in its path, by the pattern's names."""

    def is_still(self, status: os.stat_result) -> bool:
        """Whether `status` is of the same, unchanged file."""
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) == (
            self.device,
            self.inode,
            self.size,
            self.mtime_ns,
        )


@dataclass
class Found:
    """What was found of one person."""

    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    """Collection to path to record. A path is in one collection only."""
    folders: dict[str, set[str]] = field(default_factory=dict)
    """Folders that bear an identity of the person, by collection."""
    others: dict[str, set[str]] = field(default_factory=dict)
    """Paths where a link, pipe, socket or device stands in a file's or folder's place, by collection."""
    findings: dict[tuple[str, str], None] = field(default_factory=dict)
    """(collection, code), in the order of finding. All of them block erasure."""
    lake: objects.Found = field(default_factory=objects.Found)
    """Records in files that hold many people's."""

    def add(self, collection: str, record: Record) -> bool:
        """Notes a file, unless an earlier collection has it."""
        if any(record.path in records for records in self.records.values()):
            return False
        self.records.setdefault(collection, {})[record.path] = record
        return True

    def note(self, collection: str, code: str) -> None:
        """Notes a finding."""
        self.findings[collection, code] = None

    def note_other(self, collection: str, path: str, mode: int) -> None:
        """Notes something that is neither a file nor a folder."""
        self.others.setdefault(collection, set()).add(path)
        self.note(collection, "SYMBOLIC_LINK" if stat.S_ISLNK(mode) else "SPECIAL_FILE")

    def told(self) -> list[pb.Finding]:
        """The findings, as the contract has them."""
        files = [
            pb.Finding(code=code, collection=collection, detail=DETAILS[code], blocks_erasure=True)
            for collection, code in self.findings
        ]
        return [*files, *self.lake.findings.values()]

    def blocking(self) -> list[pb.Finding]:
        """Those that block erasure."""
        return [finding for finding in self.told() if finding.blocks_erasure]


DETAILS: Mapping[str, str] = {
    "SYMBOLIC_LINK": "A link stands where a file or folder should; links are not followed. Replace or remove it.",
    "SPECIAL_FILE": "A pipe, socket or device stands where a file should. Remove it.",
    "HARD_LINK": "A file's content has another name outside of this person's files. Remove or declare that name.",
    "UNDECLARED_FILE": "The person's own folder holds files that no collection declares. Declare them.",
    "IDENTITY_NOT_SEARCHABLE": "An identity holds a character that ends it in this pattern, so its files can't be told "
    "from others'. Give the identity a segment of its own.",
}
