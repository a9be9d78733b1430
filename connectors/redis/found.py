"""What a search finds of one person: keys, entries of shared keys, and what stands in the way."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dsr.connector.v1 import connector_pb2 as pb

from connectors.objects import found as objects
from connectors.redis.content import Part

_DIGEST_BYTES = 16


def _joined(words: Iterable[bytes]) -> bytes:
    """Words as one, so that no other words give the same."""
    return b"".join(len(word).to_bytes(8) + word for word in words)


@dataclass(frozen=True)
class Digests(objects.Digests):
    """Keyed digests of keys and entries. They say nothing to whoever lacks the source's key."""

    def part(self, part: Part) -> bytes:
        """One element of a key."""
        return self._mac(b"part", _joined(part))[:_DIGEST_BYTES]

    def place(self, place: "Place") -> str:
        """Which record, whatever became of it."""
        return self._short(b"place", _joined((place[0], b"" if place[1] is None else b"=" + place[1])))

    def content(self, place: "Place", kind: str, parts: Iterable[bytes]) -> str:
        """A record as it was found: where it stands, its type and its elements. When it expires isn't part of it."""
        where = (place[0], b"" if place[1] is None else b"=" + place[1], kind.encode())
        return self._short(b"content", _joined((*where, *sorted(set(parts)))))


Place = tuple[bytes, bytes | None]
"""Key, and the entry in it: member, hash field or stream id; None: the whole key."""


@dataclass(frozen=True, slots=True)
class Record:
    """A key or an entry, as it was found."""

    place: Place
    kind: str
    """The key's type."""
    digest: str
    values: tuple[tuple[str, str], ...]
    """Identity values in it, by the collection's names."""
    times: int = 1
    """How often a list holds it."""


@dataclass
class Found:
    """What was found of one person."""

    records: dict[str, dict[Place, Record]] = field(default_factory=dict)
    findings: dict[tuple[str, str], pb.Finding] = field(default_factory=dict)

    def add(self, collection: str, record: Record) -> None:
        """Notes a record."""
        self.records.setdefault(collection, {})[record.place] = record

    def note(self, collection: str, code: str) -> None:
        """Notes a finding, once. All of them block erasure."""
        self.findings[collection, code] = pb.Finding(
            code=code, collection=collection, detail=DETAILS[code], blocks_erasure=True
        )

    def digests(self) -> Mapping[str, Mapping[str, int]]:
        """By collection: digest of each record, and how many it stands for."""
        return {name: {r.digest: r.times for r in records.values()} for name, records in self.records.items()}

    def counts(self, of: Digests) -> list[pb.CollectionCount]:
        """What Locate says of the person, and what Erase compares."""
        return [
            pb.CollectionCount(
                collection=name,
                records=sum(records.values()),
                fingerprint=of.members(name, (f"{digest} {times}" for digest, times in records.items())),
            )
            for name, records in self.digests().items()
        ]


DETAILS: Mapping[str, str] = {
    "IDENTITY_NOT_SEARCHABLE": "An identity holds a character that ends it in this pattern, so its keys can't be told "
    "from others'. Give the identity a segment of its own; one with a colon can't be in a key.",
    "WRONG_TYPE": "A key is not of the type that the collection declares, and was not searched. Correct `each`.",
    "SHARED_RECORD": "A record names other people as well. Retain the collection.",
    "BROKEN_RECORD": "A record that can't be read as JSON holds an identity of the person. Mend or remove it.",
}
