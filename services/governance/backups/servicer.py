"""BackupService: messages in and out."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import asyncpg
from dsr.v1 import backups_pb2 as pb
from dsr.v1 import governance_pb2
from dsr.v1.backups_pb2_grpc import BackupServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError, invalid
from dsrkit.grants import LIFETIME
from services.governance import messages
from services.governance.backups import domain, view
from services.governance.gate import misplaced
from services.governance.gatekeeper import ground
from services.governance.locations.domain import BACKUPS
from services.governance.notifications.outbox import notify
from services.governance.tools import Tools, only_ours, scope

Change = Callable[[Connection, asyncpg.Record, datetime], Awaitable[None]]


class BackupServicer(BackupServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def RegisterSnapshots(
        self, request: pb.RegisterSnapshotsRequest, context: Any
    ) -> pb.RegisterSnapshotsResponse:
        partner, wanted = scope(request.parent), request.snapshots
        if len(wanted) > domain.MOST:
            raise invalid("snapshots", f"at most {domain.MOST}")

        async def make(connection: Connection, base: UUID) -> str:
            now = self._tools.clock()
            rows = await self._new_rows(connection, base, wanted, now)
            added = await self._store.rows(connection, "backups.register", rows, now)
            for index, found in enumerate(await self._registered(connection, wanted)):
                if found["snapshot_time"] != rows[index]["snapshot_time"]:
                    text = "is registered with another snapshot_time; a label names one snapshot"
                    raise invalid(f"snapshots[{index}].label", text)
            for row in added:
                name, rule = f"{partner}/snapshots/{row['id']}", row["place_rule"]
                if rule:
                    await notify(self._store, connection, now, "snapshot.misplaced", name, rule=rule)
            return partner

        await self._tools.once(partner, request, "RegisterSnapshots", make)
        async with partner_transaction(self._store.pool, partner) as connection:
            found = await self._registered(connection, wanted)
        now = self._tools.clock()
        return pb.RegisterSnapshotsResponse(snapshots=[view.snapshot(row, now) for row in found])

    async def _new_rows(
        self, connection: Connection, base: UUID, wanted: Sequence[pb.Snapshot], now: datetime
    ) -> list[dict[str, Any]]:
        store, tools = self._store, self._tools
        zone = messages.partner(await store.need(connection, "partner", "resource")).time_zone
        basis = await ground(tools, connection)
        found = [messages.data_source(row) for row in await store.rows(connection, "data_sources", "", 10_000)]
        sources = {source.name: source for source in found}
        current = await store.row(connection, "data_map", 0)
        data_map = messages.data_map(current) if current else governance_pb2.DataMap()
        mapped = {s.source: {c.collection for c in s.collections} for s in data_map.sources}
        rows = []
        for index, one in enumerate(wanted):
            source = sources.get(one.source)
            bad = domain.wrong(one, source, mapped.get(one.source, ()), zone, now)
            if bad is not None:
                raise invalid(f"snapshots[{index}].{bad[0]}", bad[1])
            custody = source.custody if source is not None else governance_pb2.DataSource.CUSTODY_UNSPECIFIED
            only_ours(domain.is_operators(custody), "ROLE_ADMIN")
            kept = governance_pb2.DataSource(name=one.source, custody=custody, location=one.location)
            refusal = misplaced(kept, basis, BACKUPS)
            rows.append(
                {
                    "id": uuid5(base, str(index)),
                    "source": one.source,
                    "label": one.label,
                    "provider": one.location.provider,
                    "site": one.location.site,
                    "country": one.location.country,
                    "collections": list(one.collections),
                    "snapshot_time": one.snapshot_time.ToDatetime(UTC),
                    "expire_time": domain.expiry(one, zone),
                    "place_rule": refusal.rule if refusal else "",
                }
            )
        return rows

    async def _registered(self, connection: Connection, wanted: Sequence[pb.Snapshot]) -> list[asyncpg.Record]:
        keys = [s.source for s in wanted], [s.label for s in wanted]
        return await self._store.rows(connection, "backups.by_label", *keys)

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: Any) -> pb.Snapshot:
        return await self._snapshot(request.name)

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Any) -> pb.ListSnapshotsResponse:
        rows, token = await self._tools.page(request, "backups.snapshots", request.source, request.existing)
        now = self._tools.clock()
        return pb.ListSnapshotsResponse(snapshots=[view.snapshot(row, now) for row in rows], next_page_token=token)

    async def MarkSnapshotDestroyed(self, request: pb.MarkSnapshotDestroyedRequest, context: Any) -> pb.Snapshot:
        partner, identifier = scope(request.name, "name"), _id(request.name, "snapshots")

        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "backups.snapshot", "resource", identifier)
            await self._may(connection, row["source"])
            args = (identifier, self._tools.clock(), _evidence(request.evidence), current_caller().principal)
            await self._store.row(connection, "backups.destroy", *args)
            return str(request.name)

        return await self._snapshot(await self._tools.once(partner, request, "MarkSnapshotDestroyed", make))

    async def _snapshot(self, name: str) -> pb.Snapshot:
        async with partner_transaction(self._store.pool, scope(name, "name")) as connection:
            row = await self._store.need(connection, "backups.snapshot", "resource", _id(name, "snapshots"))
        return view.snapshot(row, self._tools.clock())

    async def AnnounceRestore(self, request: pb.AnnounceRestoreRequest, context: Any) -> pb.Restore:
        partner, wanted = scope(request.parent), request.restore.snapshot

        async def make(connection: Connection, base: UUID) -> str:
            row = await self._store.need(connection, "backups.snapshot", "resource", _id(wanted, "snapshots"))
            await self._may(connection, row["source"])
            if row["destroy_time"] is not None:
                raise DsrError("STATE_CONFLICT", "The snapshot was destroyed.", state="DESTROYED", allowed="KEPT")
            now = self._tools.clock()
            args = (base, row["source"], row["id"], current_caller().principal, now, now + LIFETIME)
            await self._store.row(connection, "backups.announce", *args)
            name = f"{partner}/restores/{base}"
            await notify(self._store, connection, now, "restore.announced", name, source=row["source"])
            return name

        return await self._restore(await self._tools.once(partner, request, "AnnounceRestore", make))

    async def GetRestore(self, request: pb.GetRestoreRequest, context: Any) -> pb.Restore:
        return await self._restore(request.name)

    async def ListRestores(self, request: pb.ListRestoresRequest, context: Any) -> pb.ListRestoresResponse:
        rows, token = await self._tools.page(request, "backups.restores")
        return pb.ListRestoresResponse(restores=[view.restore(row, ()) for row in rows], next_page_token=token)

    async def ConfirmReplay(self, request: pb.ConfirmReplayRequest, context: Any) -> pb.Restore:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            replays = {r["erasure"]: r for r in await self._replays(connection, row)}
            if request.erasure not in replays:
                raise invalid("erasure", "is not one of the erasures that have to be replayed")
            evidence = _evidence(request.evidence)
            if replays[request.erasure]["confirm_time"] is None:
                when = replays[request.erasure]["erase_time"]
                args = (row["id"], request.erasure, when, now, evidence, current_caller().principal)
                await self._store.row(connection, "backups.confirm", *args)

        return await self._mutate(request, "ConfirmReplay", change)

    async def FinishRestore(self, request: pb.FinishRestoreRequest, context: Any) -> pb.Restore:
        async def change(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
            if row["finish_time"] is not None:
                return
            pending = sum(r["confirm_time"] is None for r in await self._replays(connection, row))
            if pending:
                text = f"{pending} erasures newer than the snapshot are not confirmed as replayed."
                raise DsrError("REPLAY_PENDING", text, pending=str(pending))
            await self._store.row(connection, "backups.finish", row["id"], now, current_caller().principal)
            await notify(self._store, connection, now, "restore.finished", request.name, source=row["source"])

        return await self._mutate(request, "FinishRestore", change)

    async def _mutate(self, request: Any, method: str, change: Change) -> pb.Restore:
        async def make(connection: Connection, _: UUID) -> str:
            identifier = _id(request.name, "restores")
            row = await self._store.need(connection, "backups.lock_restore", "resource", identifier)
            await self._may(connection, row["source"])
            await change(connection, row, self._tools.clock())
            return str(request.name)

        return await self._restore(await self._tools.once(scope(request.name, "name"), request, method, make))

    async def _may(self, connection: Connection, source: str) -> None:
        """ROLE_REQUIRED for staff where the partner keeps the source itself."""
        row = await self._store.need(connection, "data_source", "data source", source)
        only_ours(domain.is_operators(messages.data_source(row).custody), "ROLE_ADMIN")

    async def _restore(self, name: str) -> pb.Restore:
        async with partner_snapshot(self._store.pool, scope(name, "name")) as connection:
            row = await self._store.need(connection, "backups.restore", "resource", _id(name, "restores"))
            return view.restore(row, await self._replays(connection, row))

    async def _replays(self, connection: Connection, row: asyncpg.Record) -> list[asyncpg.Record]:
        """What was erased since the snapshot, as of now; of a finished restore, what was confirmed."""
        if row["finish_time"] is not None:
            return await self._store.rows(connection, "backups.confirmed", row["id"])
        rows = await self._store.rows(connection, "backups.replays", row["id"], row["source"])
        return [r for r in rows if domain.newer(r["erase_time"], row["snapshot_time"])]


def _id(name: str, collection: str) -> UUID:
    return messages.child_uuid(name, collection, "resource")


def _evidence(text: str) -> str:
    if not 1 <= len(text.strip()) <= 200:
        raise invalid("evidence", "must be a reference of 1 to 200 characters")
    return text.strip()
