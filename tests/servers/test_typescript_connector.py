"""A connector that isn't ours, in another language, keeps the whole contract."""

import asyncio
import json
import sys
from pathlib import Path

import yaml

import pytest
from tests.conformance.harness import Keys
from tests.servers.typescript_connector import ANN, JOANN, Shop, built, content, run

SOURCE = "partners/acme/dataSources/webshop"
NOT_APPLICABLE = {"export.undeclared", "erase.undeclared", "erase.undeclared-anonymise", "verify.undeclared"}


@pytest.fixture(scope="module")
def main() -> Path:
    return built()


@pytest.mark.parametrize("orders", ["DELETE", "RETAIN", {"anonymise": {"item": "removed", "gift_for": None}}], ids=str)
async def test_every_rule_holds(main: Path, tmp_path: Path, orders: object) -> None:
    keys = Keys.make(tmp_path)
    shop = Shop.make(tmp_path, SOURCE, "grants.json", content(ANN, JOANN))
    records = {"customers": 1, "orders": 1, "newsletter": 1}
    instructions = {"orders": orders}
    material = {
        "present": {"identities": {"email": "ANN@example.com"}, "records": {**records, "orders": 2}},
        "absent": {"identities": {"email": "nobody@example.com", "customer_number": "404"}},
        "disposable": {"identities": {"customer_number": "70", "email": "joann@example.com"}, "records": records,
                       "instructions": instructions},
        "unreachable": f"{SOURCE}-down",
    }
    (tmp_path / "material.yaml").write_text(yaml.safe_dump(material))
    async with run(main, shop) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dsr.conformance", "--json", "--target", running.target, "--source", SOURCE),
            *("--credential", str(keys.folder / "erasure.json"), "--grant-key", str(keys.folder / "grant-key.json")),
            *("--material", str(tmp_path / "material.yaml")),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    print(output.decode())
    assert process.returncode == 0
