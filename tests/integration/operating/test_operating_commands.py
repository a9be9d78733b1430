"""Every command of docs/operating.md is run, in the document's order, or stands under *cluster*."""

import asyncio
import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from dsr import cli
from dsr.cli.terminal import Terminal

from connectors.config import HostConfig
from deploy.database import SCHEMAS
from deploy.local.postgres import Cluster
from dsrkit.requests.runtime import Config as RightConfig
from gateway.config import Config as GatewayConfig
from services.governance.config import Config as GovernanceConfig

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operating.md").read_text()
PROCESSES = {
    "governance": GovernanceConfig,
    "access, portability, erasure": RightConfig,
    "gateway": GatewayConfig,
    "connector host": HostConfig,
}


@dataclass(frozen=True)
class Block:
    """A fenced block: `bash` with commands, or a file of the name after its language."""

    language: str
    file: str
    text: str
    needs_cluster: bool


def blocks(page: str) -> list[Block]:
    found = []
    for match in re.finditer(r"^```(\w+) ?(\S*)\n(.*?)^```$", page, re.M | re.S):
        before = page[: match.start()].rstrip().rsplit("\n", 1)[-1]
        found.append(Block(match[1], match[2], match[3], before.startswith("*cluster*")))
    return found


BLOCKS = blocks(PAGE)
RUN = [block for block in BLOCKS if not block.needs_cluster and (block.language == "bash" or block.file)]


@pytest.mark.parametrize("process", PROCESSES)
def test_the_page_names_what_each_process_needs(process: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {process} |"))
    needed = [field.name for field in dataclasses.fields(PROCESSES[process]) if field.default is dataclasses.MISSING]
    assert set(re.findall(r"DSR_\w+", row)) == {f"DSR_{name.upper()}" for name in needed}


def test_the_page_names_no_setting_that_isnt_there() -> None:
    known = {f"DSR_{field.name.upper()}" for kind in PROCESSES.values() for field in dataclasses.fields(kind)}
    command: Any = typer.main.get_command(cli.build(Terminal(), ()))
    known |= {parameter.envvar for parameter in command.params}
    assert set(re.findall(r"\bDSR_[A-Z_]*[A-Z]\b", PAGE)) <= known


def test_every_file_and_module_of_the_page_is_there() -> None:
    for module in re.findall(r"python -m ([a-z.]+)", PAGE):
        assert importlib.util.find_spec(module), module
    for path in re.findall(r"`((?:docs|deploy|dsrkit|services|gateway|connectors|tests)/[\w./-]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(#([\w-]+)\)", PAGE):
        headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", PAGE, re.M)}
        assert target in headings, target


def test_no_command_is_outside_of_a_block() -> None:
    assert not re.findall(r"^    \S", re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S), re.M)
    assert len(RUN) >= 10


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of its own: the commands make roles, which belong to the cluster."""
    with tempfile.TemporaryDirectory(prefix="dsr-operating-") as folder:
        Path(folder).chmod(0o755)  # for root the server runs as nobody, who must reach its data
        with Cluster.start(Path(folder) / "postgres", fsync=False) as started:
            yield started


def _run(cluster: Cluster, folder: Path) -> "subprocess.CompletedProcess[str]":
    for block in RUN:
        if block.file:
            (folder / block.file).write_text(block.text)
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join(block.text for block in RUN if not block.file)],
        cwd=folder,
        env={
            "PATH": f"{Path(sys.executable).parent}:{cluster.programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(cluster.port),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
            "PGPASSWORD": cluster.password,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_every_command_does_what_the_page_says(cluster: Cluster, tmp_path: Path) -> None:
    done = await asyncio.to_thread(_run, cluster, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 sources can be served" in done.stdout
    secrets = tmp_path / "secrets"
    await _restored_as_it_was(cluster, (secrets / "erasure").read_text().strip())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (secrets, *secrets.iterdir()))


async def _restored_as_it_was(cluster: Cluster, password: str) -> None:
    applied = {
        name: cluster.execute("SELECT schema_name, name FROM dsr.migration ORDER BY 1, 2", name)
        for name in ("dsr", "restored")
    }
    assert applied["restored"] == applied["dsr"]
    assert set(SCHEMAS) <= {line.split("|")[0] for line in applied["restored"].splitlines()}
    # With the password that was rotated in between, and behind the same walls.
    connection = await asyncpg.connect(cluster.dsn("restored", "dsr_erasure", password))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no current partner"):
            await connection.execute("SELECT 1 FROM erasure.request")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TEMP TABLE mine (partner text)")
    finally:
        await connection.close()
