"""A termination with everything that belongs to it, read in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg
from dsr.v1 import backups_pb2, governance_pb2
from dsr.v1 import termination_pb2 as pb
from google.protobuf import json_format

from dsrkit.db import Connection
from dsrkit.errors import DsrError, not_found
from dsrkit.watermark import watermark
from services.governance import messages
from services.governance.backups import view as backups
from services.governance.store import GovernanceStore
from services.governance.termination import domain


@dataclass(frozen=True)
class Known:
    """What is known of a termination."""

    row: asyncpg.Record
    sources: Sequence[governance_pb2.DataSource]
    rows: Sequence[asyncpg.Record]
    emptied: Sequence[str]
    snapshots: Sequence[backups_pb2.Snapshot]
    holds: Mapping[str, Sequence[asyncpg.Record]]
    """In force, by data source; the oldest of many."""
    sandbox: bool
    """Whether the partner is one; it may have no data source."""

    @property
    def items(self) -> list[domain.Item]:
        """For the decisions."""
        rows = {row["source"]: row for row in self.rows}
        found = []
        for source in self.sources:
            row = rows.get(source.name)
            item = domain.Item(
                source.name, source.custody, returned=False, destroyed=False, held=source.name in self.holds
            )
            if row is None:
                found.append(item)
                continue
            found.append(
                replace(
                    item,
                    returned=bool(row["packages"]),
                    destroyed=row["destroy_time"] is not None,
                    by_platform=bool(row["return_request"]),
                    return_failure=row["return_failure"],
                    destroy_failure=row["destroy_failure"],
                    fail_time=row["fail_time"],
                )
            )
        return found

    @property
    def name(self) -> str:
        """The resource's."""
        return f"{self.row['partner']}/terminations/{self.row['id']}"

    def source(self, name: str) -> governance_pb2.DataSource:
        """A data source of the partner. NOT_FOUND."""
        found = next((source for source in self.sources if source.name == name), None)
        if found is None:
            raise not_found("data source")
        return found

    def item(self, source: str) -> domain.Item:
        """What is known of a data source. NOT_FOUND."""
        return next(item for item in self.items if item.source == self.source(source).name)

    @property
    def digest(self) -> str:
        """Of the packages recorded, and of how many records each collection was returned with: so many may go."""
        return domain.digest({r["source"]: [*r["packages"], *r["returned"]] for r in self.rows if r["packages"]})

    @property
    def lapsed(self) -> bool:
        """Whether the confirmer lost the role after the confirmation took effect: somebody else confirms."""
        return self.row["state"] == "DESTROYING" and not self.row["confirmer"]

    @property
    def held(self) -> list[str]:
        """Data sources that are to be destroyed, and that a hold keeps."""
        ends = self.row["state"] in ("RETURNING", "DESTROYING") and not self.row["return_only"]
        return [item.source for item in self.items if ends and item.ours and item.held and not item.destroyed]

    def message(self, dpo: str) -> pb.Termination:
        """The resource."""
        row, held = self.row, self.held
        message = pb.Termination(
            name=self.name,
            state=pb.Termination.State.Value(f"STATE_{row['state']}"),
            manifest_digest=self.digest,
            emptied_services=self.emptied,
            snapshots=self.snapshots,
            creator=row["creator"],
            confirmer=row["confirmer"],
            kept=domain.kept(held),
            contact=dpo,
            sandbox=watermark(self.sandbox),
            return_only=row["return_only"],
        )
        for field in ("create_time", "confirm_time", "effective_time", "certify_time", "shred_time"):
            if row[field] is not None:
                getattr(message, field).FromDatetime(row[field])
        rows = {item["source"]: item for item in self.rows}
        for source in self.sources:
            entry = message.items.add(source=source.name, custody=source.custody, end=domain.end_of(source.custody))
            if source.name in held:
                holds = self.holds[source.name]
                entry.holds.extend(map(messages.hold, holds))
                entry.holds_in_force = holds[0]["in_force"]
            found = rows.get(source.name)
            if found is None:
                continue
            entry.evidence, entry.destroyer = found["evidence"], found["destroyer"]
            entry.return_request, entry.destroyed_records = found["return_request"], found["destroyed_records"]
            entry.return_failure, entry.destroy_failure = found["return_failure"], found["destroy_failure"]
            for returned in found["returned"]:
                entry.returned.add(**returned)
            if found["destroy_time"] is not None:
                entry.destroy_time.FromDatetime(found["destroy_time"])
            if found["outdate_time"] is not None:
                entry.outdate_time.FromDatetime(found["outdate_time"])
            for package in found["packages"]:
                json_format.ParseDict(package, entry.packages.add())
        return message


async def load(
    store: GovernanceStore, connection: Connection, identifier: UUID, now: datetime, *, lock: bool = False
) -> Known:
    """NOT_FOUND."""
    statement = "termination.lock" if lock else "termination.get"
    row = await store.need(connection, statement, "resource", identifier)
    sources = [messages.data_source(r) for r in await store.rows(connection, "data_sources", "", 10_000)]
    ours = [s.name for s in sources if domain.end_of(s.custody) == pb.Termination.Item.END_DESTROYED]
    holds: dict[str, list[asyncpg.Record]] = {}
    for hold in await store.rows(connection, "termination.holds"):
        holds.setdefault(hold["source"], []).append(hold)
    existing = [backups.snapshot(r, now) for r in await store.rows(connection, "backups.existing", ours, now)]
    return Known(
        row,
        sources,
        await store.rows(connection, "termination.items", identifier),
        [r["service"] for r in await store.rows(connection, "termination.emptied", identifier)],
        sorted(existing, key=lambda s: s.expire_time.ToNanoseconds(), reverse=True),
        holds,
        await store.row(connection, "sandbox.sandbox") is not None,
    )


def need_unheld(known: Known, source: str) -> None:
    """STATE_CONFLICT while a hold keeps a data source from being destroyed."""
    if source in known.held:
        count = known.holds[source][0]["in_force"]
        text = f"{count} holds on this source are in force; it is destroyed once they are released (ReleaseHold)."
        raise DsrError("STATE_CONFLICT", text, state=known.row["state"], allowed="a data source without holds")


def identify(name: str) -> UUID:
    """The id in a termination's name. NOT_FOUND."""
    return messages.child_uuid(name, "terminations", "resource")
