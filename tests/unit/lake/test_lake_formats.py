"""Each thing that a peer gets wrong when it takes records out of lake files, in memory."""

import gzip
import io
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.lake.everybody import records
from connectors.lake.identity import Kind, Rule, Wanted, parse_path
from connectors.lake.record import Broken, Fixed, Hit, Unreadable
from connectors.lake.search import Format, Search


def rule(*paths: str, kind: Kind = "either", separator: str = "") -> Rule:
    return Rule("id", tuple(parse_path(path) for path in paths), kind, separator=separator)


def search(form: Format, value: str, *rules: Rule) -> Search:
    return Search(form, Wanted(rules or (rule("id"),), [[("id", value)]]))


def rewritten(form: Format, body: bytes, value: str, *rules: Rule) -> bytes:
    output = bytearray()
    search(form, value, *rules).rewrite(io.BytesIO(body), output.extend, lambda hit: not hit.shared)
    return bytes(output)


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(table: pa.Table, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **settings)
    return buffer.getvalue()


def opened(body: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(body))


def test_the_id_0_is_an_id() -> None:
    assert rewritten("jsonl", lines({"id": 0}, {"id": 10}, {"id": None}, {"id": False}), "0") == lines(
        {"id": 10}, {"id": None}, {"id": False}
    )


def test_blank_and_broken_lines_stay_as_they_are() -> None:
    body = b'\n{"id": 7}\r\n  \n{"id": 8}\n{"id": 9'
    assert rewritten("jsonl", body, "7") == b'\n  \n{"id": 8}\n{"id": 9'
    found = list(search("jsonl", "9").scan(io.BytesIO(body)))
    assert [(type(item), item.people) for item in found if not isinstance(item, Fixed)] == [(Broken, frozenset({0}))]


def test_an_id_may_stand_in_a_list_and_beside_a_null_struct() -> None:
    nested = rule("user.id")
    alone, others, empty = {"user": [{"id": 7}]}, {"user": [{"id": 7}, {"id": 8}]}, {"user": None}
    found = list(search("jsonl", "7", nested).scan(io.BytesIO(lines(alone, others, empty, {}))))
    assert [item.shared for item in found if isinstance(item, Hit)] == [False, True]
    assert rewritten("jsonl", lines(alone, others, empty, {}), "7", nested) == lines(others, empty, {})


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("either", "7", [7, "7"]),
        ("number", "7", [7]),
        ("string", "7", ["7"]),
        ("string", "007", ["007"]),
        ("digits", "7", [7, "7", "007"]),
    ],
)
def test_numbers_and_strings_are_alike_only_where_declared(kind: Kind, value: str, found: Sequence[Any]) -> None:
    body = lines(*({"id": i} for i in (7, "7", "007", 70, "70", 77, 0)))
    hits = search("jsonl", value, rule("id", kind=kind)).scan(io.BytesIO(body))
    assert [json.loads(hit.data)["id"] for hit in hits if isinstance(hit, Hit)] == found


def test_composite_ids_compare_all_parts_together() -> None:
    both = rule("shop", "id", separator="-")
    rows = [{"shop": 1, "id": 7}, {"shop": 1, "id": 8}, {"shop": 2, "id": 7}, {"id": 7}]
    assert rewritten("jsonl", lines(*rows), "1-7", both) == lines(*rows[1:])


def test_escapes_and_exponents_hide_nobody() -> None:
    body = b'{"id": "\\u0061nn"}\n{"id": "anna"}\n'
    assert rewritten("jsonl", body, "ann") == b'{"id": "anna"}\n'
    assert rewritten("jsonl", b'{"id": 1e2}\n{"id": 1e3}\n', "100") == b'{"id": 1e3}\n'
    for spelling in ("1e2", "1E2", "1.0e+2", "10.00E1", "1000e-1"):
        for before in ("", " ", "\t", "\r", '"x": 1,', "[0,", "[ "):
            value = f"{before}{spelling}]" if "[" in before else f"{before}{spelling}"
            line = f'{{"id":{value}}}' if "x" not in before else f'{{"x": 1,"id":{spelling}}}'
            kept = b'{"id":"5e1a2f1e0"}\n'
            shared = before == "[0,"
            left = rewritten("jsonl", kept + line.encode() + b"\n", "100")
            assert left == (kept + line.encode() + b"\n" if shared else kept), line


