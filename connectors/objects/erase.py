"""Erases people from a store: intent, removal, outcome. What a kill interrupts, the next attempt finishes."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.filesystem.journal import Entry, Journal, TaskJournal
from connectors.filesystem.judge import DELETE, RETAIN, Instructions, judge
from connectors.filesystem.threads import Threads
from connectors.lake.search import Search
from connectors.objects.find import wanted
from connectors.objects.found import Digests, Found
from connectors.objects.options import Options
from connectors.objects.rewrite import UNREAD, Cleaning, unreadable
from connectors.objects.store import Gone, Held, Store, Version
from connectors.objects.together import at_once
from connectors.objects.turns import Turns
from dsrkit.errors import DsrError

_REMOVALS = 16


@dataclass
class Person:
    """One person on the way to being erased."""

    subject_ref: str
    found: Found
    entry: Entry
    outcome: "pb.Erased.Outcome.ValueType"
    left: set[str] = field(default_factory=set)
    """Digests of what the intent names and couldn't be removed."""


@dataclass(frozen=True)
class Eraser:
    """Erases in one store. One for all calls: erasures of different people meet in lake objects."""

    store: Store
    options: Options
    digests: Digests
    journal: Journal
    threads: Threads
    source: str
    turns: Turns

    async def run(
        self, request: pb.EraseRequest, grant: Grant, found: Sequence[Found], task: TaskJournal
    ) -> AsyncGenerator[pb.EraseResponse, None]:
        """One `erased` per subject; `found` is what a search has just found of each."""
        instructions = {instruction.collection: instruction for instruction in grant.instructions}
        people: dict[int, Person] = {}
        for index, (subject, here) in enumerate(zip(request.subjects, found, strict=True)):
            answer = await self._begin(task, instructions, subject, here, people, index)
            if answer is not None:
                yield pb.EraseResponse(erased=answer)
        done = 0
        for person in people.values():
            await self._remove_objects(person)
            done += 1
            yield pb.EraseResponse(progress=pb.Progress(records=done))
        intents = {index: (person.found, person.entry) for index, person in people.items()}
        for cleaning in self.cleanings([subject.subject for subject in request.subjects], intents):
            await cleaning.run()
            done += 1
            yield pb.EraseResponse(progress=pb.Progress(records=done))
        await self._abort_uploads(instructions, people.values())
        for person in people.values():
            entry = self._done(person)
            await self.threads.run(partial(task.write, person.subject_ref, entry))
            yield pb.EraseResponse(erased=_answer(person.subject_ref, person.outcome, entry))

    async def _begin(
        self,
        task: TaskJournal,
        instructions: Instructions,
        subject: pb.EraseSubject,
        found: Found,
        people: dict[int, Person],
        index: int,
    ) -> pb.Erased | None:
        """The answer if there is nothing to do; else the person joins `people`, the intent being on disk."""
        reference = subject.subject.subject_ref
        entry = await self.threads.run(partial(task.read, reference))
        outcome = pb.Erased.OUTCOME_RECONSTRUCTED
        if entry is not None and entry.done:
            return _answer(reference, pb.Erased.OUTCOME_REPLAYED, entry)
        if entry is None:
            blocking = [finding for finding in found.findings.values() if finding.blocks_erasure]
            limit = self.options.max_records_per_subject
            refusal = judge(instructions, subject.expected, found.counts(self.digests), blocking, limit)
            if refusal is not None:
                refusal.subject_ref = reference
                return refusal
            outcome = pb.Erased.OUTCOME_ERASED
            entry = self._intent(instructions, found)
            await self.threads.run(partial(task.write, reference, entry))
        people[index] = Person(reference, found, entry, outcome)
        return None

    def _intent(self, instructions: Instructions, found: Found) -> Entry:
        actions = {name: instruction.action for name, instruction in instructions.items()}
        records = found.digests(self.digests)
        return Entry(
            done=False,
            intended={
                name: {digest: str(number) for digest, number in members.items()}
                for name, members in records.items()
                if actions.get(name) == DELETE
            },
            retained={name: sum(m.values()) for name, m in records.items() if actions.get(name) == RETAIN},
        )

    async def _remove_objects(self, person: Person) -> None:
        """Every version that the intent names and that is as it was. Those that are new are left alone."""
        by_key: dict[str, list[tuple[str, Version]]] = {}
        for name, objects in person.found.objects.items():
            intended = person.entry.intended.get(name, {})
            for item in objects.values():
                digest = self.digests.version(item.version)
                if digest in intended:
                    by_key.setdefault(item.version.key, []).append((digest, item.version))
        await at_once(_REMOVALS, [partial(self._remove_versions, person, versions) for versions in by_key.values()])

    async def _remove_versions(self, person: Person, versions: Sequence[tuple[str, Version]]) -> None:
        # The oldest first: what was history must not become current for a moment.
        for digest, version in reversed(versions):
            try:
                await self.store.remove(version)
            except (Gone, Held):
                person.left.add(digest)

    async def _abort_uploads(self, instructions: Instructions, people: Iterable[Person]) -> None:
        """Uploads that were given up, in lakes that people are to be erased from: they may hold anybody."""
        uploads = {
            (upload.key, upload.id): upload
            for person in people
            for name, found in person.found.uploads.items()
            if name in instructions and instructions[name].action == DELETE
            for upload in found
        }
        await at_once(_REMOVALS, [partial(self.store.remove, upload) for upload in uploads.values()])

    def cleanings(
        self, subjects: Sequence[pb.Subject], intents: Mapping[int, tuple[Found, Entry]]
    ) -> Iterator[Cleaning]:
        """One for each lake object that holds somebody's records: it is written once, for everybody."""
        for name, collection in self.options.collections.items():
            intended = {index: entry.intended.get(name, {}) for index, (_, entry) in intents.items()}
            keys = {
                key
                for index, (found, _) in intents.items()
                for key, rows in found.rows.get(name, {}).items()
                if rows.counts.keys() & intended[index].keys()
            }
            for index, (found, _) in intents.items():
                if intended[index] and UNREAD & set(found.unsearched.get(name, {}).values()):
                    # It blocks an erasure; this one had begun before.
                    raise unreadable(self.source)
            if collection.format is None or not keys:
                continue
            search = Search(collection.format, wanted(collection, subjects), delimiter=collection.delimiter)
            for key in sorted(keys):
                yield Cleaning(
                    store=self.store,
                    threads=self.threads,
                    collection=collection,
                    search=search,
                    key=key,
                    source=self.source,
                    turns=self.turns,
                    digest=partial(self.digests.row, key),
                    doomed=partial(_doomed, intended),
                )

    def _done(self, person: Person) -> Entry:
        deleted = {
            name: sum(int(number) for digest, number in members.items() if digest not in person.left)
            for name, members in person.entry.intended.items()
        }
        return Entry(done=True, deleted=deleted, retained=person.entry.retained)


def _doomed(intended: Mapping[int, Mapping[str, str]], index: int, digest: str) -> bool:
    return digest in intended.get(index, {})


async def open_task(journal: Journal, threads: Threads, stack: ExitStack, grant: Grant) -> TaskJournal:
    """The task's journal, this attempt being noted in it."""
    await threads.run(journal.purge)
    task: TaskJournal = await threads.run(partial(stack.enter_context, journal.task(grant.task)))
    await threads.run(partial(task.enter, grant.attempt))
    return task


def held(source: str) -> DsrError:
    """A hold that was placed after the search."""
    return DsrError(
        "SOURCE_REJECTED",
        "A hold or retention was placed on an object while it was being erased. Lift it, or wait, then retry.",
        source=source,
        why="HELD",
    )


def _answer(reference: str, outcome: "pb.Erased.Outcome.ValueType", entry: Entry) -> pb.Erased:
    collections = [
        pb.CollectionOutcome(collection=name, deleted=entry.deleted.get(name, 0), retained=entry.retained.get(name, 0))
        for name in sorted({*entry.deleted, *entry.retained})
    ]
    return pb.Erased(subject_ref=reference, outcome=outcome, collections=collections)
