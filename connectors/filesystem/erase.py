"""Erases people's files: intent, removal, outcome. What a kill interrupts, the next attempt finishes."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.filesystem import remove, tree
from connectors.filesystem.fingerprint import Digests
from connectors.filesystem.found import Found, Record
from connectors.filesystem.journal import Entry, Journal, TaskJournal
from connectors.filesystem.judge import DELETE, RETAIN, Instructions, counts, judge
from connectors.filesystem.options import Options
from connectors.filesystem.threads import Threads

Search = Callable[[Sequence[pb.Subject]], AsyncGenerator[pb.Progress | list[Found], None]]

_BATCH = 256
"""Files removed between two signs of life."""


@dataclass(frozen=True)
class Eraser:
    """Erases in one source."""

    options: Options
    source: str
    digests: Digests
    journal: Journal
    threads: Threads
    search: Search

    async def run(self, request: pb.EraseRequest, grant: Grant) -> AsyncGenerator[pb.EraseResponse, None]:
        """One `erased` per subject."""
        instructions = {instruction.collection: instruction for instruction in grant.instructions}
        with tree.translated(self.source), ExitStack() as stack:
            await self.threads.run(self.journal.purge)
            task = await self.threads.run(partial(stack.enter_context, self.journal.task(grant.task)))
            await self.threads.run(partial(task.enter, grant.attempt))
            found: list[Found] = []
            async with aclosing(self.search([subject.subject for subject in request.subjects])) as steps:
                async for step in steps:
                    if isinstance(step, pb.Progress):
                        yield pb.EraseResponse(progress=step)
                    else:
                        found = step
            for subject, files in zip(request.subjects, found, strict=True):
                async with aclosing(self._person(task, instructions, subject, files)) as responses:
                    async for response in responses:
                        yield response

    async def _person(
        self, task: TaskJournal, instructions: Instructions, subject: pb.EraseSubject, found: Found
    ) -> AsyncGenerator[pb.EraseResponse, None]:
        reference = subject.subject.subject_ref
        entry = await self.threads.run(partial(task.read, reference))
        if entry is not None and entry.done:
            yield _answer(reference, pb.Erased.OUTCOME_REPLAYED, entry)
            return
        outcome = pb.Erased.OUTCOME_RECONSTRUCTED
        if entry is None:
            refusal = await self.threads.run(partial(self._refusal, instructions, subject, found))
            if refusal is not None:
                refusal.subject_ref = reference
                yield pb.EraseResponse(erased=refusal)
                return
            outcome = pb.Erased.OUTCOME_ERASED
            entry = self._intent(instructions, found)
            await self.threads.run(partial(task.write, reference, entry))
        targets, changed = self._targets(entry, found)
        for start in range(0, len(targets), _BATCH):
            batch = targets[start : start + _BATCH]
            changed += await self.threads.run(partial(remove.files, self.options.root, batch))
            yield pb.EraseResponse(progress=pb.Progress(records=start + len(batch)))
        folders = {path for name, paths in found.folders.items() if _deletes(instructions, name) for path in paths}
        await self.threads.run(partial(remove.empty_folders, self.options.root, folders))
        done = self._done(entry, changed)
        await self.threads.run(partial(task.write, reference, done))
        yield _answer(reference, outcome, done)

    def _refusal(self, instructions: Instructions, subject: pb.EraseSubject, found: Found) -> pb.Erased | None:
        findings = found.blocking()
        for name, records in found.records.items():
            if _deletes(instructions, name) and remove.forbidden(self.options.root, records.values()):
                findings.append(_not_permitted(name))
        limit = self.options.max_records_per_subject
        return judge(instructions, subject.expected, counts(self.digests, found), findings, limit)

    def _intent(self, instructions: Instructions, found: Found) -> Entry:
        return Entry(
            done=False,
            intended={
                name: {self.digests.path(record): self.digests.record(record) for record in records.values()}
                for name, records in found.records.items()
                if _deletes(instructions, name)
            },
            retained={
                name: len(records)
                for name, records in found.records.items()
                if name in instructions and instructions[name].action == RETAIN
            },
        )

    def _targets(self, entry: Entry, found: Found) -> tuple[list[Record], list[Record]]:
        """Files that the intent names and that are as they were; and those that changed since. Others are new."""
        same: list[Record] = []
        changed: list[Record] = []
        intended = {path: file for files in entry.intended.values() for path, file in files.items()}
        for records in found.records.values():
            for record in records.values():
                digest = intended.get(self.digests.path(record))
                if digest is not None:
                    (same if digest == self.digests.record(record) else changed).append(record)
        return same, changed

    def _done(self, entry: Entry, changed: Sequence[Record]) -> Entry:
        left = {self.digests.path(record) for record in changed}
        deleted = {name: len(files.keys() - left) for name, files in entry.intended.items()}
        return Entry(done=True, deleted=deleted, retained=entry.retained)


def _deletes(instructions: Instructions, collection: str) -> bool:
    return collection in instructions and instructions[collection].action == DELETE


def _not_permitted(collection: str) -> pb.Finding:
    return pb.Finding(
        code="NOT_PERMITTED",
        collection=collection,
        detail="The connector's user may not remove entries of a folder concerned. Give it write permission there.",
        blocks_erasure=True,
    )


def _answer(reference: str, outcome: pb.Erased.Outcome.ValueType, entry: Entry) -> pb.EraseResponse:
    collections = [
        pb.CollectionOutcome(collection=name, deleted=entry.deleted.get(name, 0), retained=entry.retained.get(name, 0))
        for name in sorted({*entry.deleted, *entry.retained})
    ]
    return pb.EraseResponse(erased=pb.Erased(subject_ref=reference, outcome=outcome, collections=collections))
