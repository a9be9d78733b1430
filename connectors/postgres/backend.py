"""A PostgreSQL database as a data source."""

from dsr.connector.v1 import connector_pb2 as pb

from connectors.backend import SourceConfig
from connectors.postgres.catalogue import script
from connectors.postgres.dialect import PostgresDialect
from connectors.postgres.options import PostgresOptions
from connectors.postgres.session import PostgresDatabase
from connectors.postgres.types import quote
from connectors.relational.backend import RelationalBackend
from connectors.relational.build import build
from connectors.relational.catalogue import Catalogue
from connectors.relational.compiler import Compiler
from connectors.relational.declaration import RelationalOptions, parse
from dsrkit.errors import DsrError


class PostgresBackend(RelationalBackend):
    """See `RelationalBackend`."""

    kind = "postgres"
    version = "1"

    def __init__(self, config: SourceConfig) -> None:
        self._options = parse(PostgresOptions, config.options)
        self._dialect = PostgresDialect()
        self._database = PostgresDatabase(self._options, config.source, config.fingerprint_key, self._dialect)
        super().__init__(config, self._options, self._database)

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
        response.permissions.add(operation="temporary tables", allowed=temporary)
        response.permissions.add(operation=f"{self._options.journal_schema}: create", allowed=create or journal)
        self._add_privileges(response, await self._compiler(fresh=True))
        return response

    async def close(self) -> None:
        await self._database.close()

    async def _catalogue(self) -> Catalogue:
        return await self._database.catalogue()

    def _compile(self, catalogue: Catalogue, options: RelationalOptions) -> Compiler:
        return Compiler(build(catalogue, options, self._source), self._dialect)
