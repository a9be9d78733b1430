"""Return and Destroy of a whole bucket, on a real radosgw: every version of what is declared, and nothing else."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.objects import whole
from connectors.s3.kept import REWRITES
from connectors.s3.store import S3Store
from dsrkit.errors import DsrError
from tests.servers.objects import caps_of, content, ended, person
from tests.servers.test_servers_s3 import EVENTS, Bucket, bucket, client, lines, make, versioned
from tests.servers.test_servers_s3_kinds import mock, real

__all__ = ["bucket", "client", "mock", "real", "versioned"]  # fixtures
pytestmark = pytest.mark.servers

NUMBER = {"customer_number": {"unique": True}}
ACME: dict[str, Any] = {
    "avatars": {"objects": "acme/avatars/{customer_number}.png", "identity": NUMBER},
    "letters": {"objects": "acme/letters/{customer_number}/**/*", "identity": NUMBER},
    "scans": {"objects": "acme/scans/*", "identity": {"customer_number": {"tag": "customer", "unique": True}}},
    "events": {"lake": "acme/events/**/*", "format": "jsonl", "identity": EVENTS["events"]["identity"]},
    "assets": {"objects": "acme/assets/**/*", "no_personal_data": True},
}
THEIRS = (
    "acme-2/avatars/7.png",
    "acme2/avatars/7.png",
    "acm/avatars/7.png",
    "beta/acme/avatars/7.png",
    "ACME/assets/a",
)
"""Keys of other partners in the same bucket."""


async def fill(store: Bucket) -> None:
    """Two versions of some, a deletion, an upload that was never finished, and other partners' objects alike."""
    for body in (b"one", b"two"):
        await store.put("acme/avatars/7.png", body, ContentType="image/png", Metadata={"Owner": "crm"})
    await store.put("acme/letters/7/2024/bé .txt", "é".encode())
    await store.put("acme/scans/a", b"scan", Tagging="customer=7&x=a%20b")
    await store.put("acme/events/2024/a.jsonl", lines({"user": {"id": 7}}, {"user": {"id": 8}}))
    await store.put("acme/assets/logo.svg", b"<svg/>" * 100_000)
    await store.put("acme/assets/gone.svg", b"gone")
    await store.client.delete_object(Bucket=store.name, Key="acme/assets/gone.svg")
    for key in THEIRS:
        await store.put(key, b"theirs")
    for key in ("acme/avatars/9.png", "beta/avatars/9.png"):
        upload = await store.client.create_multipart_upload(Bucket=store.name, Key=key)
        part = {"Bucket": store.name, "Key": key, "UploadId": upload["UploadId"], "PartNumber": 1, "Body": b"part"}
        await store.client.upload_part(**part)


async def uploads(store: Bucket) -> list[str]:
    answer = await store.client.list_multipart_uploads(Bucket=store.name)
    return [upload["Key"] for upload in answer.get("Uploads", ())]


