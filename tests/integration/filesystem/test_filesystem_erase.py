"""A person's files go wholly or not at all, once; everything else stays."""

import fcntl
import os
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.filesystem import journal
from connectors.filesystem.fingerprint import Digests
from connectors.filesystem.journal import Journal
from dsrkit.errors import DsrError
from tests.integration.filesystem.folder import BOTH, LETTERS, NUMBER, SOURCE, Folder, deleted, instruct, person

RETAIN = CollectionInstruction.ACTION_RETAIN
SEVEN = person(customer_number="7")


@pytest.fixture
def files(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, BOTH)
    for number in ("7", "70"):
        folder.put(f"avatars/{number}.png")
        folder.put(f"letters/{number}/a.txt")
        folder.put(f"letters/{number}/2024/deep/b.txt")
    return folder


OTHERS = ["avatars/70.png", "letters/70", "letters/70/2024", "letters/70/2024/deep", "letters/70/2024/deep/b.txt"]
LEFT = sorted(["avatars", "letters", *OTHERS, "letters/70/a.txt"])


async def test_files_and_the_folders_named_after_the_person_are_gone(files: Folder) -> None:
    erased = await files.erase(SEVEN)
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    assert deleted(erased) == {"avatars": 1, "letters": 2}
    assert files.tree() == LEFT
    again = await files.erase(SEVEN, attempt=2)
    assert again.outcome == pb.Erased.OUTCOME_REPLAYED
    assert deleted(again) == deleted(erased)


async def test_another_task_finds_nothing_and_says_so(files: Folder) -> None:
    await files.erase(SEVEN)
    erased = await files.erase(SEVEN, task="other")
    assert (erased.outcome, deleted(erased)) == (pb.Erased.OUTCOME_ERASED, {})


async def test_what_is_retained_stays_with_its_folder(files: Folder) -> None:
    erased = await files.erase(SEVEN, instruct("avatars"), instruct("letters", RETAIN))
    assert {c.collection: (c.deleted, c.retained) for c in erased.collections} == {"avatars": (1, 0), "letters": (0, 2)}
    assert "letters/7/2024/deep/b.txt" in files.tree()
    assert await files.verify(SEVEN, instruct("avatars"), instruct("letters", RETAIN)) == {"letters": (2, 0)}


async def test_a_folder_that_two_collections_share_stays_while_one_is_retained(tmp_path: Path) -> None:
    contracts = {"pattern": "letters/{customer_number}/contract-*", "identity": NUMBER}
    folder = Folder(tmp_path, {"contracts": contracts, **LETTERS})
    folder.put("letters/7/contract-1")
    folder.put("letters/7/deep/hello")
    await folder.erase(SEVEN, instruct("contracts", RETAIN), instruct("letters"))
    assert folder.tree() == ["letters", "letters/7", "letters/7/contract-1"]


async def test_a_collection_that_the_grant_does_not_name_is_left_alone(files: Folder) -> None:
    erased = await files.erase(SEVEN, instruct("avatars"))
    assert deleted(erased) == {"avatars": 1}
    assert "letters/7/a.txt" in files.tree()


@pytest.mark.parametrize("change", ["grow", "touch", "replace", "remove", "add"])
async def test_any_change_since_locate_leaves_the_person_alone(files: Folder, change: str) -> None:
    (located,) = await files.locate(SEVEN)
    path = files.root / "letters/7/a.txt"
    match change:
        case "grow":
            path.write_bytes(b"longer than before")
        case "touch":
            os.utime(path, ns=(0, 0))
        case "replace":
            status = path.stat()
            path.with_name("new").write_bytes(path.read_bytes())
            path.with_name("new").rename(path)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "remove":
            path.unlink()
        case "add":
            files.put("letters/7/new.txt")
    before = files.tree()
    erased = await files.erase(SEVEN, expected=located.collections)
    assert (erased.outcome, deleted(erased)) == (pb.Erased.OUTCOME_CHANGED, {})
    assert files.tree() == before


