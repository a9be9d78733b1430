"""JSON Lines in bounded memory."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.jsonlines import Cut, Line, Lines, Malformed, Number, Token, dumps, tokens

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
rows = st.lists(st.dictionaries(st.text(), values, max_size=5), max_size=6)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def plain(value: Any) -> Any:
    """A parsed value as the standard library would have parsed it."""
    match value:
        case Number():
            return json.loads(value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
    return value


@given(rows, st.integers(1, 50), st.booleans())
def test_reads_what_was_written_however_it_is_cut(rows: list[dict[str, Any]], size: int, ascii: bool) -> None:
    data = b"".join(json.dumps(row, ensure_ascii=ascii).encode() + b"\n" for row in rows)
    lines = Lines(cut(data, size))
    assert [plain(lines.parse(line)) for line in lines] == rows


@given(rows, st.integers(1, 50), st.integers(5, 60), st.integers(1, 30))
def test_long_lines_are_told_apart_like_short_ones(
    rows: list[dict[str, Any]], size: int, line_limit: int, string_limit: int
) -> None:
    written = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    lines = Lines(
        cut(b"".join(line + b"\n" for line in written), size), line_limit=line_limit, string_limit=string_limit
    )
    read = [(line, lines.parse(line)) for line in lines]
    assert [line.size for line, _ in read] == [len(line) for line in written]
    for (_, record), row in zip(read, rows, strict=True):
        assert record is None or len(record) <= len(row)


@given(rows, st.integers(1, 50))
def test_tokens_lose_nothing(rows: list[dict[str, Any]], size: int) -> None:
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    marks = {Token.STRING: b'"', Token.STRING_END: b'"', Token.LINE_END: b"\n"}
    assert b"".join(marks.get(kind, piece) for kind, piece in tokens(cut(data, size))) == data


def test_numbers_keep_their_digits() -> None:
    lines = Lines([b'{"a": 19.90, "b": 123456789012345678901234567890.5, "c": 1e400, "d": NaN}\n'])
    (record,) = [lines.parse(line) for line in lines]
    assert record == {"a": "19.90", "b": "123456789012345678901234567890.5", "c": "1e400", "d": "NaN"}
    assert dumps(record) == '{"a":19.90,"b":123456789012345678901234567890.5,"c":1e400,"d":NaN}'


def test_a_long_string_is_cut_and_the_rest_of_its_line_kept() -> None:
    row = {"before": 1, "text": "é" * 200_000, "nested": ["x" * 90_000], "after": "last"}
    data = json.dumps(row, ensure_ascii=False).encode() + b'\n{"next": true}\n'
    lines = Lines(cut(data, 1000), line_limit=50_000, string_limit=999)
    first, second = [(line, lines.parse(line)) for line in lines]
    assert first[0].size == len(data.split(b"\n")[0])
    record = first[1]
    assert record is not None
    assert record["before"] == "1"
    assert record["text"] == Cut("é" * 499, 400_000)
    assert record["nested"] == [Cut("x" * 999, 90_000)]
    assert record["after"] == "last"
    assert second[1] == {"next": True}


@pytest.mark.parametrize("limit", range(20, 34))
def test_a_cut_never_splits_an_escape_sequence(limit: int) -> None:
    text = r"\\\"\né\ud83d\ude00" * 3
    data = b'{"t": "' + text.encode() + b"x" * 300 + b'"}\n'
    lines = Lines(cut(data, 7), line_limit=100, string_limit=limit)
    (record,) = [lines.parse(line) for line in lines]
    assert record is not None
    assert isinstance(record["t"], Cut)
    assert json.loads(f'"{text}"').startswith(record["t"].head)
    assert len(record["t"].head) >= limit // 6 - 1


def test_no_record_can_claim_to_have_been_cut() -> None:
    first = Lines([b""])
    lines = Lines([b'{"t": "x' + first.mark.encode() + b'99", "long": "' + b"y" * 2000 + b'"}\n'], line_limit=100)
    (record,) = [lines.parse(line) for line in lines]
    assert record is not None
    assert record["t"] == f"x{first.mark}99"


def test_a_line_that_stays_too_long_is_skipped() -> None:
    data = b'{"list": [' + b"1," * 100_000 + b'2]}\n{"next": 1}\n'
    lines = Lines(cut(data, 4096), line_limit=10_000)
    long, following = list(lines)
    assert long == Line(None, 200_013)
    assert lines.parse(long) is None
    assert lines.parse(following) == {"next": "1"}


def test_a_line_that_nests_too_deeply_is_skipped() -> None:
    data = b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    lines = Lines([data])
    assert [lines.parse(line) for line in lines] == [None]


@pytest.mark.parametrize(
    "data", [b"nonsense\n", b"[1]\n", b"\n", b'{"a": 1} {"b": 2}\n', b'{"a": "\xff"}\n', b'"text"\n']
)
def test_anything_but_objects_is_refused_without_quoting_it(data: bytes) -> None:
    lines = Lines([data])
    with pytest.raises(Malformed) as caught:
        [lines.parse(line) for line in lines]
    assert str(caught.value) in ("a line that isn't JSON", "a line that isn't a JSON object")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("data", [rb'{"a": "\u12zz"}' + b"\n", b'{"a": "open'])
def test_broken_strings_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(tokens([data]))
