"""The archive: a bag, deterministic, in bounded memory."""

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import bagit
import pytest

from dsrkit.bag import File, write

TIME = datetime(2026, 11, 24, 10, 30, 8, tzinfo=timezone(timedelta(hours=1)))
INFO = {"Source-Organization": "Acme\r\nEvil-Header: yes"}


def payload() -> Iterator[File]:
    first = File("data/a.txt", (b"x" * 100 for _ in range(3)))
    yield first
    assert (first.size, len(first.sha256), len(first.sha512)) == (300, 32, 64)
    yield File.of("data/sub/ä.json", f'{{"size": {first.size}}}')


def archive() -> bytes:
    return b"".join(write("bag-1", TIME, INFO, payload(), [File.of("index.html", "<p>")]))


def test_is_a_valid_bag(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as zipped:
        zipped.extractall(tmp_path)
        assert all(info.filename.startswith("bag-1/") for info in zipped.infolist())
        assert {info.external_attr >> 16 for info in zipped.infolist()} == {0o100600}
    bag = bagit.Bag(str(tmp_path / "bag-1"))
    assert bag.validate()
    assert sorted(bag.algorithms) == ["sha256", "sha512"]
    assert bag.info == {
        "Source-Organization": "Acme Evil-Header: yes",
        "Bagging-Date": "2026-11-24",
        "Payload-Oxum": "313.2",
    }
    assert (tmp_path / "bag-1/bagit.txt").read_text() == "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    tags = (tmp_path / "bag-1/tagmanifest-sha512.txt").read_text()
    assert {line.split("  ")[1] for line in tags.splitlines()} == {
        "index.html",
        "bagit.txt",
        "bag-info.txt",
        "manifest-sha256.txt",
        "manifest-sha512.txt",
    }


@pytest.mark.parametrize("path", ["data/a.txt", "index.html", "manifest-sha256.txt"])
def test_a_changed_file_is_found(tmp_path: Path, path: str) -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as zipped:
        zipped.extractall(tmp_path)
    file = tmp_path / "bag-1" / path
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(tmp_path / "bag-1")).validate()


def test_the_same_input_gives_the_same_bytes() -> None:
    assert archive() == archive()
    with zipfile.ZipFile(io.BytesIO(archive())) as zipped:
        assert {info.date_time for info in zipped.infolist()} == {(2026, 11, 24, 9, 30, 8)}


def test_a_file_of_unknown_size_may_be_larger_than_four_gigabytes() -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as zipped:
        versions = {info.filename: info.extract_version for info in zipped.infolist()}
    assert versions["bag-1/data/a.txt"] == 45  # ZIP64
    assert versions["bag-1/bagit.txt"] == 20


def test_errors_pass_through_and_leave_no_archive() -> None:
    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise LookupError

    pieces: list[bytes] = []
    with pytest.raises(LookupError):
        pieces.extend(write("bag-1", TIME, {}, [File("data/x", broken())], []))
    assert not zipfile.is_zipfile(io.BytesIO(b"".join(pieces)))


def test_an_empty_payload_is_a_bag(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(b"".join(write("b", datetime(2026, 1, 1, tzinfo=UTC), {}, [], [])))) as zipped:
        zipped.extractall(tmp_path)
    (tmp_path / "b/data").mkdir()
    assert bagit.Bag(str(tmp_path / "b")).validate()
