"""Parquet, row group by row group. Only the columns that identify people are read to search.

Codec per column, dictionaries, statistics, schema and key-value metadata, row-group bounds, INT96 and the format's
version stay as they were.
"""

import base64
import io
from collections.abc import Container, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.lake import archive
from connectors.lake.identity import Wanted
from connectors.lake.record import Drop, Fixed, Hit, Sink, Source, Unreadable

_DAMAGED = "it is not a Parquet file that can be read"
_BATCH_ROWS = 65_536


class Parquet:
    """Searches and rewrites for the people of one search."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def scan(self, source: Source) -> Iterator[Hit | Fixed]:
        """Records of the people. Before the first: Unreadable for the whole object if they can't be copied exactly."""
        with _translated():
            table = _Table(source, self._wanted)
            checked = False
            for group in range(table.groups):
                for hit in table.hits(group):
                    if not checked:
                        table.refuse_overflow()
                        if not table.rewritable:
                            yield Fixed()
                        checked = True
                    yield hit

    def records(self, source: Source) -> Iterator[Any]:
        """Every record, as far as the rules look at it."""
        with _translated():
            table = _Table(source, self._wanted)
            table.refuse_overflow(read={path[0] for rule in self._wanted.rules for path in rule.paths})
            for group in range(table.groups):
                for batch in table.batches(group):
                    yield from _listed(batch)

    def rewrite(self, source: Source, sink: Sink, drop: Drop) -> None:
        """Everything but the records for which `drop` says so. A row group that empties is left out."""
        with _translated():
            table = _Table(source, self._wanted)
            table.refuse_overflow()
            if not table.rewritable:
                raise Unreadable("its columns would be others when it is written again")
            output = pa.PythonFile(_Output(sink), mode="w")
            with pq.ParquetWriter(output, table.schema, **table.settings) as writer:
                for group in range(table.groups):
                    rows = table.rows(group)
                    dropped = {hit.position - table.first[group] for hit in table.hits(group, rows) if drop(hit)}
                    if dropped:
                        keep = pa.array([row not in dropped for row in range(rows.num_rows)], pa.bool_())
                        rows = rows.filter(keep)
                    if rows.num_rows:
                        writer.write_table(rows, row_group_size=rows.num_rows)


