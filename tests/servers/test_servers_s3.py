"""The s3 connector on a real radosgw. What is left is read from the bucket itself, not through the connector."""

import gzip
import io
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from connectors.s3 import replace as s3_replace
from connectors.s3.store import S3Store
from dsrkit.errors import DsrError
from tests.servers.objects import NEAR, RETAIN, Objects, content, deleted, instruct, outcome, person

pytestmark = pytest.mark.servers

NUMBER = {"customer_number": {"unique": True}}
AVATARS = {"avatars": {"objects": "avatars/{customer_number}.png", "identity": NUMBER}}
LETTERS = {"letters": {"objects": "letters/{customer_number}/**/*", "identity": NUMBER}}
EVENTS = {
    "events": {
        "lake": "events/**/*.jsonl*",
        "format": "jsonl",
        "identity": {
            "email": {"field": "user.email"},
            "customer_number": {"field": "user.id", "value": "either", "unique": True},
        },
    }
}


@dataclass
class Bucket:
    """One bucket, reached without the connector."""

    client: Any
    name: str
    address: Mapping[str, str]
    folder: Path

    async def put(self, key: str, body: bytes, **settings: Any) -> str:
        answer = await self.client.put_object(Bucket=self.name, Key=key, Body=body, **settings)
        return str(answer.get("VersionId", "null"))

    async def get(self, key: str, version: str = "") -> bytes:
        more = {"VersionId": version} if version else {}
        answer = await self.client.get_object(Bucket=self.name, Key=key, **more)
        async with answer["Body"] as body:
            return bytes(await body.read())

    async def versions(self, prefix: str = "") -> list[tuple[str, str]]:
        """(key, version id) of everything, delete markers included."""
        answer = await self.client.list_object_versions(Bucket=self.name, Prefix=prefix)
        return [(e["Key"], e["VersionId"]) for e in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))]

    async def bytes_of_all(self) -> bytes:
        """Every byte of every version."""
        answer = await self.client.list_object_versions(Bucket=self.name)
        return b"\n".join([await self.get(e["Key"], e["VersionId"]) for e in answer.get("Versions", ())])

    def source(self, collections: Mapping[str, Any], state: str = "state", **more: Any) -> Objects:
        credentials = self.folder / "credentials.json"
        names = ("access_key_id", "secret_access_key")
        credentials.write_text(json.dumps({name: self.address[name] for name in names}))
        options = {
            "bucket": self.name,
            "region": "us-east-1",
            "endpoint": self.address["endpoint"],
            "credentials_file": str(credentials),
            "collections": collections,
            "abandoned_after_hours": 0,
            **more,
        }
        return Objects("s3", options, self.folder / state)


@asynccontextmanager
async def connected(radosgw: Mapping[str, str]) -> AsyncIterator[Any]:
    async with get_session().create_client(
        "s3",
        endpoint_url=radosgw["endpoint"],
        aws_access_key_id=radosgw["access_key_id"],
        aws_secret_access_key=radosgw["secret_access_key"],
        region_name="us-east-1",
    ) as opened:
        yield opened


@pytest.fixture
async def client(radosgw: Mapping[str, str]) -> AsyncIterator[Any]:
    async with connected(radosgw) as opened:
        yield opened


async def make(client: Any, radosgw: Mapping[str, str], folder: Path, kind: str) -> Bucket:
    bucket = Bucket(client, f"test-{secrets.token_hex(6)}", radosgw, folder)
    await client.create_bucket(Bucket=bucket.name, ObjectLockEnabledForBucket=kind == "locked")
    if kind == "versioned":
        await client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture(params=["plain", "versioned"])
async def bucket(request: pytest.FixtureRequest, client: Any, radosgw: Mapping[str, str], tmp_path: Path) -> Bucket:
    return await make(client, radosgw, tmp_path, request.param)


@pytest.fixture
async def versioned(client: Any, radosgw: Mapping[str, str], tmp_path: Path) -> Bucket:
    return await make(client, radosgw, tmp_path, "versioned")


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


