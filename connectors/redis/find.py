"""Finds people's keys and entries. What an identity alone decides is asked for by name; the rest is gone through."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb

from connectors.lake.identity import Wanted
from connectors.objects.together import at_once
from connectors.redis import content, documents, keys
from connectors.redis.connection import Server
from connectors.redis.entries import Entries
from connectors.redis.found import Digests, Found, Record
from connectors.redis.options import Collection, Options

_AT_ONCE = 4
"""Keys read at once: a source's connections are few."""

Owners = dict[bytes, dict[int, set[tuple[str, str]]]]
"""Key to whose it is, and by which identities."""


@dataclass
class Watch:
    """Between a search and whoever waits for it."""

    seen: int = 0


@dataclass(frozen=True)
class Finder:
    """Searches one source."""

    server: Server
    options: Options
    digests: Digests

    async def run(self, subjects: Sequence[pb.Subject], watch: Watch) -> list[Found]:
        """What was found, subject by subject."""
        await self.server.require_primary()
        results = [Found() for _ in subjects]
        for name, collection in self.options.collections.items():
            if collection.no_personal_data:
                continue
            if collection.each == "key":
                owners: Owners = {}
                for variable in collection.pattern.variables:
                    await self._by_name(name, collection, variable, subjects, results, owners)
                await self._by_content(name, collection, subjects, results, owners)
                await self._read(name, owners, results, watch)
            else:
                await self._entries(name, collection, subjects, results, watch)
        return results

    async def _by_name(
        self,
        name: str,
        collection: Collection,
        variable: str,
        subjects: Sequence[pb.Subject],
        results: Sequence[Found],
        owners: Owners,
    ) -> None:
        """Keys that bear an identity. Composed where it alone decides the name; else every key is looked at."""
        fold = collection.identity[variable].match == "case_fold"
        wanted: dict[str, set[int]] = {}
        for index, subject in enumerate(subjects):
            for identity in subject.identities:
                if identity.type != collection.type_of(variable):
                    continue
                if keys.searchable(collection.pattern, variable, identity.value):
                    wanted.setdefault(identity.value.casefold() if fold else identity.value, set()).add(index)
                else:
                    results[index].note(name, "IDENTITY_NOT_SEARCHABLE")
        if wanted and not fold and keys.name(collection.pattern, variable, "") is not None:
            for value, people in wanted.items():
                composed = keys.name(collection.pattern, variable, value) or ""
                _own(owners, keys.data(composed), people, {variable: value})
            return
        only = next(iter(wanted)) if len(wanted) == 1 and not fold else ""
        async for page in self._pages(collection, wanted, variable, only):
            for key in page:
                values = keys.read(collection.pattern, keys.text(key))
                if values is None:
                    continue
                value = values[variable].casefold() if fold else values[variable]
                _own(owners, key, wanted.get(value, set()), values)

    async def _by_content(
        self,
        name: str,
        collection: Collection,
        subjects: Sequence[pb.Subject],
        results: Sequence[Found],
        owners: Owners,
    ) -> None:
        """Keys whose content names a person: each key of the pattern is asked."""
        people = [[(identity.type, identity.value) for identity in subject.identities] for subject in subjects]
        wanted = Wanted(collection.rules, people)
        async for page in self._pages(collection, wanted):
            for key, document in await documents.of_keys(self.server, page, collection.rules):
                values = keys.read(collection.pattern, keys.text(key))
                if values is None:
                    continue
                if isinstance(document, documents.Broken):
                    for index in document.people(wanted):
                        results[index].note(name, "BROKEN_RECORD")
                elif (found := wanted.owners(document, untyped=True)) is not None:
                    told = {(collection.inside[rule], value) for rule, value in found.names}
                    for index in found.people:
                        owners.setdefault(key, {}).setdefault(index, set()).update({*values.items(), *told})
                        if found.shared:
                            results[index].note(name, "SHARED_RECORD")

    async def _pages(
        self, collection: Collection, wanted: object, variable: str = "", value: str = ""
    ) -> AsyncIterator[list[bytes]]:
        """The pattern's keys, if anybody is looked for."""
        if wanted:
            async for page in self.server.keys(keys.glob(collection.pattern, variable, value)):
                yield page

    async def _read(self, name: str, owners: Owners, results: Sequence[Found], watch: Watch) -> None:
        """Notes what the keys hold. One that an earlier collection has, or that isn't there, is nothing here."""

        async def read(key: bytes) -> None:
            kind = await content.kind_of(self.server.command, key)
            if kind == "none":
                return
            parts = [self.digests.part(part) async for part in content.parts(self.server.command, key, kind)]
            digest = self.digests.content((key, None), kind, parts)
            for index, values in owners[key].items():
                results[index].add(name, Record((key, None), kind, digest, tuple(sorted(values))))
            watch.seen += 1

        mine = [key for key in sorted(owners) if self.options.owner(keys.text(key)) == name]
        await at_once(_AT_ONCE, [partial(read, key) for key in mine])

    async def _entries(
        self,
        name: str,
        collection: Collection,
        subjects: Sequence[pb.Subject],
        results: Sequence[Found],
        watch: Watch,
    ) -> None:
        """Entries of the keys that people share."""
        entries = Entries(self.server, self.digests, name, collection, subjects, results)
        if not entries:
            return
        fixed = keys.fixed(collection.pattern)
        pages = self._pages(collection, wanted=True) if fixed is None else _one(keys.data(fixed))
        async for page in pages:
            for key in sorted(set(page)):
                if self.options.owner(keys.text(key)) == name:
                    await entries.search(key)
                    watch.seen += 1


async def _one(key: bytes) -> AsyncIterator[list[bytes]]:
    yield [key]


def _own(owners: Owners, key: bytes, people: set[int], values: Mapping[str, str]) -> None:
    for index in people:
        owners.setdefault(key, {}).setdefault(index, set()).update(values.items())
