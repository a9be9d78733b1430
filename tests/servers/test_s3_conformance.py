"""The s3 connector keeps the contract, through the real host, on a real radosgw."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.testing import CHECKS, expect

from tests.conformance.harness import Keys, open_backends, serve
from tests.servers.material import COLLECTIONS, DOWN, MATERIAL, SOURCE, contents

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory, radosgw: Mapping[str, str]) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("s3")
    names = ("access_key_id", "secret_access_key")
    credentials = {name: radosgw[name] for name in names}
    (folder / "credentials.json").write_text(json.dumps(credentials))
    bucket = f"conformance-{secrets.token_hex(4)}"
    async with get_session().create_client(
        "s3",
        endpoint_url=radosgw["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=radosgw["access_key_id"],
        aws_secret_access_key=radosgw["secret_access_key"],
    ) as client:
        await client.create_bucket(Bucket=bucket)
        await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for key, body in contents():
            await client.put_object(Bucket=bucket, Key=key, Body=body)
    options: dict[str, Any] = {
        "bucket": bucket,
        "region": "us-east-1",
        "endpoint": radosgw["endpoint"],
        "credentials_file": str(folder / "credentials.json"),
        "collections": COLLECTIONS,
    }
    keys = Keys.make(folder)
    down = {**options, "endpoint": "http://127.0.0.1:1"}
    sources = {SOURCE: {"kind": "s3", "options": options}, DOWN: {"kind": "s3", "options": down}}
    grant_key = GrantKey.load(folder / "grant-key.json")
    async with (
        serve(keys, open_backends(keys, sources)) as target,
        open_bench(target, SOURCE, keys.credential, Material.parse(MATERIAL), grant_key, 20) as opened,
    ):
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_s3_keeps_the_contract(check: Check, bench: Bench) -> None:
    await expect(check, bench)
