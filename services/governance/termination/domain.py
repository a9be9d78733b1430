"""What has to be returned and destroyed, and what may follow. Pure."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from dsr.v1 import error_reason_pb2, governance_pb2
from dsr.v1 import termination_pb2 as pb

SERVICES = frozenset({"access", "portability", "erasure"})
"""Each keeps keys, bundles and spools of its own."""
SHRED_AFTER = timedelta(days=4)
"""A day more than a notice is tried for."""
AGAIN_AFTER = timedelta(hours=1)
"""What kept a data source from being destroyed needs a person."""
_CANNOT = error_reason_pb2.ERROR_REASON_METHOD_UNKNOWN
KEPT = (
    "processing records, until a year after each (P7); they hold no personal data but the originating IP address",
    "erasure reports and this certificate: the partner's evidence",
)
_LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,200}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PARTNER = governance_pb2.DataSource.CUSTODY_PARTNER
MOST = 1_000


@dataclass(frozen=True)
class Item:
    """One data source."""

    source: str
    custody: int
    returned: bool
    destroyed: bool
    by_platform: bool = False
    """Whether the platform itself returned it."""
    return_failure: int = 0
    destroy_failure: int = 0
    fail_time: datetime | None = None
    held: bool = False
    """Whether a hold is in force on it: on everybody, on one collection or on one person."""

    @property
    def ours(self) -> bool:
        """Whether it is to be returned and destroyed. What nobody declared otherwise is in the operator's custody."""
        return self.custody != _PARTNER


def end_of(custody: int) -> "pb.Termination.Item.End.ValueType":
    """What happens to a data source."""
    return pb.Termination.Item.END_DISCONNECTED if custody == _PARTNER else pb.Termination.Item.END_DESTROYED


def unreturned(items: Sequence[Item]) -> list[str]:
    """What has yet to be returned before anybody may confirm the receipt."""
    return [item.source for item in items if item.ours and not item.returned]


def last(items: Sequence[Item], source: str) -> bool:
    """Whether a data source is the only one that has yet to be returned."""
    return unreturned(items) == [source]


def to_return(state: str, item: Item) -> bool:
    """Whether the platform returns a data source, and keeps its package. What people return is theirs."""
    by_hand = item.returned and not item.by_platform
    return state == "RETURNING" and item.ours and not by_hand and not item.return_failure


def to_destroy(state: str, effective: datetime | None, item: Item, now: datetime) -> bool:
    """Whether the platform destroys a data source now: what it returned and no hold keeps, after the confirmation."""
    if state != "DESTROYING" or effective is None or now < effective or not item.ours:
        return False
    if not item.by_platform or item.destroyed or item.held or item.destroy_failure == _CANNOT:
        return False
    return item.fail_time is None or now >= item.fail_time + AGAIN_AFTER


def to_count(state: str, item: Item) -> bool:
    """Whether the platform may count what is left of a data source: what it did is read back, whatever came after."""
    return state == "DESTROYING" and item.ours and item.by_platform


def next_state(state: str, items: Sequence[Item], emptied: Collection[str], snapshots: int) -> str:
    """Where a termination stands. Destruction never begins by itself; nothing is certified while a copy may exist."""
    if state not in ("DESTROYING", "SNAPSHOTS_LEFT"):
        return state
    if any(item.ours and not item.destroyed for item in items) or not set(emptied) >= SERVICES:
        return "DESTROYING"
    return "SNAPSHOTS_LEFT" if snapshots else "CERTIFIED"


def kept(held: Sequence[str]) -> list[str]:
    """What is kept beyond, and why. `held`: data sources on which holds are in force."""
    why = "by the holds on it until they are released; the partner releases those that its returned copy satisfies"
    return [*KEPT, *(f"{source}, {why}" for source in held)]


def evidence(records: int, stays: int) -> str:
    """Of a data source that the platform destroyed. What its connector doesn't cover is said, not assumed."""
    text = f"counted after the last record went: none is left; {records} were destroyed"
    if stays:
        text += f"; left, as nobody declared it or it isn't within the scope: {stays} findings of the connector"
    return text


def wrong_package(package: pb.Termination.Package) -> tuple[str, str] | None:
    """What is wrong with a package, as field and reason."""
    if not _LABEL.fullmatch(package.label):
        return "label", "must be 1 to 200 of letters, digits and . _ : / -"
    if package.size_bytes < 0:
        return "size_bytes", "must not be negative"
    if not _SHA256.fullmatch(package.sha256):
        return "sha256", "must be 64 lower-case hexadecimal digits"
    return None


def digest(packages: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """SHA-256 over all packages by data source."""
    return hashlib.sha256(orjson.dumps(packages, option=orjson.OPT_SORT_KEYS)).hexdigest()
