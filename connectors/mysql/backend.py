"""A MySQL or MariaDB database as a data source."""

from dataclasses import replace
from datetime import UTC

from dsr.connector.v1 import connector_pb2 as pb

from connectors.backend import SourceConfig
from connectors.mysql.catalogue import MysqlCatalogue, script
from connectors.mysql.database import MysqlDatabase
from connectors.mysql.dialect import MysqlDialect
from connectors.mysql.findings import find
from connectors.mysql.options import MysqlOptions
from connectors.relational.backend import RelationalBackend
from connectors.relational.build import build
from connectors.relational.catalogue import Catalogue
from connectors.relational.compiler import Compiler
from connectors.relational.declaration import RelationalOptions, parse
from connectors.relational.sql import Statement
from dsrkit.errors import DsrError


class MysqlBackend(RelationalBackend):
    """See `RelationalBackend`."""

    kind = "mysql"
    version = "1"

    def __init__(self, config: SourceConfig) -> None:
        self._options = parse(MysqlOptions, config.options)
        self._database = MysqlDatabase(self._options, config.source, config.fingerprint_key)
        self._dialect: MysqlDialect | None = None
        super().__init__(config, self._options, self._database)

    async def probe(self) -> pb.ProbeResponse:
        """Unreachable is an answer, not an error; an unencrypted connection is refused as everywhere."""
        response = pb.ProbeResponse()
        try:
            async with self._database.session() as session:
                ((time, binary_log, how),) = await session.rows(Statement(script("probe.sql")))
        except DsrError as error:
            if error.reason != "SOURCE_UNAVAILABLE":
                raise
            return response
        response.reachable = True
        response.backend_time.FromDatetime(time.replace(tzinfo=UTC))
        address = self._database.address
        response.encrypted_in_transit = address is not None and address.tls is not None
        allowed = not binary_log or how == "ROW"
        response.permissions.add(operation="search without a trace in the binary log", allowed=allowed)
        self._add_privileges(response, await self._compiler(fresh=True))
        return response

    async def close(self) -> None:
        await self._database.close()

    async def _catalogue(self) -> Catalogue:
        catalogue, self._dialect = await self._database.catalogue()
        return catalogue

    def _compile(self, catalogue: Catalogue, options: RelationalOptions) -> Compiler:
        address = self._database.address
        if not isinstance(catalogue, MysqlCatalogue) or self._dialect is None or address is None:
            raise AssertionError("the catalogue was read by this backend")
        if options.schemas is None:  # a server has many databases; the others are somebody else's
            options = options.model_copy(update={"schemas": (address.database,)})
        self._check_keys(catalogue)
        model = build(catalogue, options, self._source)
        findings = (*model.findings, *find(model, catalogue))
        return Compiler(replace(model, findings=findings), self._dialect)

    def _check_keys(self, catalogue: Catalogue) -> None:
        for name, declaration in self._options.collections.items():
            table = catalogue.tables.get(name)
            if table is not None and not table.keyed and not declaration.no_personal_data:
                why = (
                    f"options.collections.{name}: the table has no primary key and no unique key without nulls, so "
                    "that its rows can't be told apart; add one (an AUTO_INCREMENT column is enough)"
                )
                message = f"The declaration of the source doesn't fit its database: {why}."
                raise DsrError("SOURCE_REJECTED", message, source=self._source, why=why)
