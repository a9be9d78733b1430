"""Takes people's records out of one lake object, with all of its history, while others go on writing it.

What a writer puts in place meanwhile is never lost. In a versioned store the new content is one more version, which
notes whose place it takes: if the version right below it is another one, somebody wrote in between, and the work is
done again from theirs. Elsewhere the store itself compares before it replaces.

A version that an erasure wrote is read like any other before it is kept: it may be another erasure's.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from connectors.filesystem.threads import Threads
from connectors.lake.record import Hit, Unreadable
from connectors.lake.search import Search
from connectors.objects.bridge import Bridge, Output
from connectors.objects.find import key_versions
from connectors.objects.options import Collection
from connectors.objects.scan import opened, scan
from connectors.objects.store import Facts, Gone, Overtaken, Replacement, Store, Version
from connectors.objects.turns import Turns
from dsrkit.errors import DsrError

_TRIES = 8
UNREAD = frozenset({"UNREADABLE_OBJECT", "ARCHIVE"})
"""Codes of what couldn't be read, and so can't be said to be free of somebody's records."""


@dataclass
class Cleaning:
    """One lake object, to be freed of some records."""

    store: Store
    threads: Threads
    collection: Collection
    search: Search
    key: str
    source: str
    turns: Turns
    digest: Callable[[bytes], str]
    doomed: Callable[[int, str], bool]
    """Whether the record with this digest is to go, being of the person with this index."""
    _dirty: dict[str, bool] = field(default_factory=dict)
    _facts: dict[str, Facts] = field(default_factory=dict)

    async def run(self) -> None:
        """Returns when no version holds any of the records. SOURCE_BUSY if others write faster than this reads."""
        async with self.turns.of(self.key):
            for _ in range(_TRIES):
                try:
                    if await self._round():
                        await self._abort_uploads()
                        return
                except (Gone, Overtaken):
                    continue
                except Unreadable:
                    raise unreadable(self.source) from None
        raise DsrError("SOURCE_BUSY", "An object is being written again and again. Retry.", source=self.source)

    async def _round(self) -> bool:
        versions = await key_versions(self.store, self.key)
        ours = await self._ours(versions)
        theirs = next((v for v in versions if v.id not in ours), None)
        if theirs is None:
            return True
        first = versions[0]
        # What an erasure made of theirs stands for it, whichever erasure that was: one that was killed, or another
        # host's, took out other people's records, and not these.
        base = first if _stems(first, theirs, ours) else theirs
        if base.state != "DELETE_MARKER" and await self._is_dirty(base):
            await self._replace(base, first)
            return False
        return await self._remove_history(versions, ours, base)

    async def _ours(self, versions: Sequence[Version]) -> dict[str, str]:
        """Versions that an erasure wrote and whose predecessor is still there: id to the predecessor's."""
        known = {version.id for version in versions}
        ours: dict[str, str] = {}
        # The oldest has no predecessor, so that what it notes is of no consequence.
        for version in versions[:-1]:
            if version.state != "DELETE_MARKER":
                place = _place(version)
                if place not in self._facts:
                    self._facts[place] = await self.store.facts(version)
                rewrites = self._facts[place].rewrites
                if rewrites in known and rewrites != version.id:
                    ours[version.id] = rewrites
        return ours

    async def _is_dirty(self, version: Version) -> bool:
        place = _place(version)
        if place not in self._dirty:
            found = await scan(self.store, self.threads, self.collection, self.search, version, self.digest)
            if found.unsearched in UNREAD:
                raise Unreadable(found.unsearched)
            self._dirty[place] = any(self.doomed(p, name) for p, rows in found.rows.items() for name in rows)
        return self._dirty[place]

    async def _replace(self, version: Version, over: Version) -> None:
        async with self.store.replace(version, over) as replacement:
            bridge = Bridge()
            await self.threads.run(partial(self._rewrite, bridge, version, replacement), bridge.cancelled.set)
            await replacement.commit()

    def _rewrite(self, bridge: Bridge, version: Version, replacement: Replacement) -> None:
        output = Output(bridge, replacement)
        with opened(bridge, self.store, version, self.collection) as source:
            self.search.rewrite(source, output.write, self._drop)
        output.flush()

    def _drop(self, hit: Hit) -> bool:
        name = self.digest(hit.data)
        return any(self.doomed(person, name) for person in hit.people)

    async def _remove_history(self, versions: Sequence[Version], ours: dict[str, str], kept: Version) -> bool:
        """Removes what else holds the records, the oldest first. True if nothing new turned up meanwhile."""
        left = [kept]
        for version in reversed(versions):
            if version.id == kept.id:
                continue
            spare = version.state == "DELETE_MARKER"
            if version.id in ours or (not spare and await self._is_dirty(version)):
                await self.store.remove(version)
            else:
                left.append(version)
        if all(version.state == "DELETE_MARKER" for version in left):
            # Nothing is left that they could hide.
            for version in left:
                await self.store.remove(version)
        now = await key_versions(self.store, self.key)
        known = {_place(version) for version in versions}
        return all(_place(version) in known for version in now)

    async def _abort_uploads(self) -> None:
        """Uploads of this object that were given up may hold anything, what a killed erasure was writing included."""
        async with aclosing(self.store.uploads(self.key)) as uploads:
            async for upload in uploads:
                if upload.key == self.key:
                    await self.store.remove(upload)


def unreadable(source: str) -> DsrError:
    """The answer where an object can't be read any more that held records when the erasure began."""
    return DsrError(
        "SOURCE_REJECTED",
        "An object can't be read any more, or not be written again as it is, since an erasure of its records began. "
        "Locate says which collection. Mend it, then retry.",
        source=source,
        why="UNREADABLE_OBJECT",
    )


def _stems(version: Version, origin: Version, ours: Mapping[str, str]) -> bool:
    """Whether erasures made it of `origin`, step by step."""
    at = version.id
    for _ in ours:
        at = ours.get(at, at)
    return version.id in ours and at == origin.id


def _place(version: Version) -> str:
    """What tells a version from every other, unversioned objects included."""
    return f"{version.id} {version.etag} {version.modified.timestamp()}"
