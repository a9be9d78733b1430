"""What a whole object store rests on: lists on disk, work ahead in order, whose segments are whose, caps."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.objects import listed
from connectors.objects.destroy import Survey, _findings, _refusal
from connectors.objects.store import Version
from connectors.objects.together import in_order
from connectors.s3.store import _chunks
from connectors.swift import segments
from dsrkit.errors import DsrError

DELETE, RETAIN = CollectionInstruction.ACTION_DELETE, CollectionInstruction.ACTION_RETAIN


def digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_list_is_there_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "state" / "whole"
    with listed.draft(path, "one") as draft:
        draft.listed.add(("a", digest(n)) for n in range(1_000))
        draft.listed.add([("b", digest(2_000))])
        with listed.opened(path, "s") as early:
            assert early is None
        draft.commit()
    with listed.opened(path, "s") as found:
        assert found is not None
        assert found.counts == {"a": 1_000, "b": 1}
        assert found.known([digest(5), digest(2_000), digest(3_000)]) == {digest(5), digest(2_000)}
    listed.close_list(path, {"a": 7})
    with listed.opened(path, "s") as closed:
        assert closed is not None
        assert (closed.counts, closed.known([digest(5)])) == ({"a": 7}, set())
    assert [file.name for file in path.parent.iterdir()] == ["whole"]


def test_what_was_not_finished_leaves_the_list_before_it(tmp_path: Path) -> None:
    path = tmp_path / "returned"
    listed.close_list(path, {"a": 1})
    with listed.draft(path, "two") as draft:
        draft.listed.add([("a", digest(1))])
    with listed.opened(path, "s") as found:
        assert found is not None
        assert found.counts == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["returned"]
    path.write_bytes(b"something else" * 100)
    with pytest.raises(DsrError) as caught, listed.opened(path, "s"):
        pass
    assert (caught.value.reason, caught.value.metadata["why"]) == ("SOURCE_INCONSISTENT", "JOURNAL")


async def test_work_goes_ahead_and_comes_in_order() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def items() -> AsyncIterator[int]:
        for number in range(10):
            yield number

    async def work(number: int) -> int:
        begun.append(number)
        try:
            if number != 0:
                await asyncio.sleep(0 if number % 2 else 0.01)
            return number
        finally:
            ended.append(number)

    assert [n async for n in in_order(3, items(), work)] == list(range(10))
    begun.clear()
    ended.clear()
    stream = in_order(3, items(), work)
    assert await anext(stream) == 0
    assert len(begun) <= 3
    await stream.aclose()
    assert sorted(begun) == sorted(ended)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("acme/x/1", True),
        ("acme/x/1700.0/8/4/00000001", True),
        (".file-segments/acme/x/1", True),
        ("beta/acme/x/1", False),
        ("acme/x", False),
        ("acme/xy/1", False),
        ("acme-2/x/1", False),
    ],
)
@pytest.mark.policy("P14", "segments that don't bear the object's own name are never taken for its own")
def test_only_segments_that_bear_the_objects_name_are_its_own(name: str, own: bool) -> None:
    assert segments.own("acme/x", {("parts", name)}) is own
    prefix = f"{name.rpartition('/')[0]}/"
    assert segments.safe("acme/x", {"x-object-manifest": f"parts/{prefix}"}, set()) is own


@pytest.mark.parametrize(
    ("left", "destroyed", "marks", "actions", "outcome"),
    [
        ({"a": 2}, 0, 0, {"a": (DELETE, 2)}, "UNSPECIFIED"),
        ({}, 0, 0, {}, "UNSPECIFIED"),
        ({"a": 3}, 0, 0, {"a": (DELETE, 2)}, "CAP_EXCEEDED"),
        ({"a": 1}, 1, 0, {"a": (DELETE, 2)}, "UNSPECIFIED"),
        ({"a": 2}, 1, 0, {"a": (DELETE, 2)}, "CAP_EXCEEDED"),
        ({"a": 2}, 1, 1, {"a": (DELETE, 2)}, "UNSPECIFIED"),
        ({"a": 2}, 0, 0, {}, "BLOCKED"),
        ({"a": 2}, 0, 0, {"a": (RETAIN, 2)}, "BLOCKED"),
        ({}, 2, 0, {"a": (DELETE, 2)}, "UNSPECIFIED"),
    ],
)
def test_what_keeps_a_source_from_being_destroyed(
    left: dict[str, int],
    destroyed: int,
    marks: int,
    actions: "dict[str, tuple[CollectionInstruction.Action.ValueType, int]]",
    outcome: str,
) -> None:
    survey, result = Survey(), pb.Destroyed()
    survey.marks["a"] = marks
    result.collections.add(collection="a", left=left.get("a", 0), destroyed=destroyed)
    told = [CollectionInstruction(collection=c, action=a, cap=cap) for c, (a, cap) in actions.items()]
    refused = _refusal(result, survey, Grant(instructions=told))
    assert pb.Destroyed.Outcome.Name(refused) == f"OUTCOME_{outcome}"


def test_what_stays_keeps_nothing_else_from_going() -> None:
    survey = Survey(foreign={"a"}, links={"a"}, new={"a"}, undeclared={"a"})
    found = {finding.code: finding.blocks_erasure for finding in _findings(survey)}
    assert found == {
        "FOREIGN_SEGMENTS": True,
        "SYMBOLIC_LINK": True,
        "NOT_RETURNED": True,
        "UNDECLARED_OBJECT": False,
    }


def test_a_keys_versions_go_in_one_request() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)

    def versions(key: str, number: int) -> list[Version]:
        return [Version(key, str(n), "NONCURRENT", "", 1, time) for n in range(number)]

    every = [*versions("a", 60), *versions("b", 10), *versions("c", 63), *versions("d", 2_100), *versions("e", 1)]
    chunks = list(_chunks(every))
    assert [version for chunk in chunks for version in chunk] == every
    assert [len(chunk) for chunk in chunks] == [70, 1_000, 1_000, 163, 1]
    assert list(_chunks([])) == []