def test_gzip_stays_gzip_and_half_of_it_is_not_taken_for_all() -> None:
    body = gzip.compress(lines({"id": 7}, {"id": 8}))
    assert gzip.decompress(rewritten("jsonl", body, "7")) == lines({"id": 8})
    with pytest.raises(Unreadable):
        list(search("jsonl", "7").scan(io.BytesIO(body[:-4])))


@pytest.mark.parametrize(
    ("form", "head", "line"),
    [("jsonl", b"", b'{"id": "%s", "city": "%s"}\n'), ("csv", b"id,city\r\n", b"%s,%s\r\n")],
)
def test_text_that_is_not_utf8_hides_nobody(form: Format, head: bytes, line: bytes) -> None:
    """It can't be told whom letters beyond ASCII name, so everybody whose identity has some may be meant."""
    jose = "José"
    ours, others = line % (jose.encode(), "Köln".encode()), line % (b"8", "Köln".encode("latin-1"))
    theirs = line % (jose.encode("latin-1"), b"Bonn")
    for body in (head + ours + others, head + others + ours, head + ours + theirs, head + theirs * 3 + ours):
        found = [item for item in search(form, jose).scan(io.BytesIO(body)) if not isinstance(item, Fixed)]
        assert [item.people for item in found if isinstance(item, Hit)] == [{0}]
        broken = [item.people for item in found if isinstance(item, Broken)]
        assert broken == [{0}] * (body.count(b"\xe9") + body.count(b"\xf6"))
        # What can't be read is kept as it is.
        assert rewritten(form, body, jose) == body.replace(ours, b"")
    # Whoever is named in ASCII is found all the same, and told that something couldn't be read.
    found = [item for item in search(form, "9").scan(io.BytesIO(head + others + ours)) if not isinstance(item, Fixed)]
    assert [(type(item), item.people) for item in found] == [(Broken, frozenset())]


def test_csv_keeps_quotes_and_line_ends_within_fields() -> None:
    body = b'id,note\r\n7,"a\r\nb"\r\n70,"7"\r\n8,"say ""7"""\r\n'
    assert rewritten("csv", body, "7") == b'id,note\r\n70,"7"\r\n8,"say ""7"""\r\n'


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "none"])
def test_parquet_keeps_codec_metadata_and_row_groups(codec: str) -> None:
    table = pa.table({"id": list(range(8)), "name": list("abcdefgh")}).replace_schema_metadata({"owner": "crm"})
    after = opened(rewritten("parquet", parquet(table, compression=codec, row_group_size=2), "7"))
    assert after.read().to_pylist() == table.to_pylist()[:7]
    assert [after.metadata.row_group(n).num_rows for n in range(after.num_row_groups)] == [2, 2, 2, 1]
    assert after.metadata.row_group(0).column(0).compression == ("UNCOMPRESSED" if codec == "none" else codec.upper())
    assert after.schema_arrow.metadata[b"owner"] == b"crm"


@pytest.mark.parametrize("compliant", [True, False])
@pytest.mark.parametrize("stored", [True, False])
def test_parquet_keeps_the_names_in_nested_lists_and_what_hangs_on_them(compliant: bool, stored: bool) -> None:
    """`list.item` is pyarrow's own older default."""
    kinds = {"tags": pa.list_(pa.string()), "deep": pa.list_(pa.list_(pa.struct([("x", pa.int64())])))}
    row = {"id": 7, "tags": ["a", "b"], "deep": [[{"x": 1}], []]}
    table = pa.Table.from_pylist([row, {**row, "id": 8}], pa.schema([("id", pa.int64()), *kinds.items()]))
    settings = {"use_compliant_nested_type": compliant, "store_schema": stored, "write_page_index": True}
    before = opened(body := parquet(table, compression="zstd", **settings))
    after = opened(rewritten("parquet", body, "7"))
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    assert after.read().to_pylist() == table.to_pylist()[1:]

    def told(file: pq.ParquetFile) -> list[tuple[Any, ...]]:
        chunks = [file.metadata.row_group(0).column(n) for n in range(3)]
        return [
            (
                c.path_in_schema,
                c.physical_type,
                c.compression,
                c.has_dictionary_page,
                c.is_stats_set,
                c.has_column_index,
            )
            for c in chunks
        ]

    assert told(after) == told(before)
    assert {compression for _, _, compression, *_ in told(after)} == {"ZSTD"}


