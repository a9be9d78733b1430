"""The one real erasure of a run, made when the first rule asks for it."""

from dataclasses import dataclass, replace

from dsr.conformance.bench import Bench
from dsr.conformance.check import require
from dsr.conformance.checks import requests
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

ATTEMPT = 5
"""Attempt of the real erasure, so that there are older and newer ones."""


@dataclass(frozen=True)
class Erasure:
    """What was before, what was asked, what was answered."""

    task: str
    instructions: list[CollectionInstruction]
    located: pb.Located
    anchors: list[pb.Anchors]
    erased: pb.Erased
    others: dict[str, tuple[int, bytes]]
    """State of the present person before."""


async def instructions(bench: Bench) -> list[CollectionInstruction]:
    """How the disposable person's records are to be treated: the material's word, else DELETE."""
    person = bench.disposable
    names = {*requests.records(await located(bench)), *person.instructions}
    chosen = []
    for name in sorted(names):
        instruction = CollectionInstruction()
        instruction.CopyFrom(person.instructions.get(name) or requests.instruct(name))
        instruction.cap = 100_000
        chosen.append(instruction)
    return chosen


async def located(bench: Bench) -> pb.Located:
    """What Locate says of the disposable person, who must still be there."""
    await bench.needs(pb.CAPABILITY_ERASE)
    person = bench.disposable
    result = await requests.locate_one(bench, person)
    expected = {name: number for name, number in person.records.items() if number}
    found = requests.records(result)
    require(found == expected, f"the disposable person has {found}, where the material says {expected}")
    return result


async def untouched(bench: Bench, before: pb.Located) -> None:
    """Failed if the disposable person's records are no longer as they were."""
    after = await requests.locate_one(bench, bench.disposable)
    require(requests.state(after) == requests.state(before), "records were changed all the same")


def grant(bench: Bench, chosen: list[CollectionInstruction], task: str = "", attempt: int = 1) -> Grant:
    """A grant to erase."""
    return bench.grant(Grant.OPERATION_ERASE, chosen, task=task, attempt=attempt)


async def performed(bench: Bench) -> Erasure:
    """The erasure, made at the first call."""
    result: Erasure = await bench.once("erasure", _perform)
    return result


async def _perform(bench: Bench) -> Erasure:
    chosen = await instructions(bench)
    person = bench.disposable
    messages = await bench.answer("Locate", requests.locate(bench, [person.subject("one")], anchors=True))
    before = messages[-1].located
    task = bench.task()
    erasure = Erasure(
        task=task,
        instructions=chosen,
        located=before,
        anchors=[m.anchors for m in messages if m.WhichOneof("result") == "anchors"],
        erased=pb.Erased(),
        others=requests.state(await requests.locate_one(bench, bench.material.present)),
    )
    erased = await requests.erase_one(
        bench, grant(bench, chosen, task, ATTEMPT), person, requests.expect(before, chosen)
    )
    return replace(erasure, erased=erased)
