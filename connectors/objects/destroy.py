"""Destroy: the intent, as a list of every version, then removal in batches, then another listing that counts.

What a kill interrupts, the next attempt goes on with: what its list names and is still there. What isn't on the list
came since, and is left.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.filesystem import tree
from connectors.filesystem.journal import Journal
from connectors.filesystem.threads import Threads
from connectors.objects import listed
from connectors.objects.erase import open_task
from connectors.objects.found import Digests
from connectors.objects.giveback import RETURNED
from connectors.objects.options import Options
from connectors.objects.store import Gone, Version, WholeStore
from connectors.objects.together import at_once
from connectors.objects.whole import Listing, Named
from dsrkit.errors import DsrError

_REQUESTS = 16
_DELETE = CollectionInstruction.ACTION_DELETE
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Survey:
    """What one listing found."""

    left: Counter[str] = field(default_factory=Counter)
    intended: Counter[str] = field(default_factory=Counter)
    """Of those left, the ones that the intent names."""
    marks: Counter[str] = field(default_factory=Counter)
    """Of those left, delete markers that it doesn't name: they hold nothing, and the removal itself may leave some."""
    new: set[str] = field(default_factory=set)
    """Collections with versions that the latest Return didn't give, as far as this host knows."""
    unlisted: bool = False
    """Nothing is known of a Return: another host made it, the state is lost, or there was none."""
    origins: set[bytes] = field(default_factory=set)
    """Versions given, of which an erasure made others since."""
    held: dict[str, datetime] = field(default_factory=dict)
    """By collection, until when the store keeps something."""
    foreign: set[str] = field(default_factory=set)
    """Collections with large objects whose segments may be others'."""
    links: set[str] = field(default_factory=set)
    """Collections with links in objects' places."""
    undeclared: set[str] = field(default_factory=set)
    """Collections beside whose objects undeclared ones stand."""


@dataclass(frozen=True)
class Destroyer:
    """Destroys one source."""

    store: WholeStore
    options: Options
    source: str
    digests: Digests
    journal: Journal
    threads: Threads
    state_dir: Path

    async def run(self, grant: Grant, *, count_only: bool) -> AsyncGenerator[pb.DestroyResponse, None]:
        """The contract's Destroy."""
        with tree.translated(self.source), ExitStack() as stack:
            if count_only:
                task = await self.threads.run(partial(stack.enter_context, self.journal.task(grant.task)))
            else:
                task = await open_task(self.journal, self.threads, stack, grant)
            path = task.folder / "whole"
            intent = stack.enter_context(listed.opened(path, self.source))
            draft = stack.enter_context(listed.draft(path, "intent")) if intent is None and not count_only else None
            survey = await self._survey(intent, draft.listed if draft else None)
            result = self._counted(survey, intent)
            outcome = pb.Destroyed.OUTCOME_COUNTED if count_only else _refusal(result, survey, grant)
            if outcome != pb.Destroyed.OUTCOME_UNSPECIFIED:
                result.outcome = outcome
                yield pb.DestroyResponse(destroyed=result)
                return
            if draft is not None:
                await self.threads.run(draft.commit)
                intent = stack.enter_context(listed.opened(path, self.source))
            if intent is None:
                raise AssertionError("the intent was just written")
            async with aclosing(self._remove(intent)) as steps:
                async for done in steps:
                    yield pb.DestroyResponse(progress=pb.Progress(records=done))
            # Counted, never concluded.
            result = self._finished(self._counted(await self._survey(intent, None), intent))
            if result.outcome == pb.Destroyed.OUTCOME_DESTROYED:
                await self.threads.run(
                    partial(self._close, path, {c.collection: c.destroyed for c in result.collections})
                )
            yield pb.DestroyResponse(destroyed=result)

    async def _remove(self, intent: listed.Listed) -> AsyncGenerator[int, None]:
        """Removes what the intent names, in passes until one finds nothing or no less than the one before."""
        before, found = -1, -2
        while found and found != before:
            before, found = found, 0
            async with aclosing(Listing(self.store, self.options).batches()) as batches:
                async for batch in batches:
                    known = await self._known(intent, batch)
                    doomed = [version for _, version in batch if _mark(version) or self.digests.same(version) in known]
                    # What was written over one before it was listed isn't on the list; what was since, `clear` leaves.
                    await self.store.clear(doomed)
                    found += len(doomed)
                    yield found

    async def _survey(self, intent: listed.Listed | None, draft: listed.Listed | None) -> Survey:
        """Lists everything, and notes it in `draft`. Without an intent yet, compares it with what was returned."""
        survey, looks = Survey(), await self.store.has_obstacles()
        listing = Listing(self.store, self.options, survey.undeclared)
        with listed.opened(self.state_dir / RETURNED, self.source) as returned:
            survey.unlisted = intent is None and returned is None
            async with aclosing(listing.batches()) as batches:
                async for batch in batches:
                    survey.left.update(name for name, _ in batch)
                    if intent is not None:
                        known = await self._known(intent, batch)
                        survey.intended.update(n for n, v in batch if self.digests.same(v) in known)
                        survey.marks.update(n for n, v in batch if _mark(v) and self.digests.same(v) not in known)
                    if draft is not None:
                        await self.threads.run(partial(draft.add, [(n, self.digests.same(v)) for n, v in batch]))
                    if survey.unlisted:
                        survey.new.update(name for name, _ in batch)
                    elif intent is None and returned is not None:
                        await self._look_for_new(survey, returned, batch)
                    work = [partial(self._look, survey, name, version) for name, version in batch if looks]
                    await at_once(_REQUESTS, work)
                    survey.links |= {name for name, version in batch if version.obstacle}
        return survey

    async def _known(self, among: listed.Listed, batch: Sequence[Named]) -> set[bytes]:
        return await self.threads.run(partial(among.known, [self.digests.same(version) for _, version in batch]))

    async def _look(self, survey: Survey, name: str, version: Version) -> None:
        """Notes what keeps a version from being removed."""
        if version.state not in ("CURRENT", "NONCURRENT") or version.obstacle:
            return
        try:
            facts = await self.store.facts(version)
        except Gone:
            return
        if facts.held:
            until = _FOREVER if facts.legal_hold or facts.held_until is None else facts.held_until
            survey.held[name] = max(until, survey.held.get(name, until))
        if facts.foreign_parts:
            survey.foreign.add(name)

    async def _look_for_new(self, survey: Survey, returned: listed.Listed, batch: Sequence[Named]) -> None:
        """Notes versions that weren't given, unless an erasure made them of one that was: it only took something out.

        A writer who copies an object may copy what it says of its origin. So an origin has one such version, and is
        one of this object that was given.
        """
        known = await self._known(returned, batch)
        strange = [(n, v) for n, v in batch if n not in survey.new and self.digests.same(v) not in known]
        found: list[tuple[str, bytes | None]] = []
        await at_once(_REQUESTS, [partial(self._origin, found, name, version) for name, version in strange])
        origins = [origin for _, origin in found if origin is not None]
        given = await self.threads.run(partial(returned.known, origins))
        for name, origin in found:
            if origin is None or origin not in given or origin in survey.origins:
                survey.new.add(name)
            else:
                survey.origins.add(origin)

    async def _origin(self, found: list[tuple[str, bytes | None]], name: str, version: Version) -> None:
        """Adds what the version says that it was made of; nothing if it is gone."""
        rewrites = ""
        if version.state in ("CURRENT", "NONCURRENT") and not version.obstacle:
            try:
                rewrites = (await self.store.facts(version)).rewrites
            except Gone:
                return
        found.append((name, self.digests.origin(version.key, rewrites) if rewrites else None))

    def _counted(self, survey: Survey, intent: listed.Listed | None) -> pb.Destroyed:
        result = pb.Destroyed(findings=_findings(survey))
        for name in self.options.collections:
            destroyed = intent.counts[name] - survey.intended[name] if intent else 0
            result.collections.add(collection=name, destroyed=destroyed, left=survey.left[name])
        return result

    def _finished(self, result: pb.Destroyed) -> pb.Destroyed:
        if not any(c.left for c in result.collections):
            result.outcome = pb.Destroyed.OUTCOME_DESTROYED
        elif any(finding.blocks_erasure for finding in result.findings):
            result.outcome = pb.Destroyed.OUTCOME_BLOCKED
        else:
            why = (
                "Objects came or changed while the source was being destroyed. Stop what writes there; it goes on then."
            )
            raise DsrError("SOURCE_BUSY", why, source=self.source)
        return result

    def _close(self, path: Path, counts: Mapping[str, int]) -> None:
        """Keeps the numbers, for whoever asks again; no list of what is gone."""
        listed.close_list(path, counts)
        (self.state_dir / RETURNED).unlink(missing_ok=True)