def test_parquet_whose_columns_would_become_others_is_read_and_not_written() -> None:
    """Lists were given other shapes: Hive's have a `bag` in the middle. pyarrow writes one."""
    body = parquet(pa.table({"id": [7, 8], "tags": [["a"], ["b"]]})).replace(b"\x04list", b"\x04bags")
    assert opened(body).schema.column(1).path == "tags.bags.element"
    found = list(search("parquet", "7").scan(io.BytesIO(body)))
    assert [type(item) for item in found] == [Fixed, Hit]
    with pytest.raises(Unreadable):
        rewritten("parquet", body, "7")
    assert list(search("parquet", "404").scan(io.BytesIO(body))) == []


def test_parquet_keeps_int96_and_null_structs() -> None:
    moment = pa.array([1_600_000_000_123_456_789, 0, None], pa.timestamp("ns"))
    table = pa.table({"user": pa.array([{"id": 7}, None, {"id": None}]), "at": moment})
    body = parquet(table, use_deprecated_int96_timestamps=True)
    after = opened(rewritten("parquet", body, "7", rule("user.id")))
    assert after.read().cast(table.schema).equals(table.slice(1))
    at = next(after.schema.column(n) for n in range(2) if after.schema.column(n).name == "at")
    assert at.physical_type == "INT96"


def test_the_year_9999_in_int96_is_no_other_year() -> None:
    """64-bit nanoseconds end in 2262, and begin again in 1677. Where nobody asks for the column, nothing is wrong."""
    far = pa.array([253_402_214_400_000_000] * 2, pa.timestamp("us"))
    lists = pa.ListArray.from_arrays([0, 1, 2], far)
    structs = pa.StructArray.from_arrays([lists], ["until"])
    near = pa.array([-1_000_000_000_000_000_001, 1_600_000_000_123_456_789], pa.timestamp("ns"))
    cases = {"far": far, "list": lists, "deep": structs, "near": near}
    for name, column in cases.items():
        table = pa.table({"id": [7, 8], name: column})
        body = parquet(table, use_deprecated_int96_timestamps=True)
        seen = [rule("id"), rule(name)]
        if name == "near":
            assert len(list(search("parquet", "7").scan(io.BytesIO(body)))) == 1
            assert len(list(records("parquet", seen, io.BytesIO(body)))) == 2
            continue
        for ask in (search("parquet", "7").scan, partial(records, "parquet", seen)):
            with pytest.raises(Unreadable):
                list(ask(io.BytesIO(body)))
        assert list(search("parquet", "404").scan(io.BytesIO(body))) == []
        assert len(list(records("parquet", [rule("id")], io.BytesIO(body)))) == 2


def test_nanoseconds_in_nested_fields_can_be_read() -> None:
    """Python's own times lack them."""
    seen = pa.array([[{"at": 1}], None], pa.list_(pa.struct([("at", pa.timestamp("ns"))])))
    took = pa.array([1, None], pa.duration("ns"))
    clock = pa.array([1, None], pa.time64("ns"))
    body = parquet(pa.table({"id": [7, 8], "seen": seen, "took": took, "clock": clock}))
    (hit,) = search("parquet", "7").scan(io.BytesIO(body))
    assert isinstance(hit, Hit)
    record = {"id": 7, "seen": [{"at": "1970-01-01 00:00:00.000000001"}], "took": 1, "clock": 1}
    assert json.loads(hit.data) == record
