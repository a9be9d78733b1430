"""A part as a table: rows of parsed values in bounded memory, and CSV made of them."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from dsrkit.filerecords import CONTENT
from dsrkit.jsonlines import Lines, Malformed
from dsrkit.parts import Field, Part, inconsistent, read
from services.portability.package import cells

LINE_LIMIT = 8 << 20
"""Bytes of a record up to which it is read whole."""
STRING_LIMIT = 1 << 20
"""Bytes of a text that a table takes from a record longer than LINE_LIMIT."""
_PIECE = 128 << 10


@dataclass
class Table:
    """A part, and what its table leaves out. Files stand in it by their path in the package."""

    part: Part
    files: Sequence[str | None] | None = None
    """Of a collection of files: the path of each record's file."""
    records_left_out: int = field(default=0, init=False)
    """Records too long, or nested too deeply, for a row. Known when the rows have been read."""
    values_left_out: int = field(default=0, init=False)

    @property
    def fields(self) -> Sequence[Field]:
        """The columns."""
        return list({f.name: f for f in self.part.fields}.values())

    def rows(self) -> Iterator[tuple[list[Any], int]]:
        """Each record's values in the order of `fields`, with its size in bytes.

        Raises DsrError SOURCE_INCONSISTENT for anything but a JSON object a line.
        """
        self.records_left_out = self.values_left_out = 0
        names = [f.name for f in self.fields]
        with closing(read(self.part)) as chunks:
            lines = Lines(chunks, line_limit=LINE_LIMIT, string_limit=STRING_LIMIT)
            try:
                for number, line in enumerate(lines):
                    record = lines.parse(line)
                    if record is None:
                        self.records_left_out += 1
                        continue
                    if self.files is not None:
                        record[CONTENT] = self.files[number]
                    yield [record.get(name) for name in names], line.size
            except Malformed as error:
                raise inconsistent(self.part, str(error)) from None

    def note(self) -> str:
        """What the table leaves out, in words; empty when nothing."""
        told = []
        if self.records_left_out:
            told.append(f"{self.records_left_out} records too long or too deeply nested for a table")
        if self.values_left_out:
            told.append(f"{self.values_left_out} values longer than {STRING_LIMIT:,} bytes")
        return f"Left out, and only in the JSON Lines: {', '.join(told)}." if told else ""


def to_csv(table: Table) -> Iterator[bytes]:
    """The table as CSV (RFC 4180) in UTF-8."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    types = [f.type for f in table.fields]
    writer.writerow([cells.neutralise(f.name) for f in table.fields])
    for row, _ in table.rows():
        written = []
        for value, type in zip(row, types, strict=True):
            text = cells.cell(value, type)
            if text is None:
                table.values_left_out += 1
            written.append(text or "")
        writer.writerow(written)
        if buffer.tell() >= _PIECE:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    # Half a surrogate pair can stand in JSON and in no UTF-8: it is written as JSON would write it.
    data = buffer.getvalue().encode(errors="backslashreplace")
    buffer.seek(0)
    buffer.truncate()
    return data


def csv_fields(table: Table) -> list[Field]:
    """The columns as the CSV file names them."""
    return [Field(cells.neutralise(f.name), f.type, f.native_type) for f in table.fields]