def _mark(version: Version) -> bool:
    return version.state == "DELETE_MARKER"


def _refusal(result: pb.Destroyed, survey: Survey, grant: Grant) -> "pb.Destroyed.Outcome.ValueType":
    """What keeps the source from being destroyed; UNSPECIFIED if nothing does. Findings say why."""
    caps = {i.collection: i.cap for i in grant.instructions if i.action == _DELETE}
    unnamed = [c.collection for c in result.collections if c.left and c.collection not in caps]
    for name in unnamed:
        detail = "The collection has records and the grant doesn't say that they go: they weren't returned."
        result.findings.append(_finding("UNNAMED_COLLECTION", name, detail))
    counted = {c.collection: c.left + c.destroyed - survey.marks[c.collection] for c in result.collections if c.left}
    if not unnamed and any(number > caps[name] for name, number in counted.items()):
        return pb.Destroyed.OUTCOME_CAP_EXCEEDED
    if any(finding.blocks_erasure for finding in result.findings):
        return pb.Destroyed.OUTCOME_BLOCKED
    return pb.Destroyed.OUTCOME_UNSPECIFIED


def _findings(survey: Survey) -> Iterator[pb.Finding]:
    for name, until in survey.held.items():
        how = "A legal hold keeps objects" if until == _FOREVER else f"Object Lock keeps objects until {until:%Y-%m-%d}"
        yield _finding("RETAINED", name, f"{how}. Have it lifted, or wait; then the source can be destroyed.")
    for name in sorted(survey.foreign):
        detail = "A large object has segments that don't bear its name, and may be others'. Remove it by hand."
        yield _finding("FOREIGN_SEGMENTS", name, detail)
    for name in sorted(survey.links):
        yield _finding("SYMBOLIC_LINK", name, "A link stands where an object should. Replace or remove it.")
    for name in sorted(survey.new):
        detail = "There are versions that weren't there when the source was returned. Hand them over and remove them."
        if survey.unlisted:
            detail = (
                "This host doesn't know what was returned. Return the source again through it; or hand everything over "
                "and remove it by hand."
            )
        yield _finding("NOT_RETURNED", name, detail)
    for name in sorted(survey.undeclared):
        detail = "Beside its objects are others that no pattern matches. They stay. Declare them."
        yield pb.Finding(code="UNDECLARED_OBJECT", collection=name, detail=detail)


def _finding(code: str, collection: str, detail: str) -> pb.Finding:
    return pb.Finding(code=code, collection=collection, detail=detail, blocks_erasure=True)
