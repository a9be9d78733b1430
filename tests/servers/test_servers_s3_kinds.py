"""What a bucket can be beside plain or versioned: on a real radosgw, and on the mock moto only for what that lacks."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]

from connectors.s3 import replace as s3_replace
from tests.servers.objects import deleted, outcome, person
from tests.servers.test_servers_s3 import AVATARS, EVENTS, Bucket, lines, make

pytestmark = pytest.mark.servers

SEVEN, EIGHT, NINE = ({"user": {"id": number}} for number in (7, 8, 9))
PERSON, EIGHTH = person(customer_number="7"), person(customer_number="8")


async def opened(server: Mapping[str, str]) -> AsyncIterator[Any]:
    async with get_session().create_client(
        "s3",
        endpoint_url=server["endpoint"],
        aws_access_key_id=server["access_key_id"],
        aws_secret_access_key=server["secret_access_key"],
        region_name="us-east-1",
    ) as client:
        yield client


@pytest.fixture
async def real(radosgw: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Bucket]:
    async for client in opened(radosgw):
        yield await make(client, radosgw, tmp_path, "versioned")


@pytest.fixture
async def plain(radosgw: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Bucket]:
    async for client in opened(radosgw):
        yield await make(client, radosgw, tmp_path, "plain")


@pytest.fixture
async def mock(moto: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Bucket]:
    async for client in opened(moto):
        yield await make(client, moto, tmp_path, "versioned")


async def test_where_versions_were_suspended_the_older_ones_go_too(real: Bucket) -> None:
    await real.put("events/a.jsonl", lines(SEVEN, EIGHT))
    await real.put("avatars/7.png", b"one")
    await real.client.put_bucket_versioning(Bucket=real.name, VersioningConfiguration={"Status": "Suspended"})
    await real.put("events/a.jsonl", lines(SEVEN, EIGHT, NINE))
    await real.put("avatars/7.png", b"two")
    source = real.source({**EVENTS, **AVATARS})
    assert await source.counts(customer_number="7") == {"avatars": 2, "events": 1}
    assert deleted(await source.erase(PERSON)) == {"avatars": 2, "events": 1}
    assert await real.get("events/a.jsonl") == lines(EIGHT, NINE)
    assert b'"id": 7' not in await real.bytes_of_all()
    assert {key for key, _ in await real.versions()} == {"events/a.jsonl"}
    assert await source.verify(PERSON) == {}
    await source.backend.close()


async def test_where_versions_were_suspended_since_the_last_write_it_is_said(real: Bucket) -> None:
    """What is written takes the place of another version than the one that is compared."""
    await real.put("events/a.jsonl", lines(SEVEN, EIGHT))
    await real.client.put_bucket_versioning(Bucket=real.name, VersioningConfiguration={"Status": "Suspended"})
    source = real.source(EVENTS)
    assert await source.findings(customer_number="7") == {"UNGUARDED": True}
    assert outcome(await source.erase(PERSON)) == "BLOCKED"
    await source.backend.close()
    allowed = real.source(EVENTS, unguarded_rewrites="allow")
    assert deleted(await allowed.erase(PERSON, task="allowed")) == {"events": 1}
    assert await real.get("events/a.jsonl") == lines(EIGHT)
    assert len(await real.versions()) == 1
    await allowed.backend.close()


async def test_storage_class_and_access_grants_are_kept(real: Bucket) -> None:
    await real.put("events/a.jsonl", lines(SEVEN, EIGHT), StorageClass="STANDARD_IA", ACL="public-read")
    before = (await real.client.get_object_acl(Bucket=real.name, Key="events/a.jsonl"))["Grants"]
    source = real.source(EVENTS)
    assert deleted(await source.erase(PERSON)) == {"events": 1}
    assert await real.get("events/a.jsonl") == lines(EIGHT)
    head = await real.client.head_object(Bucket=real.name, Key="events/a.jsonl")
    assert head["StorageClass"] == "STANDARD_IA"
    after = (await real.client.get_object_acl(Bucket=real.name, Key="events/a.jsonl"))["Grants"]
    assert sorted(map(json.dumps, after)) == sorted(map(json.dumps, before))
    assert any(grant["Grantee"].get("URI", "").endswith("/AllUsers") for grant in after)
    await source.backend.close()


async def test_an_archived_lake_object_is_told_with_the_date_at_which_it_goes(plain: Bucket) -> None:
    """radosgw calls it archived, and tells what the rules of the bucket do; it doesn't really archive: see below."""
    await plain.put("events/a.jsonl", lines(EIGHT))
    await plain.put("events/old/a.jsonl", lines(SEVEN), StorageClass="GLACIER")
    source = plain.source(EVENTS)
    (located,) = await source.locate(PERSON)
    assert [(f.code, f.blocks_erasure) for f in located.findings] == [("ARCHIVED", True)]
    assert outcome(await source.erase(PERSON)) == "BLOCKED"
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "events/old/"}, "Expiration": {"Days": 30}}
    await plain.client.put_bucket_lifecycle_configuration(Bucket=plain.name, LifecycleConfiguration={"Rules": [rule]})
    head = await plain.client.head_object(Bucket=plain.name, Key="events/old/a.jsonl")
    (located,) = await source.locate(EIGHTH)
    (finding,) = located.findings
    assert (finding.code, finding.blocks_erasure) == ("ARCHIVED", False)
    assert "expiry-date" in head["Expiration"]
    assert "removes it by 20" in finding.detail
    assert deleted(await source.erase(EIGHTH)) == {"events": 1}
    # It may hold the person: nobody says that nothing is left.
    assert await source.verify(EIGHTH) == {"events": (0, 1)}
    await source.backend.close()


