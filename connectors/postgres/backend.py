"""A PostgreSQL database as a data source."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.backend import SourceConfig
from connectors.postgres.catalogue import script
from connectors.postgres.dialect import PostgresDialect
from connectors.postgres.options import PostgresOptions
from connectors.postgres.session import PostgresDatabase
from connectors.postgres.types import quote
from connectors.relational.build import build
from connectors.relational.catalogue import Catalogue
from connectors.relational.compiler import Compiler
from connectors.relational.declaration import parse
from connectors.relational.describe import describe
from connectors.relational.erase import Eraser
from connectors.relational.export import export
from connectors.relational.locate import locate
from connectors.relational.progress import with_signs_of_life
from connectors.relational.verify import verify
from dsrkit.errors import DsrError

VERSION = "1"


@dataclass(frozen=True)
class _Known:
    """What was last learnt of the database, and when (the loop's clock)."""

    catalogue: Catalogue
    compiler: Compiler
    time: float


class PostgresBackend:
    """See `connectors.backend.Backend`. Wrong options are refused here; the database is first reached by a call."""

    def __init__(self, config: SourceConfig) -> None:
        self._source = config.source
        self._key = config.fingerprint_key
        self._options = parse(PostgresOptions, config.options)
        self._dialect = PostgresDialect()
        self._database = PostgresDatabase(self._options, config.source, config.fingerprint_key, self._dialect)
        self._known: _Known | None = None
        self._learning = asyncio.Lock()

    async def describe(self) -> pb.DescribeResponse:
        compiler = await self._compiler(fresh=True)
        return describe(compiler.model, "postgres", VERSION, self._options.max_records_per_subject)

    async def probe(self) -> pb.ProbeResponse:
        """Unreachable is an answer, not an error; an unencrypted connection is refused as everywhere."""
        schema = quote(self._options.journal_schema)
        response = pb.ProbeResponse()
        try:
            async with self._database.connection() as connection:
                query = script("probe.sql")
                time, ssl, temporary, create, journal = await connection.fetchrow(
                    query, f"{schema}.task", f"{schema}.erasure"
                )
        except DsrError as error:
            if error.reason != "SOURCE_UNAVAILABLE":
                raise
            return response
        response.reachable = True
        response.backend_time.FromDatetime(time)
        address = self._database.address
        response.encrypted_in_transit = ssl and address is not None and address.verified
        permissions = {"temporary tables": temporary, f"{self._options.journal_schema}: create": create or journal}
        model = (await self._compiler(fresh=True)).model
        for name, collection in model.collections.items():
            for privilege in ("SELECT", "UPDATE", "DELETE"):
                permissions[f"{name}: {privilege.lower()}"] = privilege in collection.table.privileges
        for operation, allowed in permissions.items():
            response.permissions.add(operation=operation, allowed=allowed)
        return response

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        compiler = await self._searchable()
        found = locate(self._database, compiler, request, self._key)
        async with contextlib.aclosing(
            with_signs_of_life(found, pb.LocateResponse(progress=pb.Progress()))
        ) as messages:
            async for message in messages:
                yield message

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        compiler = await self._searchable()
        messages = export(self._database, compiler, request, grant, self._options.export_max_age)
        async with contextlib.aclosing(messages):
            async for message in messages:
                yield message

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        compiler = await self._searchable(fresh=True)
        journal, cap = await self._database.journal(), self._options.max_records_per_subject
        eraser = Eraser(self._database, compiler, journal, grant, self._key, cap)
        done = eraser.run(request.subjects)
        async with contextlib.aclosing(with_signs_of_life(done, pb.EraseResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        compiler = await self._searchable()
        left = verify(self._database, compiler, request)
        async with contextlib.aclosing(with_signs_of_life(left, pb.VerifyResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def close(self) -> None:
        await self._database.close()

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
            if known is None or fresh or now - known.time > self._options.catalogue_max_age.total_seconds():
                catalogue = await self._database.catalogue()
                if known is not None and known.catalogue == catalogue:
                    compiler = known.compiler
                else:
                    compiler = Compiler(build(catalogue, self._options, self._source), self._dialect)
                self._known = known = _Known(catalogue, compiler, now)
            return known.compiler
