"""The contract's methods over a relational database; a kind of database adds how it is reached and described."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.backend import SourceConfig
from connectors.progress import with_signs_of_life
from connectors.relational.amend import Amender
from connectors.relational.catalogue import Catalogue
from connectors.relational.compiler import Compiler
from connectors.relational.count import count_people
from connectors.relational.declaration import RelationalOptions
from connectors.relational.describe import describe
from connectors.relational.destroy import Destroyer
from connectors.relational.dialect import Database
from connectors.relational.erase import Eraser
from connectors.relational.export import export
from connectors.relational.giveback import give_back
from connectors.relational.inactive import list_inactive
from connectors.relational.locate import locate
from connectors.relational.verify import verify
from connectors.relational.whole import declared_whole, scoped
from dsrkit.errors import DsrError


@dataclass
class _Known:
    """What was last learnt of the database, and when (the loop's clock)."""

    catalogue: Catalogue
    compiler: Compiler
    time: float
    whole: Compiler | None = None
    """Of the whole source, once somebody wanted it."""


class RelationalBackend(ABC):
    """See `connectors.backend.Backend`. Wrong options are refused early; the database is first reached by a call."""

    kind: str
    version: str

    def __init__(self, config: SourceConfig, options: RelationalOptions, database: Database) -> None:
        self._source = config.source
        self._key = config.fingerprint_key
        self._relational = options
        self._searched = database
        self._known: _Known | None = None
        self._learning = asyncio.Lock()

    @abstractmethod
    async def _catalogue(self) -> Catalogue:
        """What the database says about itself now."""

    @abstractmethod
    def _compile(self, catalogue: Catalogue, options: RelationalOptions) -> Compiler:
        """The model under these options, ready to be searched. SOURCE_REJECTED where the declaration doesn't fit."""

    @abstractmethod
    async def probe(self) -> pb.ProbeResponse: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def describe(self) -> pb.DescribeResponse:
        compiler = await self._compiler(fresh=True)
        most = self._relational.max_records_per_subject
        return describe(compiler.model, self.kind, self.version, most)

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        compiler = await self._searchable()
        found = locate(self._searched, compiler, request, self._key)
        async with contextlib.aclosing(
            with_signs_of_life(found, pb.LocateResponse(progress=pb.Progress()))
        ) as messages:
            async for message in messages:
                yield message

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        compiler = await self._searchable()
        messages = export(self._searched, compiler, request, grant, self._relational.export_max_age)
        async with contextlib.aclosing(messages):
            async for message in messages:
                yield message

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        compiler = await self._searchable(fresh=True)
        journal, cap = await self._searched.journal(), self._relational.max_records_per_subject
        eraser = Eraser(self._searched, compiler, journal, grant, self._key, cap)
        done = eraser.run(request.subjects)
        async with contextlib.aclosing(with_signs_of_life(done, pb.EraseResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        compiler = await self._searchable()
        left = verify(self._searched, compiler, request)
        async with contextlib.aclosing(with_signs_of_life(left, pb.VerifyResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        compiler = await self._searchable()
        found = count_people(self._searched, compiler, self._source)
        alive = with_signs_of_life(found, pb.CountPeopleResponse(progress=pb.Progress()))
        async with contextlib.aclosing(alive) as messages:
            async for message in messages:
                yield message

    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        compiler = await self._searchable()
        found = list_inactive(self._searched, compiler, request, grant.inactivity, self._source)
        alive = with_signs_of_life(found, pb.ListInactiveResponse(progress=pb.Progress()))
        async with contextlib.aclosing(alive) as messages:
            async for message in messages:
                yield message

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        compiler = await self._whole()
        messages = give_back(self._searched, compiler, grant.source, self._relational.export_max_age)
        async with contextlib.aclosing(messages):
            async for message in messages:
                yield message

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        compiler = await self._whole()
        destroyer = Destroyer(self._searched, compiler, await self._searched.journal(), grant)
        done = destroyer.run(count_only=request.count_only)
        sign = pb.DestroyResponse(progress=pb.Progress())
        async with contextlib.aclosing(with_signs_of_life(done, sign)) as messages:
            async for message in messages:
                yield message

    async def _whole(self) -> Compiler:
        """The whole source's compiler, of the database as it is now."""
        await self._searchable(fresh=True)
        known = self._known
        if known is None:
            raise AssertionError("it was learnt just now")
        if known.whole is None:
            catalogue, options = known.catalogue, self._relational
            compiler = self._compile(catalogue, declared_whole(catalogue, options))
            known.whole = Compiler(scoped(compiler.model, options, self._source), compiler.dialect)
        return known.whole

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        compiler = await self._searchable(fresh=True)
        journal, cap = await self._searched.journal(), self._relational.max_records_per_subject
        amender = Amender(self._searched, compiler, journal, grant, self._key, cap)
        done = amender.run(request)
        async with contextlib.aclosing(with_signs_of_life(done, pb.AmendResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def _searchable(self, *, fresh: bool = False) -> Compiler:
        """The compiler, if every declared collection may be read: a search that leaves one out would look complete."""
        compiler = await self._compiler(fresh=fresh)
        for name, collection in compiler.model.collections.items():
            if "SELECT" not in collection.table.privileges:
                why = f"the connector's role may not read {name}"
                message = f"{why}. Grant SELECT on it, or declare no_personal_data."
                raise DsrError("SOURCE_REJECTED", message, source=self._source, why=why)
        return compiler

    async def _compiler(self, *, fresh: bool = False) -> Compiler:
        """The model of the database as it is now, or was at most `catalogue_max_age` ago.

        An unchanged catalogue keeps the model, and with it the temporary tables of open connections.
        """
        now = asyncio.get_running_loop().time()
        async with self._learning:
            known = self._known
            if known is None or fresh or now - known.time > self._relational.catalogue_max_age.total_seconds():
                catalogue = await self._catalogue()
                unchanged = known is not None and known.catalogue == catalogue
                if known is not None and unchanged:
                    known.time = now
                else:
                    known = _Known(catalogue, self._compile(catalogue, self._relational), now)
                self._known = known
            return known.compiler

    def _add_privileges(self, response: pb.ProbeResponse, compiler: Compiler) -> None:
        """Whether each declared table may be read, changed and deleted from."""
        for name, collection in compiler.model.collections.items():
            for privilege in ("SELECT", "UPDATE", "DELETE"):
                allowed = privilege in collection.table.privileges
                response.permissions.add(operation=f"{name}: {privilege.lower()}", allowed=allowed)
