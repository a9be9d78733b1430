"""CSV that no spreadsheet runs and every machine can undo."""

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.jsonlines import Cut, Number
from services.portability.package.cells import RESTORE, cell, neutralise, restore
from services.portability.package.tables import Table, to_csv
from tests.unit.package import sample

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text("'=+-@\t\r\n;\0＝,\"a ", max_size=12)
DANGEROUS = "=+-@＝＋－＠"


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"])
def test_a_cell_that_would_be_run_begins_with_a_quote(first: str) -> None:
    text = f"{first}cmd|' /C calc'!A0"
    assert neutralise(text) == f"'{text}"
    assert neutralise(f"'{text}") == f"''{text}"
    assert restore(neutralise(text)) == text


@pytest.mark.parametrize("text", ["", "plain", "a=b", "mail me @home", "1-2", "'tis", "it's", "line\n\nline", "a; b"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert neutralise(text) == text
    assert restore(text) == text


@given(texts)
def test_undone_it_is_the_same(text: str) -> None:
    assert restore(neutralise(text)) == text
    assert re.sub(RESTORE, "", neutralise(text)) == text


@given(texts, st.sampled_from([",", ";", "\t"]))
def test_nothing_runs_whatever_a_spreadsheet_takes_for_its_separator(text: str, separator: str) -> None:
    table = Table(sample.part(sample.SHOP, "t", [("a", "string"), ("b", "string")], [{"a": "x", "b": text}]))
    document = b"".join(to_csv(table)).decode()
    for row in csv.reader(io.StringIO(document, newline=""), delimiter=separator):
        for found in row:
            assert not found.startswith(tuple(DANGEROUS))
    for piece in re.split(r"[;\t\r\n]", neutralise(text)):
        assert not piece.startswith(tuple(DANGEROUS))


@pytest.mark.parametrize(
    ("value", "type", "expected"),
    [
        (None, "string", ""),
        (True, "boolean", "true"),
        (False, "boolean", "false"),
        (Number("-5"), "integer", "-5"),
        (Number("-19.90"), "number", "-19.90"),
        (Number("1e400"), "number", "1e400"),
        ("-123456789012345678901234567890.5", "number", "-123456789012345678901234567890.5"),
        ("-5", "string", "'-5"),
        (Number("-5"), "any", "-5"),
        ("-Infinity", "number", "-INF"),
        ("NaN", "number", "NaN"),
        (Number("NaN"), "number", "NaN"),
        ("=1+1", "number", "'=1+1"),
        ("-1+1", "number", "'-1+1"),
        ("-0044-03-15", "date", "'-0044-03-15"),
        ({"a;b": ["=x", Number("1.50")]}, "object", '{"a\\u003bb":["=x",1.50]}'),
        (Cut("x", 9), "string", None),
        ([{"deep": Cut("x", 9)}], "array", None),
    ],
)
def test_values(value: Any, type: str, expected: str | None) -> None:
    assert cell(value, type) == expected


rows = st.lists(
    st.fixed_dictionaries(
        {
            "text": texts | st.none(),
            "whole": st.integers() | st.none(),
            "flag": st.booleans() | st.none(),
            "tree": st.dictionaries(texts, st.lists(texts | st.integers(), max_size=3), max_size=3) | st.none(),
        }
    ),
    max_size=5,
)


@given(rows, st.integers(1, 200))
def test_what_was_written_can_be_read_back(rows: list[dict[str, Any]], cut: int) -> None:
    fields = [("text", "string"), ("whole", "integer"), ("flag", "boolean"), ("tree", "object")]
    document = b"".join(to_csv(Table(sample.part(sample.SHOP, "t", fields, rows, cut=cut)))).decode()
    header, *lines = csv.reader(io.StringIO(document, newline=""), strict=True)
    assert header == ["text", "whole", "flag", "tree"]
    assert len(lines) == len(rows)
    for row, (text, whole, flag, tree) in zip(rows, lines, strict=True):
        assert restore(text) == (row["text"] or "")
        assert (int(whole) if whole else None) == row["whole"]
        assert {"true": True, "false": False, "": None}[flag] == row["flag"]
        assert (json.loads(restore(tree)) if tree else None) == row["tree"]


def test_names_of_fields_cannot_be_formulas_either() -> None:
    table = Table(sample.part(sample.SHOP, "t", [("=cmd()", "string"), ("=cmd()", "string")], [{"=cmd()": "x"}]))
    assert b"".join(to_csv(table)) == b"'=cmd()\r\nx\r\n"


def test_half_a_surrogate_pair_is_written_as_json_writes_it() -> None:
    data = b'{"a": "\\ud800", "b": ["\\ud800"]}\n'
    table = Table(sample.part_of(sample.SHOP, "t", [("a", "string"), ("b", "array")], data))
    assert b"".join(to_csv(table)) == b'a,b\r\n\\ud800,"[""\\ud800""]"\r\n'


def test_what_is_too_long_for_a_table_is_left_out_and_counted() -> None:
    long = b'{"a": "' + b"x" * 9_000_000 + b'", "b": 1}\n'
    deep = b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n"
    table = Table(sample.part_of(sample.SHOP, "t", [("a", "any"), ("b", "integer")], long + deep, cut=1 << 18))
    assert b"".join(to_csv(table)) == b"a,b\r\n,1\r\n"
    assert (table.records_left_out, table.values_left_out) == (1, 1)
    assert "1 values longer than 1,048,576 bytes" in table.note()
