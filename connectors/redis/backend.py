"""The redis kind: keys and entries that carry a person's identity. Docs: docs/connectors/redis.md."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1.subject_pb2 import Identity

from connectors.backend import SourceConfig
from connectors.copying import check_instructions
from connectors.filesystem import tree
from connectors.filesystem.journal import Journal, TaskJournal
from connectors.filesystem.threads import Threads
from connectors.progress import with_signs_of_life
from connectors.redis import describe, export, probe, verify
from connectors.redis.connection import Server
from connectors.redis.destroy import Destroyer
from connectors.redis.erase import Eraser
from connectors.redis.everything import Everything
from connectors.redis.export import Exporter
from connectors.redis.find import Finder, Watch
from connectors.redis.found import Digests, Found
from connectors.redis.giveback import Returner
from connectors.redis.options import Options
from connectors.redis.people import People
from connectors.searching import with_progress


class RedisBackend:
    """One database of one server, of one partner."""

    def __init__(self, config: SourceConfig) -> None:
        self._options = Options.model_validate(config.options)
        self._source = config.source
        self._digests = Digests(config.fingerprint_key)
        self._threads = Threads()
        self._journal = Journal(config.state_dir, config.source, self._digests)
        self._server = Server(self._options, config.source)
        self._finder = Finder(self._server, self._options, self._digests)
        self._everything = Everything(self._server, self._options, self._threads, config.state_dir, config.source)

    async def describe(self) -> pb.DescribeResponse:
        """What the options declare, and what is wrong with the keys."""
        return await describe.describe(self._options, self._server)

    async def probe(self) -> pb.ProbeResponse:
        """Whether the server is there and permits what is declared."""
        return await probe.probe(self._options, self._server)

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
        """The person's keys and entries as JSON Lines."""
        check_instructions(export.shapes(self._options), grant)
        start = datetime.now(UTC)
        (found,) = await self._finder.run([request.subject], Watch())
        exporter = Exporter(self._options, self._server, self._digests, self._source)
        async with aclosing(exporter.stream(grant, found, start)) as messages:
            async for message in messages:
                yield message

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        """Removes keys and entries; a retry finishes and tells what was done."""
        check_instructions(export.shapes(self._options), grant)
        eraser = Eraser(self._server, self._options, self._digests, self._threads)
        with tree.translated(self._source), ExitStack() as stack:
            await self._threads.run(self._journal.purge)
            task: TaskJournal = await self._threads.run(partial(stack.enter_context, self._journal.task(grant.task)))
            await self._threads.run(partial(task.enter, grant.attempt))
            result: Sequence[Found] = []
            async with aclosing(self._search([subject.subject for subject in request.subjects])) as steps:
                async for found in steps:
                    if isinstance(found, pb.Progress):
                        yield pb.EraseResponse(progress=found)
                    else:
                        result = found
            async with aclosing(eraser.run(request, grant, result, task)) as messages:
                async for message in messages:
                    yield message

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
                    left = await verify.standing(self._server, places)
                    result = verify.verified(subject.subject.subject_ref, here, left, instructions)
                    yield pb.VerifyResponse(verified=result)

    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        """People by when their records were last used, as the records say."""
        await self._server.require_primary()
        async with aclosing(People(self._everything).inactive(request, grant.inactivity)) as messages:
            async for message in messages:
                yield message

    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        """Everybody in keys and entries, once."""
        await self._server.require_primary()
        async with aclosing(People(self._everything).count()) as messages:
            async for message in messages:
                yield message

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """Every record of every collection."""
        with tree.translated(self._source):
            async with aclosing(Returner(self._everything).run()) as messages:
                async for message in messages:
                    yield message

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        """Removes every record of every collection."""
        check_instructions(export.shapes(self._options), grant)
        done = Destroyer(self._everything, self._digests, self._journal).run(grant, count_only=request.count_only)
        async with aclosing(with_signs_of_life(done, pb.DestroyResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def close(self) -> None:
        """Ends connections and threads."""
        await self._server.close()
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
            identities=self._identities(subject, found),
            findings=list(found.findings.values()),
        )

    def _identities(self, subject: pb.Subject, found: Found) -> list[pb.FoundIdentity]:
        """Other names of the person that stand in its keys and entries."""
        known = {(identity.type, identity.value) for identity in subject.identities}
        told = {(name, *pair) for name, rs in found.records.items() for r in rs.values() for pair in r.values}
        result = []
        for name, variable, value in sorted(told):
            collection = self._options.collections[name]
            kind = collection.type_of(variable)
            # What isn't text can't be asked for elsewhere.
            if (kind, value) not in known and value and value.isprintable():
                unique = collection.identity[variable].unique
                identity = Identity(type=kind, value=value)
                result.append(pb.FoundIdentity(identity=identity, collection=name, unique=unique))
        return result
