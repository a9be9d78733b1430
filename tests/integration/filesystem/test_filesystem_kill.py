"""kill -9 between any two steps of an erasure: the next attempt finishes it and tells the truth."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.filesystem.folder import Folder, deleted, person
from tests.integration.filesystem.kill_driver import KEPT, KILLED

ALL = {"avatars": 1, "letters": 4, "events": 1}
OTHERS = [
    "avatars",
    "avatars/70.png",
    "events",
    "events/a.jsonl",
    "letters",
    "letters/70",
    "letters/70/2024",
    "letters/70/2024/c",
]
OTHERS += ["letters/70/2024/deep", "letters/70/2024/deep/d", "letters/70/a", "letters/70/b"]
Lines = Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def killed(place: Path) -> Lines:
    command = [sys.executable, "-m", "tests.integration.filesystem.kill_driver", str(place)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_after_a_kill_at_any_step_the_next_attempt_finishes(killed: Lines) -> None:
    lines = [line for line in killed if line["kind"] == "once"]
    assert len(lines) > 20
    outcomes = []
    for line in lines:
        first, second, third = line["answers"]
        assert (line["tree"], line["lake"]) == (OTHERS, KEPT.decode()), line["step"]
        assert second["deleted"] == third["deleted"] == ALL, line["step"]
        assert third["outcome"] == "OUTCOME_REPLAYED"
        outcomes.append(second["outcome"])
        assert (first is None) == (line is not lines[-1])
    # Before the intent is durable the next attempt begins anew; then it finishes; after the outcome it replays.
    order = ["OUTCOME_ERASED", "OUTCOME_RECONSTRUCTED", "OUTCOME_REPLAYED"]
    assert outcomes == sorted(outcomes, key=order.index)
    assert set(outcomes) == set(order)


def test_after_several_kills_as_well(killed: Lines) -> None:
    lines = [line for line in killed if line["kind"] == "many"]
    assert len(lines) == 12
    for line in lines:
        assert (line["tree"], line["lake"]) == (OTHERS, KEPT.decode())
        assert all(answer["deleted"] == ALL for answer in line["answers"] if answer is not None)
        assert line["answers"][-1]["outcome"] == "OUTCOME_REPLAYED"


def test_where_the_journal_cannot_be_written_nothing_is_removed(killed: Lines) -> None:
    (line,) = (line for line in killed if line["kind"] == "full")
    assert line["step"] == 0
    assert "avatars/7.png" in line["tree"]
    assert "letters/7/2024/deep/d" in line["tree"]


async def test_what_came_in_between_is_left_alone_and_seen(killed: Lines, place: Path) -> None:
    """The intent is half done; then a new file and a changed one come before the next attempt."""
    (line,) = (line for line in killed if line["kind"] == "half")
    assert "avatars/7.png" not in line["tree"]
    folder = Folder(place / "half", KILLED)
    folder.put("letters/7/new", b"new")
    folder.put("letters/7/2024/deep/d", b"changed since")
    erased = await folder.erase(person(customer_number="7"), task="task", attempt=2)
    assert erased.outcome == erased.OUTCOME_RECONSTRUCTED
    assert deleted(erased) == {"avatars": 1, "letters": 3, "events": 1}
    assert (folder.root / "letters/7/2024/deep/d").read_bytes() == b"changed since"
    assert await folder.verify(person(customer_number="7")) == {"letters": (0, 2)}


def test_a_folder_that_may_not_be_changed_blocks_before_anything_is_done(tmp_path: Path) -> None:
    """As an ordinary user: root may do everything."""
    script = """
import asyncio, json, os, sys
from pathlib import Path
from tests.integration.filesystem.folder import BOTH, Folder, person
base = Path(sys.argv[1])
folder = Folder(base, BOTH)
folder.put("avatars/7.png"); folder.put("letters/7/a")
os.chmod(folder.root / "letters/7", 0o555)
if os.geteuid() == 0:
    os.chown(base, 65534, 65534)
    for path in base.rglob("*"):
        os.chown(path, 65534, 65534)
    os.setgid(65534); os.setuid(65534)
erased = asyncio.run(folder.erase(person(customer_number="7")))
probe = asyncio.run(folder.backend.probe())
print(json.dumps([erased.outcome, [f.code for f in erased.findings], folder.tree()]))
"""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "it")], check=True, capture_output=True, text=True, timeout=60
    )
    outcome, findings, tree = json.loads(run.stdout)
    assert (outcome, findings) == (6, ["NOT_PERMITTED"])
    assert tree == ["avatars", "avatars/7.png", "letters", "letters/7", "letters/7/a"]
