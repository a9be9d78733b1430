"""CSV as RFC 4180 has it: a header, fields in quotes where they need them. What is kept is kept byte by byte."""

import csv
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

import orjson

from connectors.lake.identity import Wanted
from connectors.lake.jsonl import Mentions
from connectors.lake.lines import LONGEST, Block, cut
from connectors.lake.prefilter import for_csv, is_utf8
from connectors.lake.record import Broken, Drop, Hit, Sink, Unreadable

_BOM = b"\xef\xbb\xbf"


class Csv:
    """Searches and rewrites for the people of one search."""

    def __init__(self, wanted: Wanted, delimiter: str = ",") -> None:
        self._wanted = wanted
        self._filter = for_csv(wanted)
        self._delimiter = delimiter
        self._quote = delimiter.encode() + b'"'

    def scan(self, chunks: Iterable[bytes]) -> Iterator[Hit | Broken]:
        """Records of the people, and broken records among those that had to be read."""
        for _, _, found in self._records(chunks):
            if found is not None:
                yield found

    def records(self, chunks: Iterable[bytes]) -> Iterator[dict[str, str] | None]:
        """Every record, None where one can't be read."""
        header: list[str] | None = None
        for block in cut(chunks, self._end):
            if block.piece:
                yield None
                continue
            for start, stop in pairwise([*self._starts(block.data), len(block.data)]):
                record = block.data[start:stop]
                if header is None:
                    header = self._header(record)
                elif (values := self._fields(record)) != []:
                    whole = values is not None and len(values) == len(header)
                    yield dict(zip(header, values or (), strict=True)) if whole else None
        if header is None:
            raise Unreadable("it has no header")

    def rewrite(self, chunks: Iterable[bytes], sink: Sink, drop: Drop) -> None:
        """Header and everything but the records for which `drop` says so."""
        for block, (start, stop), found in self._records(chunks, tell_kept=True):
            if not (isinstance(found, Hit) and drop(found)):
                sink(block.data[start:stop])

    def _records(
        self, chunks: Iterable[bytes], *, tell_kept: bool = False
    ) -> Iterator[tuple[Block, tuple[int, int], Hit | Broken | None]]:
        header: list[str] | None = None
        number = 0
        mentions = Mentions(self._filter)
        for block in cut(chunks, self._end):
            data = block.data
            if block.piece:
                yield block, (0, len(data)), mentions.piece(data, number)
                number += data.endswith(b"\n")
                continue
            starts = self._starts(data)
            at = 0
            if header is None:
                at = starts[1] if len(starts) > 1 else len(data)
                header = self._header(data[:at])
                if tell_kept:
                    yield block, (0, at), None
            for index in self._picked(data, starts):
                start, stop = starts[index], starts[index + 1] if index + 1 < len(starts) else len(data)
                if stop <= at:
                    continue
                if tell_kept and start > at:
                    yield block, (at, start), None
                yield block, (start, stop), self._read(data[start:stop], header, number + index)
                at = stop
            if tell_kept and at < len(data):
                yield block, (at, len(data)), None
            number += len(starts)
        if header is None:
            raise Unreadable("it has no header")

    def _picked(self, data: bytes, starts: list[int]) -> Iterator[int]:
        """Indices of the records to read, ascending, each once: those that may name somebody, or aren't UTF-8."""
        last = -1
        offsets: Iterable[int] = self._filter.offsets(data)
        if not is_utf8(data):
            illegible = [start for start, stop in pairwise([*starts, len(data)]) if not is_utf8(data[start:stop])]
            offsets = sorted({*offsets, *illegible})
        for offset in offsets:
            index = bisect_right(starts, offset) - 1
            if index > last:
                last = index
                yield index

    def _header(self, record: bytes) -> list[str]:
        names = self._fields(record.removeprefix(_BOM))
        if names is None or len(set(names)) != len(names):
            raise Unreadable("its header can't be read, or names a column twice")
        for rule in self._wanted.rules:
            if any(len(path) != 1 or path[0] not in names for path in rule.paths):
                raise Unreadable("its header lacks a column that identifies people")
        return names

    def _read(self, record: bytes, header: list[str], number: int) -> Hit | Broken | None:
        values = self._fields(record)
        if values == []:
            return None
        if values is None or len(values) != len(header):
            return Broken(number, self._filter.mentioned(record) | self._filter.undecodable(record))
        row = dict(zip(header, values, strict=True))
        owners = self._wanted.owners(row, untyped=True)
        if owners is None:
            return None if is_utf8(record) else Broken(number, self._filter.undecodable(record))
        shown = {name: _shown(value) for name, value in row.items()}
        return Hit(number, owners.people, owners.shared, owners.names, orjson.dumps(shown))

    def _fields(self, record: bytes) -> list[str] | None:
        """The record's fields; None if it isn't one record."""
        text = record.decode(errors="surrogateescape")
        csv.field_size_limit(LONGEST)
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else ([] if not rows else None)

    def _end(self, data: bytes) -> int:
        """Where the last whole record ends."""
        if b'"' not in data:
            return data.rfind(b"\n") + 1
        return self._ends(data)[1]

    def _starts(self, data: bytes) -> list[int]:
        """Where each record of a block begins."""
        return self._ends(data)[0]

    def _ends(self, data: bytes) -> tuple[list[int], int]:
        """(beginnings of records, end of the last whole one)."""
        starts, at, open_, whole = [0] if data else [], 0, False, 0
        while at < len(data):
            stop = data.find(b"\n", at) + 1
            line = data[at : stop or len(data)]
            open_ = self._opens(line, open_) if b'"' in line else open_
            if not stop:
                break
            at = stop
            if not open_:
                whole = stop
                if stop < len(data):
                    starts.append(stop)
        return starts, whole

    def _opens(self, line: bytes, inside: bool) -> bool:
        """Whether a quoted field is open at the line's end. A quote opens one only where a field begins."""
        at = 0
        if not inside and line.startswith((b'"', _BOM + b'"')):
            inside, at = True, line.index(b'"') + 1
        while True:
            if inside:
                at = line.find(b'"', at)
                if at < 0:
                    return True
                if line.startswith(b'""', at):
                    at += 2
                    continue
                inside, at = False, at + 1
            at = line.find(self._quote, at)
            if at < 0:
                return False
            inside, at = True, at + len(self._quote)


def _shown(value: str) -> str:
    """Text that JSON can hold. Bytes that are not UTF-8 are shown as `\\xNN`."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
