"""What an object store can do, as far as finding and erasing people needs it. s3 and swift implement it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from dsr.connector.v1 import connector_pb2 as pb

from connectors.lake.record import Source

State = Literal["CURRENT", "NONCURRENT", "DELETE_MARKER", "INCOMPLETE_UPLOAD"]


class Gone(Exception):
    """The version isn't there, or isn't what it was, any more."""


class Changed(Gone):
    """Something else is in its place."""


class Held(Exception):
    """The store refuses to remove the version, whoever asks: legal hold or retention."""


class Overtaken(Exception):
    """Somebody wrote the object meanwhile. Nothing was replaced."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, as a listing shows it."""

    key: str
    id: str
    """Opaque; the same version always has the same one. Unversioned objects share one."""
    state: State
    etag: str
    size: int
    modified: datetime
    archived: bool = False
    """It must be restored before it can be read."""
    obstacle: str = ""
    """Code of a finding: what stands here is nothing that could be read."""

    @property
    def readable(self) -> bool:
        """Whether it has content that can be read now."""
        return self.state in ("CURRENT", "NONCURRENT") and not self.archived


@dataclass(frozen=True, slots=True)
class Facts:
    """What a listing doesn't say of a version."""

    media_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    held_until: datetime | None = None
    """Retention; the version can't be removed before."""
    legal_hold: bool = False
    expires: datetime | None = None
    """The store itself removes it then."""
    foreign_parts: bool = False
    """It consists of objects that aren't its own."""
    linked: bool = False
    """Its content has another name."""
    restored: bool = False
    """Archived, and readable for the time being."""
    size: int | None = None
    """Of what is read, where a listing may say another one."""
    rewrites: str = ""
    """Id of the version that this one, written by an erasure, stands in for."""

    @property
    def held(self) -> bool:
        """Whether the version can't be removed now."""
        return self.legal_hold or self.held_until is not None


class Replacement(Protocol):
    """An object being written anew."""

    @property
    def local(self) -> Callable[[bytes], object] | None:
        """Writes in the thread it is called from; None: `write` does, from the event loop."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def commit(self) -> None:
        """Puts it in place. Overtaken if what was current when the writing began isn't any more."""
        ...


class Store(Protocol):
    """One bucket or container. Raises DsrError for everything but what its methods name."""

    kind: str

    def versions(self, prefix: str) -> AsyncGenerator[Sequence[Version], None]:
        """For each key that begins so: its versions and delete markers, the newest first."""
        ...

    def uploads(self, prefix: str) -> AsyncGenerator[Version, None]:
        """Uploads that were begun, for keys that begin so, and are old enough to have been given up."""
        ...

    async def has_obstacles(self) -> bool:
        """Whether `facts` may say something that keeps a version from being removed. Answered from memory."""
        ...

    async def guarded(self, version: Version) -> bool:
        """Whether no writer can be overwritten unnoticed by `replace`."""
        ...

    async def facts(self, version: Version) -> Facts:
        """Gone if it isn't there."""
        ...

    async def tags(self, version: Version) -> Mapping[str, str]:
        """Gone if it isn't there."""
        ...

    def read(self, version: Version, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Bytes from `start` to before `stop`. Gone if it isn't there, or isn't this version."""
        ...

    def open(self, version: Version) -> AbstractContextManager[Source] | None:
        """Called in a thread: the version as a file of this machine, Gone at its end if it changed; None: by `read`."""
        ...

    async def remove(self, version: Version) -> None:
        """Removes this version, and whatever it consists of. One that is gone is no error. Gone if another stands in
        its place; Held if the store refuses."""
        ...

    def replace(self, version: Version, over: Version) -> AbstractAsyncContextManager[Replacement]:
        """Writes the object anew, with everything but the content of `version` kept; `over` is the current version.

        Not committed, it leaves no trace.
        """
        ...

    async def probe(self) -> pb.ProbeResponse:
        """Reachability, encryption, permissions on the store as a whole."""
        ...

    async def close(self) -> None: ...


class WholeStore(Store, Protocol):
    """One whose objects can be removed many at a time, whoever they are about."""

    def unfinished(self, prefix: str) -> AsyncGenerator[Version, None]:
        """Every upload that was begun and not finished, however young, for keys that begin so."""
        ...

    async def clear(self, versions: Sequence[Version]) -> None:
        """Removes these, of each object the oldest first, in as few requests as the store allows.

        Leaves those that the store refuses to remove, and those that aren't what they were.
        """
        ...
