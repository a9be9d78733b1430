"""Destroy: every key of every collection, a page at a time: counted, written down, removed in one step of the server.

Before a page goes, the journal says which keys it is and what went before. So whoever comes after a kill knows what was
destroyed: of the page that was under way, whatever isn't there any more.
"""

import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

from connectors.filesystem import tree
from connectors.filesystem.journal import Entry, Journal, TaskJournal
from connectors.redis import describe, keys
from connectors.redis.everything import WRONG_TYPE, Everything
from connectors.redis.found import DETAILS, Digests
from dsrkit.errors import DsrError

DESTROY = files("connectors.redis").joinpath("destroy.lua").read_text()
_DELETE = CollectionInstruction.ACTION_DELETE
_WHOLE = "destroy"
"""Under what the journal has a whole source."""
_TRIES = 3


@dataclass
class _Counted:
    """What is there."""

    left: dict[str, int] = field(default_factory=dict)
    destroyed: dict[str, int] = field(default_factory=dict)
    findings: list[pb.Finding] = field(default_factory=list)

    def message(self) -> pb.Destroyed:
        result = pb.Destroyed(findings=self.findings)
        for name, left in self.left.items():
            result.collections.add(collection=name, destroyed=self.destroyed[name], left=left)
        return result


@dataclass(frozen=True)
class Destroyer:
    """Destroys one source."""

    everything: Everything
    digests: Digests
    journal: Journal

    async def run(self, grant: Grant, *, count_only: bool) -> AsyncGenerator[pb.DestroyResponse, None]:
        """The contract's Destroy."""
        run, source = self.everything.threads.run, self.everything.source
        with tree.translated(source), ExitStack() as stack:
            task = await run(partial(stack.enter_context, self.journal.task(grant.task)))
            if not count_only:
                await run(partial(task.enter, grant.attempt))
            await self.everything.server.require_primary()
            entry = await run(partial(task.read, _WHOLE)) or Entry(done=False)
            counted = await self._counted(entry)
            outcome = pb.Destroyed.OUTCOME_COUNTED if count_only else self._refusal(counted, grant)
            if outcome == pb.Destroyed.OUTCOME_UNSPECIFIED:
                caps = {instruction.collection: instruction.cap for instruction in grant.instructions}
                async with aclosing(self._destroy(task, counted.destroyed, caps)) as batches:
                    async for records in batches:
                        yield pb.DestroyResponse(progress=pb.Progress(records=records))
                done = Entry(done=True, deleted=counted.destroyed)
                counted = await self._counted(done)
                if any(counted.left.values()):
                    why = "Keys came while the source was being destroyed. Stop what writes there; it goes on then."
                    raise DsrError("SOURCE_BUSY", why, source=source)
                await run(partial(task.write, _WHOLE, done))
                outcome = pb.Destroyed.OUTCOME_DESTROYED
            result = counted.message()
            result.outcome = outcome
            yield pb.DestroyResponse(destroyed=result)

    async def _counted(self, entry: Entry) -> _Counted:
        """What is there, and what went: of an interrupted page whatever isn't there, for whatever reason."""
        counted = _Counted()
        for name in self.everything.options.collections:
            under_way, left, wrong = dict(entry.intended.get(name, {})), 0, False
            async with aclosing(self.everything.once(name)) as pages:
                async for page in pages:
                    for key, number in zip(page, await self.everything.numbers(name, page), strict=True):
                        if number is not None and under_way:
                            under_way.pop(self.digests.place((key, None)), None)
                        wrong = wrong or number == WRONG_TYPE
                        left += max(number or 0, 0)
            counted.left[name] = left
            counted.destroyed[name] = entry.deleted.get(name, 0) + sum(map(int, under_way.values()))
            if wrong:
                counted.findings.append(_blocking(name, "WRONG_TYPE", DETAILS["WRONG_TYPE"]))
            key = keys.data(keys.example(self.everything.options.collections[name].pattern, secrets.token_hex(16)))
            if not await self.everything.server.permits(key, *destroys(key)):
                detail = "The connector's user may not remove these keys. Give it the permission."
                counted.findings.append(_blocking(name, "NOT_PERMITTED", detail))
        counted.findings += [f async for f in describe.undeclared(self.everything.options, self.everything.server)]
        return counted

    def _refusal(self, counted: _Counted, grant: Grant) -> "pb.Destroyed.Outcome.ValueType":
        """What keeps the source from being destroyed; UNSPECIFIED if nothing does. Findings say why."""
        caps = {i.collection: i.cap for i in grant.instructions if i.action == _DELETE}
        for name, left in counted.left.items():
            if left and name not in caps:
                detail = "The collection has records and the grant doesn't say that they go: they weren't returned."
                counted.findings.append(_blocking(name, "UNNAMED_COLLECTION", detail))
        if any(finding.blocks_erasure for finding in counted.findings):
            return pb.Destroyed.OUTCOME_BLOCKED
        if any(left + counted.destroyed[name] > caps[name] for name, left in counted.left.items() if left):
            return pb.Destroyed.OUTCOME_CAP_EXCEEDED
        return pb.Destroyed.OUTCOME_UNSPECIFIED

    async def _destroy(
        self, task: TaskJournal, destroyed: dict[str, int], caps: Mapping[str, int]
    ) -> AsyncGenerator[int, None]:
        """How many records went so far, after every page; `destroyed` is kept up."""
        for name in self.everything.options.collections:
            async with aclosing(self.everything.pages(name)) as pages:
                async for page in pages:
                    await self._page(task, name, page, destroyed, caps.get(name, 0))
                    yield sum(destroyed.values())

    async def _page(self, task: TaskJournal, name: str, page: list[bytes], destroyed: dict[str, int], cap: int) -> None:
        for _ in range(_TRIES):
            numbers = await self.everything.numbers(name, page)
            found = {key: number for key, number in zip(page, numbers, strict=True) if number is not None}
            if not found:
                return
            if WRONG_TYPE in found.values() or destroyed[name] + sum(found.values()) > cap:
                why = "Records came that were not returned. Stop what writes there, and have the source returned again."
                raise DsrError("SOURCE_BUSY", why, source=self.everything.source)
            under_way = {self.digests.place((key, None)): str(number) for key, number in found.items()}
            entry = Entry(done=False, intended={name: under_way}, deleted=dict(destroyed))
            await self.everything.threads.run(partial(task.write, _WHOLE, entry))
            each = self.everything.options.collections[name].each
            words = ("EVAL", DESTROY, len(found), *found, each, *found.values())
            if await self.everything.server.command(*words):
                destroyed[name] += sum(found.values())
                return
        why = "Keys change all the time while they are to be removed. Stop what writes there; it goes on then."
        raise DsrError("SOURCE_BUSY", why, source=self.everything.source)


def destroys(key: bytes) -> list[tuple[Any, ...]]:
    """What the user must be permitted to do with a key."""
    return [("EVAL", DESTROY, 1, key, "key", 1), ("UNLINK", key)]


def _blocking(collection: str, code: str, detail: str) -> pb.Finding:
    return pb.Finding(code=code, collection=collection, detail=detail, blocks_erasure=True)
