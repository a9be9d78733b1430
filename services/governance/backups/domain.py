"""Which snapshots may be registered, which still hold what was erased. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import yaml
from dsr.v1 import backups_pb2 as pb
from dsr.v1 import governance_pb2

from dsrkit.calendar import after

_DATA: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("backups.yaml").read_text())
KEEP_YEARS: int = _DATA["keep_years"]
MARGIN = timedelta(minutes=_DATA["margin_minutes"])
MOST = 500
_LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,200}")
_OPERATOR = governance_pb2.DataSource.CUSTODY_OPERATOR


def wrong(
    wanted: pb.Snapshot,
    source: governance_pb2.DataSource | None,
    collections: Collection[str],
    time_zone: str,
    now: datetime,
) -> tuple[str, str] | None:
    """What is wrong with a snapshot, as field and reason. `collections`: the source's in the data map."""
    if source is None:
        return "source", "is not a data source of this partner"
    if not _LABEL.fullmatch(wanted.label):
        return "label", "must be 1 to 200 of letters, digits and . _ : / -"
    taken = wanted.snapshot_time.ToDatetime(UTC)
    if taken > now:
        return "snapshot_time", "must not be in the future"
    if wanted.HasField("expire_time"):
        expires, latest = wanted.expire_time.ToDatetime(UTC), after(taken, time_zone, years=KEEP_YEARS)
        if expires <= taken:
            return "expire_time", "must be later than snapshot_time"
        if source.custody == _OPERATOR and expires > latest:
            return "expire_time", f"must be within {KEEP_YEARS} year of snapshot_time: the operator keeps none longer"
    for index, name in enumerate(wanted.collections):
        if name not in collections:
            return f"collections[{index}]", "is not a collection of this source in the data map"
    return None


def is_operators(custody: "governance_pb2.DataSource.Custody.ValueType") -> bool:
    """Whether the operator sees to a source's snapshots: it keeps the source, or has somebody keep it."""
    return custody in (_OPERATOR, governance_pb2.DataSource.CUSTODY_SUB_PROCESSOR)


def expiry(wanted: pb.Snapshot, time_zone: str) -> datetime:
    """When a snapshot expires: as it says, or by the policy."""
    if wanted.HasField("expire_time"):
        return wanted.expire_time.ToDatetime(UTC)
    return after(wanted.snapshot_time.ToDatetime(UTC), time_zone, years=KEEP_YEARS)


def state(expires: datetime, destroyed: datetime | None, now: datetime) -> "pb.Snapshot.State.ValueType":
    """Whether it still exists. That its time is over doesn't show that it is gone."""
    if destroyed is not None:
        return pb.Snapshot.STATE_DESTROYED
    return pb.Snapshot.STATE_OVERDUE if expires <= now else pb.Snapshot.STATE_KEPT


def holding(snapshots: Sequence[pb.Snapshot], touched: Mapping[str, Collection[str]]) -> list[pb.Snapshot]:
    """Those that hold one of the collections touched, by source; the one that expires last first."""
    found = [
        s
        for s in snapshots
        if s.source in touched and (not s.collections or set(s.collections) & set(touched[s.source]))
    ]
    return sorted(found, key=lambda s: s.expire_time.ToNanoseconds(), reverse=True)


def newer(erased: datetime | None, snapshot: datetime) -> bool:
    """Whether an erasure has to be replayed after a restore; one that never reported may have come at any time."""
    return erased is None or erased > snapshot - MARGIN
