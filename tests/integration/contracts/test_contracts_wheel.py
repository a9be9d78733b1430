"""The wheel, alone in an empty environment, does what its README says."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.gateway_fake import PARTNER, Platform

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
IMPORTS = """
import importlib.util, pkgutil, dsr, dsr.client, dsr.cli, dsr.credentials, dsr.errors
from dsr.connector.v1 import connector_pb2_grpc
from importlib import resources
assert resources.files("dsr").joinpath("grpc_service_config.json").is_file()
assert resources.files("dsr").joinpath("py.typed").is_file()
for name in ("dsrkit", "services", "connectors", "gateway"):
    assert importlib.util.find_spec(name) is None, name
for module in pkgutil.walk_packages(dsr.__path__, "dsr."):
    if not module.name.startswith("dsr.conformance"):
        __import__(module.name)
"""


async def run(*command: str | Path, check: bool = True) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0 or not check, output.decode()
    return process.returncode or 0, output.decode()


@pytest.fixture(scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel and what it depends on. From uv's cache, or from PyPI where that lacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "contracts"
    shutil.copytree(CONTRACTS, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    await uv("build", "--wheel", "--out-dir", folder, source)
    (wheel,) = folder.glob("dsr_contracts-*.whl")
    environment = folder / "venv"
    await uv("venv", "--python", sys.executable, environment)
    await uv("pip", "install", "-p", environment / "bin" / "python", wheel)
    return environment / "bin"


async def uv(*arguments: str | Path) -> None:
    status, _ = await run(sys.executable, "-m", "uv", *arguments, "--offline", check=False)
    if status != 0:
        await run(sys.executable, "-m", "uv", *arguments)


async def test_imports_by_itself(environment: Path) -> None:
    await run(environment / "python", "-I", "-W", "error", "-c", IMPORTS)


async def test_command(environment: Path, platform: Platform) -> None:
    _, text = await run(environment / "dsr", "--help")
    assert "erasure" in text
    common = ("--target", platform.target, "--credential", platform.credential_file, "--actor", "clerk-7")
    _, text = await run(environment / "dsr", "access", "get", "1", "--json", *common)
    assert f'"{PARTNER}/accessRequests/1"' in text
    assert platform.calls[0].rpc == "GetAccessRequest"
