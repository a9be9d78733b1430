"""A person with 80,001 rows: nobody holds them in memory, and nobody waits for long."""

import logging
import time
from collections.abc import Awaitable
from pathlib import Path

import psutil
import pytest

from deploy.local.package import Package
from deploy.local.story import NOT_PORTED
from tests.support.e2e import World, erased_once

log = logging.getLogger(__name__)
ROWS = 80_001
MOST_MEGABYTES = 300


def peaks(world: World) -> dict[str, int]:
    """The most memory that each process ever had, in megabytes; where the system doesn't say, what it has now."""
    found = {}
    for name in world.platform.programs:
        status = Path(f"/proc/{world.platform.pid(name)}/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            found[name] = int(line.split()[1]) // 1024
        else:
            found[name] = psutil.Process(world.platform.pid(name)).memory_info().rss // 1024**2
    return found


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_nobody_holds_eighty_thousand_rows_in_memory(world: World, tmp_path: Path) -> None:
    person = await world.person()
    rest = sum(person.counts.values()) - person.page_views
    person = await world.person(page_views=ROWS - rest)
    assert sum(person.counts.values()) == ROWS
    before = await world.look(person)

    async def timed(what: str, work: Awaitable[str]) -> str:
        begin = time.monotonic()
        name = await work
        await world.in_state(name, "COMPLETED", patience=120)
        # Seen with --log-cli-level=INFO.
        log.info("%s: %.1f s, megabytes at most: %s", what, time.monotonic() - begin, peaks(world))
        return name

    access = await timed("access", world.copy(person))
    package = Package.unpack(await world.api.download(world.clerk, access, tmp_path))
    assert package.counts("shop") == person.counts
    formats = {"formats": ["FORMAT_CSV", "FORMAT_PARQUET"]}
    portability = await timed("portability", world.copy(person, "portabilityRequests", **formats))
    package = Package.unpack(await world.api.download(world.clerk, portability, tmp_path))
    assert package.counts("shop") == {name: rows for name, rows in person.counts.items() if name not in NOT_PORTED}

    async def erasure() -> str:
        name = await world.erasure(person)
        await world.approve(name)
        return name

    name = await timed("erasure", erasure())
    erased_once(before, await world.look(person), await world.api.get(world.clerk, name))
    assert {process: size for process, size in peaks(world).items() if size > MOST_MEGABYTES} == {}