async def test_only_the_one_person_goes_out_of_lines_of_people_nearly_alike(bucket: Bucket) -> None:
    ids: list[Any] = [7, 70, "7", "007", 0, 77]
    rows = [{"user": {"email": email, "id": ids[n]}, "note": f"row {n}"} for n, email in enumerate(NEAR)]
    await bucket.put("events/a.jsonl", lines(*rows))
    await bucket.put("events/b.jsonl.gz", gzip.compress(lines(*rows)), ContentEncoding="gzip")
    await bucket.put("events/untouched.jsonl", untouched := lines(*rows[1:]))
    source = bucket.source(EVENTS)
    assert await source.counts(email=NEAR[0]) == {"events": 2}
    erased = await source.erase(person(email=NEAR[0]))
    assert (outcome(erased), deleted(erased)) == ("ERASED", {"events": 2})
    assert await bucket.get("events/a.jsonl") == lines(*rows[1:])
    assert gzip.decompress(await bucket.get("events/b.jsonl.gz")) == lines(*rows[1:])
    assert await bucket.get("events/untouched.jsonl") == untouched
    assert b'"row 0"' not in await bucket.bytes_of_all()
    assert await source.verify(person(email=NEAR[0])) == {}
    # 7 was the first row's; "7" is another spelling of it, 007 and 70 aren't.
    assert await source.counts(customer_number="7") == {"events": 3}
    assert await source.counts(customer_number="007") == {"events": 3}
    assert await source.counts(customer_number="0") == {"events": 3}
    await source.backend.close()


async def test_only_the_one_persons_objects_go(bucket: Bucket) -> None:
    for number in ("7", "70", "007", "77"):
        await bucket.put(f"avatars/{number}.png", number.encode())
        await bucket.put(f"letters/{number}/2024/a.txt", number.encode())
    await bucket.put("assets/7.png", b"not a person's")
    assets = {"assets": {"objects": "assets/**/*", "no_personal_data": True}}
    source = bucket.source({**AVATARS, **LETTERS, **assets})
    copied = await source.export(person(customer_number="7"))
    assert [(r["path"], content(r)) for r in copied["letters"]] == [("letters/7/2024/a.txt", b"7")]
    erased = await source.erase(person(customer_number="7"))
    assert deleted(erased) == {"avatars": 1, "letters": 1}
    left = {key for key, _ in await bucket.versions()}
    others = {
        f"{kind}/{n}{rest}"
        for n in ("70", "007", "77")
        for kind, rest in (("avatars", ".png"), ("letters", "/2024/a.txt"))
    }
    assert left == {*others, "assets/7.png"}
    await source.backend.close()


async def test_history_delete_markers_and_uploads_go_too(versioned: Bucket) -> None:
    for body in (b"one", b"two"):
        await versioned.put("avatars/7.png", body)
        await versioned.put("avatars/70.png", body)
    await versioned.client.delete_object(Bucket=versioned.name, Key="avatars/7.png")
    for number in ("7", "70"):
        upload = await versioned.client.create_multipart_upload(Bucket=versioned.name, Key=f"avatars/{number}.png")
        await versioned.client.upload_part(
            Bucket=versioned.name, Key=f"avatars/{number}.png", UploadId=upload["UploadId"], PartNumber=1, Body=b"part"
        )
    source = versioned.source(AVATARS)
    copied = await source.export(person(customer_number="7"))
    states = sorted((record["state"], record["content"]) for record in copied["avatars"] if record["content"])
    assert states == [("NONCURRENT", "b25l"), ("NONCURRENT", "dHdv")]
    erased = await source.erase(person(customer_number="7"))
    assert deleted(erased) == {"avatars": 4}
    assert {key for key, _ in await versioned.versions()} == {"avatars/70.png"}
    uploads = await versioned.client.list_multipart_uploads(Bucket=versioned.name)
    assert [u["Key"] for u in uploads["Uploads"]] == ["avatars/70.png"]
    await source.backend.close()


