"""Searches the versions of one lake object, each in a thread, whatever the store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from connectors.filesystem.threads import Threads
from connectors.lake.record import Archive, Broken, Fixed, Hit, Source, Unreadable
from connectors.lake.search import Search
from connectors.objects.bridge import Bridge, Ranges, Stream
from connectors.objects.options import Collection
from connectors.objects.store import Store, Version

Digest = Callable[[bytes], str]
"""From a record's data to its digest."""


@dataclass
class Scanned:
    """What one version holds of the people looked for, by their index."""

    rows: dict[int, dict[str, int]] = field(default_factory=dict)
    """Digest of each record, and how often it stands here."""
    names: dict[int, set[tuple[int, str]]] = field(default_factory=dict)
    shared: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    """People whose identity stands in a record that can't be read."""
    has_broken: bool = False
    fixed: bool = False
    """It can't be written again as it is."""
    unsearched: str = ""
    """Code of the finding that says why the version couldn't be searched."""
    expires: datetime | None = None
    """Archived: when the store itself removes it."""


@contextmanager
def opened(bridge: Bridge, store: Store, version: Version, collection: Collection) -> Iterator[Source]:
    """The version's bytes, as its format reads them. Called in a thread."""
    local = store.open(version)
    if local is not None:
        with local as file:
            yield file
        return
    if collection.format == "parquet":
        yield Ranges(bridge, store, version)
        return
    stream = Stream(bridge, store, version)
    try:
        yield stream
    finally:
        stream.finish()


async def scan(
    store: Store, threads: Threads, collection: Collection, search: Search, version: Version, digest: Digest
) -> Scanned:
    """Searches one version. Gone if it went away meanwhile."""
    if version.obstacle:
        return Scanned(unsearched=version.obstacle)
    if version.size == 0 or version.state in ("DELETE_MARKER", "INCOMPLETE_UPLOAD"):
        return Scanned()
    if version.archived:
        facts = await store.facts(version)
        if not facts.restored:
            return Scanned(unsearched="ARCHIVED", expires=facts.expires)
    bridge = Bridge()
    work = partial(_scan, bridge, store, version, collection, search, digest)
    return await threads.run(work, bridge.cancelled.set)


def _scan(
    bridge: Bridge, store: Store, version: Version, collection: Collection, search: Search, digest: Digest
) -> Scanned:
    found = Scanned()
    try:
        with opened(bridge, store, version, collection) as source:
            for hit in search.scan(source):
                _note(found, hit, digest)
    except Unreadable as error:
        # Half of what it holds is never taken for all.
        return Scanned(unsearched="ARCHIVE" if isinstance(error, Archive) else "UNREADABLE_OBJECT")
    return found


def _note(found: Scanned, hit: Hit | Broken | Fixed, digest: Digest) -> None:
    if isinstance(hit, Fixed):
        found.fixed = True
        return
    if isinstance(hit, Broken):
        found.broken |= hit.people
        found.has_broken = True
        return
    name = digest(hit.data)
    for person in hit.people:
        rows = found.rows.setdefault(person, {})
        rows[name] = rows.get(name, 0) + 1
        if hit.shared:
            found.shared.add(person)
        else:
            found.names.setdefault(person, set()).update(hit.names)


def records(search: Search, source: Source) -> Iterator[Hit]:
    """Only the records, for copying them."""
    return (hit for hit in search.scan(source) if isinstance(hit, Hit))


def latest(versions: Sequence[Version]) -> Version | None:
    """The current version, if the object has one."""
    return versions[0] if versions and versions[0].state == "CURRENT" else None
