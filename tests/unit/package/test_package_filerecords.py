"""Files out of records, as streams."""

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.errors import DsrError
from dsrkit.filenames import Names
from dsrkit.filerecords import extract, holds_files
from tests.unit.package import sample


def files(data: bytes, cut: int = 1000) -> list[tuple[str, bytes | None]]:
    part = sample.part_of(sample.FILES, "letters", sample.FILE_FIELDS, data, cut=cut)
    assert holds_files(part)
    names = Names()
    read: list[tuple[str, bytes | None]] = []
    for found in extract(part, lambda name: names.unique("f", name)):
        assert "content" not in found.record
        read.append((found.file.path, b"".join(found.file.read())) if found.file else (found.record["path"], None))
    return read


def row(data: bytes, /, **more: Any) -> bytes:
    return json.dumps(sample.file_row("a.bin", data) | more).encode() + b"\n"


@given(st.lists(st.binary(max_size=400), max_size=4), st.integers(1, 300))
def test_gives_the_bytes_back_however_they_are_cut(contents: list[bytes], cut: int) -> None:
    data = b"".join(row(content) for content in contents)
    assert [content for _, content in files(data, cut)] == contents


def test_a_content_larger_than_a_line_may_be() -> None:
    content = bytes(range(256)) * 20_000
    data = row(content) + row(b"next")
    ((first, read), (second, following)) = files(data, 100_000)
    assert (first, second) == ("f/a.bin", "f/a-2.bin")
    assert hashlib.sha256(read or b"").digest() == hashlib.sha256(content).digest()
    assert following == b"next"


def test_the_order_of_the_fields_does_not_matter() -> None:
    content = b"12345"
    fields = list(sample.file_row("b.txt", content).items())
    for order in (fields, fields[::-1], fields[3:] + fields[:3]):
        assert files(json.dumps(dict(order)).encode() + b"\n") == [("f/b.txt", content)]


def test_escapes_and_space_in_the_line() -> None:
    content = bytes(range(200, 256)) * 3
    text = base64.b64encode(content).decode().replace("/", r"\/").replace("+", r"\u002b")
    for cut in range(1, 40):
        line = f'{{ "path" : "x.bin",\t"media_type":null,"size":168, "sha256" :null, "c\\u006fntent" : "{text}" }}\n'
        assert files(line.encode(), cut) == [("f/x.bin", content)]


def test_only_the_records_own_content_counts() -> None:
    record = {"other": {"content": "AAAA"}, "list": [{"content": "BBBB"}, "content"], "note": "content"}
    assert files(row(b"mine").replace(b"{", json.dumps(record).encode()[:-1] + b",", 1)) == [("f/a.bin", b"mine")]
    pair = b'{"x": [1], "content": ["no"], "y": "AAAA", "path": "p", "size": 0, "sha256": null, "media_type": null}\n'
    with pytest.raises(DsrError):
        files(pair.replace(b'"size": 0', b'"size": 3'))


def test_a_record_without_content_has_no_file() -> None:
    assert files(row(b"", content=None)) == [("a.bin", None)]


def test_names_come_from_the_last_part_of_the_path() -> None:
    paths = ["letters/C-1/a.txt", "C:\\mail\\a.txt", "../../a.txt", "x/page.html", "dir/", ""]
    data = b"".join(row(b"", path=path) for path in paths) + row(b"", path=7)
    assert [name for name, _ in files(data)] == [
        "f/a.txt",
        "f/a-2.txt",
        "f/a-3.txt",
        "f/page.html.txt",
        "f/dir",
        "f/_",
        "f/7",
    ]


@pytest.mark.parametrize(
    "data",
    [
        row(b"abc", content="YWJj!"),
        row(b"abc", content="YWJ"),
        row(b"abc", content="YQ==YWJj"),
        row(b"abc", sha256="0" * 64),
        row(b"abc", size=4),
        row(b"abc", size=2.5),
        row(b"abc").replace(b'{"path"', b'{{"path"'),
        b'{"content": "YWJj\n',
    ],
)
def test_what_contradicts_itself_is_refused(data: bytes) -> None:
    with pytest.raises(DsrError) as caught:
        files(data)
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    assert caught.value.metadata["source"] == sample.FILES
    assert "YWJ" not in caught.value.message + str(caught.value.metadata)


def test_a_file_that_nobody_writes_is_passed_over() -> None:
    part = sample.part_of(sample.FILES, "letters", sample.FILE_FIELDS, row(b"x" * 9000) + row(b"y"), cut=100)
    assert len(list(extract(part, lambda name: name))) == 2
