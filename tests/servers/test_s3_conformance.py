"""The s3 connector keeps the contract, through the real host, on a real radosgw."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping

import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from dsr.conformance.bench import Bench
from dsr.conformance.check import Check
from dsr.conformance.testing import CHECKS, expect

from tests.servers.material import contents, open_store
from tests.support.contract import Told

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
    options = {
        "bucket": bucket,
        "region": "us-east-1",
        "endpoint": radosgw["endpoint"],
        "credentials_file": str(folder / "credentials.json"),
    }
    async with open_store("s3", folder, options, {"endpoint": "http://127.0.0.1:1"}) as opened:
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_s3_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("s3", await expect(check, bench))