async def test_rows_go_out_of_history_too_and_clean_history_stays(versioned: Bucket) -> None:
    ann, bob = {"user": {"email": NEAR[0]}}, {"user": {"email": "bob@example.com"}}
    clean = await versioned.put("events/a.jsonl", lines(bob))
    await versioned.put("events/a.jsonl", lines(bob, ann))
    current = await versioned.put("events/a.jsonl", lines(bob, bob))
    await versioned.put("events/gone.jsonl", lines(ann))
    await versioned.client.delete_object(Bucket=versioned.name, Key="events/gone.jsonl")
    source = versioned.source(EVENTS)
    assert await source.counts(email=NEAR[0]) == {"events": 2}
    assert len((await source.export(person(email=NEAR[0])))["events"]) == 2
    erased = await source.erase(person(email=NEAR[0]))
    assert deleted(erased) == {"events": 2}
    assert {v for _, v in await versioned.versions("events/a")} == {clean, current}
    assert await versioned.versions("events/gone") == []
    await source.backend.close()


async def test_what_belongs_to_an_object_is_kept_when_it_is_written_anew(bucket: Bucket) -> None:
    kept = {
        "ContentType": "application/x-ndjson",
        "ContentLanguage": "de",
        "CacheControl": "no-cache",
        "ContentDisposition": "attachment",
        "Metadata": {"owner": "crm"},
    }
    await bucket.put("events/a.jsonl", lines({"user": {"id": 7}}, {"user": {"id": 8}}), **kept)
    tags = {"TagSet": [{"Key": "team", "Value": "a b&c"}]}
    await bucket.client.put_object_tagging(Bucket=bucket.name, Key="events/a.jsonl", Tagging=tags)
    source = bucket.source(EVENTS)
    await source.erase(person(customer_number="7"))
    head = await bucket.client.head_object(Bucket=bucket.name, Key="events/a.jsonl")
    assert {name: head[name] for name in kept if name != "Metadata"} == {
        n: v for n, v in kept.items() if n != "Metadata"
    }
    assert head["Metadata"]["owner"] == "crm"
    assert (await bucket.client.get_object_tagging(Bucket=bucket.name, Key="events/a.jsonl"))["TagSet"] == tags[
        "TagSet"
    ]
    await source.backend.close()


async def test_a_writer_in_between_loses_nothing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody adds a line after it was read, and after the last check before it is replaced."""
    seven, eight, nine = ({"user": {"id": n}} for n in (7, 8, 9))
    await bucket.put("events/a.jsonl", lines(seven, eight))
    source = bucket.source(EVENTS)
    check, writes = s3_replace.Rewriting._check, 0

    async def overtaken(self: Any) -> None:
        nonlocal writes
        await check(self)
        if writes < 2:
            writes += 1
            await bucket.put("events/a.jsonl", lines(seven, eight, *[nine] * writes))

    monkeypatch.setattr(s3_replace.Rewriting, "_check", overtaken)
    erased = await source.erase(person(customer_number="7"))
    assert deleted(erased) == {"events": 1}
    assert await bucket.get("events/a.jsonl") == lines(eight, nine, nine)
    assert b'"id": 7' not in await bucket.bytes_of_all()
    await source.backend.close()


async def test_a_kill_between_writing_and_cleaning_is_finished(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a writer added meanwhile is still there."""
    seven, eight, nine = ({"user": {"id": n}} for n in (7, 8, 9))
    await bucket.put("events/a.jsonl", lines(seven, eight))
    await bucket.put("avatars/7.png", b"x")
    source = bucket.source({**EVENTS, **AVATARS})
    located = await source.locate(person(customer_number="7"))
    commit = s3_replace.Rewriting.commit

    async def killed(self: Any) -> None:
        await commit(self)
        raise DsrError("SOURCE_UNAVAILABLE", "killed", source="x")

    with monkeypatch.context() as patch:
        patch.setattr(s3_replace.Rewriting, "commit", killed)
        with pytest.raises(DsrError, match="killed"):
            await source.erase(person(customer_number="7"), located=located)
    await bucket.put("events/a.jsonl", await bucket.get("events/a.jsonl") + lines(nine))
    erased = await source.erase(person(customer_number="7"), located=located, attempt=2)
    assert (outcome(erased), deleted(erased)) == ("RECONSTRUCTED", {"avatars": 1, "events": 1})
    assert await bucket.get("events/a.jsonl") == lines(eight, nine)
    assert b'"id": 7' not in await bucket.bytes_of_all()
    again = await source.erase(person(customer_number="7"), located=located, attempt=3)
    assert (outcome(again), deleted(again)) == ("REPLAYED", {"avatars": 1, "events": 1})
    await source.backend.close()


