"""CountPeople where people are told apart by fields of records, or by keys: one pass, everybody once."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb

from connectors.lake.identity import Rule
from connectors.objects import keys
from connectors.objects.census import EPOCH, Census, open_census
from connectors.objects.options import Collection, Options
from connectors.objects.reading import Pass, Reader, names
from connectors.searching import with_progress
from dsrkit.errors import DsrError


def telling(options: Options) -> dict[str, str]:
    """Collections that tell people apart, and by which of their names: the first that is unique."""
    found = ((name, _unique(collection)) for name, collection in options.collections.items())
    return {name: variable for name, variable in found if variable}


async def count_people(
    reader: Reader, options: Options, state_dir: Path
) -> AsyncGenerator[pb.CountPeopleResponse, None]:
    """The contract's CountPeople. What can't be read, and records that name nobody, make it an estimate."""
    found = telling(options)
    if not found:
        text = "No collection tells people apart. Declare a unique identity."
        raise DsrError("NOT_COUNTABLE", text, source=reader.source)
    run = reader.threads.run
    how = {name: _sameness(options.collections[name], variable) for name, variable in found.items()}
    together = {same: len(found) + number for number, same in enumerate(dict.fromkeys(how.values()))}
    """A number for people over all collections that tell them apart alike."""
    sure = len(together) == 1
    with open_census(state_dir) as census:
        for number, (name, variable) in enumerate(found.items()):
            noted, collection = Pass(), options.collections[name]
            work = _count(reader, census, collection, variable, (number, together[how[name]]), noted)
            async with aclosing(with_progress(work, partial(getattr, noted, "seen"))) as steps:
                async for step in steps:
                    if isinstance(step, pb.Progress):
                        yield pb.CountPeopleResponse(progress=step)
            count = pb.PeopleCount(collection=name, identity_type=collection.type_of(variable))
            count.people = await run(partial(census.people, number))
            count.certainty = _certainty(not noted.unread)
            sure = sure and not noted.unread
            yield pb.CountPeopleResponse(count=count)
        people = [await run(partial(census.people, number)) for number in together.values()]
    yield pb.CountPeopleResponse(totals=pb.PeopleTotals(people=sum(people), certainty=_certainty(sure)))


async def _count(
    reader: Reader, census: Census, collection: Collection, variable: str, kinds: Sequence[int], noted: Pass
) -> None:
    if collection.lake:
        rule = collection.rules[list(collection.identity).index(variable)]
        take = partial(_note, census, collection, rule, kinds, noted)
        await reader.read(collection, [rule], take, noted)
        return
    fold = collection.identity[variable].match == "case_fold"
    async with aclosing(reader.store.versions(keys.prefix(collection.pattern))) as listing:
        async for versions in listing:
            noted.seen += 1
            values = keys.read(collection.pattern, versions[0].key)
            if versions[0].obstacle:
                noted.unread += bool(values) or versions[0].key.endswith("/")
            elif values and any(version.state in ("CURRENT", "NONCURRENT") for version in versions):
                for kind in kinds:
                    census.add(kind, values[variable].casefold() if fold else values[variable], EPOCH)


def _note(
    census: Census, collection: Collection, rule: Rule, kinds: Sequence[int], noted: Pass, record: Mapping[str, Any]
) -> None:
    found = names(collection, rule, record)
    noted.unread += not found
    for name in found:
        for kind in kinds:
            census.add(kind, name, EPOCH)


def _unique(collection: Collection) -> str:
    """Not by tags and metadata: a listing doesn't tell those."""
    usable = (n for n, i in collection.identity.items() if i.unique and n not in collection.tagged)
    return "" if collection.no_personal_data else next(usable, "")


def _sameness(collection: Collection, variable: str) -> tuple[str, bool]:
    identity = collection.identity[variable]
    return collection.type_of(variable), identity.match == "case_fold"


def _certainty(exact: bool) -> "pb.Certainty.ValueType":
    return pb.CERTAINTY_EXACT if exact else pb.CERTAINTY_ESTIMATED
