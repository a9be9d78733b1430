"""Finds people's entries in keys that many share: members, hash fields, entries of streams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb

from connectors.lake.identity import Wanted
from connectors.redis import content, documents, keys
from connectors.redis.connection import PAGE, Ask, Server
from connectors.redis.content import HASH, LIST, SET, STREAM, ZSET, Part
from connectors.redis.found import Digests, Found, Record
from connectors.redis.options import Collection

_BY_NAME = {SET: ("SISMEMBER",), ZSET: ("ZSCORE",), HASH: ("HGET",), LIST: ("LPOS", "COUNT", 0)}


@dataclass
class _Hit:
    """An entry of people who are looked for."""

    part: Part
    people: set[int]
    values: set[tuple[str, str]]
    shared: bool = False
    times: int = 1


class Entries:
    """The entries of one collection, for the people of one search. False if nobody can be in it."""

    def __init__(
        self,
        server: Server,
        digests: Digests,
        name: str,
        collection: Collection,
        subjects: Sequence[pb.Subject],
        results: Sequence[Found],
    ) -> None:
        self._server = server
        self._digests = digests
        self._name = name
        self._collection = collection
        self._results = results
        people = [[(identity.type, identity.value) for identity in subject.identities] for subject in subjects]
        self._rules = Wanted(collection.rules, people)
        self._names = {name: self._index(name, people) for name in collection.entries}

    def _index(self, name: str, people: Sequence[Sequence[tuple[str, str]]]) -> dict[str, set[int]]:
        """Identity value, as it is compared, to the people it names."""
        index: dict[str, set[int]] = {}
        for person, identities in enumerate(people):
            for kind, value in identities:
                if kind == self._collection.type_of(name):
                    index.setdefault(self._compared(name, value), set()).add(person)
        return index

    def _compared(self, name: str, value: str) -> str:
        return value.casefold() if self._collection.identity[name].match == "case_fold" else value

    def __bool__(self) -> bool:
        return bool(self._rules) or any(self._names.values())

    async def search(self, key: bytes) -> None:
        """Notes what one key holds."""
        kind = await content.kind_of(self._server.command, key)
        if kind == "none":
            return
        if kind not in content.KINDS[self._collection.each]:
            for found in self._results:
                found.note(self._name, "WRONG_TYPE")
            return
        if not self._collection.scans_entries:
            hits = await self._ask(key, kind)
        elif kind == LIST:  # its elements move when others come and go
            hits = await self._server.steady(key, partial(self._go_through, key, kind))
        else:
            hits = await self._go_through(key, kind, self._server.command)
        for entry, hit in hits.items():
            digest = self._digests.content((key, entry), kind, [self._digests.part(hit.part)])
            record = Record((key, entry), kind, digest, tuple(sorted(hit.values)), hit.times)
            for index in hit.people:
                self._results[index].add(self._name, record)
                if hit.shared:
                    self._results[index].note(self._name, "SHARED_RECORD")

    async def _ask(self, key: bytes, kind: str) -> dict[bytes, _Hit]:
        """Asks for each entry by its name."""
        hits: dict[bytes, _Hit] = {}
        for name, index in self._names.items():
            prefix = self._collection.identity[name].prefix
            wanted = [(value, keys.data(prefix + value), people) for value, people in index.items()]
            for start in range(0, len(wanted), PAGE):
                some = wanted[start : start + PAGE]
                word, *rest = _BY_NAME[kind]
                answers = await self._server.commands([(word, key, entry, *rest) for _, entry, _ in some])
                for (value, entry, people), answer in zip(some, answers, strict=True):
                    if answer is None or answer in (0, []):
                        continue
                    part = (entry, answer) if kind in (ZSET, HASH) else (entry,)
                    hit = hits.setdefault(entry, _Hit(part, set(), set()))
                    hit.people |= people
                    hit.values.add((name, value))
                    hit.times = len(answer) if kind == LIST else 1
        return hits

    async def _go_through(self, key: bytes, kind: str, ask: Ask) -> dict[bytes, _Hit]:
        """Looks at each entry."""
        hits: dict[bytes, _Hit] = {}
        async for part in content.parts(ask, key, kind):
            if kind == LIST:
                part = part[1:]
            entry = part[0]
            if entry in hits and kind == LIST:
                hits[entry].times += 1
                continue
            hit = _Hit(part, set(), set())
            for name, value in self._read(entry):
                people = self._names[name].get(self._compared(name, value))
                if people:
                    hit.people |= people
                    hit.values.add((name, value))
            if self._rules:
                self._judge(kind, part, hit)
            if hit.people:
                hits[entry] = hit
        return hits

    def _read(self, entry: bytes) -> Iterator[tuple[str, str]]:
        """The identities that the entry may be: name and value."""
        text = keys.text(entry)
        for name in self._names:
            prefix = self._collection.identity[name].prefix
            if text.startswith(prefix):
                yield name, text.removeprefix(prefix)

    def _judge(self, kind: str, part: Part, hit: _Hit) -> None:
        """Adds those whom the entry's content names."""
        document: Any
        if kind == STREAM:
            document = documents.of_entry(part[1:], self._collection.rules)
        else:
            document = documents.of_json(part[1] if kind == HASH else part[0])
        if isinstance(document, documents.Broken):
            for index in document.people(self._rules):
                self._results[index].note(self._name, "BROKEN_RECORD")
            return
        found = self._rules.owners(document, untyped=True)
        if found is not None:
            hit.people |= found.people
            hit.values |= {(self._collection.inside[rule], value) for rule, value in found.names}
            hit.shared = found.shared
