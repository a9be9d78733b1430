"""Between rows and messages."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from dsr.v1 import backups_pb2 as pb
from dsr.v1 import governance_pb2

from services.governance.backups.domain import state


def snapshot(row: asyncpg.Record, now: datetime) -> pb.Snapshot:
    """A snapshot."""
    message = pb.Snapshot(
        name=f"{row['partner']}/snapshots/{row['id']}",
        source=row["source"],
        label=row["label"],
        location=governance_pb2.Location(provider=row["provider"], site=row["site"], country=row["country"]),
        collections=row["collections"],
        state=state(row["expire_time"], row["destroy_time"], now),
        place_rule=row["place_rule"],
        evidence=row["evidence"],
        destroyer=row["destroyer"],
    )
    for field in ("snapshot_time", "expire_time", "create_time", "destroy_time"):
        if row[field] is not None:
            getattr(message, field).FromDatetime(row[field])
    return message


def restore(row: asyncpg.Record, replays: Sequence[asyncpg.Record]) -> pb.Restore:
    """A restore."""
    finished = row["finish_time"] is not None
    message = pb.Restore(
        name=f"{row['partner']}/restores/{row['id']}",
        snapshot=f"{row['partner']}/snapshots/{row['snapshot']}",
        source=row["source"],
        state=pb.Restore.STATE_FINISHED if finished else pb.Restore.STATE_REPLAYING,
        creator=row["creator"],
        finisher=row["finisher"],
    )
    for field in ("effective_time", "create_time", "finish_time"):
        if row[field] is not None:
            getattr(message, field).FromDatetime(row[field])
    for replay in replays:
        entry = message.replays.add(
            erasure=replay["erasure"], evidence=replay["evidence"] or "", confirmer=replay["confirmer"] or ""
        )
        for field in ("erase_time", "confirm_time"):
            if replay[field] is not None:
                getattr(entry, field).FromDatetime(replay[field])
    return message
