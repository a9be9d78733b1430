"""Running services that many tests use one after the other, each as if they were new.

Nothing of a test may reach the next one. So everything is taken out at an instant at which nothing is in hand: no call,
no task, no chore, no record that waits to be written; and the event loop stands still until it is out. Services that
don't come to rest, or that a test has restarted, are closed, and the next test gets new ones.
"""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.postgres import Cluster
from tests.support.services import World, connected, open_services

PATIENCE = 2.0
"""Seconds in which services come to rest, or are closed."""
_REMEMBER = Path(__file__).with_suffix(".sql")


@dataclass
class House:
    """The services that are running, if any, and how they were when nobody had lived there."""

    cluster: Cluster
    template: str
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _world: World | None = None
    _database: str = ""
    _files: frozenset[Path] = frozenset()
    _trust: bytes = b""

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        """For one test: everything is running, and the partner has no grace period."""
        world = self._world or await self._open()
        clean = False
        try:
            async with connected(world):
                yield world
            clean = await self._vacated(world)
        finally:
            if not clean:
                await self.close()

    async def close(self) -> None:
        """Ends the services."""
        self._world = None
        await self._stack.aclose()

    async def _open(self) -> World:
        self._database = f"rights_{secrets.token_hex(6)}"
        self.cluster.create_database(self._database, template=self.template)
        self._stack.callback(self.cluster.drop_database, self._database)
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dsr-rights-")))
        self._world = await self._stack.enter_async_context(open_services(folder, self.cluster, self._database))
        self._remember(folder)
        return self._world

    def _remember(self, folder: Path) -> None:
        self.cluster.execute(_REMEMBER.read_text(), self._database)
        self._files, self._trust = frozenset(folder.rglob("*")), (folder / "trust.json").read_bytes()

    async def _vacated(self, world: World) -> bool:
        """Whether everything of the test is out; False when the services can't be used by another one."""
        ends = asyncio.get_running_loop().time() + PATIENCE
        while any(server.in_hand for server in world.servers.values()):
            if asyncio.get_running_loop().time() > ends:
                return False
            await asyncio.sleep(0.005)
        if world.starts != len(world.ports):
            return False
        self._restore(world)
        return True

    def _restore(self, world: World) -> None:
        """Without an await in it: nothing happens meanwhile."""
        self.cluster.execute("CALL pristine.restore()", self._database)
        for path in sorted(set(world.folder.rglob("*")) - self._files, reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        trust = world.folder / "trust.json"
        if trust.read_bytes() != self._trust:
            trust.write_bytes(self._trust)
        world.clock = World.clock
