"""Stops a process at a named point of its work: its database makes it wait there. See e2e_failpoints.sql."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import asyncpg

from tests.support.e2e import DATABASE, World, until

RIGHTS = ("access", "portability", "erasure")
_SAID = 4_000
"""Characters of a process's log."""


@dataclass
class Failpoint:
    """An armed point."""

    world: World = field(repr=False)
    point: str
    key: int
    _holder: asyncpg.Connection = field(repr=False)

    async def reached(self) -> None:
        """Waits until somebody waits here. If nobody comes, the error says what the process did instead."""

        async def somebody() -> bool:
            return bool(await self._holder.fetchval(_sql()["reached"], self.key))

        try:
            await until(somebody, f"{self.point} is reached")
        except AssertionError as error:
            raise AssertionError(f"{error}; last it said:\n{self.world.log(self.process)[-_SAID:]}") from None

    @property
    def process(self) -> str:
        """Who comes to it: a service, or the shop's host."""
        service, _, step = self.point.partition(" ")
        return service if step else "shop"

    async def clear(self) -> None:
        """Undoes what waits here: the connections of a process that was killed outlive it, in the database's eyes."""
        await self._holder.fetchval(_sql()["clear"], self.key)

    async def release(self) -> None:
        """Lets whoever waits go on, and nobody wait here any more."""
        if not self._holder.is_closed():
            await self._holder.execute(_sql()["disarm"], self.point)
            await self._holder.close(timeout=5)


@asynccontextmanager
async def failpoint(world: World, point: str) -> AsyncIterator[Failpoint]:
    """Arms a point: `erasure storing verify shop` in the platform's database, `erasing` or `erased` in the shop's."""
    dsn = world.platform_db.dsn(DATABASE) if " " in point else world.setting.dsn
    holder = await asyncpg.connect(dsn)
    key = await holder.fetchval(_sql()["arm"], point)
    await holder.fetchval(_sql()["hold"], key)
    armed = Failpoint(world, point, key, holder)
    try:
        yield armed
    finally:
        await armed.release()


async def install(world: World) -> None:
    """Puts the points where they are. An erasure must have been done before, for the journal is made by the first."""
    async with world.store() as connection:
        await connection.execute(_sql()["install"])
        for schema in RIGHTS:
            await connection.execute(_sql()["on_tasks"].replace("{schema}", schema))
    async with world.shop() as connection:
        await connection.execute(_sql()["install"])
        await connection.execute(_sql()["on_journal"])


@cache
def _sql() -> dict[str, str]:
    text = Path(__file__).with_suffix(".sql").read_text()
    blocks = re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]
    return {name.strip(): body.strip() for name, _, body in (block.partition("\n") for block in blocks)}
