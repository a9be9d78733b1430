"""CountPeople and ListInactive where no backend counts: one pass over everything, everybody once on disk."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Inactivity
from dsr.v1.subject_pb2 import Identity

from connectors.objects.census import EPOCH, open_census
from connectors.searching import with_progress
from dsrkit.errors import DsrError

PAGE = 1_000
_EVER = datetime.max.replace(tzinfo=UTC)
Sameness = tuple[str, bool]
"""How a collection tells people apart: the type of identity, and whether without regard to case."""
Take = Callable[[str], None]
"""Takes whom a record names."""
Add = Callable[[str, datetime | None], None]
"""Takes whom a record names, and when it was last used."""
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs what blocks in a thread."""


@dataclass
class Pass:
    """How far one reading is."""

    seen: int = 0
    """Objects looked at."""
    unread: int = 0
    """Objects and records that could not be read, and what stands in an object's place."""


async def count_people(
    found: Mapping[str, Sameness],
    read: Callable[[str, Take, Pass], Coroutine[Any, Any, None]],
    state_dir: Path,
    run: Run,
    source: str,
) -> AsyncGenerator[pb.CountPeopleResponse, None]:
    """The contract's CountPeople. `read` tells every name of a collection; what it can't read makes an estimate."""
    if not found:
        text = "No collection tells people apart. Declare a unique identity."
        raise DsrError("NOT_COUNTABLE", text, source=source)
    together = {same: len(found) + number for number, same in enumerate(dict.fromkeys(found.values()))}
    """A number for people over all collections that tell them apart alike."""
    sure = len(together) == 1
    with open_census(state_dir) as census:
        for number, (name, same) in enumerate(found.items()):
            noted, kinds = Pass(), (number, together[same])

            def take(who: str, kinds: tuple[int, int] = kinds) -> None:
                for kind in kinds:
                    census.add(kind, who, EPOCH)

            async with aclosing(with_progress(read(name, take, noted), partial(getattr, noted, "seen"))) as steps:
                async for step in steps:
                    if isinstance(step, pb.Progress):
                        yield pb.CountPeopleResponse(progress=step)
            count = pb.PeopleCount(collection=name, identity_type=same[0])
            count.people = await run(partial(census.people, number))
            count.certainty = _certainty(not noted.unread)
            sure = sure and not noted.unread
            yield pb.CountPeopleResponse(count=count)
        people = [await run(partial(census.people, number)) for number in together.values()]
    yield pb.CountPeopleResponse(totals=pb.PeopleTotals(people=sum(people), certainty=_certainty(sure)))


async def list_inactive(
    request: pb.ListInactiveRequest,
    wanted: Inactivity,
    read: Callable[[Add, Pass], Coroutine[Any, Any, None]],
    state_dir: Path,
    run: Run,
    source: str,
) -> AsyncGenerator[pb.ListInactiveResponse, None]:
    """The contract's ListInactive. `read` tells whom each record names and when it was last used."""
    noted = Pass()
    with open_census(state_dir) as census:
        work = read(partial(census.add, 0, named=True), noted)
        async with aclosing(with_progress(work, lambda: noted.seen)) as steps:
            async for step in steps:
                if isinstance(step, pb.Progress):
                    yield pb.ListInactiveResponse(progress=step)
        if noted.unread:
            raise rejected(source, "what can't be read there may have been used by anybody")
        before = wanted.before.ToDatetime(UTC) if wanted.field else _EVER
        totals = pb.InactiveTotals(people=await run(partial(census.unused, before)))
        totals.unknown = await run(census.unknown)
        with closing(census.names(before, PAGE)) as pages:
            while not request.count_only and (page := await run(partial(next, pages, None))) is not None:
                people = [Identity(type=wanted.identity_type, value=name) for name in page]
                yield pb.ListInactiveResponse(page=pb.InactivePage(identities=people))
        yield pb.ListInactiveResponse(totals=totals)


def rejected(source: str, why: str) -> DsrError:
    """ListInactive can't be answered."""
    return DsrError("SOURCE_REJECTED", f"Nobody can be listed: {why}.", source=source, why=why)


def _certainty(exact: bool) -> "pb.Certainty.ValueType":
    return pb.CERTAINTY_EXACT if exact else pb.CERTAINTY_ESTIMATED
