"""Return and Destroy: every file that a pattern matches, whoever it is about. A lake is its files, as they are."""

import stat
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.filesystem import leftover, remove, tree
from connectors.filesystem.describe import base_of, undeclared
from connectors.filesystem.export import content, described
from connectors.filesystem.find import note_hard_links
from connectors.filesystem.found import Found
from connectors.filesystem.journal import Entry, Journal, TaskJournal
from connectors.filesystem.options import BUILT_IN_FIELDS, Collection, Options
from connectors.filesystem.pattern import Pattern, Segment
from connectors.filesystem.threads import Threads
from connectors.filesystem.walk import Walk, Watch
from connectors.objects.found import Digests
from dsrkit.errors import DsrError

_FILES, _BESIDE = 0, 1
"""What a walk finds: files, and what a kill left beside a file of a lake that was being written anew."""
_BATCH = 256
_DELETE = CollectionInstruction.ACTION_DELETE
_WHOLE = "destroy"
"""Under what the journal has a whole source."""


class Everything(Walk):
    """Walks one pattern without looking for anybody."""

    def __init__(self, watch: Watch, name: str, pattern: Pattern, results: Sequence[Found], *, lake: bool) -> None:
        self._watch, self._name, self._results = watch, name, results
        self._pattern, self._segments = pattern, pattern.segments
        self._variable = ""
        self._lake = lake

    def start(self, handle: int, base: str) -> None:
        """Walks from the fixed folder `base`."""
        self._step(handle, base, len(self._pattern.base), [_FILES], {})

    def _candidates(
        self, handle: int, segment: Segment, people: list[int]
    ) -> Iterator[tuple[str, Mapping[str, str], list[int], bool]]:
        if segment.fixed is not None and not self._lake:
            yield segment.fixed, {}, people, False
            return
        for name in tree.names(handle):
            left = leftover.read(name) if self._lake and segment is self._segments[-1] else None
            read = segment.read(left.name if left else name)
            if read is not None:
                yield name, read, [_BESIDE] if left else people, False


