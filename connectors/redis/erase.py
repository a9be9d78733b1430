"""Erases people's keys and entries: intent, removal, outcome. What a kill interrupts, the next attempt finishes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from redis.exceptions import WatchError

from connectors.filesystem.journal import Entry, TaskJournal
from connectors.filesystem.judge import DELETE, RETAIN, Instructions, judge
from connectors.filesystem.threads import Threads
from connectors.redis import content
from connectors.redis.connection import Server
from connectors.redis.content import HASH, LIST, SET, STREAM, ZSET
from connectors.redis.found import Digests, Found, Record
from connectors.redis.options import Options

REMOVE_FIELD = files("connectors.redis").joinpath("remove_field.lua").read_text()
_REMOVE = {SET: ("SREM", ()), ZSET: ("ZREM", ()), LIST: ("LREM", (0,)), STREAM: ("XDEL", ())}
_TRIES = 3
_SIGN_OF_LIFE = 100
"""Records between two `progress`."""


@dataclass(frozen=True)
class Eraser:
    """Erases in one source."""

    server: Server
    options: Options
    digests: Digests
    threads: Threads

    async def run(
        self, request: pb.EraseRequest, grant: Grant, found: Sequence[Found], task: TaskJournal
    ) -> AsyncGenerator[pb.EraseResponse, None]:
        """One `erased` per subject; `found` is what a search has just found of each."""
        instructions = {instruction.collection: instruction for instruction in grant.instructions}
        for subject, here in zip(request.subjects, found, strict=True):
            reference = subject.subject.subject_ref
            entry = await self.threads.run(partial(task.read, reference))
            if entry is not None and entry.done:
                yield _answer(reference, pb.Erased.OUTCOME_REPLAYED, entry)
                continue
            outcome = pb.Erased.OUTCOME_RECONSTRUCTED
            if entry is None:
                limit = self.options.max_records_per_subject
                findings = list(here.findings.values())
                refusal = judge(instructions, subject.expected, here.counts(self.digests), findings, limit)
                if refusal is not None:
                    refusal.subject_ref = reference
                    yield pb.EraseResponse(erased=refusal)
                    continue
                outcome = pb.Erased.OUTCOME_ERASED
                entry = self._intent(instructions, here)
                await self.threads.run(partial(task.write, reference, entry))
            doomed, left = self._doomed(entry, here)
            for number, record in enumerate(doomed, 1):
                if not await self.remove(record):
                    left.add(self.digests.place(record.place))
                if number % _SIGN_OF_LIFE == 0:
                    yield pb.EraseResponse(progress=pb.Progress(records=number))
            done = _done(entry, left)
            await self.threads.run(partial(task.write, reference, done))
            yield _answer(reference, outcome, done)

    def _intent(self, instructions: Instructions, found: Found) -> Entry:
        actions = {name: instruction.action for name, instruction in instructions.items()}
        return Entry(
            done=False,
            intended={
                name: {self.digests.place(r.place): f"{r.digest} {r.times}" for r in records.values()}
                for name, records in found.records.items()
                if actions.get(name) == DELETE
            },
            retained={
                name: sum(record.times for record in records.values())
                for name, records in found.records.items()
                if actions.get(name) == RETAIN
            },
        )

    def _doomed(self, entry: Entry, found: Found) -> tuple[list[Record], set[str]]:
        """The records that the intent names and that are as they were; places of those that changed since."""
        same: list[Record] = []
        changed: set[str] = set()
        for name, records in found.records.items():
            for record in records.values():
                place = self.digests.place(record.place)
                intent = entry.intended.get(name, {}).get(place)
                if intent == f"{record.digest} {record.times}":
                    same.append(record)
                elif intent is not None:
                    changed.add(place)
        return same, changed

    async def remove(self, record: Record) -> bool:
        """Removes what was found and nothing else. False: it isn't what was found any more, and was left."""
        key, entry = record.place
        if entry is None:
            return await self._remove_key(record)
        if record.kind == HASH:
            part = await content.entry(self.server.command, key, HASH, entry)
            if part is None:
                return True
            if self.digests.content(record.place, HASH, [self.digests.part(part)]) != record.digest:
                return False
            return int(await self.server.command("EVAL", REMOVE_FIELD, 1, key, *part)) >= 0
        # The entry is its own content: whatever bears that name is what was found.
        word, middle = _REMOVE[record.kind]
        await self.server.command(word, key, *middle, entry)
        return True

    async def _remove_key(self, record: Record) -> bool:
        """Reads the key once more and removes it in the same transaction, unless it has changed."""
        key = record.place[0]
        for _ in range(_TRIES):
            try:
                async with self.server.watching([key]) as watching:
                    kind = await content.kind_of(watching.command, key)
                    if kind == "none":
                        return True
                    parts = [self.digests.part(part) async for part in content.parts(watching.command, key, kind)]
                    if self.digests.content(record.place, kind, parts) != record.digest:
                        return False
                    await watching.exec("UNLINK", key)
                    return True
            except WatchError:
                continue
        return False


def _done(entry: Entry, left: set[str]) -> Entry:
    deleted = {
        name: sum(int(intent.split()[1]) for place, intent in members.items() if place not in left)
        for name, members in entry.intended.items()
    }
    return Entry(done=True, deleted=deleted, retained=entry.retained)


def _answer(reference: str, outcome: "pb.Erased.Outcome.ValueType", entry: Entry) -> pb.EraseResponse:
    counts: Mapping[str, int] = entry.deleted
    collections = [
        pb.CollectionOutcome(collection=name, deleted=counts.get(name, 0), retained=entry.retained.get(name, 0))
        for name in sorted({*counts, *entry.retained})
    ]
    return pb.EraseResponse(erased=pb.Erased(subject_ref=reference, outcome=outcome, collections=collections))
