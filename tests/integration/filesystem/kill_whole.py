"""Run as a process: kills the destruction of a folder before each of its changes to the disk; then it goes on.

`python -m tests.integration.filesystem.kill_whole <folder> [step …]` prints one JSON object a line. As `kill_driver`.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from tests.integration.filesystem.folder import BOTH, SOURCE, Folder, instruct
from tests.integration.filesystem.kill_driver import kill_before

IDENTITY = {"customer_number": {"field": "id", "unique": True}}
WHOLE: dict[str, Any] = {
    **BOTH,
    "events": {"lake": "events/**/*.jsonl", "format": "jsonl", "identity": IDENTITY},
    "assets": {"pattern": "assets/*", "no_personal_data": True},
}
CAPS = {"avatars": 2, "letters": 4, "events": 2, "assets": 1}


def fresh(base: Path) -> Folder:
    """Two people's files, a lake with what a kill left beside a file of it, and something that nobody declared."""
    shutil.rmtree(base, ignore_errors=True)
    folder = Folder(base, WHOLE)
    for number in ("7", "70"):
        folder.put(f"avatars/{number}.png")
        folder.put(f"letters/{number}/a.txt")
        folder.put(f"letters/{number}/2024/deep/b.txt")
    folder.put("events/a.jsonl", b'{"id": "7"}\n')
    folder.put("events/2025/b.jsonl", b'{"id": "70"}\n')
    folder.put("events/.a.jsonl.dsr-1-2-3", b'{"id": "7"}\n')
    folder.put("assets/logo.svg")
    folder.put("avatars/readme.txt")
    return folder


async def destroy(folder: Folder, number: int, *, caps: dict[str, int] | None = None, count_only: bool = False) -> Any:
    """One attempt."""
    instructions = [instruct(name) for name in (CAPS if caps is None else caps)]
    for instruction in instructions:
        instruction.cap = (caps or CAPS)[instruction.collection]
    grant = Grant(
        source=SOURCE, operation=Grant.OPERATION_DESTROY, task="end", attempt=number, instructions=instructions
    )
    request = pb.DestroyRequest(count_only=count_only)
    return [m.destroyed async for m in folder.backend.destroy(request, grant) if m.HasField("destroyed")][-1]


def attempt(folder: Folder, number: int, before: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """One attempt in a child of its own; None if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        before()
        done = asyncio.run(destroy(Folder(folder.base, WHOLE), number))
        answer = {
            "outcome": pb.Destroyed.Outcome.Name(done.outcome),
            "destroyed": {c.collection: c.destroyed for c in done.collections},
            "left": sum(c.left for c in done.collections),
        }
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answered = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(answered)) if answered else None


if __name__ == "__main__":
    # At these steps; else at every one, until there is none left to be killed at.
    for step in map(int, sys.argv[2:]) if sys.argv[2:] else count():
        folder = fresh(Path(sys.argv[1]))
        first = attempt(folder, 1, partial(kill_before, step))
        answers = [first, attempt(folder, 2), attempt(folder, 3)]
        sys.stdout.write(json.dumps({"step": step, "answers": answers, "tree": folder.tree()}) + "\n")
        if first is not None:
            break