@pytest.mark.policy("P14", "of a shared bucket the partner's objects are returned and destroyed, nobody else's")
async def test_a_shared_bucket_is_returned_and_destroyed_by_what_is_declared(bucket: Bucket) -> None:
    await fill(bucket)
    source = bucket.source(ACME, abandoned_after_hours=24)
    returned = await source.returned()
    history = (await bucket.client.get_bucket_versioning(Bucket=bucket.name)).get("Status") == "Enabled"
    told = {n: [(r["path"], r["state"], r["content"] and content(r)[:10]) for r in rs] for n, rs in returned.items()}
    unfinished = ("acme/avatars/9.png", "INCOMPLETE_UPLOAD", None)
    old = [("acme/avatars/7.png", "NONCURRENT", b"one")] if history else []
    assert told["avatars"] == [("acme/avatars/7.png", "CURRENT", b"two"), *old, unfinished]
    assert told["letters"] == [("acme/letters/7/2024/bé .txt", "CURRENT", "é".encode())]
    assert told["events"] == [("acme/events/2024/a.jsonl", "CURRENT", lines({"user": {"id": 7}})[:10])]
    gone = [("acme/assets/gone.svg", s, c) for s, c in (("DELETE_MARKER", None), ("NONCURRENT", b"gone"))]
    assert told["assets"] == [*(gone if history else []), ("acme/assets/logo.svg", "CURRENT", b"<svg/><svg")]
    (scan,), avatar = returned["scans"], returned["avatars"][0]
    assert (scan["customer_number"], scan["tags"]) == ("7", {"customer": "7", "x": "a b"})
    assert (avatar["metadata"], avatar["media_type"], avatar["customer_number"]) == ({"owner": "crm"}, "image/png", "7")

    caps = caps_of(returned)
    for _ in range(2):
        counted = await source.destroy(caps, count_only=True)
        assert ended(counted) == ("COUNTED", {name: (0, number) for name, number in caps.items()}, [])
    done: Any = ("DESTROYED", {name: (number, 0) for name, number in caps.items()}, [])
    assert ended(await source.destroy(caps)) == done
    assert sorted({key for key, _ in await bucket.versions()}) == sorted(THEIRS)
    assert await bucket.bytes_of_all() == b"\n".join([b"theirs"] * len(THEIRS))
    assert await uploads(bucket) == ["beta/avatars/9.png"]
    # Whoever never heard the answer hears the same, and nothing is written down any more that could be compared.
    assert ended(await source.destroy(caps, attempt=2)) == done
    assert not any((await source.returned("again")).values())
    with pytest.raises(DsrError, match="newer"):
        await source.destroy(caps, attempt=1)
    await source.backend.close()


async def test_what_was_not_returned_is_not_destroyed(bucket: Bucket) -> None:
    await fill(bucket)
    source = bucket.source(ACME)
    caps = caps_of(await source.returned())
    before = sorted(await bucket.versions())
    unnamed = {name: cap for name, cap in caps.items() if name != "letters"}
    assert ended(await source.destroy(unnamed, task="1"))[::2] == ("BLOCKED", ["UNNAMED_COLLECTION"])
    assert ended(await source.destroy({**caps, "avatars": 1}, task="2"))[0] == "CAP_EXCEEDED"
    assert sorted(await bucket.versions()) == before
    # As many as before, though one was written since: without versions it took another's place.
    late = await bucket.put("acme/letters/7/2024/bé .txt", b"since")
    roomy = {**caps, "letters": 5}
    assert ended(await source.destroy(roomy, task="3", count_only=True))[::2] == ("COUNTED", ["NOT_RETURNED"])
    assert ended(await source.destroy(roomy, task="3"))[::2] == ("BLOCKED", ["NOT_RETURNED"])
    assert ended(await source.destroy(caps, task="4"))[0] == ("BLOCKED" if late == "null" else "CAP_EXCEEDED")
    assert len(await bucket.versions()) == len(before) + (late != "null")
    assert await bucket.get("acme/letters/7/2024/bé .txt") == b"since"
    # Returned anew, it goes.
    again = caps_of(await source.returned("again"))
    await bucket.put("acme/avatars/readme.txt", b"no pattern's")
    assert ended(await source.destroy(again, task="5"))[::2] == ("DESTROYED", ["UNDECLARED_OBJECT"])
    assert {key for key, _ in await bucket.versions()} == {*THEIRS, "acme/avatars/readme.txt"}
    await source.backend.close()


