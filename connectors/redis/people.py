"""CountPeople and ListInactive: one pass over keys or entries; everybody once, by the latest use of all records."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Inactivity

from connectors.objects import tally
from connectors.objects.census import EPOCH
from connectors.objects.tally import Add, Pass, Take, rejected
from connectors.redis import content, documents, lastuse, who
from connectors.redis.content import LIST, STREAM, Part
from connectors.redis.everything import Everything
from connectors.redis.options import LAST_USE, Collection, Options

_Note = Callable[[Sequence[str], Sequence[Any]], None]
"""Takes whom a record names, and what it says of its last use."""


def telling(options: Options) -> dict[str, str]:
    """Collections that tell people apart, and by which of their names: the first that is unique."""
    found = {name: next(iter(_unique(collection)), "") for name, collection in options.collections.items()}
    return {name: variable for name, variable in found.items() if variable}


def tells_last_use(options: Options) -> bool:
    """Whether a collection tells people apart and when each record was last used."""
    return any(c.last_use is not None and _unique(c) for c in options.collections.values())


@dataclass(frozen=True)
class People:
    """The people of one source."""

    everything: Everything

    def count(self) -> AsyncGenerator[pb.CountPeopleResponse, None]:
        """The contract's CountPeople. What can't be read, and what names nobody, make it an estimate."""
        collections, found = self.everything.options.collections, telling(self.everything.options)
        how = {name: (collections[name].type_of(v), _folds(collections[name], v)) for name, v in found.items()}

        async def read(name: str, take: Take, noted: Pass) -> None:
            def note(names: Sequence[str], _: Sequence[Any]) -> None:
                noted.unread += not names
                for person in names:
                    take(person)

            await self._read(name, found[name], note, noted)

        everything = self.everything
        return tally.count_people(how, read, everything.state_dir, everything.threads.run, everything.source)

    async def inactive(
        self, request: pb.ListInactiveRequest, wanted: Inactivity
    ) -> AsyncGenerator[pb.ListInactiveResponse, None]:
        """The contract's ListInactive."""
        everything = self.everything
        variable = self._resolve(request, wanted)
        only = self._compared(wanted.collection, variable, request.value) if request.value else None
        if request.value and only is None:
            yield pb.ListInactiveResponse(totals=pb.InactiveTotals())
            return

        async def read(add: Add, noted: Pass) -> None:
            def note(names: Sequence[str], values: Sequence[Any]) -> None:
                used: datetime | None = lastuse.known(values) if wanted.field else EPOCH
                for person in names:
                    if only is None or person == only:
                        add(person, used)

            await self._read(wanted.collection, variable, note, noted, uses=bool(wanted.field), only=only or "")

        found = tally.list_inactive(
            request, wanted, read, everything.state_dir, everything.threads.run, everything.source
        )
        async with aclosing(found) as messages:
            async for message in messages:
                yield message

    def _resolve(self, request: pb.ListInactiveRequest, wanted: Inactivity) -> str:
        source = self.everything.source
        collection = self.everything.options.collections.get(wanted.collection)
        if collection is None or collection.no_personal_data:
            raise rejected(source, "there is no such collection with personal data")
        found = [name for name in _unique(collection) if collection.type_of(name) == wanted.identity_type]
        if len(found) != 1:
            raise rejected(source, "the collection declares no unique identity, or several, of that type")
        if not wanted.field and not request.count_only:
            raise rejected(source, "everybody may be counted and not listed")
        if wanted.field and (wanted.field != LAST_USE or collection.last_use is None):
            raise rejected(source, f"the collection declares no {LAST_USE}, or the rule names another field")
        return found[0]

    def _compared(self, name: str, variable: str, value: str) -> str | None:
        """A request's value as names are compared; None if no record can hold it."""
        collection = self.everything.options.collections[name]
        if variable in collection.inside:
            written = collection.rules[collection.inside.index(variable)].written(value)
            return None if written is None else written[0]
        return value.casefold() if _folds(collection, variable) else value

    async def _read(
        self, name: str, variable: str, note: _Note, noted: Pass, *, uses: bool = False, only: str = ""
    ) -> None:
        """Every record of a collection; of one person, those keys alone. One that is read twice changes nothing."""
        collection = self.everything.options.collections[name]
        # What is known of a single key isn't that it is there: it must be looked into.
        narrowed = (variable, only) if only and uses and not _folds(collection, variable) else ()
        async with aclosing(self.everything.pages(name, *narrowed)) as pages:
            async for page in pages:
                noted.seen += len(page)
                if collection.each != "key":
                    for key in page:
                        await self._entries(collection, variable, key, note, noted, uses=uses)
                elif uses or variable in collection.inside:
                    await self._contents(collection, variable, page, note, noted)
                else:
                    for key in page:
                        note(_chosen(collection, variable, who.in_key(collection, key)), ())

    async def _contents(
        self, collection: Collection, variable: str, page: Sequence[bytes], note: _Note, noted: Pass
    ) -> None:
        """Keys that must be looked into."""
        server, newest = self.everything.server, dict[bytes, Part]()
        if collection.last_use is not None and collection.last_use.id:
            kinds = await server.commands([("TYPE", key) for key in page])
            streams = [key for key, kind in zip(page, kinds, strict=True) if kind.decode() == STREAM]
            answers = await server.commands([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in streams])
            newest = {key: (answer[0][0],) for key, answer in zip(streams, answers, strict=True) if answer}
        for key, document in await documents.of_keys(server, page, collection.looked_at):
            if isinstance(document, documents.Broken) and variable in collection.inside:
                noted.unread += 1
                continue
            names = [*who.in_key(collection, key), *who.in_document(collection, document)]
            kind = STREAM if key in newest else ""
            note(_chosen(collection, variable, names), lastuse.stated(collection, document, kind, newest.get(key)))

    async def _entries(
        self, collection: Collection, variable: str, key: bytes, note: _Note, noted: Pass, *, uses: bool
    ) -> None:
        """The entries of one shared key."""
        ask = self.everything.server.command
        kind = await content.kind_of(ask, key)
        if kind not in content.KINDS[collection.each]:
            noted.unread += kind != "none"
            return
        within = variable in collection.inside
        told = collection.last_use if uses else None
        async for part in content.parts(ask, key, kind):
            part = part[1:] if kind == LIST else part
            document: documents.Document = {}
            if within or (told is not None and told.field is not None):
                document = who.entry_document(collection, kind, part)
            if within and isinstance(document, documents.Broken):
                noted.unread += 1
                continue
            names = [*who.in_entry(collection, part[0]), *who.in_document(collection, document)]
            note(_chosen(collection, variable, names), lastuse.stated(collection, document, kind, part))


def _unique(collection: Collection) -> list[str]:
    return [] if collection.no_personal_data else [n for n in collection.names if collection.identity[n].unique]


def _folds(collection: Collection, variable: str) -> bool:
    return collection.identity[variable].match == "case_fold"


def _chosen(collection: Collection, variable: str, names: Iterable[tuple[str, str]]) -> list[str]:
    """Whom they name by that variable, as Locate compares."""
    found = [value for name, value in names if name == variable and value.strip()]
    return [value.casefold() for value in found] if _folds(collection, variable) else found
