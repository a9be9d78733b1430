"""Files that hold many people's records. What is left is read from the files themselves."""

import asyncio
import bz2
import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction

from connectors.filesystem import lease
from connectors.filesystem.replace import Rewriting
from connectors.objects import rewrite
from connectors.objects.bridge import Bridge
from dsrkit.errors import DsrError
from tests.integration.filesystem.folder import Folder, deleted, instruct, person

NEAR = ("ann@example.com", "joann@example.com", "ann@example.com.au", "ANN@example.com")
IDENTITY = {
    "email": {"field": "user.email"},
    "customer_number": {"field": "user.id", "value": "either", "unique": True},
}
EVENTS = {"events": {"lake": "events/**/*.jsonl*", "format": "jsonl", "identity": IDENTITY}}
SEVEN = person(customer_number="7")


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def of(*numbers: Any) -> bytes:
    return lines(*({"user": {"id": number}} for number in numbers))


def outcome(erased: pb.Erased) -> str:
    return pb.Erased.Outcome.Name(erased.outcome).removeprefix("OUTCOME_")


async def codes(folder: Folder, **identities: str) -> dict[str, bool]:
    """Code to whether it blocks."""
    (located,) = await folder.locate(person(**identities))
    return {finding.code: finding.blocks_erasure for finding in located.findings}


def parquet(table: pa.Table, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=2, **settings)
    return buffer.getvalue()


async def test_only_the_one_person_goes_whatever_the_format(tmp_path: Path) -> None:
    number = {"customer_number": {"field": "id", "value": "number", "unique": True}}
    folder = Folder(
        tmp_path,
        {
            **EVENTS,
            "sheets": {"lake": "sheets/*.csv", "format": "csv", "identity": number},
            "tables": {"lake": "tables/*.parquet", "format": "parquet", "identity": number},
            "avatars": {"pattern": "avatars/{customer_number}.png", "identity": {"customer_number": {}}},
        },
    )
    ids: list[Any] = [7, 70, "007", 0]
    rows = [{"user": {"email": email, "id": ids[n]}, "note": f"row {n}"} for n, email in enumerate(NEAR)]
    table = pa.table({"id": [1, 7, 2, 70, 3, 0], "name": ["a", "b", "c", "d", "e", "f"]})
    plain = folder.put("events/2024/a.jsonl", lines(*rows))
    gz = folder.put("events/b.jsonl.gz", gzip.compress(lines(*rows)))
    zst = folder.put("events/c.jsonl.zst", pa.compress(lines(*rows), codec="zstd", asbytes=True))
    untouched = folder.put("events/d.jsonl", lines(*rows[1:]))
    sheet = folder.put("sheets/a.csv", b'id,name\r\n7,"x, y"\r\n70,"7"\r\n')
    sheets = folder.put("tables/a.parquet", parquet(table))
    avatar, other = folder.put("avatars/7.png"), folder.put("avatars/70.png")
    before = untouched.stat()

    assert await folder.counts(email=NEAR[0]) == {"events": 3}
    (located,) = await folder.locate(person(email=NEAR[0]))
    assert {(i.identity.type, i.identity.value, i.unique) for i in located.identities} == {
        ("customer_number", "7", True)
    }
    everything = {"events": 3, "sheets": 1, "tables": 1, "avatars": 1}
    assert await folder.counts(customer_number="7") == everything
    copied = await folder.export(SEVEN)
    assert {name: len(records) for name, records in copied.items()} == everything
    assert copied["sheets"] == [
        {"object": "sheets/a.csv", "customer_number": "7", "record": {"id": "7", "name": "x, y"}}
    ]
    anchors = await folder.anchors(SEVEN)
    erased = await folder.erase(SEVEN)
    assert (outcome(erased), deleted(erased)) == ("ERASED", everything)

    assert plain.read_bytes() == lines(*rows[1:])
    assert gzip.decompress(gz.read_bytes()) == lines(*rows[1:])
    assert pa.CompressedInputStream(str(zst), "zstd").read() == lines(*rows[1:])
    assert untouched.stat() == before
    assert sheet.read_bytes() == b'id,name\r\n70,"7"\r\n'
    assert pq.read_table(sheets).to_pylist() == [row for row in table.to_pylist() if row["id"] != 7]
    assert (avatar.exists(), other.exists()) == (False, True)
    assert not [path for path in folder.tree() if ".dsr-" in path]
    assert await folder.verify(SEVEN, anchors=anchors) == {}
    assert (outcome(again := await folder.erase(SEVEN, expected=[])), deleted(again)) == ("REPLAYED", everything)


