"""Finds people's objects by key, tag or metadata, and their records in lake objects. Every version is looked at."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb

from connectors.filesystem.threads import Threads
from connectors.lake.identity import Wanted
from connectors.lake.search import Search
from connectors.objects import keys
from connectors.objects.found import Digests, Found, Object, Rows
from connectors.objects.options import Collection, Options
from connectors.objects.scan import Scanned, scan
from connectors.objects.store import Gone, Store, Version
from connectors.objects.together import at_once
from dsrkit.errors import DsrError

_LISTINGS = 16
"""Requests that look for people at once."""
_SCANS = 4
"""Lake objects searched at once: each has a thread."""
_TRIES = 5


@dataclass
class Watch:
    """How far a search is."""

    seen: int = 0
    """Objects looked at."""


def wanted(collection: Collection, subjects: Sequence[pb.Subject]) -> Wanted:
    """The people of a call, as a lake collection names them."""
    return Wanted(collection.rules, [[(i.type, i.value) for i in subject.identities] for subject in subjects])


@dataclass(frozen=True)
class Finder:
    """Searches one store."""

    store: Store
    options: Options
    digests: Digests
    threads: Threads
    source: str

    async def run(self, subjects: Sequence[pb.Subject], watch: Watch) -> list[Found]:
        """What was found, subject by subject."""
        results = [Found() for _ in subjects]
        for name, collection in self.options.collections.items():
            if collection.no_personal_data:
                continue
            if collection.lake:
                await self._lake(name, collection, subjects, results, watch)
            else:
                for variable in collection.pattern.variables:
                    await self._keys(name, collection, variable, subjects, results, watch)
                if collection.tagged:
                    await self._tagged(name, collection, subjects, results, watch)
        await self._obstacles(results)
        return results

    async def _keys(
        self,
        name: str,
        collection: Collection,
        variable: str,
        subjects: Sequence[pb.Subject],
        results: Sequence[Found],
        watch: Watch,
    ) -> None:
        """People whose identity stands in the key: one listing each, or one for all where the key can't be composed."""
        segment = keys.segment_of(collection.pattern, variable)
        exact = collection.identity[variable].match == "exact"
        listings: dict[str, dict[str, list[int]]] = {}
        for index, value in _values(collection, variable, subjects):
            if not segment.searchable(variable, value):
                results[index].note(name, "IDENTITY_NOT_SEARCHABLE")
                continue
            own = keys.prefix(collection.pattern, variable, value) if exact else keys.prefix(collection.pattern)
            if exact:
                # Wider than the pattern, so that what nobody declared shows.
                own = keys.folder(collection.pattern, variable, value) or own
            people = listings.setdefault(own, {}).setdefault(_folded(value, exact), [])
            people.append(index)
        list_one = partial(self._list, name, collection, variable, results, watch)
        await at_once(_LISTINGS, [partial(list_one, prefix, people) for prefix, people in listings.items()])

    async def _list(
        self,
        name: str,
        collection: Collection,
        variable: str,
        results: Sequence[Found],
        watch: Watch,
        prefix: str,
        people: Mapping[str, Sequence[int]],
    ) -> None:
        exact = collection.identity[variable].match == "exact"
        async with aclosing(self.store.versions(prefix)) as listing:
            async for versions in listing:
                watch.seen += 1
                values = keys.read(collection.pattern, versions[0].key)
                owners = people.get(_folded(values[variable], exact), ()) if values else ()
                for version in versions if values and owners else ():
                    await self._add(name, collection, version, values or {}, [results[i] for i in owners])
                if not values:
                    self._note_undeclared(name, collection, variable, versions[0].key, people, results)
        async with aclosing(self.store.uploads(prefix)) as uploads:
            async for upload in uploads:
                values = keys.read(collection.pattern, upload.key)
                for index in people.get(_folded(values[variable], exact), ()) if values else ():
                    results[index].add(name, Object(upload, tuple(sorted((values or {}).items()))))

    async def _add(
        self, name: str, collection: Collection, version: Version, values: Mapping[str, str], results: Sequence[Found]
    ) -> None:
        if collection.tagged and version.state in ("CURRENT", "NONCURRENT"):
            try:
                values = {**values, **await self._tags(collection, version)}
            except Gone:
                return
        for result in results:
            result.add(name, Object(version, tuple(sorted(values.items()))))

    def _note_undeclared(
        self,
        name: str,
        collection: Collection,
        variable: str,
        key: str,
        people: Mapping[str, Sequence[int]],
        results: Sequence[Found],
    ) -> None:
        """An object below the person's own prefix that no collection declares."""
        if any(keys.read(other.pattern, key) is not None for other in self.options.collections.values()):
            return
        for value, owners in people.items():
            own = keys.folder(collection.pattern, variable, value)
            if own and key.startswith(own) and key != own:
                for index in owners:
                    results[index].note(name, "UNDECLARED_OBJECT")

    async def _tagged(
        self, name: str, collection: Collection, subjects: Sequence[pb.Subject], results: Sequence[Found], watch: Watch
    ) -> None:
        """People whose identity stands in tags or metadata: every object is asked for them."""
        people: dict[tuple[str, str], list[int]] = {}
        for variable in collection.tagged:
            exact = collection.identity[variable].match == "exact"
            for index, value in _values(collection, variable, subjects):
                people.setdefault((variable, _folded(value, exact)), []).append(index)
        if not people:
            return
        look = partial(self._look, name, collection, people, results, watch)
        async with aclosing(self._matching(collection)) as matching:
            await at_once(_LISTINGS, matching, look)

    async def _look(
        self,
        name: str,
        collection: Collection,
        people: Mapping[tuple[str, str], Sequence[int]],
        results: Sequence[Found],
        watch: Watch,
        versions: Sequence[Version],
    ) -> None:
        watch.seen += 1
        in_key = keys.read(collection.pattern, versions[0].key) or {}
        owned: list[set[int]] = []
        for version in versions:
            if version.state == "DELETE_MARKER":
                continue
            try:
                values = {**in_key, **await self._tags(collection, version)}
            except Gone:
                continue
            owners: set[int] = set()
            for variable in set(values) & set(collection.tagged):
                exact = collection.identity[variable].match == "exact"
                owners.update(people.get((variable, _folded(values[variable], exact)), ()))
            owned.append(owners)
            for index in owners:
                results[index].add(name, Object(version, tuple(sorted(values.items()))))
        # A delete marker names nobody: it goes with the object's versions if they are all one person's.
        for index in set.intersection(*owned) if owned else ():
            for version in versions:
                if version.state == "DELETE_MARKER":
                    results[index].add(name, Object(version, tuple(sorted(in_key.items()))))

    async def _tags(self, collection: Collection, version: Version) -> Mapping[str, str]:
        """Identity values in tags and metadata."""
        values: dict[str, str] = {}
        wanted_of = {name: collection.identity[name] for name in collection.tagged}
        if any(identity.tag for identity in wanted_of.values()):
            tags = await self.store.tags(version)
            values |= {name: tags[i.tag] for name, i in wanted_of.items() if i.tag in tags}
        if any(identity.metadata for identity in wanted_of.values()):
            metadata = (await self.store.facts(version)).metadata
            values |= {
                name: metadata[i.metadata.lower()] for name, i in wanted_of.items() if i.metadata.lower() in metadata
            }
        return values

    async def _matching(self, collection: Collection) -> AsyncGenerator[Sequence[Version], None]:
        async with aclosing(self.store.versions(keys.prefix(collection.pattern))) as listing:
            async for versions in listing:
                # What stands in a folder's place may lead to anything.
                in_place_of_a_folder = versions[0].obstacle and versions[0].key.endswith("/")
                if in_place_of_a_folder or keys.read(collection.pattern, versions[0].key) is not None:
                    yield versions

    async def _lake(
        self, name: str, collection: Collection, subjects: Sequence[pb.Subject], results: Sequence[Found], watch: Watch
    ) -> None:
        people = wanted(collection, subjects)
        if not people or collection.format is None:
            return
        asked = {index for rule in people.index for owners in rule.values() for index in owners}
        search = Search(collection.format, people, delimiter=collection.delimiter)
        work = partial(self._scan_key, name, collection, search, {i: results[i] for i in asked}, watch)
        async with aclosing(self._matching(collection)) as matching:
            await at_once(_SCANS, matching, work)
        async with aclosing(self.store.uploads(keys.prefix(collection.pattern))) as uploads:
            async for upload in uploads:
                if keys.read(collection.pattern, upload.key) is not None:
                    for index in asked:
                        results[index].note_upload(name, upload)

    async def _scan_key(
        self,
        name: str,
        collection: Collection,
        search: Search,
        asked: Mapping[int, Found],
        watch: Watch,
        versions: Sequence[Version],
    ) -> None:
        key = versions[0].key
        scanned: list[tuple[Version, Scanned]] = []
        for _ in range(_TRIES):
            try:
                scanned = [
                    (v, await scan(self.store, self.threads, collection, search, v, partial(self.digests.row, key)))
                    for v in versions
                ]
                break
            except Gone:
                before, versions = versions, await key_versions(self.store, key)
                if versions == before:
                    versions = await self._there(versions)
        else:
            raise DsrError(
                "SOURCE_BUSY", "An object changed again and again while it was searched. Retry.", source=self.source
            )
        watch.seen += 1
        names = list(collection.identity)
        for version, found in scanned:
            for index, result in asked.items():
                if found.unsearched:
                    result.note_unsearched(name, version, found.unsearched, found.expires)
                elif index in found.broken:
                    result.note_unsearched(name, version, "BROKEN_RECORD")
                elif found.has_broken:
                    result.note(name, "BROKEN_RECORDS", blocks=False)
                if index in found.shared and collection.shared_records == "block":
                    result.note(name, "SHARED_RECORD")
            for index, rows in found.rows.items():
                result = asked[index]
                known = result.rows.setdefault(name, {}).setdefault(key, Rows())
                for digest, number in rows.items():
                    known.counts[digest] = max(number, known.counts.get(digest, 0))
                known.names |= {(names[rule], value) for rule, value in found.names.get(index, ())}
                await self._note_obstacle(name, version, result)
                if found.fixed:
                    result.note(name, "UNWRITABLE_OBJECT")
                if self.options.unguarded_rewrites == "block" and not await self.store.guarded(version):
                    result.note(name, "UNGUARDED")

    async def _there(self, versions: Sequence[Version]) -> list[Version]:
        """Those that can be asked for: listings may lag behind, and show what has expired."""
        there = []
        for version in versions:
            with suppress(Gone):
                if version.state != "DELETE_MARKER":
                    await self.store.facts(version)
                there.append(version)
        return there

    async def _obstacles(self, results: Sequence[Found]) -> None:
        """What keeps objects that were found from being removed."""
        if not await self.store.has_obstacles():
            return
        work = [
            partial(self._note_obstacle, name, item.version, result)
            for result in results
            for name, objects in result.objects.items()
            for item in list(objects.values())
            if item.version.state in ("CURRENT", "NONCURRENT")
        ]
        await at_once(_LISTINGS, work)

    async def _note_obstacle(self, name: str, version: Version, result: Found) -> None:
        if version.obstacle:
            result.note(name, version.obstacle)
        if version.obstacle or not await self.store.has_obstacles():
            return
        try:
            facts = await self.store.facts(version)
        except Gone:
            # Listings may lag behind, and show what has expired.
            result.objects.get(name, {}).pop((version.key, version.id), None)
            return
        if facts.held:
            result.note_held(name, None if facts.legal_hold else facts.held_until)
        if facts.foreign_parts:
            result.note(name, "FOREIGN_SEGMENTS")
        if facts.linked:
            result.note(name, "HARD_LINK")


async def key_versions(store: Store, key: str) -> Sequence[Version]:
    """The versions of one object, the newest first; none if it is gone."""
    async with aclosing(store.versions(key)) as listing:
        async for versions in listing:
            if versions[0].key == key:
                return versions
            break
    return []


def _values(collection: Collection, variable: str, subjects: Sequence[pb.Subject]) -> list[tuple[int, str]]:
    """(subject, value) of every identity of the variable's type, each once."""
    kind = collection.type_of(variable)
    pairs = ((index, i.value) for index, subject in enumerate(subjects) for i in subject.identities if i.type == kind)
    return list(dict.fromkeys(pairs))


def _folded(value: str, exact: bool) -> str:
    return value if exact else value.casefold()
