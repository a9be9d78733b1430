"""What a package is made of: the facts of the request, and the spooled records of each collection.

Everything here is blocking on purpose: a package is built in a worker thread, piece by piece.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from dsr.authority.v1.authority_pb2 import SourceInstructions
from dsr.v1.governance_pb2 import Partner
from dsr.v1.request_pb2 import ResolvedIdentity
from dsr.v1.subject_pb2 import RequesterCapacity

from dsrkit.errors import DsrError


@dataclass(frozen=True)
class Field:
    """A field of a collection's records, as the connector's header names it."""

    name: str
    type: str
    """Table Schema type (Frictionless v2)."""
    native_type: str = ""


@dataclass(frozen=True)
class Part:
    """One collection of one source, as its connector sent it."""

    source: str
    """`partners/{partner}/dataSources/{source}`."""
    collection: str
    fields: Sequence[Field]
    primary_key: Sequence[str]
    withheld_fields: Sequence[str]
    records: int
    size: int
    """Bytes."""
    sha256: bytes
    """Of the whole, as the connector's trailer says; 32 bytes."""
    open: Callable[[], Iterator[bytes]]
    """The JSON Lines from the start, cut anywhere. Called more than once; a generator is closed after use."""


@dataclass(frozen=True)
class SourceReport:
    """What was done at one data source of the request."""

    instructions: SourceInstructions
    """The source, its entry in the pinned data map, and its retentions, as governance gave them."""
    searched_by: Sequence[str] | None = None
    """Identity types it was asked by. Empty: it knows people by none of the person's names, so it could not be
    asked. None: not recorded."""
    snapshot_time: datetime | None = None
    """The instant the copy shows; None when nothing was copied."""
    names_unasked: bool = False
    """Whether it was not asked by some names of the person, since they lie too many hops away."""


@dataclass(frozen=True)
class Report:
    """The facts of a request that a package tells."""

    request: str
    """`partners/{partner}/accessRequests/{id}`."""
    received_time: datetime
    create_time: datetime
    package_time: datetime
    """When the package is made. Every time in the archive is this one, so that building again gives the same bytes."""
    partner: Partner
    capacity: RequesterCapacity.ValueType
    data_map_revision: int
    sources: Sequence[SourceReport]
    """Every data source of the request, those without records included."""
    identities: Sequence[ResolvedIdentity]
    operator: str = ""
    """Who runs the platform for the partner."""
    operator_contact: str = ""
    """The operator's data protection officer."""
    partner_dpo: str = ""
    """The controller's own; empty when it named none."""


def read(part: Part) -> Generator[bytes]:
    """The part's bytes as they come. Closing this closes what `part.open` returned."""
    pieces = part.open()
    try:
        yield from pieces
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


def verified(part: Part) -> Iterator[bytes]:
    """The part's bytes, with size, records and SHA-256 checked on the way.

    Raises DsrError SOURCE_INCONSISTENT when they aren't what the connector's trailer said: at the latest after the
    last piece, so that nothing which was made of these bytes may be used before the iterator has ended.
    """
    digest, size, lines, last = hashlib.sha256(), 0, 0, b"\n"
    for piece in read(part):
        size += len(piece)
        if size > part.size:
            raise inconsistent(part, "more bytes than its trailer says")
        digest.update(piece)
        lines += piece.count(b"\n")
        last = piece[-1:] or last
        yield piece
    if size < part.size:
        raise inconsistent(part, "fewer bytes than its trailer says")
    if digest.digest() != part.sha256:
        raise inconsistent(part, "another SHA-256 than its trailer says")
    if lines + (last != b"\n") != part.records:
        raise inconsistent(part, "another number of records than its trailer says")


def inconsistent(part: Part, why: str) -> DsrError:
    """SOURCE_INCONSISTENT for a part. `why` says what disagrees, never a value."""
    return DsrError(
        "SOURCE_INCONSISTENT",
        f"The copy of a collection of {part.source} can't be used: {why}. Export the source again.",
        source=part.source,
        why=why,
    )
