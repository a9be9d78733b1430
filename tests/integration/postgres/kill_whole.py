"""Run as a process: destroys the shop's slice, and is killed where the arguments say.

`python -m tests.integration.postgres.kill_whole <dsn> <attempt> <caps as JSON> [inside|behind <number>]`: within the
number-th transaction (from 0), its rows deleted and noted and nothing committed; or right behind its commit. Nothing in
the connector knows of it. Prints the answer as JSON, if it lives to have one.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational import destroy
from connectors.relational.destroy import Destroyer
from connectors.relational.journal import Journal
from tests.integration.postgres.harness import backend, declaration
from tests.integration.postgres.whole import destroyed


def kill_at(where: str, number: int) -> None:
    """Arranges it."""
    made = 0

    def here() -> None:
        nonlocal made
        if made == number:
            os.kill(os.getpid(), signal.SIGKILL)
        made += 1

    record, some = Journal.record, Destroyer._some

    async def inside(*args: Any) -> None:
        await record(*args)
        here()

    async def behind(*args: Any) -> int:
        found = await some(*args)
        here()
        return found

    if where == "inside":
        Journal.record = inside  # type: ignore[assignment, method-assign]
    else:
        Destroyer._some = behind  # type: ignore[assignment, method-assign]


async def main(arguments: Sequence[str]) -> None:
    dsn, attempt, limits, *kill = arguments
    destroy.ROWS = 20
    if kill:
        kill_at(kill[0], int(kill[1]))
    source = backend(dsn, declaration())
    done = await destroyed(source, json.loads(limits), int(attempt))
    answer = {
        "outcome": pb.Destroyed.Outcome.Name(done.outcome),
        "destroyed": {c.collection: c.destroyed for c in done.collections},
        "left": sum(c.left for c in done.collections),
    }
    sys.stdout.write(json.dumps(answer))
    await source.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