async def test_caps_of_the_grant_and_of_the_source(files: Folder) -> None:
    letters = instruct("letters")
    letters.cap = 1
    before = files.tree()
    assert (await files.erase(SEVEN, instruct("avatars"), letters)).outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
    capped = Folder(files.base, BOTH)
    capped.backend = type(capped.backend)(capped.config(max_records_per_subject=2))
    assert (await capped.erase(SEVEN, task="2")).outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
    assert files.tree() == before


async def test_a_finding_blocks_only_what_is_to_be_deleted(files: Folder) -> None:
    (files.root / "letters/7/link").symlink_to("nowhere")
    assert (await files.erase(SEVEN)).outcome == pb.Erased.OUTCOME_BLOCKED
    kept = await files.erase(SEVEN, instruct("avatars"), instruct("letters", RETAIN), task="2")
    assert kept.outcome == pb.Erased.OUTCOME_ERASED


async def test_a_refusal_is_not_remembered_as_done(files: Folder) -> None:
    (located,) = await files.locate(SEVEN)
    spoilt = [pb.CollectionCount(collection="letters", records=9, fingerprint=b"x")]
    assert (await files.erase(SEVEN, expected=spoilt)).outcome == pb.Erased.OUTCOME_CHANGED
    assert (await files.erase(SEVEN, expected=located.collections)).outcome == pb.Erased.OUTCOME_ERASED


async def test_one_call_many_people_each_on_its_own(files: Folder) -> None:
    seven, seventy = person("a", customer_number="7"), person("b", customer_number="70")
    found = {located.subject_ref: located for located in await files.locate(seven, seventy)}
    files.put("letters/70/new.txt")
    request = pb.EraseRequest(
        subjects=[
            pb.EraseSubject(subject=seven, expected=found["a"].collections),
            pb.EraseSubject(subject=seventy, expected=found["b"].collections),
            pb.EraseSubject(subject=person("c", customer_number="404")),
        ]
    )
    grant = Grant(source=SOURCE, task="task", attempt=1, instructions=[instruct(name) for name in BOTH])
    outcomes = {
        m.erased.subject_ref: m.erased async for m in files.backend.erase(request, grant) if m.HasField("erased")
    }
    assert {reference: erased.outcome for reference, erased in outcomes.items()} == {
        "a": pb.Erased.OUTCOME_ERASED,
        "b": pb.Erased.OUTCOME_CHANGED,
        "c": pb.Erased.OUTCOME_ERASED,
    }
    assert "letters/7" not in files.tree()
    assert "avatars/70.png" in files.tree()


async def test_an_older_attempt_is_refused_and_attempts_survive_a_restart(files: Folder) -> None:
    await files.erase(person(customer_number="404"), attempt=3)
    restarted = Folder(files.base, BOTH)
    with pytest.raises(DsrError) as raised:
        await restarted.erase(SEVEN, attempt=2)
    assert raised.value.reason == "ATTEMPT_SUPERSEDED"
    assert "avatars/7.png" in files.tree()


async def test_two_processes_do_not_work_on_one_task(files: Folder) -> None:
    await files.erase(person(customer_number="404"))
    (folder,) = (files.state / "erasures").iterdir()
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(DsrError) as raised:
        await files.erase(SEVEN, attempt=2)
    assert raised.value.reason == "SOURCE_BUSY"
    os.close(other)
    assert (await files.erase(SEVEN, attempt=3)).outcome == pb.Erased.OUTCOME_REPLAYED


