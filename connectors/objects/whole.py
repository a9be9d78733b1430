"""The whole source, whoever it is about: every version of every object that a pattern matches. A lake is its objects.

A shared bucket is told apart by the patterns alone: what none of them matches is neither read nor touched.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from connectors.objects import keys
from connectors.objects.options import Options
from connectors.objects.store import Version, WholeStore

_BATCH = 500
Named = tuple[str, Version]
"""A version, and the collection that it belongs to: the first whose pattern matches its key."""


@dataclass
class Listing:
    """One pass over everything."""

    store: WholeStore
    options: Options
    undeclared: set[str] = field(default_factory=set)
    """Collections beside whose objects others stand that no pattern matches."""

    async def objects(self) -> AsyncGenerator[tuple[str, Sequence[Version]], None]:
        """Collection by collection and key by key, each once: its versions, the newest first; then uploads."""
        for name in self.options.collections:
            async with aclosing(self.of(name)) as found:
                async for versions in found:
                    yield name, versions

    async def of(self, name: str) -> AsyncGenerator[Sequence[Version], None]:
        """One collection's."""
        prefix = keys.prefix(self.options.collections[name].pattern)
        async with aclosing(self.store.versions(prefix)) as listing:
            async for versions in listing:
                if self._owner(name, versions[0].key) == name:
                    yield versions
        async with aclosing(self.store.unfinished(prefix)) as uploads:
            async for upload in uploads:
                if self._owner(name, upload.key) == name:
                    yield [upload]

    async def batches(self) -> AsyncGenerator[Sequence[Named], None]:
        """Everything in bounded pieces; of each object the oldest version first."""
        batch: list[Named] = []
        async with aclosing(self.objects()) as found:
            async for name, versions in found:
                batch += [(name, version) for version in reversed(versions)]
                while len(batch) >= _BATCH:
                    yield batch[:_BATCH]
                    del batch[:_BATCH]
        if batch:
            yield batch

    def _owner(self, name: str, key: str) -> str | None:
        for owner, collection in self.options.collections.items():
            if keys.read(collection.pattern, key) is not None:
                return owner
        self.undeclared.add(name)
        return None