async def test_a_large_object_is_sent_in_parts(versioned: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_replace, "_WHOLE", 1 << 20)
    rows = [{"user": {"id": n % 100}, "note": secrets.token_hex(500)} for n in range(12_000)]
    await versioned.put("events/a.jsonl", lines(*rows))
    source = versioned.source(EVENTS)
    assert deleted(await source.erase(person(customer_number="7"))) == {"events": 120}
    assert await versioned.get("events/a.jsonl") == lines(*(row for row in rows if row["user"]["id"] != 7))  # type: ignore[index]
    assert len(await versioned.versions()) == 1
    uploads = await versioned.client.list_multipart_uploads(Bucket=versioned.name)
    assert not uploads.get("Uploads")
    await source.backend.close()


async def test_a_large_object_without_history_is_refused(
    client: Any, radosgw: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_replace, "_WHOLE", 1 << 20)
    bucket = await make(client, radosgw, tmp_path, "plain")
    body = lines(*({"user": {"id": n % 100}, "note": "x" * 1_000} for n in range(3_000)))
    await bucket.put("events/a.jsonl", body)
    source = bucket.source(EVENTS)
    with pytest.raises(DsrError) as error:
        await source.erase(person(customer_number="7"))
    assert error.value.metadata["why"] == "UNGUARDED"
    assert await bucket.get("events/a.jsonl") == body
    uploads = await client.list_multipart_uploads(Bucket=bucket.name)
    assert not uploads.get("Uploads")
    await source.backend.close()


