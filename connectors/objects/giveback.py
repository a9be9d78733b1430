"""Return: every version as it is, one a line, in the order of the listing; several are fetched ahead of the reader."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.copying import copied
from connectors.filesystem import tree
from connectors.filesystem.threads import Threads
from connectors.objects import keys, listed
from connectors.objects.export import line, told, whole_fields
from connectors.objects.find import key_versions
from connectors.objects.found import Digests
from connectors.objects.options import Collection, Options
from connectors.objects.store import Changed, Facts, Gone, Version, WholeStore
from connectors.objects.together import at_once, in_order
from connectors.objects.whole import Listing
from dsrkit.errors import DsrError

_AHEAD = 16
_SMALL = 1 << 18
"""Up to this size content is fetched ahead; what is larger is streamed when it is its turn."""
RETURNED = "returned"
"""In the state folder: which versions the latest Return gave."""


@dataclass(frozen=True)
class Fetched:
    """One version, and what was asked about it ahead of its turn."""

    version: Version
    facts: Mapping[str, Any]
    readable: bool
    content: bytes | None


@dataclass(frozen=True)
class GiveBack:
    """Returns one source."""

    store: WholeStore
    options: Options
    source: str
    digests: Digests
    threads: Threads
    state_dir: Path

    async def run(self, grant: Grant, totals: pb.ExportTotals) -> AsyncGenerator[pb.ExportResponse, None]:
        """The contract's Return. Notes which versions were given, so that Destroy takes no others."""
        await self._check_readable()
        name = self.digests.name("return", grant.task)
        with tree.translated(self.source), listed.draft(self.state_dir / RETURNED, name) as draft:
            listing = Listing(self.store, self.options)
            for collection, declared in self.options.collections.items():
                header = pb.CollectionHeader(
                    collection=collection, fields=whole_fields(declared), primary_key=["path", "version"]
                )
                lines = self._lines(listing, collection, declared, draft.listed)
                async with aclosing(copied(header, lines, totals)) as messages:
                    async for message in messages:
                        yield message
            await self.threads.run(draft.commit)
        yield pb.ExportResponse(totals=totals)

    async def _check_readable(self) -> None:
        """SOURCE_REJECTED, before anything is sent, where something would have to be left out."""
        async with aclosing(Listing(self.store, self.options).batches()) as batches:
            async for batch in batches:
                for _, version in batch:
                    if version.obstacle:
                        raise self._rejected(
                            "SYMBOLIC_LINK", "Links stand where objects should. Replace or remove them"
                        )
                away = [partial(self._check_restored, version) for _, version in batch if version.archived]
                await at_once(_AHEAD, away)

    async def _check_restored(self, version: Version) -> None:
        with suppress(Gone):
            if not (await self.store.facts(version)).restored:
                raise self._rejected("ARCHIVED", "Archived objects can't be read. Restore them")

    async def _lines(
        self, listing: Listing, name: str, collection: Collection, given: listed.Listed
    ) -> AsyncGenerator[bytes, None]:
        included = [field.name for field in whole_fields(collection)]
        fetched = in_order(_AHEAD, self._versions(listing, name), partial(self._fetch, collection))
        noted: list[Version] = []
        try:
            async with aclosing(fetched) as items:
                async for item in items:
                    content = self._content(item) if item.readable else None
                    async with aclosing(line(item.facts, included, content)) as pieces:
                        async for piece in pieces:
                            yield piece
                    noted.append(item.version)
                    if len(noted) >= 1_000:
                        await self.threads.run(partial(self._note, given, name, noted))
                        noted = []
        except Gone:
            raise DsrError("SOURCE_BUSY", "An object changed while it was copied. Retry.", source=self.source) from None
        await self.threads.run(partial(self._note, given, name, noted))

    def _note(self, given: listed.Listed, name: str, versions: Sequence[Version]) -> None:
        """As what was given, and as what an erasure may make another version of."""
        given.add((name, self.digests.same(version)) for version in versions)
        origins = (self.digests.origin(version.key, version.id) for version in versions)
        given.note(origin for origin in origins if origin is not None)

    async def _versions(self, listing: Listing, name: str) -> AsyncGenerator[Version, None]:
        async with aclosing(listing.of(name)) as found:
            async for versions in found:
                for version in versions:
                    yield version

    async def _fetch(self, collection: Collection, version: Version) -> Fetched:
        """What stands beside the content, and small content too."""
        facts, tags, readable = Facts(), None, version.state in ("CURRENT", "NONCURRENT")
        if readable:
            try:
                facts, tags = await self.store.facts(version), await self.store.tags(version)
            except Changed:
                raise
            except Gone:
                if version not in await key_versions(self.store, version.key):
                    raise
                # The listing lags behind: nobody can read it any more.
                return Fetched(version, {**told(version, Facts(), {}), "state": "EXPIRED"}, False, None)
        if facts.foreign_parts:
            raise self._rejected("FOREIGN_SEGMENTS", "A large object has segments that don't bear its name. Mend it")
        values: dict[str, str | None] = dict(keys.read(collection.pattern, version.key) or {})
        for name in collection.tagged:
            identity = collection.identity[name]
            values[name] = (
                (tags or {}).get(identity.tag) if identity.tag else facts.metadata.get(identity.metadata.lower())
            )
        beside = {"metadata": dict(facts.metadata), "tags": dict(tags or {})} if readable else {}
        fetched = Fetched(version, {**told(version, facts, values), **beside}, readable, None)
        if not readable or fetched.facts["size"] > _SMALL:
            return fetched
        return replace(fetched, content=b"".join([piece async for piece in self._read(fetched)]))

    async def _content(self, item: Fetched) -> AsyncGenerator[bytes, None]:
        if item.content is not None:
            yield item.content
            return
        async with aclosing(self._read(item)) as pieces:
            async for piece in pieces:
                yield piece

    async def _read(self, item: Fetched) -> AsyncGenerator[bytes, None]:
        """The bytes. Gone if there aren't as many as there should be."""
        size = 0
        reading: AsyncIterator[bytes] = self.store.read(item.version)
        async with aclosing(cast(AsyncGenerator[bytes, None], reading)) as pieces:
            async for piece in pieces:
                size += len(piece)
                yield piece
        if size != item.facts["size"]:
            raise Gone

    def _rejected(self, why: str, text: str) -> DsrError:
        return DsrError("SOURCE_REJECTED", f"{text}; then the source can be returned.", source=self.source, why=why)
