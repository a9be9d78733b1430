"""What a kind of backend gives the host. The messages are the contract's own; there is no second interface.

A backend raises `dsrkit.errors.DsrError`; any other exception is a defect, and its text never leaves the process.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, Sandbox


@dataclass(frozen=True)
class SourceConfig:
    """One data source of one partner, as the host's configuration file declares it."""

    source: str
    """`partners/{partner}/dataSources/{source}`."""
    kind: str
    """Name of the backend: `postgres`, `filesystem` …"""
    options: Mapping[str, Any]
    """What the kind needs; parsed and checked by the backend's own options class."""
    fingerprint_key: bytes
    """32 secret bytes of this source, for keyed fingerprints."""
    state_dir: Path
    """Where a backend without transactions keeps its journal."""


class Backend(Protocol):
    """One open data source. Opened lazily at first use, closed with the host."""

    async def describe(self) -> pb.DescribeResponse: ...

    async def probe(self) -> pb.ProbeResponse: ...

    def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]: ...

    def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """`grant` has been verified: signature, source, operation, expiry."""
        ...

    def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        """`grant` has been verified. Idempotent by `grant.task`; an older `grant.attempt` gets ATTEMPT_SUPERSEDED."""
        ...

    def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]: ...

    async def close(self) -> None: ...


@runtime_checkable
class CountsPeople(Protocol):
    """A backend that declares COUNT."""

    def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        """`grant` has been verified."""
        ...


@runtime_checkable
class ListsInactive(Protocol):
    """A backend that declares INACTIVE."""

    def list_inactive(self, request: pb.ListInactiveRequest, grant: Grant) -> AsyncIterator[pb.ListInactiveResponse]:
        """`grant` has been verified."""
        ...


@runtime_checkable
class GivesBack(Protocol):
    """A backend that declares RETURN."""

    def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """`grant` has been verified."""
        ...


@runtime_checkable
class Destroys(Protocol):
    """A backend that declares DESTROY."""

    def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        """`grant` has been verified. Idempotent by `grant.task`; an older `grant.attempt` gets ATTEMPT_SUPERSEDED."""
        ...


@runtime_checkable
class BeginsAnew(Protocol):
    """A sandbox's backend: its data go back to their seed when the sandbox was reset."""

    async def begin_anew(self, mark: Sandbox) -> None:
        """Before every call. Does nothing unless there were more resets than when its data were filled in."""
        ...


@runtime_checkable
class Amends(Protocol):
    """A backend that declares AMEND."""

    def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        """`grant` has been verified. Idempotent by `grant.task`; an older `grant.attempt` gets ATTEMPT_SUPERSEDED."""
        ...


BackendFactory = Callable[[SourceConfig], Backend]