@pytest.mark.policy("P14", "where a host doesn't know what was returned, it destroys nothing")
async def test_without_the_list_of_what_was_returned_nothing_is_destroyed(bucket: Bucket) -> None:
    """Its state was lost, or another host made the Return: numbers don't tell what took an object's place."""
    await fill(bucket)
    source = bucket.source(ACME)
    caps = {name: cap + 1 for name, cap in caps_of(await source.returned()).items()}
    await bucket.put("acme/letters/7/2024/bé .txt", b"since")
    before = sorted(await bucket.versions())
    (bucket.folder / "state" / "returned").unlink()
    unknown = ["NOT_RETURNED"] * len(ACME)
    assert ended(await source.destroy(caps, count_only=True))[::2] == ("COUNTED", unknown)
    blocked = await source.destroy(caps)
    assert ended(blocked)[::2] == ("BLOCKED", unknown)
    assert all("Return the source again" in finding.detail for finding in blocked.findings)
    assert sorted(await bucket.versions()) == before
    assert ended(await source.destroy(caps_of(await source.returned("again")), attempt=2))[0] == "DESTROYED"
    await source.backend.close()


async def test_what_an_erasure_wrote_since_was_returned(versioned: Bucket) -> None:
    await versioned.put("acme/events/a.jsonl", lines({"user": {"id": 7}}, {"user": {"id": 8}}))
    await versioned.put("acme/calls/a", b"call", Metadata={"Customer-Mail": "ann@example.com"})
    calls = {"objects": "acme/calls/*", "identity": {"email": {"metadata": "Customer-Mail"}}}
    source = versioned.source({"events": ACME["events"], "calls": calls})
    returned = await source.returned()
    assert returned["calls"][0]["email"] == "ann@example.com"
    await source.erase(person(customer_number="7"))
    assert await versioned.get("acme/events/a.jsonl") == lines({"user": {"id": 8}})
    assert ended(await source.destroy(caps_of(returned)))[0] == "DESTROYED"
    assert await versioned.versions() == []
    await source.backend.close()


@pytest.mark.parametrize("case", ["invented", "older", "twice", "elsewhere"])
async def test_what_a_writer_made_of_an_erasures_version_was_not_returned(versioned: Bucket, case: str) -> None:
    """Whoever copies an object copies its metadata, which say of what the erasure made it."""
    key, both, left = "acme/events/a.jsonl", ({"user": {"id": 7}}, {"user": {"id": 8}}), {"user": {"id": 8}}
    first = await versioned.put(key, lines(*both))
    source = versioned.source({"events": ACME["events"]})
    if case != "older":
        await source.returned()
    await source.erase(person(customer_number="7"))
    if case == "older":
        await source.returned()
    ((_, ours),) = await versioned.versions()
    kept = (await versioned.client.head_object(Bucket=versioned.name, Key=key))["Metadata"]
    assert kept == {REWRITES: first}
    copied = "acme/events/b.jsonl" if case == "elsewhere" else key
    more = {"Metadata": {REWRITES: "7"} if case == "invented" else kept}
    await versioned.put(copied, lines(left, {"user": {"id": 9}}), **more)
    if case != "twice":
        await versioned.client.delete_object(Bucket=versioned.name, Key=key, VersionId=ours)
    before = await versioned.versions()
    assert ended(await source.destroy({"events": 2}))[::2] == ("BLOCKED", ["NOT_RETURNED"])
    assert await versioned.versions() == before
    await source.returned("again")
    assert ended(await source.destroy({"events": 2}, attempt=2))[0] == "DESTROYED"
    await source.backend.close()


