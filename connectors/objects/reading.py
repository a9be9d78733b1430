"""Reads every record of a lake collection: every version of every object, one after the other."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from connectors.filesystem.threads import Threads
from connectors.lake.everybody import records
from connectors.lake.identity import Rule
from connectors.lake.record import Unreadable
from connectors.objects import keys
from connectors.objects.bridge import Bridge
from connectors.objects.find import key_versions
from connectors.objects.options import Collection
from connectors.objects.scan import opened
from connectors.objects.store import Gone, Store, Version
from connectors.objects.tally import Pass
from dsrkit.errors import DsrError

_TRIES = 5
Take = Callable[[Any], None]
"""Takes what the rules need of a record. Called in a thread, one at a time."""


@dataclass(frozen=True)
class Reader:
    """Of one store."""

    store: Store
    threads: Threads
    source: str

    async def read(self, collection: Collection, rules: Sequence[Rule], take: Take, noted: Pass) -> None:
        """Every record. An object that changes meanwhile is read again, so that records may come twice."""
        async with aclosing(self.store.versions(keys.prefix(collection.pattern))) as listing:
            async for versions in listing:
                key = versions[0].key
                in_place_of_a_folder = versions[0].obstacle and key.endswith("/")
                if not in_place_of_a_folder and keys.read(collection.pattern, key) is None:
                    continue
                noted.seen += 1
                for _ in range(_TRIES):
                    try:
                        for version in versions:
                            await self._version(collection, rules, version, take, noted)
                        break
                    except Gone:
                        versions = await key_versions(self.store, key)
                else:
                    text = "An object changed again and again while it was read. Retry."
                    raise DsrError("SOURCE_BUSY", text, source=self.source)

    async def _version(
        self, collection: Collection, rules: Sequence[Rule], version: Version, take: Take, noted: Pass
    ) -> None:
        if version.size == 0 or version.state in ("DELETE_MARKER", "INCOMPLETE_UPLOAD"):
            return
        away = version.archived and not (await self.store.facts(version)).restored
        if version.obstacle or away:
            noted.unread += 1
            return
        bridge = Bridge()
        work = partial(self._scan, bridge, collection, rules, version, take, noted)
        await self.threads.run(work, bridge.cancelled.set)

    def _scan(
        self, bridge: Bridge, collection: Collection, rules: Sequence[Rule], version: Version, take: Take, noted: Pass
    ) -> None:
        if collection.format is None:
            raise AssertionError("a lake with personal data has a format")
        try:
            with opened(bridge, self.store, version, collection) as source:
                for record in records(collection.format, rules, source, delimiter=collection.delimiter):
                    if record is None:
                        noted.unread += 1
                    else:
                        take(record)
        except Unreadable:
            noted.unread += 1


def names(collection: Collection, rule: Rule, record: Any) -> list[str]:
    """Whom a record names by the rule, as Locate compares."""
    found = rule.read(record, untyped=collection.format == "csv")
    return [rule.separator.join(name) for name in found if any(part.strip() for part in name)]
