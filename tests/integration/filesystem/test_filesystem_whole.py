"""Return and Destroy of a whole folder, lakes and all: every declared file, and nothing else."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from dsrkit.errors import DsrError
from tests.integration.filesystem.folder import SOURCE, Folder
from tests.integration.filesystem.kill_whole import CAPS, destroy, fresh

STAYS = ["assets", "avatars", "avatars/readme.txt", "events", "letters"]


async def returned(folder: Folder) -> dict[str, dict[str, bytes]]:
    """Path to content, by collection; checked as it comes."""
    grant = Grant(source=SOURCE, operation=Grant.OPERATION_RETURN, task="return", attempt=1)
    found: dict[str, dict[str, bytes]] = {}
    data, name, total = b"", "", 0
    async for message in folder.backend.give_back(pb.ReturnRequest(), grant):
        match message.WhichOneof("part"):
            case "header":
                data, name = b"", message.header.collection
            case "data":
                data += message.data
            case "trailer":
                assert message.trailer.sha256 == hashlib.sha256(data).digest()
                records: list[dict[str, Any]] = [json.loads(line) for line in data.splitlines()]
                assert message.trailer.records == len(records)
                found[name] = {r["path"]: base64.b64decode(r["content"]) for r in records}
                total += len(records)
            case "totals":
                assert (message.totals.collections, message.totals.records) == (len(found), total)
    return found


async def test_every_declared_file_is_returned_as_it_is(tmp_path: Path) -> None:
    found = await returned(fresh(tmp_path))
    assert {name: len(files) for name, files in found.items()} == CAPS
    assert found["events"]["events/a.jsonl"] == b'{"id": "7"}\n'


async def test_what_was_returned_is_destroyed_and_nothing_else(tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    before = folder.tree()
    counted = await destroy(folder, 1, count_only=True)
    assert (counted.outcome, folder.tree()) == (pb.Destroyed.OUTCOME_COUNTED, before)
    done = await destroy(folder, 2)
    assert done.outcome == pb.Destroyed.OUTCOME_DESTROYED
    assert {c.collection: c.destroyed for c in done.collections} == CAPS
    assert folder.tree() == STAYS
    assert not any((await returned(folder)).values())


@pytest.mark.policy("P14", "more files than were returned, links and second names keep a folder from being destroyed")
async def test_what_was_not_returned_is_not_destroyed(tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    late = folder.put("avatars/8.png")
    before = folder.tree()
    assert (await destroy(folder, 1)).outcome == pb.Destroyed.OUTCOME_CAP_EXCEEDED
    late.unlink()
    unnamed = await destroy(folder, 2, caps={name: cap for name, cap in CAPS.items() if name != "events"})
    assert (unnamed.outcome, [f.code for f in unnamed.findings]) == (
        pb.Destroyed.OUTCOME_BLOCKED,
        ["UNNAMED_COLLECTION"],
    )
    os.link(folder.root / "avatars/7.png", tmp_path / "elsewhere.png")
    linked = await destroy(folder, 3)
    assert (linked.outcome, [f.code for f in linked.findings]) == (pb.Destroyed.OUTCOME_BLOCKED, ["HARD_LINK"])
    (tmp_path / "elsewhere.png").unlink()
    (folder.root / "letters/7/link").symlink_to(tmp_path)
    assert [f.code for f in (await destroy(folder, 4)).findings] == ["SYMBOLIC_LINK"]
    with pytest.raises(DsrError) as caught:
        await returned(folder)
    assert caught.value.reason == "SOURCE_REJECTED"
    assert folder.tree() == sorted([*(p for p in before if p != "avatars/8.png"), "letters/7/link"])


@pytest.mark.policy("P14", "killed at any step a folder's destruction resumes, and says what all attempts destroyed")
@pytest.mark.parametrize("steps", [("3", "9"), pytest.param((), marks=pytest.mark.long)], ids=["two", "every"])
def test_after_a_kill_at_any_step_the_next_attempt_goes_on(tmp_path: Path, steps: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tests.integration.filesystem.kill_whole", str(tmp_path / "it"), *steps]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(lines) == 2 or len(lines) > 20
    done = {"outcome": "OUTCOME_DESTROYED", "destroyed": CAPS, "left": 0}
    for line in lines:
        first, *others = line["answers"]
        assert others == [done, done], line["step"]
        assert first in (None, done)
        assert line["tree"] == STAYS, line["step"]
