"""The swift connector keeps the contract, through the real host, on a real OpenStack Swift (sign-in version 1)."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

import httpx
import pytest
from dsr.conformance.bench import Bench
from dsr.conformance.check import Check
from dsr.conformance.testing import CHECKS, expect

from tests.servers.material import contents, open_store
from tests.support.contract import Told

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory, swift: Mapping[str, str]) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("swift")
    (folder / "credentials.json").write_text(json.dumps({"user": swift["user"], "key": swift["key"]}))
    container = f"conformance-{secrets.token_hex(4)}"
    async with httpx.AsyncClient(timeout=30) as client:
        signed = await client.get(swift["auth_url"], headers={"X-Auth-User": swift["user"], "X-Auth-Key": swift["key"]})
        token, address = {"X-Auth-Token": signed.headers["X-Auth-Token"]}, signed.headers["X-Storage-Url"]
        made = await client.put(f"{address}/{container}", headers={**token, "X-Versions-Enabled": "true"})
        made.raise_for_status()
        for key, body in contents():
            put = await client.put(f"{address}/{container}/{quote(key)}", headers=token, content=body)
            put.raise_for_status()
    options = {
        "container": container,
        "auth": "1",
        "auth_url": swift["auth_url"],
        "credentials_file": str(folder / "credentials.json"),
    }
    async with open_store("swift", folder, options, {"auth_url": "http://127.0.0.1:1/auth/v1.0"}, 60) as opened:
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
async def test_swift_keeps_the_contract(check: Check, bench: Bench, told: Told) -> None:
    told("swift", await expect(check, bench))
