"""A table as Apache Parquet, without losing a digit.

The first reading finds for each column the narrowest type that holds every value exactly; the second writes. What no
type of its Table Schema type holds (`infinity` as a date, a number of 50 digits) makes its column text.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsrkit.jsonlines import dumps
from dsrkit.parts import Field
from services.portability.package.cells import LIMITS, NUMBER, has_cut
from services.portability.package.tables import Table

GROUP_BYTES = 4 << 20
GROUP_ROWS = 20_000
_DECIMAL_DIGITS = 38
_MICROSECONDS = re.compile(r"[^.,]*(?:[.,][0-9]{1,6}(?![0-9]).*)?", re.DOTALL)

Convert = Callable[[Any], Any]


class Column:
    """One column: sees every value once, then has a type and converts."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._candidates = list(_CANDIDATES.get(field.type, ()))
        self._whole = self._scale = 0

    def see(self, value: Any) -> None:
        """Drops the types that can't hold the value."""
        if value is None or not self._candidates or has_cut(value):
            return
        self._candidates = [kind for kind in self._candidates if self._holds(kind, value)]

    def _holds(self, kind: str, value: Any) -> bool:
        try:
            converted = _CONVERT[kind](value)
        except (ValueError, TypeError, InvalidOperation, OverflowError):
            return False
        if kind == "decimal":
            _, digits, exponent = converted.as_tuple()
            self._scale = max(self._scale, -exponent)
            self._whole = max(self._whole, len(digits) + exponent)
            return self._whole + self._scale <= _DECIMAL_DIGITS
        return True

    @property
    def arrow(self) -> pa.Field:
        """Name, type and, as metadata, the type in the source's words."""
        kind = self._candidates[0] if self._candidates else "text"
        arrow = pa.decimal128(max(self._whole + self._scale, 1), self._scale) if kind == "decimal" else _ARROW[kind]
        return pa.field(self._field.name, arrow, metadata={"table_schema_type": self._field.type})

    @property
    def convert(self) -> Convert:
        """Makes a value of the column's type."""
        return _CONVERT[self._candidates[0]] if self._candidates else _text


def to_parquet(table: Table) -> Iterator[bytes]:
    """The table's bytes."""
    columns = [Column(field) for field in table.fields]
    for row, _ in table.rows():
        for column, value in zip(columns, row, strict=True):
            column.see(value)
    schema = pa.schema([column.arrow for column in columns])
    converts = [column.convert for column in columns]
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in _groups(table):
            arrays = []
            for convert, values, field in zip(converts, zip(*rows, strict=True), schema, strict=True):
                table.values_left_out += sum(map(has_cut, values))
                converted = [None if v is None or has_cut(v) else convert(v) for v in values]
                arrays.append(pa.array(converted, type=field.type))
            writer.write_table(pa.table(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _groups(table: Table) -> Iterator[list[list[Any]]]:
    rows: list[list[Any]] = []
    size = 0
    for row, length in table.rows():
        rows.append(row)
        size += length
        if size >= GROUP_BYTES or len(rows) >= GROUP_ROWS:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


class _Sink:
    """A file that is emptied while it is written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    number = int(_of_number(value))
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError
    return number


def _decimal(value: Any) -> Decimal:
    return Decimal(_of_number(value))


def _float(value: Any) -> float:
    if isinstance(value, str) and value in LIMITS:
        return float(value)
    text = _of_number(value)
    number = float(text)
    if not isfinite(number) or Decimal(repr(number)) != Decimal(text):
        raise ValueError
    return number


def _day(value: Any) -> date:
    return date.fromisoformat(_of_text(value))


def _instant(value: Any) -> datetime:
    moment = _local(value, aware=True)
    return moment.astimezone(UTC)


def _local(value: Any, *, aware: bool = False) -> datetime:
    text = _of_text(value)
    if not _MICROSECONDS.fullmatch(text):
        raise ValueError  # Python would cut what is finer
    moment = datetime.fromisoformat(text)
    if (moment.tzinfo is not None) is not aware:
        raise ValueError
    return moment


def _of_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _of_number(value: Any) -> str:
    text = _of_text(value)
    if not NUMBER.fullmatch(text):
        raise ValueError
    return text


def _text(value: Any) -> str:
    text = str(value) if isinstance(value, str) else dumps(value)
    return text.encode(errors="backslashreplace").decode()


_CANDIDATES = {
    "boolean": ["boolean"],
    "integer": ["integer", "decimal"],
    "number": ["decimal", "float"],
    "date": ["day"],
    "datetime": ["instant", "local"],
}
_CONVERT: dict[str, Convert] = {
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "float": _float,
    "day": _day,
    "instant": _instant,
    "local": _local,
}
_ARROW = {
    "text": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "day": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
    "local": pa.timestamp("us"),
}
