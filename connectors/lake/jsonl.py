"""JSON Lines. A line that is kept is kept byte by byte: blank, broken or too long."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from connectors.lake.identity import Wanted
from connectors.lake.lines import Block, cut
from connectors.lake.prefilter import Prefilter, for_json, is_utf8
from connectors.lake.record import Broken, Drop, Hit, Sink

_BOM = b"\xef\xbb\xbf"
_NOT_ASCII = bytes(range(0x80, 0x100))
_FAST_DIGITS = 15
"""orjson reads integers beyond 64 bits as floats; identities of more digits than these are read exactly instead."""


class JsonLines:
    """Searches and rewrites for the people of one search."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._filter = for_json(wanted)
        self._load = _loader(wanted)

    def scan(self, chunks: Iterable[bytes]) -> Iterator[Hit | Broken]:
        """Records of the people, and broken lines among those that had to be read."""
        for _, _, found in self._lines(chunks):
            if found is not None:
                yield found

    def records(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        """Every record, None where one can't be read."""
        first = True
        for block in cut(chunks):
            for line in (b"?",) if block.piece else block.data.split(b"\n"):
                line = line.strip(b" \t\r")
                if first:
                    line, first = line.removeprefix(_BOM), False
                if line:
                    yield _object(line)

    def rewrite(self, chunks: Iterable[bytes], sink: Sink, drop: Drop) -> None:
        """Everything but the records for which `drop` says so."""
        for block, (start, stop), found in self._lines(chunks, tell_kept=True):
            if not (isinstance(found, Hit) and drop(found)):
                sink(block.data[start:stop])

    def _lines(
        self, chunks: Iterable[bytes], *, tell_kept: bool = False
    ) -> Iterator[tuple[Block, tuple[int, int], Hit | Broken | None]]:
        """(block, span in it, what it is). With `tell_kept` the spans of a block join without a gap."""
        number, first = 1, True
        mentions = Mentions(self._filter)
        for block in cut(chunks):
            data = block.data
            if block.piece:
                broken = mentions.piece(data, number)
                yield block, (0, len(data)), broken
                number += data.endswith(b"\n")
                continue
            at, counted = 0, 0
            for start, stop in _spans(data, self._filter, suspicious(data)):
                if tell_kept and start > at:
                    yield block, (at, start), None
                number += data.count(b"\n", counted, start)
                line = data[start:stop].strip(b" \t\r\n")
                if first and start == 0:
                    line = line.removeprefix(_BOM)
                yield block, (start, stop), self._read(line, number)
                at = counted = stop
                number += data.endswith(b"\n", start, stop)
            if tell_kept and at < len(data):
                yield block, (at, len(data)), None
            number += data.count(b"\n", counted)
            first = False

    def _read(self, line: bytes, number: int) -> Hit | Broken | None:
        if not line:
            return None
        try:
            record = self._load(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            return Broken(number, self._filter.mentioned(line) | self._filter.undecodable(line))
        owners = self._wanted.owners(record)
        return Hit(number, owners.people, owners.shared, owners.names, line) if owners else None


class Mentions:
    """Notices people in a record that is too long to read, piece by piece."""

    _OVERLAP = 8_192

    def __init__(self, prefilter: Prefilter) -> None:
        self._filter = prefilter
        self._tail = b""

    def piece(self, data: bytes, number: int) -> Broken:
        """What one piece says; every piece of a record is reported under the record's number."""
        # A letter may be cut in two at either end.
        people = self._filter.mentioned(self._tail + data) | self._filter.undecodable(data.strip(_NOT_ASCII))
        self._tail = b"" if data.endswith(b"\n") else data[-self._OVERLAP :]
        return Broken(number, people)


def _spans(data: bytes, prefilter: Prefilter, suspects: list[int]) -> Iterator[tuple[int, int]]:
    """The lines to read, ascending, each once."""
    stop = 0
    offsets: Iterable[int] = prefilter.offsets(data)
    if suspects:
        offsets = sorted({*offsets, *suspects})
    for offset in offsets:
        if offset < stop:
            continue
        start = data.rfind(b"\n", 0, offset) + 1
        stop = data.find(b"\n", offset) + 1 or len(data)
        yield start, stop


def suspicious(data: bytes) -> list[int]:
    """Offsets of lines that don't look like objects, or aren't UTF-8: they are reported even if they name nobody."""
    lines = data.count(b"\n")
    closed = data.count(b"}\n") + data.count(b"}\r\n")
    opened = data.count(b"\n{") + data.startswith(b"{")
    legible = is_utf8(data)
    if legible and lines == closed == opened and data.endswith(b"\n"):
        return []
    suspects, offset = [], 0
    for line in data.split(b"\n"):
        body = line.strip(b" \t\r").removeprefix(_BOM)
        if body and not (body.startswith(b"{") and body.endswith(b"}") and (legible or is_utf8(line))):
            suspects.append(offset)
        offset += len(line) + 1
    return suspects


def _loader(wanted: Wanted) -> Callable[[bytes], Any]:
    """The fastest parser that reads these identities exactly."""
    long = any(rule.kind != "string" and len(value) > _FAST_DIGITS for rule, value, _ in wanted.values())
    return _exact if long else orjson.loads


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _exact(line: bytes) -> Any:
    return json.loads(line, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError("not JSON")
