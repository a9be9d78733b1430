"""The contract's RPCs over any object store."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, nullcontext
from datetime import UTC, datetime

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.backend import SourceConfig
from connectors.filesystem import tree
from connectors.filesystem.journal import Journal
from connectors.filesystem.threads import Threads
from connectors.objects import describe, export, verify
from connectors.objects.count import count_people
from connectors.objects.destroy import Destroyer
from connectors.objects.erase import Eraser, held, open_task
from connectors.objects.export import Exporter
from connectors.objects.find import Finder, Watch
from connectors.objects.found import Digests, Found, identities
from connectors.objects.giveback import GiveBack
from connectors.objects.inactive import list_inactive
from connectors.objects.options import Options
from connectors.objects.reading import Reader
from connectors.objects.store import Held, WholeStore
from connectors.objects.turns import Turns
from connectors.progress import with_signs_of_life
from connectors.searching import with_progress


class ObjectsBackend:
    """One bucket or container of one partner."""

    def __init__(self, config: SourceConfig, options: Options, store: WholeStore) -> None:
        self._store = store
        self._options = options
        self._source = config.source
        self._digests = Digests(config.fingerprint_key)
        self._threads = Threads()
        self._journal = Journal(config.state_dir, config.source, self._digests)
        self._finder = Finder(store, options, self._digests, self._threads, config.source)
        self._reader = Reader(store, self._threads, config.source)
        self._state_dir = config.state_dir
        every = (store, options, config.source, self._digests)
        self._give_back = GiveBack(*every, self._threads, config.state_dir)
        self._destroyer = Destroyer(*every, self._journal, self._threads, config.state_dir)
        self._turns = Turns(config.source)
        self._eraser = Eraser(store, options, self._digests, self._journal, self._threads, config.source, self._turns)

    async def describe(self) -> pb.DescribeResponse:
        """What the options declare. Asks the store for nothing."""
        return describe.describe(self._store.kind, self._options)

    async def probe(self) -> pb.ProbeResponse:
        """Whether the store is there and permits what is declared."""
        return await self._store.probe()

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        """Counts, fingerprints, further identities, places."""
        async with aclosing(self._search(request.subjects)) as steps:
            async for found in steps:
                if isinstance(found, pb.Progress):
                    yield pb.LocateResponse(progress=found)
                    continue
                for subject, here in zip(request.subjects, found, strict=True):
                    if request.with_anchors:
                        for anchors in verify.anchors(subject.subject_ref, here):
                            yield pb.LocateResponse(anchors=anchors)
                    yield pb.LocateResponse(located=self._located(subject, here))

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """The person's objects and records as JSON Lines."""
        export.check_instructions(self._options, grant)
        start = datetime.now(UTC)
        (found,) = await self._finder.run([request.subject], Watch())
        exporter = Exporter(self._store, self._options, self._digests, self._threads, self._source)
        async with aclosing(exporter.stream(grant, request.subject, found, start)) as messages:
            async for message in messages:
                yield message

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        """Removes objects and records; a retry finishes and tells what was done."""
        export.check_instructions(self._options, grant)
        with tree.translated(self._source), ExitStack() as stack:
            task = await open_task(self._journal, self._threads, stack, grant)
            result: Sequence[Found] = []
            async with aclosing(self._search([subject.subject for subject in request.subjects])) as steps:
                async for found in steps:
                    if isinstance(found, pb.Progress):
                        yield pb.EraseResponse(progress=found)
                    else:
                        result = found
            try:
                async with aclosing(self._eraser.run(request, grant, result, task)) as messages:
                    async for message in messages:
                        yield message
            except Held:
                raise held(self._source) from None

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        """What a search still finds, by the request's identities and by those that Locate found."""
        anchored = [verify.read_anchors(self._options, i, subject) for i, subject in enumerate(request.subjects)]
        instructions = {instruction.collection: instruction for instruction in request.instructions}
        async with aclosing(self._search([subject for _, subject in anchored])) as steps:
            async for found in steps:
                if isinstance(found, pb.Progress):
                    yield pb.VerifyResponse(progress=found)
                    continue
                for subject, here, (places, _) in zip(request.subjects, found, anchored, strict=True):
                    left = await verify.standing(self._store, places)
                    reference = subject.subject.subject_ref
                    result = verify.verified(reference, self._options, here, left, instructions)
                    yield pb.VerifyResponse(verified=result)

    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        """People of a lake, by when their records were last used."""
        found = list_inactive(self._reader, self._options, self._state_dir, request, grant.inactivity)
        async with aclosing(found) as messages:
            async for message in messages:
                yield message

    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        """Everybody in keys and in lakes, once."""
        async with aclosing(count_people(self._reader, self._options, self._state_dir)) as messages:
            async for message in messages:
                yield message

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """Every version of every collection's objects."""
        totals = pb.ExportTotals()
        totals.snapshot_time.GetCurrentTime()
        async with aclosing(self._give_back.run(grant, totals)) as messages:
            async for message in messages:
                yield message

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        """Removes every version of every collection's objects, and uploads that were begun."""
        export.check_instructions(self._options, grant)
        done = self._destroyer.run(grant, count_only=request.count_only)
        with nullcontext() if request.count_only else self._turns.whole():
            async with aclosing(with_signs_of_life(done, pb.DestroyResponse(progress=pb.Progress()))) as messages:
                async for message in messages:
                    yield message

    async def close(self) -> None:
        """Ends connections and threads."""
        await self._store.close()
        self._threads.close()

    async def _search(self, subjects: Sequence[pb.Subject]) -> AsyncGenerator[pb.Progress | list[Found], None]:
        """Signs of life, then what was found, subject by subject."""
        watch = Watch()
        async with aclosing(with_progress(self._finder.run(subjects, watch), lambda: watch.seen)) as steps:
            async for step in steps:
                yield step

    def _located(self, subject: pb.Subject, found: Found) -> pb.Located:
        return pb.Located(
            subject_ref=subject.subject_ref,
            collections=found.counts(self._digests),
            identities=identities(self._options, subject, found),
            findings=list(found.findings.values()),
        )