class _translated:
    """Turns pyarrow's errors, whose texts may quote data, into Unreadable."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and error.errno is None):
            raise Unreadable(_DAMAGED) from None


class _Table:
    """One Parquet file."""

    def __init__(self, source: Source, wanted: Wanted) -> None:
        archive.refuse(source.read(512))
        source.seek(0)
        self._source = source
        self._wanted = wanted
        self._file = self._open("ns")
        self._meta = self._file.metadata
        self.groups = self._meta.num_row_groups
        self.schema = self._file.schema_arrow
        _refuse_twice(self.schema)
        self.first = [0]
        for group in range(self.groups):
            self.first.append(self.first[-1] + self._meta.row_group(group).num_rows)
        self._columns = self._identity_columns()

    def _open(self, unit: str) -> pq.ParquetFile:
        file = pa.PythonFile(self._source, mode="r")
        return pq.ParquetFile(file, coerce_int96_timestamp_unit=unit, read_dictionary=[])

    def _identity_columns(self) -> list[str]:
        """Leaves to read in a search: as narrow as their paths can be told."""
        columns: dict[str, None] = {}
        for rule in self._wanted.rules:
            for path in rule.paths:
                if path[0] not in self.schema.names:
                    raise Unreadable("it lacks a column that identifies people")
                kind, narrow = self.schema.field(path[0]).type, [path[0]]
                for name in path[1:]:
                    if not pa.types.is_struct(kind):
                        break
                    if kind.get_field_index(name) < 0:
                        raise Unreadable("it lacks a column that identifies people")
                    kind = kind.field(name).type
                    narrow.append(name)
                columns[".".join(narrow)] = None
        return list(columns)

    def rows(self, group: int) -> pa.Table:
        """A whole row group."""
        return self._file.read_row_group(group)

    @cached_property
    def rewritable(self) -> bool:
        """Whether its columns are the same ones when pyarrow writes it: lists have had other shapes."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, self.schema, **self.settings):
            pass
        return _leaves(pq.ParquetFile(buffer).schema) == _leaves(self._file.schema)

    def refuse_overflow(self, *, read: Container[str] | None = None) -> None:
        """INT96 holds years that 64-bit nanoseconds don't, and that come out as other years: Unreadable. `read`: the
        columns that are looked at, if not all."""
        columns = [path for path in self._int96 if read is None or path.partition(".")[0] in read]
        coarse = self._open("us") if columns else self._file
        for group in range(self.groups if columns else 0):
            a = self._file.read_row_group(group, columns=columns)
            b = coarse.read_row_group(group, columns=columns)
            for fine, whole in zip(_timestamps(a.to_struct_array()), _timestamps(b.to_struct_array()), strict=True):
                if not pc.floor_temporal(fine, unit="microsecond").cast(whole.type).equals(whole):
                    raise Unreadable("it has INT96 timestamps of years that can't be read")

    def hits(self, group: int, rows: pa.Table | None = None) -> Iterator[Hit]:
        """Records of the people in a row group; `rows` is the group, if it was read already."""
        first = self.first[group]
        positions: list[int] = []
        found: list[Any] = []
        at = 0
        for batch in self.batches(group, rows):
            mask = self._mask(batch)
            for row in pc.indices_nonzero(mask).to_pylist() if mask is not None else range(batch.num_rows):
                owners = self._wanted.owners(_listed(batch.slice(row, 1))[0])
                if owners is not None:
                    positions.append(at + row)
                    found.append(owners)
            at += batch.num_rows
        if not positions:
            return
        whole = (self.rows(group) if rows is None else rows).take(pa.array(positions, pa.int64()))
        for position, owners, record in zip(positions, found, _listed(whole), strict=True):
            data = orjson.dumps({name: plain(value) for name, value in record.items()}, option=orjson.OPT_NON_STR_KEYS)
            yield Hit(first + position, owners.people, owners.shared, owners.names, data)

    def batches(self, group: int, rows: pa.Table | None = None) -> Iterator[pa.RecordBatch]:
        """What identifies people, and at most what else stands in the same columns."""
        if rows is None:
            yield from self._file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=self._columns)
            return
        names = dict.fromkeys(path[0] for rule in self._wanted.rules for path in rule.paths)
        yield from rows.select(list(names)).to_batches(_BATCH_ROWS)

    def _mask(self, batch: pa.RecordBatch) -> pa.Array | None:
        """Rows that may name somebody; None: look at each."""
        mask = None
        for rule, index in zip(self._wanted.rules, self._wanted.index, strict=True):
            if not index:
                continue
            column = _column(batch, rule.paths[0])
            if column is None:
                return None
            uniques = pc.unique(column)
            parts = {name[0] for name in index}
            chosen = [i for i, v in enumerate(_values(uniques)) if rule.canonical(v, untyped=False) in parts]
            here = pc.is_in(column, value_set=uniques.take(pa.array(chosen, pa.int64())), skip_nulls=True)
            mask = here if mask is None else pc.or_(mask, here)
        return mask

    @cached_property
    def _int96(self) -> list[str]:
        schema = self._file.schema
        return [c.path for c in (schema.column(i) for i in range(len(schema))) if c.physical_type == "INT96"]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How to write it as it was written."""
        version = "1.0" if self._meta.format_version == "1.0" else "2.6"
        settings: dict[str, Any] = {
            "version": version,
            "use_deprecated_int96_timestamps": bool(self._int96),
            "store_schema": b"ARROW:schema" in (self._meta.metadata or {}),
            "store_decimal_as_integer": self._decimal_integers,
            # Elements of lists keep the name that they have in the file.
            "use_compliant_nested_type": False,
        }
        if not self.groups:
            return settings
        group = self._meta.row_group(0)
        chunks = [group.column(index) for index in range(group.num_columns)]
        codecs = {chunk.path_in_schema: _codec(chunk.compression) for chunk in chunks}
        settings["compression"] = codecs
        settings["use_dictionary"] = [c.path_in_schema for c in chunks if c.has_dictionary_page] or False
        settings["write_statistics"] = [c.path_in_schema for c in chunks if c.is_stats_set] or False
        settings["write_page_index"] = any(c.has_column_index for c in chunks)
        if group.sorting_columns:
            settings["sorting_columns"] = group.sorting_columns
        return settings

    @cached_property
    def _decimal_integers(self) -> bool:
        schema = self._file.schema
        kinds = (schema.column(index) for index in range(len(schema)))
        return any(c.logical_type.type == "DECIMAL" and c.physical_type in ("INT32", "INT64") for c in kinds)


def _listed(rows: Any) -> list[Any]:
    """Rows as Python values. Nanoseconds, which those lack, as text, and durations of them as numbers."""
    exact = pa.schema([field.with_type(_exact(field.type)) for field in rows.schema])
    return _values(rows if exact.equals(rows.schema) else rows.cast(exact))


def _values(column: Any) -> list[Any]:
    """As Python values. Unreadable for text that isn't UTF-8, and times that Python lacks: years after 9999."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        raise Unreadable("it has text that isn't UTF-8, or times after the year 9999") from None
    return values


