"""The wheel, alone in an empty environment, does what its README says."""

import asyncio
import importlib.metadata
import shutil
import sys
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.gateway_fake import PARTNER, Platform

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
IMPORTS = """
import importlib.util, pkgutil, dsr, dsr.client, dsr.cli, dsr.credentials, dsr.errors
from dsr.connector.v1 import connector_pb2_grpc
from importlib import resources
assert resources.files("dsr").joinpath("grpc_service_config.json").is_file()
assert resources.files("dsr").joinpath("py.typed").is_file()
assert resources.files("dsr.cli").joinpath("manual.json").is_file()
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
    """An empty environment with the wheel and what it says it depends on, and nothing from a network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "contracts"
    shutil.copytree(CONTRACTS, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    await run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    (wheel,) = folder.glob("dsr_contracts-*.whl")
    environment = folder / "venv"
    await run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    await run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    (packages,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        required = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    copy_distributions(required, packages)
    return environment / "bin"


def copy_distributions(required: Iterable[str], packages: Path) -> None:
    """Copies what these requirements need, and what that needs, from the environment of the tests."""
    wanted, seen = [Requirement(text) for text in required], set[tuple[str, tuple[str, ...]]]()
    while wanted:
        requirement = wanted.pop()
        extras = ("", *sorted(requirement.extras))
        if (requirement.name, extras) in seen:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        distribution = importlib.metadata.distribution(requirement.name)
        assert requirement.specifier.contains(distribution.version), requirement
        for text in distribution.requires or []:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                inner.marker = None
                wanted.append(inner)
        seen.add((requirement.name, extras))
        for file in distribution.files or []:
            if ".." not in file.parts and not file.name.endswith(".pyc"):
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


async def test_imports_by_itself(environment: Path) -> None:
    await run(environment / "python", "-I", "-W", "error", "-c", IMPORTS)


async def test_command(environment: Path, platform: Platform) -> None:
    _, text = await run(environment / "dsr", "--help")
    assert "erasure" in text
    common = ("--target", platform.target, "--credential", platform.credential_file, "--actor", "clerk-7")
    _, text = await run(environment / "dsr", "access", "get", "1", "--json", *common)
    assert f'"{PARTNER}/accessRequests/1"' in text
    assert platform.calls[0].rpc == "GetAccessRequest"