async def test_the_journal_holds_no_path_and_no_identity(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    canary = "canary-4711"
    folder.put(f"letters/{canary}/{canary}.txt")
    await folder.erase(person(f"ref-{canary}", customer_number=canary), task=f"task-{canary}")
    entries = list(folder.state.rglob("*"))
    assert len(entries) == 4
    for entry in entries:
        assert canary not in str(entry.relative_to(folder.state))
        assert entry.is_dir() or canary.encode() not in entry.read_bytes()


async def test_a_journal_that_cannot_be_read_stops_everything(files: Folder) -> None:
    await files.erase(SEVEN)
    (entry,) = (path for path in (files.state / "erasures").rglob("*") if path.is_file() and path.name != "attempt")
    entry.write_bytes(b'{"torn')
    with pytest.raises(DsrError) as raised:
        await files.erase(SEVEN, attempt=2)
    assert raised.value.reason == "SOURCE_INCONSISTENT"


async def test_without_a_journal_nothing_is_removed(files: Folder) -> None:
    files.state.write_text("a file stands where the state folder should")
    with pytest.raises(DsrError) as raised:
        await files.erase(SEVEN)
    assert raised.value.reason == "SOURCE_UNAVAILABLE"
    assert "avatars/7.png" in files.tree()


def test_old_entries_are_purged(tmp_path: Path) -> None:
    kept = Journal(tmp_path, SOURCE, Digests(b"k" * 32))
    for task in ("old", "new"):
        with kept.task(task) as entries:
            entries.enter(1)
    old = tmp_path / "erasures" / Digests(b"k" * 32).name("task", "old")
    long_ago = time.time() - journal.KEEP_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    kept.purge()
    assert [path.name for path in (tmp_path / "erasures").iterdir()] == [Digests(b"k" * 32).name("task", "new")]


async def test_verify_starts_from_places_and_identities(files: Folder) -> None:
    anchors = await files.anchors(SEVEN)
    await files.erase(SEVEN)
    assert await files.verify(SEVEN, anchors=anchors) == {}
    files.put("letters/7/back.txt")
    assert await files.verify(SEVEN, anchors=anchors) == {"letters": (0, 1)}
    shutil.rmtree(files.root / "letters/7")
    files.put("letters/7/a.txt")
    # Under another identity only the place tells.
    assert await files.verify(person(customer_number="gone"), anchors=anchors) == {"letters": (0, 1)}


async def test_anchors_of_others_are_refused(files: Folder) -> None:
    for anchor in (
        pb.Anchors(subject_ref="one", collection="nothing", fields=["path"], values=['["a"]']),
        pb.Anchors(subject_ref="one", collection="letters", fields=["id"], values=['["a"]']),
        pb.Anchors(subject_ref="one", collection="letters", fields=["path"], values=["a"]),
        pb.Anchors(subject_ref="one", collection="letters", fields=["path"], values=["[1]"]),
        pb.Anchors(subject_ref="one", collection="letters", fields=["path"], values=["[]"]),
        pb.Anchors(subject_ref="one", collection="letters", fields=["path"], values=["{}"]),
    ):
        with pytest.raises(DsrError) as raised:
            await files.verify(SEVEN, anchors=[anchor])
        assert raised.value.reason == "FIELD_INVALID"


async def test_an_attempt_that_nobody_waits_for_stops_and_the_next_finishes(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    for number in range(600):
        folder.put(f"letters/7/{number}", b"")
    (located,) = await folder.locate(SEVEN)
    grant = Grant(source=SOURCE, task="task", attempt=1, instructions=[instruct("letters")])
    request = pb.EraseRequest(subjects=[pb.EraseSubject(subject=SEVEN, expected=located.collections)])
    stream = cast("AsyncGenerator[pb.EraseResponse, None]", folder.backend.erase(request, grant))
    assert (await anext(stream)).HasField("progress")
    await stream.aclose()
    left = (await folder.counts(customer_number="7"))["letters"]
    assert 0 < left < 600
    erased = await folder.erase(SEVEN, attempt=2)
    assert (erased.outcome, deleted(erased)) == (pb.Erased.OUTCOME_RECONSTRUCTED, {"letters": 600})
    assert folder.tree() == ["letters"]