def _refuse_twice(fields: Any) -> None:
    """Unreadable if a name stands twice beside itself: which of the two is meant can't be told."""
    names = [field.name for field in fields]
    if len(set(names)) != len(names):
        raise Unreadable("it names a column twice")
    for field in fields:
        kind = field.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            _refuse_twice(kind)


def _leaves(schema: Any) -> list[tuple[Any, ...]]:
    """What tells columns of a file from others."""
    columns = [schema.column(index) for index in range(len(schema))]
    return [(c.path, c.physical_type, c.max_definition_level, c.max_repetition_level) for c in columns]


def _timestamps(column: pa.ChunkedArray | pa.Array) -> Iterator[Any]:
    """Those in a column, wherever in it."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_timestamp(kind):
        yield column
    elif pa.types.is_struct(kind):
        for inner in column.flatten():
            yield from _timestamps(inner)
    elif pa.types.is_map(kind):
        yield from _timestamps(column.keys)
        yield from _timestamps(column.items)
    elif pa.types.is_nested(kind):
        yield from _timestamps(column.flatten())


def _exact(kind: pa.DataType) -> pa.DataType:
    if kind in (pa.time64("ns"), pa.duration("ns")):
        return pa.int64()
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_exact(field.type)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_exact(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_exact(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_exact(kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(kind.key_field, kind.item_field.with_type(_exact(kind.item_type)))
    return kind


def _codec(name: str) -> str:
    return {"UNCOMPRESSED": "NONE", "LZ4": "LZ4", "LZ4_RAW": "LZ4"}.get(name, name)


def _column(batch: pa.RecordBatch, path: tuple[str, ...]) -> Any:
    """The column at a path, if it is made of scalars; None if lists or other shapes are on the way."""
    column = batch.column(path[0])
    for name in path[1:]:
        if not pa.types.is_struct(column.type):
            return None
        # Unlike `field`, this leaves out what stands below a null.
        column = pc.struct_field(column, name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return None if pa.types.is_nested(column.type) else column


def plain(value: Any) -> Any:
    """A value as JSON can hold it, without losing a digit."""
    match value:
        case dict():
            return {str(name): plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode()
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case Decimal() | timedelta():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case None | bool() | int() | float() | str():
            return value
    return str(value)


class _Output:
    """What pyarrow needs of a file that is only written to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._at = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._sink(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
