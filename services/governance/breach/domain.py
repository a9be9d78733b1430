"""What a breach may look like, what follows what, whom it concerns. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import yaml
from dsr.v1 import breach_pb2 as pb
from dsr.v1 import governance_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

_DATA: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("breach.yaml").read_text())
CONTROLLER = timedelta(hours=_DATA["controller_hours"])
EXPOSED = timedelta(days=_DATA["exposed_days"])
_REMINDERS: Sequence[int] = sorted(_DATA["remind_hours_left"])
LEASE = timedelta(minutes=_DATA["count_minutes"])
"""How long a count is left to whoever began it."""
FINAL = frozenset({"METHOD_UNKNOWN", "NOT_COUNTABLE", "SOURCE_REJECTED", "SOURCE_INCONSISTENT"})
"""Why a source doesn't count, however often it is asked."""
_FIRST_WAIT, _LONGEST_WAIT = (timedelta(minutes=minutes) for minutes in _DATA["recount_minutes"])
_MOST_TEXT = 4_000
_P = pb.Breach
_NEXT: Mapping[int, frozenset[int]] = {
    _P.PHASE_SUSPECTED: frozenset({_P.PHASE_CONFIRMED, _P.PHASE_DISMISSED}),
    _P.PHASE_CONFIRMED: frozenset({_P.PHASE_FIXED}),
    _P.PHASE_FIXED: frozenset({_P.PHASE_CLOSED}),
    _P.PHASE_CLOSED: frozenset(),
    _P.PHASE_DISMISSED: frozenset(),
}
OVER = frozenset(phase for phase, following in _NEXT.items() if not following)


def phase_name(phase: int) -> str:
    """A phase as it is stored."""
    return pb.Breach.Phase.Name(phase).removeprefix("PHASE_")  # type: ignore[arg-type]


def wrong(breach: pb.Breach, sources: Sequence[str], now: datetime) -> tuple[str, str] | None:
    """What is wrong with what was reported, as field and reason."""
    for index, nature in enumerate(breach.natures):
        if nature not in pb.Breach.Nature.values()[1:]:
            return f"natures[{index}]", "must be CONFIDENTIALITY, INTEGRITY or AVAILABILITY"
    if wrong_text(breach.description):
        return "description", wrong_text(breach.description)
    for index, source in enumerate(breach.data_sources):
        if source not in sources:
            return f"data_sources[{index}]", "is not a data source of this partner"
    for field in ("begin_time", "end_time", "aware_time"):
        if breach.HasField(field) and getattr(breach, field).ToDatetime(UTC) > now:
            return field, "must not be in the future"
    if breach.HasField("end_time") and breach.end_time.ToDatetime(UTC) < begin(breach, now):
        return "end_time", "must not be before begin_time"
    return None


def wrong_text(text: str) -> str:
    """Why a text can't be kept; empty when it can."""
    return "" if 1 <= len(text.strip()) <= _MOST_TEXT else f"must have 1 to {_MOST_TEXT:,} characters"


def begin(breach: pb.Breach, now: datetime) -> datetime:
    """Since when data may have been exposed."""
    return breach.begin_time.ToDatetime(UTC) if breach.HasField("begin_time") else now - EXPOSED


def may_follow(current: int, wanted: int) -> bool:
    """Whether a phase may follow, or be added to."""
    return current not in OVER and (wanted == current or wanted in _NEXT[current])


def following(current: int) -> str:
    """The phases that may follow, for an error's text."""
    return ",".join(phase_name(phase) for phase in sorted(_NEXT[current] | ({current} - OVER)))


def reminder(notice: datetime, now: datetime) -> int | None:
    """Hours left at the nearest reminder whose time has come; 0 once the 72 hours are over; None before the first."""
    left = notice + CONTROLLER - now
    if left <= timedelta():
        return 0
    return next((hours for hours in _REMINDERS if left <= timedelta(hours=hours)), None)


def concerned(sources: Sequence[str], data_map: governance_pb2.DataMap) -> list[pb.Breach.Concerned]:
    """Categories of data, from the data map. A source that isn't in it is named all the same."""
    mapped = {s.source: s.collections for s in data_map.sources}
    found = []
    for source in sources:
        found += [
            pb.Breach.Concerned(source=source, collection=c.collection, category=c.category)
            for c in mapped.get(source, ())
        ] or [pb.Breach.Concerned(source=source)]
    return found


def wait(attempts: int) -> timedelta:
    """How long nobody tries again after so many failures before this one."""
    doubled: timedelta = _FIRST_WAIT * 2 ** min(attempts, 16)
    return min(doubled, _LONGEST_WAIT)


def counts(
    sources: Sequence[str], known: Sequence[pb.Breach.SubjectCount], failures: Mapping[str, str]
) -> list[pb.Breach.SubjectCount]:
    """How many people at each source; unknown where nobody counted or estimated. `failures`: why a source didn't."""
    by_source = {count.source: count for count in known}
    found = []
    for source in sources:
        one = pb.Breach.SubjectCount(source=source, certainty=pb.Breach.SubjectCount.CERTAINTY_UNKNOWN)
        one.MergeFrom(by_source.get(source, one))
        if source in failures and not one.counted:
            one.reason = ErrorReason.Value(f"ERROR_REASON_{failures[source]}")
        found.append(one)
    return found


def at(sources: Sequence[governance_pb2.DataSource], place: governance_pb2.Location) -> list[str]:
    """Names of the data sources in a place."""
    return [source.name for source in sources if source.location == place]
