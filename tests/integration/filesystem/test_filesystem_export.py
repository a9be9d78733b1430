"""What is copied is what is there, in bounded memory; what changes meanwhile is not copied at all."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import psutil
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.filesystem import export
from dsrkit.errors import DsrError
from tests.integration.filesystem.folder import BOTH, LETTERS, SOURCE, Folder, content, instruct, person

READ = export._READ
EDGES = sorted({0, 1, 2, 3, 4, READ - 1, READ, READ + 1, 2 * READ, 2 * READ + 1, 1 << 20})


async def test_contents_of_every_length_come_back(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    originals = {f"letters/7/{size}": os.urandom(size) for size in EDGES}
    for path, data in originals.items():
        folder.put(path, data)
    records = (await folder.export(person(customer_number="7")))["letters"]
    assert {record["path"]: content(record) for record in records} == originals
    for record in records:
        assert record["size"] == len(content(record))
        assert record["sha256"] == hashlib.sha256(content(record)).hexdigest()
        assert record["customer_number"] == "7"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.text(min_size=1, max_size=40).filter(
        lambda n: n not in (".", "..") and not set(n) & set("/\0") and len(n.encode(errors="replace")) < 200
    ),
    data=st.binary(max_size=2_000),
)
async def test_any_name_and_content_come_back(tmp_path: Path, name: str, data: bytes) -> None:
    folder = Folder(tmp_path, LETTERS)
    path = folder.put(f"letters/7/{name}", data)
    try:
        (record,) = (await folder.export(person(customer_number="7")))["letters"]
        assert record["path"] == f"letters/7/{name}"
        assert content(record) == data
    finally:
        path.unlink()


async def test_fields_are_as_described_and_as_instructed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    folder.put("letters/7/a.html", b"x")
    os.utime(folder.root / "letters/7/a.html", ns=(0, 1_700_000_000_123_456_789))
    (described,) = (await folder.backend.describe()).collections
    (record,) = (await folder.export(person(customer_number="7")))["letters"]
    assert list(record) == [field.name for field in described.fields]
    assert record["modified_time"] == "2023-11-14T22:13:20.123456+00:00"
    assert record["media_type"] == "text/html"
    redacted = CollectionInstruction(collection="letters", redact_fields=["content", "path"])
    (record,) = (await folder.export(person(customer_number="7"), [redacted]))["letters"]
    assert list(record) == ["customer_number", "size", "modified_time", "media_type", "sha256"]
    assert record["sha256"] == hashlib.sha256(b"x").hexdigest()
    included = CollectionInstruction(collection="letters", include_fields=["size", "path"], redact_fields=["path"])
    assert (await folder.export(person(customer_number="7"), [included]))["letters"] == [{"size": 1}]
    nothing = CollectionInstruction(collection="letters", include_fields=["path"], redact_fields=["path"])
    assert (await folder.export(person(customer_number="7"), [nothing]))["letters"] == [{}]


async def test_a_time_outside_of_the_calendar_is_null(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    file = folder.put("letters/7/a.txt", b"x")
    os.utime(file, ns=(0, -1))
    assert (await folder.export(person(customer_number="7")))["letters"][0]["modified_time"].startswith("1969-12-31T23")
    assert export._time(10**30) is None


async def test_only_what_the_grant_names_is_copied(tmp_path: Path) -> None:
    folder = Folder(tmp_path, BOTH)
    folder.put("avatars/7.png")
    folder.put("letters/7/a.txt")
    assert list(await folder.export(person(customer_number="7"), [instruct("avatars")])) == ["avatars"]


async def test_an_instruction_for_what_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    for wrong in (
        CollectionInstruction(collection="letter"),
        CollectionInstruction(collection="letters", redact_fields=["contents"]),
        CollectionInstruction(collection="letters", include_fields=["contents"]),
    ):
        with pytest.raises(DsrError) as raised:
            await folder.export(person(customer_number="7"), [wrong])
        assert raised.value.reason == "FIELD_INVALID"


async def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    os.truncate(folder.put("letters/7/large", b""), 200 << 20)
    grant = Grant(source=SOURCE, instructions=[instruct("letters")])
    process = psutil.Process()
    before, most, size = process.memory_info().rss, 0, 0
    async for message in folder.backend.export(pb.ExportRequest(subject=person(customer_number="7")), grant):
        size += len(message.data)
        most = max(most, process.memory_info().rss)
    assert size > (200 << 20) * 4 // 3
    assert most - before < 32 << 20


@pytest.mark.parametrize("change", ["grow", "shrink", "touch", "replace", "remove", "pipe"])
async def test_a_file_that_changes_ends_the_copy(tmp_path: Path, change: str) -> None:
    folder = Folder(tmp_path, LETTERS)
    folder.put("letters/7/a", os.urandom(3 << 20))
    path = folder.put("letters/7/b", b"x" * 100)
    grant = Grant(source=SOURCE, instructions=[instruct("letters")])

    async def copy() -> None:
        async for message in folder.backend.export(pb.ExportRequest(subject=person(customer_number="7")), grant):
            if message.HasField("header"):
                _change(path, change)

    with pytest.raises(DsrError) as raised:
        await copy()
    assert raised.value.reason == "SOURCE_BUSY"


def _change(path: Path, change: str) -> None:
    match change:
        case "grow":
            path.write_bytes(b"x" * 200)
        case "shrink":
            path.write_bytes(b"x")
        case "touch":
            os.utime(path, ns=(0, 0))
        case "replace":
            path.with_name("new").write_bytes(b"x" * 100)
            path.with_name("new").rename(path)
        case "remove":
            path.unlink()
        case "pipe":
            path.unlink()
            os.mkfifo(path)


async def test_a_copy_that_nobody_reads_any_more_ends(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    folder.put("letters/7/a", os.urandom(5 << 20))
    before = len(os.listdir("/proc/self/fd"))
    grant = Grant(source=SOURCE, instructions=[instruct("letters")])

    stream = folder.backend.export(pb.ExportRequest(subject=person(customer_number="7")), grant)

    async def read() -> None:
        async for message in stream:
            if message.data:
                started.set()
                await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    await asyncio.wait({task})
    await cast("AsyncGenerator[object, None]", stream).aclose()
    assert len(os.listdir("/proc/self/fd")) <= before
