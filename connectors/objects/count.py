"""CountPeople where people are told apart by fields of records, or by keys: one pass, everybody once."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb

from connectors.lake.identity import Rule
from connectors.objects import keys, tally
from connectors.objects.options import Collection, Options
from connectors.objects.reading import Reader, names
from connectors.objects.tally import Pass, Sameness, Take


def telling(options: Options) -> dict[str, str]:
    """Collections that tell people apart, and by which of their names: the first that is unique."""
    found = ((name, _unique(collection)) for name, collection in options.collections.items())
    return {name: variable for name, variable in found if variable}


def count_people(reader: Reader, options: Options, state_dir: Path) -> AsyncGenerator[pb.CountPeopleResponse, None]:
    """The contract's CountPeople. What can't be read, and records that name nobody, make it an estimate."""
    found = telling(options)
    how = {name: _sameness(options.collections[name], variable) for name, variable in found.items()}

    async def read(name: str, take: Take, noted: Pass) -> None:
        await _count(reader, options.collections[name], found[name], take, noted)

    return tally.count_people(how, read, state_dir, reader.threads.run, reader.source)


async def _count(reader: Reader, collection: Collection, variable: str, take: Take, noted: Pass) -> None:
    if collection.lake:
        rule = collection.rules[list(collection.identity).index(variable)]
        await reader.read(collection, [rule], partial(_note, take, collection, rule, noted), noted)
        return
    fold = collection.identity[variable].match == "case_fold"
    async with aclosing(reader.store.versions(keys.prefix(collection.pattern))) as listing:
        async for versions in listing:
            noted.seen += 1
            values = keys.read(collection.pattern, versions[0].key)
            if versions[0].obstacle:
                noted.unread += bool(values) or versions[0].key.endswith("/")
            elif values and any(version.state in ("CURRENT", "NONCURRENT") for version in versions):
                take(values[variable].casefold() if fold else values[variable])


def _note(take: Take, collection: Collection, rule: Rule, noted: Pass, record: Mapping[str, Any]) -> None:
    found = names(collection, rule, record)
    noted.unread += not found
    for name in found:
        take(name)


def _unique(collection: Collection) -> str:
    """Not by tags and metadata: a listing doesn't tell those."""
    usable = (n for n, i in collection.identity.items() if i.unique and n not in collection.tagged)
    return "" if collection.no_personal_data else next(usable, "")


def _sameness(collection: Collection, variable: str) -> Sameness:
    identity = collection.identity[variable]
    return collection.type_of(variable), identity.match == "case_fold"
