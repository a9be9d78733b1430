"""The step that copies one source's records into encrypted spool files, as fast as they come."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Grant

from dsrkit.errors import DsrError
from dsrkit.requests.authority import Authority
from dsrkit.requests.connector import Connector, Connectors
from dsrkit.requests.flow import Flow, latest
from dsrkit.requests.model import Request
from dsrkit.sealed import SealedWriter, read_sealed
from dsrkit.tasks import Done, Task
from dsrkit.vault import RequestKey

MAX_PIECE = 1024 * 1024


class Spool:
    """The folder of spool files: `{partner}/{request}/{task}-{attempt}/{number}.age`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_request(self, partner: str, request: str) -> Path:
        """All of a request."""
        return self._folder / partner.split("/")[-1] / request

    def of_attempt(self, task: Task) -> Path:
        """One attempt of one task: what a superseded attempt wrote is never mixed with another's."""
        return self.of_request(task.partner, str(task.owner)) / f"{task.id}-{task.attempt}"

    async def remove(self, partner: str, request: str) -> None:
        """Removes all of a request. Idempotent."""
        await asyncio.to_thread(shutil.rmtree, self.of_request(partner, request), ignore_errors=True)

    def read(self, relative: str, key: RequestKey) -> Iterator[bytes]:
        """The plaintext of a spool file. Blocking."""
        return read_sealed(self._folder / relative, key.identity)

    def relative(self, path: Path) -> str:
        """A path as it is stored."""
        return str(path.relative_to(self._folder))


class Export:
    """Step `export`."""

    def __init__(self, flow: Flow, authority: Authority, connectors: Connectors, spool: Spool) -> None:
        self._flow = flow
        self._authority = authority
        self._connectors = connectors
        self._spool = spool

    async def export(self, task: Task) -> Done:
        """Copies one source under a grant; checks every total before it believes it."""
        request, dossier, tasks = await self._flow.load_all(task)
        source = task.source or ""
        located = latest(tasks, "locate")[source]
        key = await self._flow.key(request)
        issued = await self._authority.grant(request, task, dossier)
        message = connector_pb2.ExportRequest(
            grant=issued.grant, subject=dossier.subject(str(request.id), source, located.result["types"])
        )
        named = frozenset(i.collection for i in Grant.FromString(issued.grant.grant).instructions)
        stream = self._connectors.export(Connector.of(source, issued), message)
        return await receive(task, stream, named, key, self._spool)


async def receive(
    task: Task,
    stream: AsyncIterator[connector_pb2.ExportResponse],
    named: Collection[str] | None,
    key: RequestKey,
    spool: Spool,
) -> Done:
    """Takes what a connector copies into the spool. `named`: the collections that it may bring; None: any."""
    folder = spool.of_attempt(task)
    receiver = _Receiver(task.source or "", named, folder, key, spool)
    try:
        async for part in stream:
            await receiver.take(part)
        collections = receiver.finished()
    except BaseException:
        receiver.abandon()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        raise
    records = sum(c["records"] for c in collections)
    return Done(records=records, result={"collections": collections, "snapshot_time": receiver.snapshot_time})


class _Receiver:
    """Takes the messages of one export in their order: header, data, trailer … totals."""

    def __init__(self, source: str, named: Collection[str] | None, folder: Path, key: RequestKey, spool: Spool) -> None:
        self._source = source
        self._named = named
        self._folder = folder
        self._key = key
        self._spool = spool
        self._header: connector_pb2.CollectionHeader | None = None
        self._writer: SealedWriter | None = None
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._lines = 0
        self._collections: list[Mapping[str, Any]] = []
        self._totals: connector_pb2.ExportTotals | None = None
        self.snapshot_time = ""

    async def take(self, part: connector_pb2.ExportResponse) -> None:
        """One message."""
        kind = part.WhichOneof("part")
        if self._totals is not None or kind is None:
            raise self._wrong("AFTER_TOTALS")
        if kind == "header":
            await self._begin(part.header)
        elif kind == "data":
            await self._data(part.data)
        elif kind == "trailer":
            await self._end(part.trailer)
        else:
            if self._header is not None:
                raise self._wrong("TOTALS_WITHIN_COLLECTION")
            self._totals = part.totals
            self.snapshot_time = part.totals.snapshot_time.ToJsonString()

    async def _begin(self, header: connector_pb2.CollectionHeader) -> None:
        if self._header is not None or any(c["collection"] == header.collection for c in self._collections):
            raise self._wrong("HEADER")
        if self._named is not None and header.collection not in self._named:
            raise self._wrong("UNNAMED_COLLECTION")
        self._header = header
        self._hash, self._bytes, self._lines = hashlib.sha256(), 0, 0
        path = self._folder / f"{len(self._collections)}.age"
        self._writer = await asyncio.to_thread(SealedWriter, path, self._key.identity.to_public())

    async def _data(self, data: bytes) -> None:
        if self._writer is None or len(data) > MAX_PIECE:
            raise self._wrong("DATA")
        self._hash.update(data)
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        await asyncio.to_thread(self._writer.write, data)

    async def _end(self, trailer: connector_pb2.CollectionTrailer) -> None:
        header, writer = self._header, self._writer
        if header is None or writer is None:
            raise self._wrong("TRAILER")
        if (trailer.records, trailer.bytes, trailer.sha256) != (self._lines, self._bytes, self._hash.digest()):
            raise self._wrong("COLLECTION_TOTALS")
        await asyncio.to_thread(writer.close)
        self._collections.append(
            {
                "collection": header.collection,
                "records": trailer.records,
                "bytes": trailer.bytes,
                "sha256": trailer.sha256.hex(),
                "path": self._spool.relative(self._folder / f"{len(self._collections)}.age"),
                "fields": [
                    {"name": f.name, "type": f.type, "native_type": f.native_type, "nullable": f.nullable}
                    for f in header.fields
                ],
                "primary_key": list(header.primary_key),
                "withheld": list(header.withheld_fields),
            }
        )
        self._header, self._writer = None, None

    def finished(self) -> list[Mapping[str, Any]]:
        """What was received, when the totals agree with it."""
        totals = self._totals
        if totals is None:
            raise self._wrong("NO_TOTALS")
        sums = (len(self._collections), *(sum(c[k] for c in self._collections) for k in ("records", "bytes")))
        if sums != (totals.collections, totals.records, totals.bytes):
            raise self._wrong("TOTALS")
        return self._collections

    def abandon(self) -> None:
        """Gives up what is half written."""
        if self._writer is not None:
            self._writer.abandon()

    def _wrong(self, why: str) -> DsrError:
        return DsrError(
            "SOURCE_INCONSISTENT", "The export contradicts itself; nothing of it is used.", source=self._source, why=why
        )


def exported(request: Request, tasks: list[Task]) -> dict[str, list[Mapping[str, Any]]]:
    """What was copied, per source of the request; a source without records has an empty list."""
    done = latest(tasks, "export")
    return {s: list(done[s].result["collections"]) if s in done else [] for s in request.data_sources}