async def test_what_belongs_to_a_file_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    file.chmod(0o2640)
    os.setxattr(file, "user.owner", b"crm")
    if os.geteuid() == 0:
        os.chown(file, 4711, 4712)
        file.chmod(0o2640)
    before = file.stat()
    assert deleted(await folder.erase(SEVEN)) == {"events": 1}
    after = file.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o2640)
    assert os.getxattr(file, "user.owner") == b"crm"


async def test_a_person_whose_file_is_open_for_writing_waits(tmp_path: Path) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    (located,) = await folder.locate(SEVEN)
    with file.open("ab") as writer:
        with pytest.raises(DsrError) as error:
            await folder.erase(SEVEN, expected=located.collections)
        assert error.value.reason == "SOURCE_BUSY"
        assert folder.tree() == ["events", "events/a.jsonl"]
        writer.write(of(9))
    erased = await folder.erase(SEVEN, expected=located.collections, attempt=2)
    assert (outcome(erased), deleted(erased)) == ("RECONSTRUCTED", {"events": 1})
    assert file.read_bytes() == of(8, 9)


APPEND = "import sys; f = open(sys.argv[1], 'ab'); f.write(sys.argv[2].encode()); f.close()"


async def test_a_writer_who_opens_the_file_in_the_last_instant_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease holds it up; what it waits for is put back, and the work is done again."""
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    (located,) = await folder.locate(SEVEN)
    exchange = lease.exchange
    writers: list[subprocess.Popen[bytes]] = []

    def overtaken(handle: int, one: str, other: str) -> None:
        if not writers:
            writers.append(subprocess.Popen([sys.executable, "-c", APPEND, file, of(9).decode()]))
            while lease.undisturbed(holder[0]):
                assert writers[0].poll() is None
        exchange(handle, one, other)

    holder: list[int] = []
    take = lease.take

    def noted(descriptor: int) -> None:
        take(descriptor)
        holder[:] = [descriptor]

    monkeypatch.setattr(lease, "take", noted)
    monkeypatch.setattr(lease, "exchange", overtaken)
    # Tried again while the writer still has it open, it is busy; afterwards it is done.
    with suppress(DsrError):
        await folder.erase(SEVEN, expected=located.collections)
    assert writers[0].wait(10) == 0
    erased = await folder.erase(SEVEN, expected=located.collections, attempt=2)
    assert deleted(erased) == {"events": 1}
    assert file.read_bytes() == of(8, 9)
    assert folder.tree() == ["events", "events/a.jsonl"]


async def test_a_writer_who_puts_another_file_in_place_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    exchange = lease.exchange
    written: list[Path] = []

    def overtaken(handle: int, one: str, other: str) -> None:
        if not written:
            written.append(folder.base / "theirs")
            written[0].write_bytes(of(7, 8, 9))
            written[0].rename(file)
        exchange(handle, one, other)

    monkeypatch.setattr(lease, "exchange", overtaken)
    assert deleted(await folder.erase(SEVEN)) == {"events": 1}
    assert file.read_bytes() == of(8, 9)
    assert folder.tree() == ["events", "events/a.jsonl"]


async def test_an_erasure_that_is_stopped_ends_and_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", body := of(*range(100)) * 500)
    (located,) = await folder.locate(SEVEN)
    loop, begun, bridges, writes = asyncio.get_running_loop(), asyncio.Event(), list[Bridge](), list[int]()
    local = Rewriting.local

    class Noted(Bridge):
        def __init__(self) -> None:
            super().__init__()
            bridges.append(self)

    def slow(self: Rewriting, data: bytes) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert bridges[-1].cancelled.wait(10)
        writes.append(len(data))
        local(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "Bridge", Noted)
        patch.setattr(Rewriting, "local", slow)
        erasure = asyncio.create_task(folder.erase(SEVEN, expected=located.collections))
        await asyncio.wait_for(begun.wait(), 10)
        erasure.cancel()
        with pytest.raises(asyncio.CancelledError):
            await erasure
    # What was being written when it was stopped is the last.
    assert len(writes) == 1
    assert (file.read_bytes() == body, folder.tree()) == (True, ["events", "events/a.jsonl"])
    erased = await folder.erase(SEVEN, expected=located.collections, attempt=2)
    assert (outcome(erased), deleted(erased)) == ("RECONSTRUCTED", {"events": 500})
    assert file.read_bytes() == of(*(number for number in range(100) if number != 7)) * 500


async def test_where_writers_cannot_be_noticed_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise lease.Unsupported

    monkeypatch.setattr(lease, "take", unsupported)
    monkeypatch.setattr(lease, "exchange", unsupported)
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    assert await codes(folder, customer_number="7") == {"UNGUARDED": True}
    assert outcome(await folder.erase(SEVEN)) == "BLOCKED"
    assert file.read_bytes() == of(7, 8)
    folder.backend = type(folder.backend)(folder.config(unguarded_rewrites="allow"))
    assert outcome(await folder.erase(SEVEN, task="allowed")) == "ERASED"
    assert file.read_bytes() == of(8)
    assert folder.tree() == ["events", "events/a.jsonl"]


async def test_what_a_kill_leaves_beside_a_file_is_found_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    (located,) = await folder.locate(SEVEN)

    def killed(self: Rewriting, *, leased: bool) -> None:
        lease.exchange(self._folder, self._temporary, self._name)
        self._temporary = ""
        raise DsrError("SOURCE_UNAVAILABLE", "killed", source="x")

    with monkeypatch.context() as patch:
        patch.setattr(Rewriting, "_exchange", killed)
        with pytest.raises(DsrError, match="killed"):
            await folder.erase(SEVEN, expected=located.collections)
    assert file.read_bytes() == of(8)
    assert len(folder.tree()) == 3
    # Not only the file in place is searched.
    assert await folder.counts(customer_number="7") == {"events": 1}
    assert await folder.verify(SEVEN) == {"events": (0, 1)}
    erased = await folder.erase(SEVEN, expected=located.collections, attempt=2)
    assert (outcome(erased), deleted(erased)) == ("RECONSTRUCTED", {"events": 1})
    assert (file.read_bytes(), folder.tree()) == (of(8), ["events", "events/a.jsonl"])


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jsonl", of(7))
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("a.jsonl")
        entry.size = len(of(7))
        archive.addfile(entry, io.BytesIO(of(7)))
    return buffer.getvalue()


def older(archive: bytes) -> bytes:
    """A tar from before they had a magic."""
    header = archive[:148] + b" " * 8 + archive[156:257] + bytes(255)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:] + archive[512:]


ARCHIVES: Mapping[str, Callable[[], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "old tar": lambda: older(tarred()),
    "tar.gz": lambda: gzip.compress(tarred()),
    "zip.gz": lambda: gzip.compress(zipped()),
    "gz.gz": lambda: gzip.compress(gzip.compress(of(7))),
    "7z": lambda: b"7z\xbc\xaf\x27\x1c\x00\x04" + b"x" * 40,
    "rar": lambda: b"Rar!\x1a\x07\x01\x00" + b"x" * 40,
    "xz": lambda: lzma.compress(of(7)),
    "bz2": lambda: bz2.compress(of(7)),
}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
async def test_archives_are_said_not_to_be_opened(tmp_path: Path, form: str) -> None:
    lake = {"lake": "events/*", "format": form, "identity": {"customer_number": {"field": "id"}}}
    for name, make in ARCHIVES.items():
        folder = Folder(tmp_path / name, {"events": lake})
        folder.put("events/a", make())
        expected = "ARCHIVE" if form != "parquet" or "gz" not in name else "UNREADABLE_OBJECT"
        assert await codes(folder, customer_number="404") == {expected: True}, name
        assert outcome(await folder.erase(person(customer_number="404"))) == "BLOCKED"
        # Nor are they passed off as searched afterwards.
        assert await folder.verify(person(customer_number="404")) == {"events": (0, 1)}
        kept = instruct("events", CollectionInstruction.ACTION_RETAIN)
        assert await folder.verify(person(customer_number="404"), kept) == {"events": (1, 0)}


FAR = 253_402_214_400_000_000  # 9999-12-31, in microseconds
MILLENNIUM = pa.array([FAR, FAR], pa.timestamp("us"))
NO_TEXT = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff\xfe", b"b"]).buffers())
UNREADABLE: Mapping[str, tuple[pa.Table, Mapping[str, Any]]] = {
    "INT96 beyond 64-bit nanoseconds": (
        pa.table({"id": [7, 8], "until": MILLENNIUM}),
        {"use_deprecated_int96_timestamps": True},
    ),
    "text that isn't UTF-8": (pa.table({"id": [7, 8], "name": NO_TEXT}), {}),
    "an identity that isn't UTF-8": (pa.table({"id": NO_TEXT}), {}),
    "a column twice": (pa.Table.from_arrays([pa.array([7, 8]), pa.array([8, 7])], names=["id", "id"]), {}),
    "dates after 9999": (pa.table({"id": [7, 8], "day": pa.array([10**8] * 2, pa.date32())}), {}),
    "times after 9999": (pa.table({"id": [7, 8], "at": pa.array([FAR * 2] * 2, pa.timestamp("us"))}), {}),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_parquet_that_cannot_be_shown_or_written_again_is_said_before_anything_goes(
    tmp_path: Path, what: str
) -> None:
    number = {"customer_number": {"field": "id", "value": "either"}}
    tables = {"lake": "tables/*.parquet", "format": "parquet", "identity": number}
    avatars = {"pattern": "avatars/{customer_number}.png", "identity": {"customer_number": {}}}
    folder = Folder(tmp_path, {"avatars": avatars, "tables": tables})
    table, settings = UNREADABLE[what]
    file, avatar = folder.put("tables/a.parquet", parquet(table, **settings)), folder.put("avatars/7.png")
    before = file.read_bytes()
    assert await codes(folder, customer_number="7") == {"UNREADABLE_OBJECT": True}
    copied = await folder.export(SEVEN)
    assert (len(copied["avatars"]), copied["tables"]) == (1, [])
    assert outcome(await folder.erase(SEVEN)) == "BLOCKED"
    assert (avatar.exists(), file.read_bytes()) == (True, before)
    assert (await folder.verify(SEVEN))["tables"] == (0, 1)


async def test_a_file_that_becomes_unreadable_after_the_intent_is_not_called_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", gzip.compress(of(7, 8)))
    (located,) = await folder.locate(SEVEN)
    begin = Rewriting.begin

    def damaged(self: Rewriting, etag: str) -> None:
        file.write_bytes(gzip.compress(of(7, 8))[:-6])
        begin(self, etag)

    monkeypatch.setattr(Rewriting, "begin", damaged)
    for attempt in (1, 2):
        with pytest.raises(DsrError) as error:
            await folder.erase(SEVEN, expected=located.collections, attempt=attempt)
        assert (error.value.reason, error.value.metadata["why"]) == ("SOURCE_REJECTED", "UNREADABLE_OBJECT")
        if attempt == 1:
            # The second attempt finds no record to go, and yet can't say that there is none.
            assert await codes(folder, customer_number="7") == {"UNREADABLE_OBJECT": True}


async def test_what_is_no_file_stands_in_the_way(tmp_path: Path) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 8))
    outside = tmp_path / "outside"
    outside.mkdir()
    cases: Mapping[str, tuple[str, Callable[[Path], None]]] = {
        "events/l.jsonl": ("SYMBOLIC_LINK", lambda path: path.symlink_to(file)),
        "events/linked": ("SYMBOLIC_LINK", lambda path: path.symlink_to(outside)),
        "events/p.jsonl": ("SPECIAL_FILE", lambda path: os.mkfifo(path)),
        "events/other.txt": ("HARD_LINK", lambda path: os.link(file, path)),
    }
    for name, (code, make) in cases.items():
        path = folder.root / name
        make(path)
        assert await codes(folder, customer_number="7") == {code: True}
        assert outcome(await folder.erase(SEVEN)) == "BLOCKED"
        path.unlink()
    assert await codes(folder, customer_number="7") == {}
    file.rename(folder.base / "away")
    (folder.root / "events").rmdir()
    with pytest.raises(DsrError) as error:
        await folder.counts(customer_number="7")
    assert error.value.reason == "SOURCE_UNAVAILABLE"


async def test_retained_records_stay(tmp_path: Path) -> None:
    folder = Folder(tmp_path, EVENTS)
    file = folder.put("events/a.jsonl", of(7, 7, 8))
    kept = instruct("events", CollectionInstruction.ACTION_RETAIN)
    erased = await folder.erase(SEVEN, kept)
    assert [(o.deleted, o.retained) for o in erased.collections] == [(0, 2)]
    assert file.read_bytes() == of(7, 7, 8)
    assert await folder.verify(SEVEN, kept) == {"events": (2, 0)}
