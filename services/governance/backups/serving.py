"""What the authority asks of this family: may a source be served, and which snapshots hold what was erased."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from dsr.v1 import backups_pb2 as pb

from dsrkit.db import Connection
from dsrkit.errors import DsrError
from services.governance.backups import view
from services.governance.backups.domain import holding
from services.governance.store import GovernanceStore


async def need_served(store: GovernanceStore, connection: Connection, sources: Sequence[str]) -> None:
    """SOURCE_NOT_SERVED while one of the sources is being restored."""
    row = await store.row(connection, "backups.not_served", list(sources))
    if row is not None:
        text = "The source is being restored; erasures newer than the snapshot are to be replayed first."
        raise DsrError("SOURCE_NOT_SERVED", text, source=row["source"])


async def held(
    store: GovernanceStore, connection: Connection, touched: Mapping[str, Sequence[str]], now: datetime
) -> list[pb.Snapshot]:
    """Snapshots that exist, as far as anybody knows, and hold a collection touched."""
    rows = await store.rows(connection, "backups.existing", list(touched), now)
    return holding([view.snapshot(row, now) for row in rows], touched)
