"""When a record was last used, at the latest: what its field says, in whatever zone that may have been."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

_A_DAY = timedelta(days=1)
"""No zone is further than 14 hours from UTC."""
_TICK = timedelta(microseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC)


def latest(values: Iterable[Any]) -> datetime | None:
    """The latest instant that the values may mean; None if there is none, or one that says no time."""
    found = [_instant(value) for value in values]
    known = [instant for instant in found if instant is not None]
    return max(known) if known and len(known) == len(found) else None


def _instant(value: Any) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        try:
            value = datetime.fromisoformat(text) if ":" in text else date.fromisoformat(text)
        except ValueError:
            return None
    try:
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC) + _A_DAY
        if isinstance(value, date):
            return datetime.combine(value, time(), UTC) + 2 * _A_DAY - _TICK
    except OverflowError:
        return _LAST
    return None