async def test_what_is_written_while_it_is_destroyed_stays(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(bucket)
    source = bucket.source(ACME)
    caps = {name: cap + 1 for name, cap in caps_of(await source.returned()).items()}
    clear = S3Store.clear

    async def written_before(self: Any, versions: Any) -> None:
        monkeypatch.setattr(S3Store, "clear", clear)
        await bucket.put("acme/scans/late", b"late")
        await clear(self, versions)

    monkeypatch.setattr(S3Store, "clear", written_before)
    with pytest.raises(DsrError) as caught:
        await source.destroy(caps)
    assert caught.value.reason == "SOURCE_BUSY"
    assert {key for key, _ in await bucket.versions()} == {*THEIRS, "acme/scans/late"}
    with pytest.raises(DsrError, match="came or changed"):
        await source.destroy(caps, attempt=2)
    assert await bucket.get("acme/scans/late") == b"late"
    await bucket.client.delete_object(Bucket=bucket.name, Key="acme/scans/late")
    if len(await bucket.versions("acme/")) == 0:
        assert ended(await source.destroy(caps, attempt=3))[0] == "DESTROYED"
    await source.backend.close()


@pytest.mark.policy("P14", "what a writer puts in an object's place while a bucket is destroyed stays")
async def test_what_takes_an_objects_place_before_its_removal_stays(
    client: Any, radosgw: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without versions the new object has the old one's id."""
    plain = await make(client, radosgw, tmp_path, "plain")
    for number in range(70):
        await plain.put(f"acme/assets/{number:02}", b"one")
    source = plain.source({"assets": ACME["assets"]})
    caps = caps_of(await source.returned())
    clear, written = S3Store.clear, ("acme/assets/00", "acme/assets/33", "acme/assets/69")

    async def written_before(self: Any, versions: Any) -> None:
        monkeypatch.setattr(S3Store, "clear", clear)
        for key in written:
            await plain.put(key, b"another")
        await plain.client.delete_object(Bucket=plain.name, Key="acme/assets/50")
        await clear(self, versions)

    monkeypatch.setattr(S3Store, "clear", written_before)
    with pytest.raises(DsrError) as caught:
        await source.destroy(caps)
    assert caught.value.reason == "SOURCE_BUSY"
    assert sorted(key for key, _ in await plain.versions()) == list(written)
    for key in written:
        assert await plain.get(key) == b"another"
        await plain.client.delete_object(Bucket=plain.name, Key=key)
    assert ended(await source.destroy(caps, attempt=2))[:2] == ("DESTROYED", {"assets": (70, 0)})
    await source.backend.close()


@pytest.mark.parametrize("kind", ["plain", "versioned"])
async def test_an_object_that_changes_while_it_is_returned_is_never_torn(
    client: Any, radosgw: Mapping[str, str], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = await make(client, radosgw, tmp_path, kind)
    await bucket.put("acme/assets/big", b"a" * 3_000_000)
    source = bucket.source({"assets": ACME["assets"]})
    read = S3Store.read

    async def changed_before(self: Any, version: Any, *rest: Any) -> Any:
        monkeypatch.setattr(S3Store, "read", read)
        await bucket.put("acme/assets/big", b"b" * 3_000_000)
        async for piece in read(self, version, *rest):
            yield piece

    monkeypatch.setattr(S3Store, "read", changed_before)
    if kind == "plain":
        with pytest.raises(DsrError) as caught:
            await source.returned()
        assert caught.value.reason == "SOURCE_BUSY"
        assert not (bucket.folder / "state" / "returned").exists()
    else:
        # What was found is still there, and what came since keeps it from being destroyed.
        (record,) = (await source.returned())["assets"]
        assert content(record) == b"a" * 3_000_000
        assert ended(await source.destroy({"assets": 1}))[0] == "CAP_EXCEEDED"
    await source.backend.close()


@pytest.mark.policy("P14", "a hold or retention is told, and keeps the whole source from being destroyed")
async def test_holds_are_returned_and_keep_everything(client: Any, radosgw: Mapping[str, str], tmp_path: Path) -> None:
    bucket = await make(client, radosgw, tmp_path, "locked")
    until = datetime.now(UTC) + timedelta(days=1)
    held = await bucket.put("acme/avatars/7.png", b"7", ObjectLockLegalHoldStatus="ON")
    retained = await bucket.put("acme/scans/8", b"8", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    await bucket.put("acme/assets/9", b"9")
    source = bucket.source(ACME)
    returned = await source.returned()
    assert {content(r) for records in returned.values() for r in records} == {b"7", b"8", b"9"}
    blocked = await source.destroy(caps_of(returned))
    assert ended(blocked)[::2] == ("BLOCKED", ["RETAINED", "RETAINED"])
    assert f"{until:%Y-%m-%d}" in {f.collection: f.detail for f in blocked.findings}["scans"]
    assert len(await bucket.versions()) == 3
    lifted = {"Bucket": bucket.name, "Key": "acme/avatars/7.png", "VersionId": held}
    await client.put_object_legal_hold(**lifted, LegalHold={"Status": "OFF"})
    await client.delete_object(
        Bucket=bucket.name, Key="acme/scans/8", VersionId=retained, BypassGovernanceRetention=True
    )
    clear = S3Store.clear
    with pytest.MonkeyPatch.context() as patch:

        async def held_before(self: Any, versions: Any) -> None:
            await client.put_object_legal_hold(**lifted, LegalHold={"Status": "ON"})
            await clear(self, versions)

        patch.setattr(S3Store, "clear", held_before)
        late = ended(await source.destroy(caps_of(returned), attempt=2))
    assert (late[0], late[1]["avatars"], late[2]) == ("BLOCKED", (0, 1), ["RETAINED"])
    await client.put_object_legal_hold(**lifted, LegalHold={"Status": "OFF"})
    assert ended(await source.destroy(caps_of(returned), attempt=3))[0] == "DESTROYED"
    assert await bucket.versions() == []
    await source.backend.close()


async def test_mock_archived_objects_are_not_left_out(mock: Bucket) -> None:
    """radosgw doesn't really archive."""
    await mock.put("acme/assets/a", b"a", StorageClass="GLACIER")
    source = mock.source(ACME)
    with pytest.raises(DsrError) as caught:
        await source.returned()
    assert (caught.value.reason, caught.value.metadata["why"]) == ("SOURCE_REJECTED", "ARCHIVED")
    await mock.client.restore_object(Bucket=mock.name, Key="acme/assets/a", RestoreRequest={"Days": 1})
    returned = await source.returned()
    assert [content(record) for record in returned["assets"]] == [b"a"]
    assert ended(await source.destroy(caps_of(returned)))[0] == "DESTROYED"
    await source.backend.close()


LEFT = {"listed": range(24, 25), "begun": range(24, 25), "middle": range(1, 24), "gone": range(1)}
"""Versions that a kill at each moment leaves."""


@pytest.mark.parametrize("moment", LEFT)
@pytest.mark.policy("P14", "killed at any moment a bucket's destruction goes on, and says what all attempts destroyed")
async def test_killed_at_any_moment_it_goes_on(versioned: Bucket, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        for body in (b"one", b"two"):
            await versioned.put(f"acme/assets/{number}", body)
    source = versioned.source(ACME)
    caps = caps_of(await source.returned())
    command = [sys.executable, "-m", "tests.servers.kill_whole", source.saved(), str(caps["assets"]), "5", moment]
    process = await asyncio.create_subprocess_exec(*command)
    assert await asyncio.wait_for(process.wait(), 60) == -9
    assert len(await versioned.versions()) in LEFT[moment]
    monkeypatch.setattr(whole, "_BATCH", 7)
    for attempt in (2, 3):
        assert ended(await source.destroy(caps, attempt=attempt))[:2] == (
            "DESTROYED",
            {name: (24 if name == "assets" else 0, 0) for name in caps},
        )
    assert await versioned.versions() == []
    assert [file.name for file in (versioned.folder / "state").iterdir()] == ["erasures"]
    await source.backend.close()


async def test_names_of_all_sorts_go(bucket: Bucket) -> None:
    """A request that names many is XML, which has no place for some of them."""
    names = ["a b", "a+b", "&amp;<b>", "new\nline", "bell\x07", "é", "e\u0301", "..", "a//b", "100%25"]
    for name in names:
        await bucket.put(f"acme/assets/{name}", name.encode())
    source = bucket.source({"assets": ACME["assets"]})
    returned = await source.returned()
    assert sorted(content(record).decode() for record in returned["assets"]) == sorted(names)
    assert ended(await source.destroy(caps_of(returned)))[:2] == ("DESTROYED", {"assets": (len(names), 0)})
    assert await bucket.versions() == []
    await source.backend.close()
