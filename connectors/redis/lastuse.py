"""When a record was last used, as the source's own software noted it. Never when the server was last asked for it: the
platform's own searches ask as well.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.lake.identity import leaves, parse_path
from connectors.lake.lastuse import latest
from connectors.redis import content, documents, who
from connectors.redis.content import Part
from connectors.redis.options import Collection

_FIRST = 100_000_000
"""Seconds. A smaller number is a counter, or of another unit than declared, and no time that anything was used."""


def stated(collection: Collection, document: documents.Document, kind: str, part: Part | None) -> list[Any]:
    """What a record says: times as they stand, numbers as instants. `part`: the entry; a stream's newest."""
    told = collection.last_use
    if told is None:
        return []
    if told.id:
        id_ = part[0].partition(b"-")[0] if part is not None and kind == content.STREAM else None
        return [] if id_ is None else [_instant(id_, 1_000)]
    if told.score:
        return [_instant(part[1], _units(told.unit))] if part is not None and kind == content.ZSET else []
    if isinstance(document, documents.Broken):
        return []
    values = [_text(value) for value in leaves(document, parse_path(told.field or ""))]
    present = [value for value in values if value not in (None, "")]
    return present if told.unit == "time" else [_instant(value, _units(told.unit)) for value in present]


def known(values: Sequence[Any]) -> datetime | None:
    """The latest instant that they may mean; None unless each is one."""
    return latest(values)


def of_key(collection: Collection, kind: str, parts: Sequence[Part]) -> Any:
    """As a copy of a whole key has it."""
    document = who.key_document(collection, kind, parts)
    return shown(stated(collection, document, kind, parts[-1] if parts else None))


def of_entry(collection: Collection, kind: str, part: Part) -> Any:
    """As a copy of an entry has it."""
    document = who.entry_document(collection, kind, part)
    return shown(stated(collection, document, kind, part))


def shown(values: Sequence[Any]) -> Any:
    """As a copy has it: one value, a list of several, or none."""
    return values[0] if len(values) == 1 else list(values) or None


def _units(unit: str) -> int:
    return 1_000 if unit == "milliseconds" else 1


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _instant(value: Any, divisor: int) -> datetime | None:
    try:
        seconds = float(value) / divisor
        return None if isinstance(value, bool) or seconds < _FIRST else datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
