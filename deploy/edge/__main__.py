"""`python -m deploy.edge --trust FILE FOLDER`: writes what the edge believes, from the trust file. `--watch`: goes on
doing so whenever the trust file changes, until it is told to end."""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from deploy.edge import write_issuers
from dsrkit import log

_SECONDS = 2.0


async def watch(trust: Path, folder: Path) -> None:
    """Writes at the start and after every change; a trust file that can't be read leaves things as they are."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stamp: tuple[int, int] | None = None
    while not stop.is_set():
        stamp = _write_if_changed(trust, folder, stamp)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _SECONDS)


def _write_if_changed(trust: Path, folder: Path, stamp: tuple[int, int] | None) -> tuple[int, int] | None:
    try:
        stat = trust.stat()
        now = (stat.st_mtime_ns, stat.st_ino)
        if now == stamp:
            return stamp
        write_issuers(trust, folder)
    except (OSError, ValueError, KeyError) as error:
        log.get_logger().error("issuers.unreadable", error=error)
        return stamp
    log.get_logger().info("issuers.written")
    return now


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.edge", description=__doc__)
    parser.add_argument("--trust", type=Path, required=True, help="the trust file")
    parser.add_argument("--watch", action="store_true", help="go on, and write again when the trust file changes")
    parser.add_argument("folder", type=Path, help="the edge's folder issuers/")
    arguments = parser.parse_args()
    log.configure("edge")
    if arguments.watch:
        asyncio.run(watch(arguments.trust, arguments.folder))
    else:
        write_issuers(arguments.trust, arguments.folder)


if __name__ == "__main__":
    main()
