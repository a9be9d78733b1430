"""Parquet: typed, and nothing lost."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.jsonlines import Lines, dumps
from services.portability.package.parquet import GROUP_ROWS, to_parquet
from services.portability.package.tables import Table
from tests.unit.package import sample


def column(type: str, *literals: str) -> pa.ChunkedArray:
    """The column of these JSON literals, written and read back."""
    data = "".join(f'{{"v": {literal}}}\n' for literal in literals).encode()
    part = sample.part_of(sample.SHOP, "t", [("v", type)], data)
    return pq.read_table(io.BytesIO(b"".join(to_parquet(Table(part))))).column("v")


@pytest.mark.parametrize(
    ("type", "literals", "arrow", "expected"),
    [
        ("integer", ["1", "null", "-9223372036854775808"], pa.int64(), [1, None, -(2**63)]),
        ("integer", ["9223372036854775808"], pa.decimal128(19, 0), [Decimal(2**63)]),
        ("integer", ["1" * 39], pa.string(), ["1" * 39]),
        ("integer", ['"12"'], pa.int64(), [12]),
        ("integer", ["1.5"], pa.decimal128(2, 1), [Decimal("1.5")]),
        ("number", ["19.90", "-0.001", "7"], pa.decimal128(5, 3), [Decimal("19.90"), Decimal("-0.001"), Decimal(7)]),
        ("number", ['"12345678901234567890.5"'], pa.decimal128(21, 1), [Decimal("12345678901234567890.5")]),
        ("number", ["1e300", "0.1"], pa.float64(), [1e300, 0.1]),
        ("number", ["1e400"], pa.string(), ["1e400"]),
        ("number", ["0.1", '"Infinity"', '"-Infinity"'], pa.float64(), [0.1, float("inf"), float("-inf")]),
        ("number", ["1_000"[:1], '"1_000"'], pa.string(), ["1", "1_000"]),
        ("number", ['"abc"'], pa.string(), ["abc"]),
        ("boolean", ["true", "null", "false"], pa.bool_(), [True, None, False]),
        ("boolean", ["true", '"maybe"'], pa.string(), ["true", "maybe"]),
        ("date", ['"1984-05-17"'], pa.date32(), [date(1984, 5, 17)]),
        ("date", ['"1984-05-17"', '"infinity"'], pa.string(), ["1984-05-17", "infinity"]),
        (
            "datetime",
            ['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00:00.123456+01:00"'],
            pa.timestamp("us", "UTC"),
            [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)],
        ),
        ("datetime", ['"2026-01-01T00:00:00"'], pa.timestamp("us"), [datetime(2026, 1, 1)]),  # noqa: DTZ001
        ("datetime", ['"2026-01-01T00:00:00.123456789Z"'], pa.string(), ["2026-01-01T00:00:00.123456789Z"]),
        ("datetime", ['"2026-01-01T00:00:00Z"', '"2026-01-01T00:00:00"'], pa.string(), None),
        ("string", ['"a"', "null", '"=1+1"', "5"], pa.string(), ["a", None, "=1+1", "5"]),
        ("string", ['"\\ud800"'], pa.string(), ["\\ud800"]),
        ("object", ['{"a": 1.50}', "null"], pa.string(), ['{"a":1.50}', None]),
        ("nonsense", ["[true]"], pa.string(), ["[true]"]),
        ("integer", ["null"], pa.int64(), [None]),
    ],
)
def test_types(type: str, literals: Sequence[str], arrow: pa.DataType, expected: list[Any] | None) -> None:
    read = column(type, *literals)
    assert read.type == arrow
    if expected is not None:
        assert read.to_pylist() == expected


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=5))
def test_numbers_lose_no_digit(numbers: list[Decimal | None]) -> None:
    literals = ["null" if n is None else f"{n:f}" if abs(n.adjusted()) < 50 else str(n) for n in numbers]
    read = column("number", *[text.lstrip("+") for text in literals]).to_pylist()
    for number, value in zip(numbers, read, strict=True):
        if number is None:
            assert value is None
        else:
            assert Decimal(repr(value) if isinstance(value, float) else value) == number


@given(st.lists(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)), max_size=4))
def test_anything_else_is_its_json(values: list[Any]) -> None:
    written = [json.dumps(value) for value in values]
    read = column("array", *written).to_pylist()
    for value, literal, text in zip(values, written, read, strict=True):
        if isinstance(value, str):
            assert text == value
        else:
            lines = Lines([f'{{"v": {literal}}}\n'.encode()])
            (record,) = [lines.parse(line) for line in lines]
            assert record is not None
            assert text == dumps(record["v"])
            assert json.loads(text) == value


def test_many_rows_become_row_groups() -> None:
    rows = [{"v": i} for i in range(GROUP_ROWS + 1)]
    pieces = list(to_parquet(Table(sample.part(sample.SHOP, "t", [("v", "integer")], rows, cut=1 << 20))))
    file = pq.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert file.metadata.num_row_groups == 2
    assert file.read().column("v").to_pylist() == list(range(GROUP_ROWS + 1))
    assert len(pieces) == 3


def test_the_sources_type_stands_in_the_schema() -> None:
    part = sample.part(sample.SHOP, "t", [("v", "geojson")], [{"v": {"type": "Point"}}])
    schema = pq.read_schema(io.BytesIO(b"".join(to_parquet(Table(part)))))
    assert schema.field("v").metadata[b"table_schema_type"] == b"geojson"