async def test_mock_an_archived_object_blocks_until_it_is_restored(mock: Bucket) -> None:
    await mock.put("events/a.jsonl", lines(SEVEN, EIGHT), StorageClass="GLACIER")
    source = mock.source(EVENTS)
    assert await source.findings(customer_number="7") == {"ARCHIVED": True}
    assert await source.verify(PERSON) == {"events": (0, 1)}
    await mock.client.restore_object(Bucket=mock.name, Key="events/a.jsonl", RestoreRequest={"Days": 1})
    assert await source.findings(customer_number="7") == {}
    assert await source.counts(customer_number="7") == {"events": 1}
    await source.backend.close()


@pytest.mark.parametrize(
    "encryption",
    [{"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": secrets.token_hex(8)}],
    ids=["SSE-S3", "SSE-KMS"],
)
async def test_mock_encryption_by_the_service_is_kept(mock: Bucket, encryption: Mapping[str, str]) -> None:
    await mock.put("events/a.jsonl", lines(SEVEN, EIGHT), **encryption)
    source = mock.source(EVENTS)
    assert deleted(await source.erase(PERSON)) == {"events": 1}
    head = await mock.client.head_object(Bucket=mock.name, Key="events/a.jsonl")
    assert {name: head.get(name) for name in encryption} == encryption
    assert await mock.get("events/a.jsonl") == lines(EIGHT)
    await source.backend.close()


async def test_mock_conditional_writes_refuse_whoever_was_overtaken(
    mock: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With them, no reader ever sees a version without what a writer in between added."""
    await mock.put("events/a.jsonl", lines(SEVEN, EIGHT))
    source = mock.source(EVENTS, conditional_writes=True)
    check, commit, writes = s3_replace.Rewriting._check, s3_replace.Rewriting.commit, 0

    async def overtaken(self: Any) -> None:
        nonlocal writes
        await check(self)
        if writes < 2:
            writes += 1
            await mock.put("events/a.jsonl", lines(SEVEN, EIGHT, *[NINE] * writes))

    seen: list[bytes] = []

    async def noted(self: Any) -> None:
        await commit(self)
        seen.append(await mock.get("events/a.jsonl"))

    monkeypatch.setattr(s3_replace.Rewriting, "_check", overtaken)
    monkeypatch.setattr(s3_replace.Rewriting, "commit", noted)
    assert deleted(await source.erase(PERSON)) == {"events": 1}
    # Put in place once: both earlier ones were refused.
    assert (writes, seen) == (2, [lines(EIGHT, NINE, NINE)])
    assert b'"id": 7' not in await mock.bytes_of_all()
    await source.backend.close()
