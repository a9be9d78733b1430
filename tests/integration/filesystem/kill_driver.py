"""Run as a process: kills an erasure before each of its changes to the disk, and lets the next attempt finish.

`python -m tests.integration.filesystem.kill_driver <folder>` prints one JSON object a line. Children are forked from
one warm process, so that a kill costs milliseconds. Nothing in the connector knows of it: the calls that reach the disk
are counted from outside.
"""

import asyncio
import json
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb

from tests.integration.filesystem.folder import BOTH, Folder, deleted, person

SEVEN = person(customer_number="7")
IDENTITY = {"customer_number": {"field": "id", "unique": True}}
KILLED = {**BOTH, "events": {"lake": "events/*.jsonl", "format": "jsonl", "identity": IDENTITY}}
KEPT = b'{"id": "70"}\n'
STEPS = ("unlink", "rmdir", "fsync", "replace", "mkdir")


def fresh(base: Path) -> Folder:
    """Two people's files and records, no journal."""
    shutil.rmtree(base, ignore_errors=True)
    folder = Folder(base, KILLED)
    folder.put("events/a.jsonl", b'{"id": "7"}\n' + KEPT)
    for number in ("7", "70"):
        folder.put(f"avatars/{number}.png")
        for name in ("a", "b", "2024/c", "2024/deep/d"):
            folder.put(f"letters/{number}/{name}")
    return folder


def kill_before(step: int, names: Sequence[str] = STEPS) -> None:
    """From now on, the `step`-th call (from 0) of `names` is not made: the process is killed instead."""
    made = 0

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            nonlocal made
            if made == step:
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            return call(*args, **options)

        return counted

    for name in names:
        setattr(os, name, counting(getattr(os, name)))


def attempt(folder: Folder, number: int, before: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """One attempt in a child of its own; None if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        before()
        erased = asyncio.run(Folder(folder.base, KILLED).erase(SEVEN, task="task", attempt=number))
        answer = {"outcome": pb.Erased.Outcome.Name(erased.outcome), "deleted": deleted(erased)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answered = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(answered)) if answered else None


def tell(folder: Folder, kind: str, step: int, answers: list[dict[str, Any] | None]) -> None:
    """One line of result."""
    lake = (folder.root / "events/a.jsonl").read_bytes().decode()
    line = {"kind": kind, "step": step, "answers": answers, "tree": folder.tree(), "lake": lake}
    sys.stdout.write(json.dumps(line) + "\n")


def every_step(base: Path) -> int:
    """Killed once, at each step; then an undisturbed attempt, then another."""
    step = 0
    while True:
        folder = fresh(base)
        first = attempt(folder, 1, partial(kill_before, step))
        tell(folder, "once", step, [first, attempt(folder, 2), attempt(folder, 3)])
        if first is not None:
            return step
        step += 1


def many_kills(base: Path, steps: int, rounds: int) -> None:
    """Killed at random steps, several times, before an undisturbed attempt."""
    chance = random.Random(4711)
    for _ in range(rounds):
        folder = fresh(base)
        number, answers = 1, []
        for number in range(1, chance.randint(2, 6)):
            at = chance.randrange(steps)
            answers.append(attempt(folder, number, lambda at=at: kill_before(at)))  # type: ignore[misc]
        tell(folder, "many", number, [*answers, attempt(folder, 10), attempt(folder, 11)])


def journal_full(base: Path) -> None:
    """The journal can't be written: nothing may be removed."""

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    folder = fresh(base)
    child = os.fork()
    if child == 0:
        full()
        try:
            asyncio.run(Folder(folder.base, KILLED).erase(SEVEN))
        except Exception as error:
            os._exit(0 if getattr(error, "reason", "") == "SOURCE_UNAVAILABLE" else 1)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    tell(folder, "full", os.waitstatus_to_exitcode(status), [])


def half_done(base: Path) -> None:
    """Killed between the first file and the second; nobody tries again here."""
    folder = fresh(base)
    tell(folder, "half", 1, [attempt(folder, 1, partial(kill_before, 1, ("unlink",)))])


if __name__ == "__main__":
    half_done(Path(sys.argv[1]) / "half")
    place = Path(sys.argv[1]) / "killed"
    many_kills(place, every_step(place), rounds=12)
    journal_full(place)
