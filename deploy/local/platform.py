"""The whole platform on this machine: every service a process of its own, on loopback. For `make run` and for tests."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.postgres import Cluster
from deploy.local.process import Process
from deploy.local.programs import (
    RIGHTS,
    Program,
    credential_path,
    make_database,
    make_empty,
    make_keys,
    make_programs,
)

READY_SECONDS = 60.0


@dataclass
class Platform:
    """The running processes: `governance`, `access`, `portability`, `erasure`, `gateway`, and the connector hosts."""

    folder: Path
    cluster: Cluster
    programs: Mapping[str, Program]
    logs: Path
    _processes: dict[str, Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The gateway's address, `http://host:port`."""
        return f"http://{self.address('gateway')}"

    def address(self, name: str) -> str:
        """`host:port` of a process."""
        return self.programs[name].address

    def credential(self, name: str) -> Path:
        """Credential file of the issuer `operator`, of a partner (`acme`), or of a service."""
        return credential_path(self.folder, name)

    @property
    def ledger_key(self) -> Path:
        """The ledger's public key, as the operator published it."""
        return self.folder / "ledger.vkey"

    def pid(self, name: str) -> int:
        """The process id."""
        return self._processes[name].pid

    def start(self, name: str) -> None:
        """Starts a process that isn't running; doesn't wait for it."""
        program = self.programs[name]
        kept = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV")
        base = {variable: os.environ[variable] for variable in kept if variable in os.environ}
        self._processes[name] = Process.start(
            name,
            [sys.executable, "-m", program.module],
            log=self.logs / f"{name}.log",
            env={**base, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", **program.env},
        )

    async def ready(self, name: str) -> None:
        """Waits until a process answers that it serves. ProcessEnded, with its last lines, if it ends instead."""
        program, process = self.programs[name], self._processes[name]
        check = _http_ready if program.speaks_http else _grpc_ready
        asking, ended = asyncio.create_task(check(program.address)), asyncio.create_task(process.ended())
        try:
            await asyncio.wait({asking, ended}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            process.require_running()
            if not asking.done():
                raise TimeoutError(f"{name} runs but doesn't serve; see {process.log}")
            asking.result()
        finally:
            await _cancel(asking, ended)

    def kill(self, name: str) -> None:
        """Kills one process with SIGKILL."""
        self._processes[name].kill()

    async def restart(self, name: str) -> None:
        """Starts a process again, on the same address; stops it first if it runs. Waits until it is ready."""
        await asyncio.to_thread(self._processes[name].stop)
        self.start(name)
        await self.ready(name)

    async def first_death(self) -> None:
        """Waits until any process ends, and raises ProcessEnded with its name and last lines."""
        waiting = [asyncio.create_task(process.ended()) for process in self._processes.values()]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(*waiting)
        for process in self._processes.values():
            process.require_running()

    async def stop(self) -> None:
        """Ends everything: first those who call, then those who are called."""
        for group in (("gateway",), RIGHTS, tuple(self._processes)):
            stopping = [self._processes.pop(name) for name in group if name in self._processes]
            for process in stopping:
                process.ask_to_stop()
            await asyncio.gather(*(asyncio.to_thread(process.wait) for process in stopping))


@asynccontextmanager
async def open_platform(
    folder: Path,
    cluster: Cluster,
    hosts: Mapping[str, Callable[[Path], Path]],
    *,
    partners: tuple[str, ...] = ("acme", "acme-sandbox"),
    database: str = "dsr",
    gateway_port: int = 0,
    logs: Path | None = None,
    extra_env: Mapping[str, Mapping[str, str]] | None = None,
) -> AsyncIterator[Platform]:
    """Starts everything, with new keys and an empty database, and waits until all of it serves.

    `folder` is emptied. `hosts`: connector hosts by name; each is given the file with governance's public keys and
    returns its configuration file. `extra_env`: further variables by process.
    """
    make_empty(folder)
    urls = await make_database(cluster, database)
    grant_keys = make_keys(folder, partners)
    configs = {name: make(grant_keys) for name, make in hosts.items()}
    programs = make_programs(folder, urls, configs, gateway_port, extra_env or {})
    platform = Platform(folder, cluster, {program.name: program for program in programs}, logs or folder / "logs")
    try:
        for name in platform.programs:
            platform.start(name)
        await asyncio.gather(*(platform.ready(name) for name in platform.programs))
        yield platform
    finally:
        await platform.stop()


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _grpc_ready(address: str) -> None:
    """Returns when the server answers for its health; it does so once all of it is set up."""
    backoff = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))
    async with grpc.aio.insecure_channel(address, options=backoff) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the library's types name no methods
        await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)


async def _http_ready(address: str) -> None:
    """Returns when the gateway reaches every service."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            with suppress(httpx.TransportError):
                answer = await client.get(f"http://{address}/readyz")
                # It is ready with one service; here all of them are started, and called at once.
                if answer.status_code == 200 and all(answer.json()["services"].values()):
                    return
            await asyncio.sleep(0.05)