@dataclass(frozen=True)
class Whole:
    """One source, as a whole."""

    options: Options
    source: str
    digests: Digests
    journal: Journal
    threads: Threads

    def find(self, watch: Watch) -> list[Found]:
        """Files, and what lies beside them. SOURCE_UNAVAILABLE where a pattern's folder is not there."""
        results = [Found(), Found()]
        with tree.translated(self.source), tree.root(self.options.root) as root:
            for name, collection in self.options.collections.items():
                lake = not isinstance(collection, Collection)
                walk = Everything(watch, name, base_of(collection), results, lake=lake)
                base = "/".join(base_of(collection).base)
                with ExitStack() as stack:
                    try:
                        handle = stack.enter_context(tree.folder_at(root, base))
                    except (FileNotFoundError, NotADirectoryError):
                        text = f"The folder of collection {name} is not there, or is a link. Mount it, or correct it."
                        raise DsrError("SOURCE_UNAVAILABLE", text, source=self.source) from None
                    walk.start(handle, base)
        note_hard_links(results[_FILES])
        return results

    async def _found(self) -> list[Found]:
        watch = Watch(self.source)
        return await self.threads.run(partial(self.find, watch), watch.cancelled.set)

    async def give_back(self, totals: pb.ExportTotals) -> AsyncGenerator[pb.ExportResponse, None]:
        """The contract's Return. A link in a file's place would be left out in silence: SOURCE_REJECTED."""
        found = (await self._found())[_FILES]
        if found.others:
            why = "links, pipes, sockets or devices stand where files should; replace or remove them"
            raise DsrError("SOURCE_REJECTED", f"The source can't be returned: {why}.", source=self.source, why=why)
        for name, collection in self.options.collections.items():
            fields = collection.fields if isinstance(collection, Collection) else BUILT_IN_FIELDS
            header = pb.CollectionHeader(collection=name, fields=described(fields), primary_key=["path"])
            yield pb.ExportResponse(header=header)
            records = found.records.get(name, {}).values()
            pieces = content(self.threads, self.options.root, self.source, records, fields, totals)
            async with aclosing(pieces) as messages:
                async for message in messages:
                    yield message
        yield pb.ExportResponse(totals=totals)

    async def destroy(self, grant: Grant, *, count_only: bool) -> AsyncGenerator[pb.DestroyResponse, None]:
        """The contract's Destroy: intent, removal, count. What a kill interrupts, the next attempt goes on with."""
        with tree.translated(self.source), ExitStack() as stack:
            task = await self.threads.run(partial(stack.enter_context, self.journal.task(grant.task)))
            if not count_only:
                await self.threads.run(partial(task.enter, grant.attempt))
            found, beside = await self._found()
            entry = await self.threads.run(partial(task.read, _WHOLE))
            result = self._counted(found, entry)
            refusal = await self.threads.run(partial(self._refusal, result, found, grant))
            if count_only or refusal != pb.Destroyed.OUTCOME_UNSPECIFIED:
                result.outcome = pb.Destroyed.OUTCOME_COUNTED if count_only else refusal
                yield pb.DestroyResponse(destroyed=result)
                return
            if entry is None:
                entry = Entry(done=False, intended=self._intent(found))
                await self.threads.run(partial(task.write, _WHOLE, entry))
            intended = {path for paths in entry.intended.values() for path in paths}
            targets = [r for rs in found.records.values() for r in rs.values() if self.digests.path(r) in intended]
            targets += [r for rs in beside.records.values() for r in rs.values()]
            for start in range(0, len(targets), _BATCH):
                batch = targets[start : start + _BATCH]
                await self.threads.run(partial(remove.files, self.options.root, batch))
                yield pb.DestroyResponse(progress=pb.Progress(records=start + len(batch)))
            await self.threads.run(self._prune)
            yield pb.DestroyResponse(destroyed=await self._finished(task, entry))

    async def _finished(self, task: TaskJournal, entry: Entry) -> pb.Destroyed:
        found, beside = await self._found()
        result = self._counted(found, entry)
        if any(c.left for c in result.collections) or any(beside.records.values()):
            why = "Files came or changed while the source was being destroyed. Stop what writes there; it goes on then."
            raise DsrError("SOURCE_BUSY", why, source=self.source)
        done = Entry(done=True, deleted={c.collection: c.destroyed for c in result.collections})
        await self.threads.run(partial(task.write, _WHOLE, done))
        result.outcome = pb.Destroyed.OUTCOME_DESTROYED
        return result

    def _counted(self, found: Found, entry: Entry | None) -> pb.Destroyed:
        result = pb.Destroyed(findings=[*found.blocking(), *undeclared(self.options)])
        for name in self.options.collections:
            here = found.records.get(name, {})
            destroyed = 0
            if entry is not None and entry.done:
                destroyed = entry.deleted.get(name, 0)
            elif entry is not None:
                there = {self.digests.path(record) for record in here.values()}
                destroyed = len(entry.intended.get(name, {}).keys() - there)
            result.collections.add(collection=name, destroyed=destroyed, left=len(here))
        return result

    def _refusal(self, result: pb.Destroyed, found: Found, grant: Grant) -> "pb.Destroyed.Outcome.ValueType":
        """What keeps the source from being destroyed; UNSPECIFIED if nothing does. Findings say why."""
        caps = {i.collection: i for i in grant.instructions}
        for count in result.collections:
            instruction = caps.get(count.collection)
            if count.left and (instruction is None or instruction.action != _DELETE):
                detail = "The collection has records and the grant doesn't say that they go: they weren't returned."
                result.findings.add(
                    code="UNNAMED_COLLECTION", collection=count.collection, detail=detail, blocks_erasure=True
                )
            if remove.forbidden(self.options.root, found.records.get(count.collection, {})):
                detail = "The connector's user may not remove entries of a folder concerned. Give it the permission."
                result.findings.add(
                    code="NOT_PERMITTED", collection=count.collection, detail=detail, blocks_erasure=True
                )
        if any(finding.blocks_erasure for finding in result.findings):
            return pb.Destroyed.OUTCOME_BLOCKED
        if any(c.left + c.destroyed > caps[c.collection].cap for c in result.collections if c.left):
            return pb.Destroyed.OUTCOME_CAP_EXCEEDED
        return pb.Destroyed.OUTCOME_UNSPECIFIED

    def _intent(self, found: Found) -> dict[str, dict[str, str]]:
        return {
            name: {self.digests.path(r): self.digests.record(r) for r in records.values()}
            for name, records in found.records.items()
        }

    def _prune(self) -> None:
        """Folders that became empty go as well: their names may be people's."""
        with tree.root(self.options.root) as root:
            for collection in self.options.collections.values():
                pattern = base_of(collection)
                segment, last = pattern.segments[len(pattern.base)], len(pattern.segments) == len(pattern.base) + 1
                if last:
                    continue
                base = "/".join(pattern.base)
                with suppress(FileNotFoundError), tree.folder_at(root, base) as handle:
                    folders = []
                    for name in tree.names(handle):
                        status = tree.status(handle, name)
                        is_folder = status is not None and stat.S_ISDIR(status.st_mode)
                        if is_folder and (segment.deep or segment.read(name) is not None):
                            folders.append(f"{base}/{name}" if base else name)
                remove.empty_folders(self.options.root, folders)
