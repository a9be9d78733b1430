"""Who is unused, and how many there are, in lakes of every format: what can't be read is never taken for unused."""

import gzip
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, Inactivity

from connectors.backend import SourceConfig
from connectors.filesystem.backend import FilesystemBackend
from connectors.objects import census
from dsrkit.errors import DsrError
from tests.support.counting import count
from tests.support.inactive import CUTOFF, ask

WHEN: dict[str, list[Any]] = {
    "old": ["2026-05-25T11:59:59Z"],
    "zone": ["2026-05-25T13:59:59+02:00"],
    "local": ["2026-05-24 11:59:59"],
    "day": ["2026-05-23"],
    "new": ["2026-05-25T12:00:00Z"],
    "newlocal": ["2026-05-24T12:00:00"],
    "newday": ["2026-05-24"],
    "twice": ["2020-01-01", "2026-11-01"],
    "half": ["2020-01-01", None],
    "word": ["2020-01-01", "never"],
}
UNUSED = ["day", "local", "old", "zone"]
Open = Callable[..., FilesystemBackend]


def opened(options: dict[str, Any], folder: Path) -> FilesystemBackend:
    config = SourceConfig("partners/acme/dataSources/files", "filesystem", options, b"k" * 32, folder / "s")
    return FilesystemBackend(config)


@pytest.fixture
def open_lake(tmp_path: Path) -> Open:
    root = tmp_path / "files"
    (root / "lake").mkdir(parents=True)

    def open_it(form: str, files: dict[str, bytes], **identity: Any) -> FilesystemBackend:
        for name, content in files.items():
            (root / "lake" / name).write_bytes(content)
        named = {"email": {"field": "who", "unique": True, **identity}}
        lake = {"lake": "lake/*", "format": form, "fields": {"seen": "datetime"}, "identity": named}
        options = {"root": str(root), "collections": {"lake": lake}}
        return opened(options, tmp_path)

    return open_it


def rows() -> list[tuple[str, Any]]:
    return [(who, when) for who, times in WHEN.items() for when in times]


def lines(found: list[tuple[str, Any]]) -> bytes:
    return b"".join(json.dumps({"who": who, "seen": when}).encode() + b"\n" for who, when in found)


def written(form: str) -> dict[str, bytes]:
    """The same people in two objects, so that everybody's records are apart."""
    halves = rows()[::2], rows()[1::2]
    if form == "jsonl":
        return {"a": lines(halves[0]), "b.gz": gzip.compress(lines(halves[1]))}
    found = {}
    for name, half in zip("ab", halves, strict=True):
        if form == "csv":
            found[name] = ("who,seen\r\n" + "".join(f'"{w}",{t or ""}\r\n' for w, t in half)).encode()
        else:
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table({"who": [w for w, _ in half], "seen": [t for _, t in half]}), sink)
            found[name] = sink.getvalue().to_pybytes()
    return found


@pytest.mark.policy("P6", "in lakes too, who has one record that doesn't say when it was used is never listed")
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
async def test_who_is_listed(open_lake: Open, form: str) -> None:
    source = open_lake(form, written(form))
    people, total, unknown = await ask(source, "lake", "seen")
    assert (sorted(people), total, unknown) == (UNUSED, 4, 2)
    assert await ask(source, "lake", "seen", count_only=True) == ([], 4, 2)
    assert await ask(source, "lake", "seen", value="old") == (["old"], 1, 0)
    assert await ask(source, "lake", "seen", value="twice") == ([], 0, 0)
    assert await ask(source, "lake", "", count_only=True) == ([], 10, 0)
    assert await count(source) == ({"lake": ("email", 10, True)}, 10, True)
    await source.close()


async def test_times_of_parquet_itself(open_lake: Open) -> None:
    exact, old = CUTOFF, datetime.fromisoformat("2026-05-24T11:59:59")
    kinds: list[tuple[str, Any, pa.DataType]] = [
        ("ns", exact, pa.timestamp("ns", tz="UTC")),
        ("us", exact, pa.timestamp("us", tz="Europe/Dublin")),
        ("local", old, pa.timestamp("ns")),
        ("day", date(2026, 5, 23), pa.date32()),
    ]
    files = {}
    for name, value, kind in kinds:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"who": [name], "seen": pa.array([value], kind)}), sink)
        files[name] = sink.getvalue().to_pybytes()
    source = open_lake("parquet", files)
    assert sorted((await ask(source, "lake", "seen"))[0]) == ["day", "local"]
    await source.close()


@pytest.mark.parametrize(
    "spoilt",
    [b'{"who": "old"', b"PK\x03\x04" + b"x" * 600, gzip.compress(b"{}" * 9)[:-9]],
    ids=["half a line", "archive", "half a file"],
)
async def test_what_can_not_be_read_may_be_anybodys(open_lake: Open, spoilt: bytes) -> None:
    source = open_lake("jsonl", {**written("jsonl"), "c": spoilt})
    with pytest.raises(DsrError) as caught:
        await ask(source, "lake", "seen")
    assert caught.value.reason == "SOURCE_REJECTED"
    assert await count(source) == ({"lake": ("email", 10, False)}, 10, False)
    await source.close()


async def test_spellings_are_one_person_and_nobody_is_nobody(open_lake: Open) -> None:
    found = [("Ann@x", "2020-01-01"), ("ann@x", "2026-11-01"), ("Bob@x", "2020-01-01"), (" ", "2020-01-01")]
    source = open_lake("jsonl", {"a": lines(found)}, match="case_fold")
    assert await ask(source, "lake", "seen") == (["bob@x"], 1, 0)
    assert await ask(source, "lake", "seen", value="BOB@X") == (["bob@x"], 1, 0)
    assert await count(source) == ({"lake": ("email", 2, False)}, 2, False)
    await source.close()


def open_files(part: str) -> list[bytes]:
    """What stands in this process's open files of such a name, unlinked ones too."""
    found = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += [file.read_bytes()] if part in os.readlink(file) else []
    return found


async def test_people_are_kept_on_disk_where_nobody_can_read_them(
    open_lake: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "_HELD", 50)
    monkeypatch.setattr(census, "_PRAGMAS", census._PRAGMAS.replace("-32768", "-64"))
    number = 1_500
    found = [(f"person{n % number}@example.com", "2020-01-01") for n in range(3 * number)]
    source = open_lake("jsonl", {"a": lines(found)})
    listed: list[str] = []
    kept: list[bytes] = []
    wanted = Inactivity(collection="lake", field="seen", identity_type="email")
    wanted.before.FromDatetime(CUTOFF)
    async for message in source.list_inactive(pb.ListInactiveRequest(), Grant(inactivity=wanted)):
        listed += [identity.value for identity in message.page.identities]
        kept += open_files("census-")
    assert sorted(listed) == sorted({who for who, _ in found})
    assert max(map(len, kept)) > 10_000
    assert not any(b"@example" in content for content in kept)
    await source.close()


async def test_without_a_time_or_a_unique_name_it_is_not_declared(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    lake = {"lake": "*", "format": "jsonl", "identity": {"email": {"field": "who"}}}
    options = {"root": str(tmp_path / "files"), "collections": {"lake": lake}}
    source = opened(options, tmp_path)
    assert not {6, 8} & set((await source.describe()).capabilities)
    with pytest.raises(DsrError) as caught:
        await count(source)
    assert caught.value.reason == "NOT_COUNTABLE"
    await source.close()
