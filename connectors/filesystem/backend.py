"""The filesystem kind: files whose path carries a person's identity. Docs: docs/connectors/filesystem.md."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1.subject_pb2 import Identity

from connectors.backend import SourceConfig
from connectors.filesystem import describe, export, tree, verify
from connectors.filesystem.erase import Eraser
from connectors.filesystem.find import Search
from connectors.filesystem.found import Found
from connectors.filesystem.journal import Journal
from connectors.filesystem.judge import counts
from connectors.filesystem.lake import FolderStore
from connectors.filesystem.lakes import Lakes
from connectors.filesystem.options import Options
from connectors.filesystem.threads import Threads
from connectors.filesystem.walk import Watch
from connectors.filesystem.whole import Whole
from connectors.objects.count import count_people
from connectors.objects.find import Watch as LakeWatch
from connectors.objects.found import Digests
from connectors.objects.found import identities as lake_identities
from connectors.objects.inactive import list_inactive
from connectors.objects.reading import Reader
from connectors.progress import with_signs_of_life
from connectors.searching import with_progress
from dsrkit.errors import DsrError


class FilesystemBackend:
    """One folder of one partner. ValueError for options that can't be used."""

    def __init__(self, config: SourceConfig) -> None:
        self._options = Options.model_validate(config.options)
        if config.state_dir.absolute().is_relative_to(self._options.root):
            raise ValueError("root: the host's state folder lies below it; move one of them")
        self._source = config.source
        self._state_dir = config.state_dir
        self._digests = Digests(config.fingerprint_key)
        self._threads = Threads()
        self._journal = Journal(config.state_dir, config.source, self._digests)
        self._whole = Whole(self._options, config.source, self._digests, self._journal, self._threads)
        store = FolderStore(config.source, self._options.root, self._options.all, self._threads)
        self._reader = Reader(store, self._threads, config.source)
        self._lakes = Lakes.open(config.source, self._options, self._digests, self._journal, self._threads)

    async def describe(self) -> pb.DescribeResponse:
        """What the options declare, and what is wrong with the folder."""
        with tree.translated(self._source):
            return await self._threads.run(partial(describe.describe, self._options))

    async def probe(self) -> pb.ProbeResponse:
        """Whether the folder is there and permits what is declared."""
        with tree.translated(self._source):
            return await self._threads.run(partial(describe.probe, self._options, self._state_dir))

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        """Counts, fingerprints, further identities and the places of files."""
        async with aclosing(self._search(request.subjects)) as steps:
            async for found in steps:
                if isinstance(found, pb.Progress):
                    yield pb.LocateResponse(progress=found)
                    continue
                for subject, files in zip(request.subjects, found, strict=True):
                    if request.with_anchors:
                        for anchors in verify.anchors(subject.subject_ref, files):
                            yield pb.LocateResponse(anchors=anchors)
                    yield pb.LocateResponse(located=self._located(subject, files))

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """The person's files as JSON Lines."""
        export.check_instructions(self._options, grant)
        start = datetime.now(UTC)
        (found,) = await self._find([request.subject])
        lakes = self._lakes.exporter if self._lakes else None
        messages = export.stream(
            self._options, self._source, grant, request.subject, found, start, self._threads, lakes
        )
        async with aclosing(messages):
            async for message in messages:
                yield message

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        """Removes files; a retry finishes and tells what was done."""
        export.check_instructions(self._options, grant)
        lakes = self._lakes.eraser if self._lakes else None
        eraser = Eraser(self._options, self._source, self._digests, self._journal, self._threads, self._search, lakes)
        async with aclosing(eraser.run(request, grant)) as messages:
            async for message in messages:
                yield message

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        """Files that still bear an identity, and whatever stands where files stood."""
        anchored = [verify.anchored_paths(self._options, i, s) for i, s in enumerate(request.subjects)]
        instructions = {instruction.collection: instruction for instruction in request.instructions}
        people = [verify.named(self._options, i, subject) for i, subject in enumerate(request.subjects)]
        async with aclosing(self._search(people)) as steps:
            async for found in steps:
                if isinstance(found, pb.Progress):
                    yield pb.VerifyResponse(progress=found)
                    continue
                with tree.translated(self._source):
                    standing = await self._threads.run(partial(verify.standing, self._options, anchored))
                for subject, files, left in zip(request.subjects, found, standing, strict=True):
                    yield verify.verified(subject.subject.subject_ref, self._options, files, left, instructions)

    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        """People of a lake, by when their records were last used."""
        await self._threads.run(self._check_private)
        found = list_inactive(self._reader, self._options.all, self._state_dir, request, grant.inactivity)
        async with aclosing(found) as messages:
            async for message in messages:
                yield message

    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        """Everybody in paths and in lakes, once."""
        await self._threads.run(self._check_private)
        async with aclosing(count_people(self._reader, self._options.all, self._state_dir)) as messages:
            async for message in messages:
                yield message

    async def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        """Every file of every collection."""
        await self._threads.run(self._check_private)
        totals = pb.ExportTotals()
        totals.snapshot_time.GetCurrentTime()
        async with aclosing(self._whole.give_back(totals)) as messages:
            async for message in messages:
                yield message

    async def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        """Removes every file of every collection."""
        export.check_instructions(self._options, grant)
        await self._threads.run(self._check_private)
        done = self._whole.destroy(grant, count_only=request.count_only)
        async with aclosing(with_signs_of_life(done, pb.DestroyResponse(progress=pb.Progress()))) as messages:
            async for message in messages:
                yield message

    async def close(self) -> None:
        """Lets the threads end."""
        self._threads.close()

    async def _find(self, subjects: Sequence[pb.Subject]) -> list[Found]:
        result: list[Found] = []
        async for found in self._search(subjects):
            if not isinstance(found, pb.Progress):
                result = found
        return result

    async def _search(self, subjects: Sequence[pb.Subject]) -> AsyncGenerator[pb.Progress | list[Found], None]:
        """Signs of life, then what was found, subject by subject."""
        watch = Watch(self._source)
        search = Search(self._options, watch, subjects)
        lake_watch = LakeWatch()
        work = self._run(search, subjects, lake_watch)
        async with aclosing(with_progress(work, lambda: watch.seen + lake_watch.seen)) as steps:
            async for step in steps:
                yield step

    async def _run(self, search: Search, subjects: Sequence[pb.Subject], watch: LakeWatch) -> list[Found]:
        found = await self._threads.run(partial(self._search_files, search), search.watch.cancelled.set)
        if self._lakes is not None:
            for here, lake in zip(found, await self._lakes.finder.run(subjects, watch), strict=True):
                here.lake = lake
        return found

    def _search_files(self, search: Search) -> list[Found]:
        self._check_private()
        return search.run()

    def _check_private(self) -> None:
        with tree.translated(self._source):
            private = describe.is_private(self._options)
        if not private:
            raise DsrError(
                "BACKEND_UNENCRYPTED",
                "The folder is on a network file system that isn't encrypted on the wire. Mount it with encryption.",
                source=self._source,
            )

    def _located(self, subject: pb.Subject, found: Found) -> pb.Located:
        return pb.Located(
            subject_ref=subject.subject_ref,
            collections=counts(self._digests, found),
            identities=self._identities(subject, found),
            findings=found.told(),
        )

    def _identities(self, subject: pb.Subject, found: Found) -> list[pb.FoundIdentity]:
        """Other names of the person that stand in the paths of its files, and in records."""
        known = {(identity.type, identity.value) for identity in subject.identities}
        identities: dict[tuple[str, str, str], pb.FoundIdentity] = {}
        for name, records in found.records.items():
            collection = self._options.files[name]
            for variable, value in {pair for record in records.values() for pair in record.values}:
                kind = collection.type_of(variable)
                # What isn't text can't be asked for elsewhere.
                if (kind, value) not in known and value.isprintable():
                    identities[name, kind, value] = pb.FoundIdentity(
                        identity=Identity(type=kind, value=value),
                        collection=name,
                        unique=collection.identity[variable].unique,
                    )
        files = [identities[key] for key in sorted(identities)]
        lakes = self._options.lakes
        return files if lakes is None else [*files, *lake_identities(lakes, subject, found.lake)]
