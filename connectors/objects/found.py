"""What a search finds of one person: objects, rows in shared objects, and what stands in the way."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from connectors.filesystem.fingerprint import Digests as Journalled
from connectors.objects.options import Options
from connectors.objects.store import Version

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Digests(Journalled):
    """Keyed digests of objects and rows. They say nothing to whoever lacks the source's key."""

    def version(self, version: Version) -> str:
        """An object's version, as it was found."""
        facts = f"{version.id}\0{version.state}\0{version.etag}\0{version.size}\0{version.modified.timestamp()}\0"
        return self._short(b"version", facts.encode() + version.key.encode(errors="surrogatepass"))

    def same(self, version: Version) -> bytes:
        """A version as long as its content is the same, whether or not it is the current one."""
        # History may know another time. What has no id of its own is told by its time.
        time = version.modified.timestamp() if version.id.endswith("null") else ""
        facts = f"{version.id}\0{version.etag}\0{version.size}\0{time}\0"
        return bytes.fromhex(self._short(b"place", facts.encode() + version.key.encode(errors="surrogatepass")))

    def origin(self, key: str, version: str) -> bytes | None:
        """What an erasure names that writes an object anew. None where others may come by the same id."""
        if version.endswith("null"):
            return None
        name = f"{version}\0{key}".encode(errors="surrogatepass")
        return bytes.fromhex(self._short(b"origin", name))

    def row(self, key: str, data: bytes) -> str:
        """A record in an object, wherever in it."""
        return self._short(b"row", key.encode(errors="surrogatepass") + b"\0" + hashlib.sha256(data).digest())

    def members(self, collection: str, digests: Iterable[str]) -> bytes:
        """The set of records of a collection. 32 bytes."""
        text = "\n".join([collection, *sorted(digests)])
        return hmac.new(self.key, b"members\0" + text.encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class Object:
    """One version of an object that is the person's."""

    version: Version
    values: tuple[tuple[str, str], ...]
    """Identity values by the collection's names."""


@dataclass
class Rows:
    """The person's records in one lake object. A record is counted once, however many versions hold it."""

    counts: dict[str, int] = field(default_factory=dict)
    """Digest of the record to how often it stands in one version at most."""
    names: set[tuple[str, str]] = field(default_factory=set)
    """(name, value) of identities in records that are the person's alone."""


@dataclass
class Found:
    """What was found of one person."""

    objects: dict[str, dict[tuple[str, str], Object]] = field(default_factory=dict)
    """Collection to (key, version id) to object."""
    rows: dict[str, dict[str, Rows]] = field(default_factory=dict)
    """Collection to key to records."""
    findings: dict[tuple[str, str], pb.Finding] = field(default_factory=dict)
    unsearched: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    """Collection to (key, version id) of what may hold records of the person and couldn't be searched, and why."""

    uploads: dict[str, list[Version]] = field(default_factory=dict)
    """Collection to uploads that were given up: nobody can read them."""

    def add(self, collection: str, found: Object) -> bool:
        """Notes an object unless an earlier collection has it."""
        place = (found.version.key, found.version.id)
        if any(place in objects for objects in self.objects.values()):
            return False
        self.objects.setdefault(collection, {})[place] = found
        return True

    def note(self, collection: str, code: str, detail: str = "", *, blocks: bool = True) -> None:
        """Notes a finding, once."""
        self.findings[collection, code] = pb.Finding(
            code=code, collection=collection, detail=detail or DETAILS[code], blocks_erasure=blocks
        )

    def note_unsearched(self, collection: str, version: Version, code: str, expires: datetime | None = None) -> None:
        """Notes that a version couldn't be searched; one that the store itself removes at a time blocks nothing."""
        self.unsearched.setdefault(collection, {})[version.key, version.id] = code
        known = self.findings.get((collection, code))
        if expires is None:
            self.note(collection, code)
        elif known is None or (not known.blocks_erasure and known.detail < _archived_until(expires)):
            self.note(collection, code, _archived_until(expires), blocks=False)

    def note_upload(self, collection: str, upload: Version) -> None:
        """Notes what was begun and given up where a lake's objects stand: it blocks nothing, since an erasure aborts
        it."""
        self.unsearched.setdefault(collection, {})[upload.key, upload.id] = "INCOMPLETE_UPLOAD"
        self.uploads.setdefault(collection, []).append(upload)
        self.note(collection, "INCOMPLETE_UPLOAD", blocks=False)

    def note_held(self, collection: str, until: datetime | None) -> None:
        """Notes that a version can't be removed before `until` (None: as long as a legal hold lasts)."""
        known = self.findings.get((collection, "RETAINED"))
        if until is None:
            detail = "A legal hold keeps an object of this person. Have it lifted, or retain the collection."
        else:
            detail = (
                f"Object Lock keeps an object of this person until {until:%Y-%m-%d}. Wait, or retain the collection."
            )
        if known is None or ("legal hold" not in known.detail and detail > known.detail):
            self.note(collection, "RETAINED", detail)

    def digests(self, of: Digests) -> Mapping[str, Mapping[str, int]]:
        """By collection: digest of each record, and how many records have it."""
        found: dict[str, dict[str, int]] = {}
        for name, objects in self.objects.items():
            found[name] = {of.version(item.version): 1 for item in objects.values()}
        for name, rows_by_key in self.rows.items():
            found[name] = {digest: number for rows in rows_by_key.values() for digest, number in rows.counts.items()}
        return found

    def counts(self, of: Digests) -> list[pb.CollectionCount]:
        """What Locate says of the person, and what Erase compares."""
        return [
            pb.CollectionCount(
                collection=name,
                records=sum(records.values()),
                fingerprint=of.members(name, (f"{digest} {number}" for digest, number in records.items())),
            )
            for name, records in self.digests(of).items()
            if records
        ]


def identities(options: Options, subject: pb.Subject, found: Found) -> list[pb.FoundIdentity]:
    """Other names of the person that stand in keys, tags and records."""
    known = {(identity.type, identity.value) for identity in subject.identities}
    pairs: set[tuple[str, str, str]] = set()
    for name, objects in found.objects.items():
        pairs |= {(name, *pair) for item in objects.values() for pair in item.values}
    for name, rows_by_key in found.rows.items():
        pairs |= {(name, *pair) for rows in rows_by_key.values() for pair in rows.names}
    result = []
    for name, variable, value in sorted(pairs):
        collection = options.collections[name]
        kind = collection.type_of(variable)
        # What isn't text can't be asked for elsewhere.
        if (kind, value) not in known and value and value.isprintable():
            unique = collection.identity[variable].unique
            identity = Identity(type=kind, value=value)
            result.append(pb.FoundIdentity(identity=identity, collection=name, unique=unique))
    return result


def _archived_until(expires: datetime) -> str:
    return (
        f"An archived object was not searched. The store itself removes it by {expires:%Y-%m-%d}; until then Verify "
        "counts it as left. Restore it to have it searched."
    )


DETAILS: Mapping[str, str] = {
    "IDENTITY_NOT_SEARCHABLE": "An identity holds a character that ends it in this pattern, so its objects can't be "
    "told from others'. Give the identity a segment of its own.",
    "UNDECLARED_OBJECT": "The person's own prefix holds objects that no collection declares. Declare them.",
    "SHARED_RECORD": "A record names other people as well. Retain the collection, or say shared_records: delete.",
    "UNGUARDED": "A writer at the same moment could be overwritten unnoticed. Turn versions on, where the store has "
    "them; or stop the writers and say unguarded_rewrites: allow.",
    "FOREIGN_SEGMENTS": "A large object consists of segments that don't bear its name, and may be others'. Remove it "
    "by hand, or retain the collection.",
    "BROKEN_RECORD": "A record that can't be read holds an identity of the person, or may, since it isn't UTF-8. Mend "
    "or remove it.",
    "BROKEN_RECORDS": "Some records can't be read; none of them holds an identity of the person. They are kept.",
    "UNREADABLE_OBJECT": "An object isn't in the declared format, or is damaged, and was not searched. Mend it.",
    "UNWRITABLE_OBJECT": "A Parquet object's columns would become others when it is written again without the records. "
    "Have its writer take them out, or retain the collection.",
    "ARCHIVE": "An archive (zip, tar, 7z, rar and the like) can't be opened and was not searched. Unpack it into the "
    "declared format, or retain the collection.",
    "SYMBOLIC_LINK": "A link stands where a file or folder should; links are not followed. Replace or remove it.",
    "SPECIAL_FILE": "A pipe, socket or device stands where a file should. Remove it.",
    "HARD_LINK": "The file has another name, which would keep the records. Remove that name, or declare it.",
    "INCOMPLETE_UPLOAD": "An upload was begun and given up: nobody can read whom it holds. An erasure aborts it; until "
    "then Verify counts it as left. Finish it, or abort it.",
    "ARCHIVED": "An object is archived and was not searched. Restore it, then locate again.",
    "ARCHIVED_OBJECT": "An object is archived: it can be removed; its content can't be copied. Restore it to copy it.",
}
