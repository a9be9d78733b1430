"""Erases people's files: intent, removal, outcome. What a kill interrupts, the next attempt finishes."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.filesystem import remove, tree
from connectors.filesystem.found import Found, Record
from connectors.filesystem.journal import Entry, Journal, TaskJournal
from connectors.filesystem.judge import DELETE, RETAIN, Instructions, counts, judge
from connectors.filesystem.options import Options
from connectors.filesystem.threads import Threads
from connectors.objects.erase import Eraser as LakeEraser
from connectors.objects.found import Digests

Search = Callable[[Sequence[pb.Subject]], AsyncGenerator[pb.Progress | list[Found], None]]

_BATCH = 256
"""Files removed between two signs of life."""


@dataclass
class Person:
    """One person on the way to being erased."""

    subject_ref: str
    found: Found
    entry: Entry
    outcome: "pb.Erased.Outcome.ValueType"
    changed: list[Record] = field(default_factory=list)
    """Files that the intent names and that were left alone."""


@dataclass(frozen=True)
class Eraser:
    """Erases in one source."""

    options: Options
    source: str
    digests: Digests
    journal: Journal
    threads: Threads
    search: Search
    lakes: LakeEraser | None
    """Writes files anew that hold many people's records."""

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
            people: dict[int, Person] = {}
            for index, (subject, here) in enumerate(zip(request.subjects, found, strict=True)):
                answer = await self._begin(task, instructions, subject, here, people, index)
                if answer is not None:
                    yield answer
            for person in people.values():
                async with aclosing(self._remove_files(instructions, person)) as responses:
                    async for response in responses:
                        yield response
            intents = {index: (person.found.lake, person.entry) for index, person in people.items()}
            subjects = [subject.subject for subject in request.subjects]
            for done, cleaning in enumerate(self.lakes.cleanings(subjects, intents) if self.lakes else ()):
                await cleaning.run()
                yield pb.EraseResponse(progress=pb.Progress(records=done + 1))
            for person in people.values():
                entry = self._done(person)
                await self.threads.run(partial(task.write, person.subject_ref, entry))
                yield _answer(person.subject_ref, person.outcome, entry)

    async def _begin(
        self,
        task: TaskJournal,
        instructions: Instructions,
        subject: pb.EraseSubject,
        found: Found,
        people: dict[int, Person],
        index: int,
    ) -> pb.EraseResponse | None:
        """The answer if there is nothing to do; else the person joins `people`, the intent being on disk."""
        reference = subject.subject.subject_ref
        entry = await self.threads.run(partial(task.read, reference))
        if entry is not None and entry.done:
            return _answer(reference, pb.Erased.OUTCOME_REPLAYED, entry)
        outcome = pb.Erased.OUTCOME_RECONSTRUCTED
        if entry is None:
            refusal = await self.threads.run(partial(self._refusal, instructions, subject, found))
            if refusal is not None:
                refusal.subject_ref = reference
                return pb.EraseResponse(erased=refusal)
            outcome = pb.Erased.OUTCOME_ERASED
            entry = self._intent(instructions, found)
            await self.threads.run(partial(task.write, reference, entry))
        people[index] = Person(reference, found, entry, outcome)
        return None

    async def _remove_files(self, instructions: Instructions, person: Person) -> AsyncGenerator[pb.EraseResponse, None]:
        targets, person.changed = self._targets(person.entry, person.found)
        for start in range(0, len(targets), _BATCH):
            batch = targets[start : start + _BATCH]
            person.changed += await self.threads.run(partial(remove.files, self.options.root, batch))
            yield pb.EraseResponse(progress=pb.Progress(records=start + len(batch)))
        folders = {
            path for name, paths in person.found.folders.items() if _deletes(instructions, name) for path in paths
        }
        await self.threads.run(partial(remove.empty_folders, self.options.root, folders))

    def _refusal(self, instructions: Instructions, subject: pb.EraseSubject, found: Found) -> pb.Erased | None:
        findings = found.blocking()
        paths = {name: list(places) for name, places in found.records.items()}
        paths |= {name: list(places) for name, places in found.lake.rows.items()}
        for name, places in paths.items():
            if _deletes(instructions, name) and remove.forbidden(self.options.root, places):
                findings.append(_not_permitted(name))
        limit = self.options.max_records_per_subject
        return judge(instructions, subject.expected, counts(self.digests, found), findings, limit)

    def _intent(self, instructions: Instructions, found: Found) -> Entry:
        files = {
            name: {self.digests.path(record): self.digests.record(record) for record in records.values()}
            for name, records in found.records.items()
        }
        rows = {
            name: {digest: str(number) for digest, number in members.items()}
            for name, members in found.lake.digests(self.digests).items()
        }
        kept = [name for name, instruction in instructions.items() if instruction.action == RETAIN]
        return Entry(
            done=False,
            intended={name: members for name, members in {**files, **rows}.items() if _deletes(instructions, name)},
            retained={
                **{name: len(files[name]) for name in kept if name in files},
                **{name: sum(map(int, rows[name].values())) for name in kept if name in rows},
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

    def _done(self, person: Person) -> Entry:
        left = {self.digests.path(record) for record in person.changed}
        deleted = {
            name: sum(int(number) for number in members.values()) if self._is_lake(name) else len(members.keys() - left)
            for name, members in person.entry.intended.items()
        }
        return Entry(done=True, deleted=deleted, retained=person.entry.retained)

    def _is_lake(self, name: str) -> bool:
        return name not in self.options.files


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
