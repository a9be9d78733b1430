"""Builds and runs examples/connector-typescript, as a partner would: npm ci, npm run build, node."""

import asyncio
import copy
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "connector-typescript"
PROTOS = EXAMPLE.parents[1] / "protos"
NODE = 20


def built() -> Path:
    """The program's start file, built from the sources as they are. Skips, or fails in CI, without Node.js and npm."""
    _require_node()
    with _alone():
        lock = EXAMPLE / "package-lock.json"
        _once(
            EXAMPLE / "node_modules" / ".installed", [lock, EXAMPLE / "package.json"], "ci", "--no-audit", "--no-fund"
        )
        protos = EXAMPLE.parents[1] / "protos"
        sources = [lock, EXAMPLE / "package.json", EXAMPLE / "tsconfig.json"]
        sources += sorted(
            [*(EXAMPLE / "src").glob("*.ts"), *EXAMPLE.glob("protos/**/*.proto"), *protos.rglob("*.proto")]
        )
        _once(EXAMPLE / "dist" / ".built", sources, "run", "build")
    return EXAMPLE / "dist" / "main.js"


def _require_node() -> None:
    own = EXAMPLE.parents[1] / ".build" / "node" / "bin"  # scripts/servers.sh start node
    if (own / "npm").exists() and str(own) not in os.environ["PATH"]:
        os.environ["PATH"] = f"{own}:{os.environ['PATH']}"
    reason = ""
    if not (shutil.which("node") and shutil.which("npm")):
        reason = "node and npm are not installed"
    else:
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        if int(version.lstrip("v").split(".")[0]) < NODE:
            reason = f"node is {version.strip()}"
    if reason:
        reason = f"examples/connector-typescript is not tested: {reason}, and Node.js {NODE} with npm is needed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def _alone() -> Iterator[None]:
    """Test runs at the same time must not build into each other."""
    with (EXAMPLE / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _once(stamp: Path, inputs: list[Path], *npm: str) -> None:
    """Runs npm unless it ran with these very inputs before."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in inputs)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    done = subprocess.run(["npm", *npm], cwd=EXAMPLE, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, f"npm {' '.join(npm)}: {done.stdout}{done.stderr}"
    stamp.write_text(digest)


@dataclass
class Shop:
    """A configuration of the connector in a folder, with keys that the platform made there."""

    folder: Path
    source: str
    config: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, source: str, keys: str, content: Mapping[str, Any], **limits: Any) -> "Shop":
        """`keys` is the grant JWK set in `folder`; the trust file there is trust.json."""
        (folder / "webshop.key").write_bytes(secrets.token_bytes(32))
        entry = {"fingerprintKey": "webshop.key", "maxRecordsPerSubject": 1000, "maxPeoplePerDay": 1000, **limits}
        sources = {source: {"store": "webshop.json", **entry}, f"{source}-down": {"store": "nowhere.json", **entry}}
        config = {"listen": "127.0.0.1:0", "trust": "trust.json", "grantKeys": keys, "sources": sources}
        shop = cls(folder, source, config)
        shop.write(content)
        return shop

    @property
    def store(self) -> Path:
        return self.folder / "webshop.json"

    def write(self, content: Mapping[str, Any]) -> None:
        """Gives the store these collections."""
        self.store.write_text(json.dumps({"collections": content}))

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """The collections, from the store's own file."""
        collections: dict[str, list[dict[str, Any]]] = json.loads(self.store.read_text())["collections"]
        return collections

    @property
    def config_file(self) -> Path:
        path = self.folder / "connector.json"
        path.write_text(json.dumps(self.config))
        return path


@dataclass
class Running:
    """The process, and what it has logged so far."""

    process: asyncio.subprocess.Process
    target: str
    lines: list[str]

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self.process.wait()


async def _node(main: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec("node", str(main), *arguments, stdout=pipe, stderr=pipe)


@asynccontextmanager
async def run(main: Path, shop: Shop) -> AsyncIterator[Running]:
    """Starts the connector on a free port, and ends it by SIGTERM; it must end with 0, and write nothing to stderr."""
    process = await _node(main, "--config", str(shop.config_file))
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    lines: list[str] = []
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        assert line, f"the connector did not start: {(await errors).decode()}"
        reading = asyncio.create_task(_collect(process.stdout, lines))
        running = Running(process, json.loads(line)["listening"].replace("0.0.0.0", "127.0.0.1"), lines)  # noqa: S104
        yield running
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(15):
                assert await process.wait() == 0
        assert (await errors).decode() == ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if reading is not None:
            await reading
        await errors


async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode())


async def check(main: Path, shop: Shop) -> tuple[int, str]:
    """Exit code and stderr of `--check`."""
    process = await _node(main, "--check", "--config", str(shop.config_file))
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    return process.returncode or 0, errors.decode()


_TIME = "2026-01-05T10:00:00Z"
ANN: dict[str, list[dict[str, Any]]] = {
    "customers": [{"id": "1", "customer_number": "7", "email": "ann@example.com", "name": "Ann B", "created": _TIME}],
    "orders": [
        {"id": "o1", "customer_number": "7", "item": "tea", "total": 9.5, "gift_for": None},
        {"id": "o2", "customer_number": "7", "item": "café – ☕", "total": 12, "gift_for": "Uncle Bob"},
    ],
    "newsletter": [{"id": "n1", "email": "Ann@Example.com", "since": _TIME}],
}
JOANN: dict[str, list[dict[str, Any]]] = {
    "customers": [
        {"id": "2", "customer_number": "70", "email": "joann@example.com", "name": "Joann", "created": _TIME}
    ],
    "orders": [{"id": "o3", "customer_number": "70", "item": "tea", "total": 1, "gift_for": None}],
    "newsletter": [{"id": "n2", "email": "joann@example.com", "since": _TIME}],
}
PRODUCTS = {"products": [{"id": "p1", "name": "tea", "price": 9.5}]}


def content(*people: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """A store with these people, and products."""
    names = ("customers", "orders", "newsletter")
    records = {name: [record for person in people for record in person.get(name, ())] for name in names}
    return copy.deepcopy({**records, **PRODUCTS})