async def test_holds_and_retention_block_with_their_date(
    client: Any, radosgw: Mapping[str, str], tmp_path: Path
) -> None:
    bucket = await make(client, radosgw, tmp_path, "locked")
    until = datetime.now(UTC) + timedelta(seconds=8)
    held = await bucket.put("avatars/7.png", b"7", ObjectLockLegalHoldStatus="ON")
    await bucket.put("avatars/8.png", b"8", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    await bucket.put("avatars/9.png", b"9")
    source = bucket.source(AVATARS)
    located = {i.subject_ref: i for i in await source.locate(*(person(n, customer_number=n) for n in "789"))}
    assert {n: [f.code for f in i.findings] for n, i in located.items()} == {
        "7": ["RETAINED"],
        "8": ["RETAINED"],
        "9": [],
    }
    assert f"{until:%Y-%m-%d}" in located["8"].findings[0].detail
    people = [person(n, customer_number=n) for n in "789"]
    erased = {e.subject_ref: outcome(e) for e in await source.erase_all(people)}
    assert erased == {"7": "BLOCKED", "8": "BLOCKED", "9": "ERASED"}
    assert {key for key, _ in await bucket.versions()} == {"avatars/7.png", "avatars/8.png"}
    assert await source.verify(person(customer_number="7")) == {"avatars": (0, 1)}
    await client.put_object_legal_hold(
        Bucket=bucket.name, Key="avatars/7.png", VersionId=held, LegalHold={"Status": "OFF"}
    )
    assert outcome(await source.erase(person(customer_number="7"), task="later")) == "ERASED"
    await source.backend.close()


async def test_a_hold_placed_after_the_search_is_not_called_erased(
    client: Any, radosgw: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = await make(client, radosgw, tmp_path, "locked")
    held = await bucket.put("avatars/7.png", b"7")
    source = bucket.source(AVATARS)
    remove = S3Store.remove

    async def held_before(self: Any, version: Any) -> None:
        await client.put_object_legal_hold(
            Bucket=bucket.name, Key="avatars/7.png", VersionId=held, LegalHold={"Status": "ON"}
        )
        await remove(self, version)

    monkeypatch.setattr(S3Store, "remove", held_before)
    erased = await source.erase(person(customer_number="7"))
    assert (outcome(erased), deleted(erased)) == ("ERASED", {})
    assert await source.verify(person(customer_number="7")) == {"avatars": (0, 1)}
    await client.put_object_legal_hold(
        Bucket=bucket.name, Key="avatars/7.png", VersionId=held, LegalHold={"Status": "OFF"}
    )
    await source.backend.close()


async def test_tags_and_metadata_name_people(bucket: Bucket) -> None:
    await bucket.put("scans/a", b"a", Tagging="customer=7")
    await bucket.put("scans/b", b"b", Tagging="customer=70")
    await bucket.put("calls/a", b"a", Metadata={"Customer-Mail": NEAR[0]})
    await bucket.put("calls/b", b"b", Metadata={"Customer-Mail": NEAR[1]})
    source = bucket.source(
        {
            "scans": {"objects": "scans/*", "identity": {"customer_number": {"tag": "customer"}}},
            "calls": {"objects": "calls/*", "identity": {"email": {"metadata": "customer-mail", "match": "case_fold"}}},
        }
    )
    erased = await source.erase(person(customer_number="7", email=NEAR[3]))
    assert deleted(erased) == {"scans": 1, "calls": 1}
    assert {key for key, _ in await bucket.versions()} == {"scans/b", "calls/b"}
    await source.backend.close()


async def test_parquet_and_csv_in_the_bucket(bucket: Bucket) -> None:
    table = pa.table({"id": [1, 7, 2, 70, 3, 0], "name": ["a", "b", "c", "d", "e", "f"]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=2)
    await bucket.put("p/a.parquet", buffer.getvalue())
    await bucket.put("c/a.csv", b'id,name\r\n7,"x, y"\r\n70,"7"\r\n')
    number = {"customer_number": {"field": "id", "value": "number"}}
    source = bucket.source(
        {
            "p": {"lake": "p/*.parquet", "format": "parquet", "identity": number},
            "c": {"lake": "c/*.csv", "format": "csv", "fields": {"name": "string"}, "identity": number},
        }
    )
    copied = await source.export(person(customer_number="7"))
    assert copied["p"] == [{"object": "p/a.parquet", "customer_number": "7", "record": {"id": 7, "name": "b"}}]
    assert copied["c"] == [{"object": "c/a.csv", "customer_number": "7", "name": "x, y", "record": {"id": "7"}}]
    assert deleted(await source.erase(person(customer_number="7"))) == {"p": 1, "c": 1}
    left = pq.ParquetFile(io.BytesIO(await bucket.get("p/a.parquet")))
    assert left.read().to_pylist() == [row for row in table.to_pylist() if row["id"] != 7]
    assert left.metadata.row_group(0).column(0).compression == "ZSTD"
    assert await bucket.get("c/a.csv") == b'id,name\r\n70,"7"\r\n'
    await source.backend.close()


async def test_what_stands_in_the_way_is_said(versioned: Bucket) -> None:
    shared = {"user": {"id": [7, 8]}}
    await versioned.put("events/a.jsonl", lines(shared) + b'{"user": {"id": 9')
    await versioned.put("letters/7/other.bin", b"", Metadata={})
    source = versioned.source(
        {**EVENTS, "letters": {"objects": "letters/{customer_number}/mail/*", "identity": NUMBER}}
    )
    seven = {"SHARED_RECORD": True, "BROKEN_RECORDS": False, "UNDECLARED_OBJECT": True}
    assert await source.findings(customer_number="7") == seven
    assert await source.findings(customer_number="9") == {"BROKEN_RECORD": True}
    assert outcome(await source.erase(person(customer_number="7"))) == "BLOCKED"
    await versioned.put("events/z.jsonl.gz", gzip.compress(lines(shared))[:-4])
    assert (await source.findings(customer_number="404"))["UNREADABLE_OBJECT"] is True
    await source.backend.close()


async def test_everybody_in_one_call_is_one_rewrite(versioned: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"user": {"id": n}} for n in range(300)]
    await versioned.put("events/a.jsonl", lines(*rows))
    source = versioned.source(EVENTS)
    commit, commits = s3_replace.Rewriting.commit, 0

    async def counted(self: Any) -> None:
        nonlocal commits
        commits += 1
        await commit(self)

    monkeypatch.setattr(s3_replace.Rewriting, "commit", counted)
    people = [person(str(n), customer_number=str(n)) for n in range(0, 300, 3)]
    erased = await source.erase_all(people)
    assert [deleted(e) for e in erased] == [{"events": 1}] * 100
    assert commits == 1
    assert await versioned.get("events/a.jsonl") == lines(*(row for n, row in enumerate(rows) if n % 3))
    await source.backend.close()


async def test_errors_name_what_to_do_and_nobody(bucket: Bucket, tmp_path: Path) -> None:
    for more, reason, why in (
        ({"bucket": "test-nowhere"}, "SOURCE_REJECTED", "NO_BUCKET"),
        ({"endpoint": "http://127.0.0.1:1"}, "SOURCE_UNAVAILABLE", None),
        ({"endpoint": "http://192.0.2.1"}, "BACKEND_UNENCRYPTED", None),
        ({"credentials_file": str(tmp_path / "none")}, "SOURCE_REJECTED", "CREDENTIALS"),
    ):
        source = bucket.source({**AVATARS, **EVENTS}, **more)
        with pytest.raises(DsrError) as error:
            await source.counts(customer_number="7-secret")
        assert (error.value.reason, error.value.metadata.get("why")) == (reason, why)
        assert "7-secret" not in str(error.value)
        await source.backend.close()


async def test_radosgw_locks_for_real(client: Any, radosgw: Mapping[str, str], tmp_path: Path) -> None:
    """What the tests above rest on."""
    bucket = await make(client, radosgw, tmp_path, "locked")
    version = await bucket.put("k", b"", ObjectLockLegalHoldStatus="ON")
    with pytest.raises(ClientError, match="AccessDenied"):
        await client.delete_object(Bucket=bucket.name, Key="k", VersionId=version)


async def test_history_that_cannot_be_read_never_stops_a_copy(versioned: Bucket) -> None:
    """It blocks the erasure, and a finding says so."""
    seven, eight = {"user": {"id": 7}}, {"user": {"id": 8}}
    damaged = {
        "events/a.jsonl": (gzip.compress(lines(seven, eight))[:-6], "UNREADABLE_OBJECT"),
        "events/b.jsonl": (b"PK\x03\x04" + b"x" * 100, "ARCHIVE"),
    }
    for key, (body, _) in damaged.items():
        await versioned.put(key, body)
        await versioned.put(key, lines(seven, eight))
    source = versioned.source(EVENTS)
    assert await source.counts(customer_number="7") == {"events": 2}
    assert await source.findings(customer_number="7") == {code: True for _, code in damaged.values()}
    copied = await source.export(person(customer_number="7"))
    assert sorted(row["object"] for row in copied["events"]) == sorted(damaged)
    assert outcome(await source.erase(person(customer_number="7"))) == "BLOCKED"
    assert await source.verify(person(customer_number="7")) == {"events": (0, 4)}
    await source.backend.close()


async def test_uploads_to_a_lake_that_were_given_up_are_told_and_aborted(bucket: Bucket) -> None:
    """Nobody can read whom they hold."""
    await bucket.put("events/a.jsonl", lines({"user": {"id": 7}}, {"user": {"id": 8}}))
    for key in ("events/a.jsonl", "events/other.jsonl", "elsewhere/x.jsonl"):
        upload = await bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
        await bucket.client.upload_part(
            Bucket=bucket.name, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=lines({"user": {"id": 7}})
        )
    recent = bucket.source(EVENTS, abandoned_after_hours=24)
    assert await recent.findings(customer_number="7") == {}
    await recent.backend.close()
    source = bucket.source(EVENTS)
    assert await source.findings(customer_number="7") == {"INCOMPLETE_UPLOAD": False}
    assert await source.verify(person(customer_number="7")) == {"events": (0, 3)}
    kept = instruct("events", RETAIN)
    assert outcome(await source.erase(person(customer_number="7"), instructions=[kept], task="kept")) == "ERASED"
    assert await source.verify(person(customer_number="7")) == {"events": (0, 3)}
    assert deleted(await source.erase(person(customer_number="7"))) == {"events": 1}
    assert await source.verify(person(customer_number="7")) == {}
    left = await bucket.client.list_multipart_uploads(Bucket=bucket.name)
    assert [upload["Key"] for upload in left["Uploads"]] == ["elsewhere/x.jsonl"]
    # Whoever isn't known here at all may be in one as well.
    await bucket.client.create_multipart_upload(Bucket=bucket.name, Key="events/third.jsonl")
    assert outcome(await source.erase(person(customer_number="404"), task="nobody")) == "ERASED"
    assert await source.verify(person(customer_number="404")) == {}
    await source.backend.close()
