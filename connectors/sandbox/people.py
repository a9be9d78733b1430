"""Everybody of a collection: who is unused, and how many there are."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Inactivity
from dsr.v1.subject_pb2 import Identity

from connectors.sandbox.seed import KINDS, Row
from connectors.sandbox.store import Found
from dsrkit.errors import DsrError

PAGE = 1_000
_PEOPLE = next(kind for kind in KINDS.values() if kind.people)


def list_inactive(
    everything: Found,
    request: pb.ListInactiveRequest,
    wanted: Inactivity,
    source: str,
    is_back: Callable[[Row], bool],
) -> Iterator[pb.ListInactiveResponse]:
    """The contract's ListInactive. `is_back`: whether somebody who is asked about alone was used just now."""
    known_by = _resolve(wanted, source, count_only=request.count_only)
    times: dict[str, list[datetime | None]] = defaultdict(list)
    for row in everything[wanted.collection]:
        who = row.get(known_by)
        if who and request.value in ("", who):
            now = bool(request.value) and is_back(row)
            times[who].append(datetime.now(UTC) if now else _time(row.get(wanted.field)))
    before = wanted.before.ToDatetime(UTC)
    unused, unknown = sorted(times), 0
    if wanted.field:
        unknown = sum(None in seen for seen in times.values())
        unused = [who for who in unused if all(time is not None and time < before for time in times[who])]
    for start in range(0, 0 if request.count_only else len(unused), PAGE):
        names = [Identity(type=wanted.identity_type, value=who) for who in unused[start : start + PAGE]]
        yield pb.ListInactiveResponse(page=pb.InactivePage(identities=names))
    yield pb.ListInactiveResponse(totals=pb.InactiveTotals(people=len(unused), unknown=unknown))


def _resolve(wanted: Inactivity, source: str, *, count_only: bool) -> str:
    """The field by which people are known. SOURCE_REJECTED where the rule doesn't fit what is declared."""
    kind = KINDS.get(wanted.collection)
    known_by = [f for f, t in kind.identities.items() if t == wanted.identity_type] if kind else []
    times = {f.name for f in kind.shape.fields if f.type == "datetime"} if kind else set()
    why = ""
    if kind is None:
        why = "there is no such collection"
    elif not known_by:
        why = "the collection declares no unique identity of that type"
    elif wanted.field and wanted.field not in times:
        why = "the field is no time of the collection"
    elif not wanted.field and not count_only:
        why = "everybody may be counted and not listed"
    if why:
        raise DsrError("SOURCE_REJECTED", f"Nobody can be listed: {why}.", source=source, why=why)
    return known_by[0]


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def count_people(everything: Found) -> Sequence[pb.CountPeopleResponse]:
    """The contract's CountPeople: customers by e-mail. One without an address is somebody all the same."""
    field, kind = next(iter(_PEOPLE.identities.items()))
    names = [row.get(field) for row in everything[_PEOPLE.name]]
    nameless = sum(not name for name in names)
    people = len({name for name in names if name}) + nameless
    certainty = pb.CERTAINTY_ESTIMATED if nameless else pb.CERTAINTY_EXACT
    count = pb.PeopleCount(collection=_PEOPLE.name, identity_type=kind, people=people, certainty=certainty)
    totals = pb.PeopleTotals(people=people, certainty=certainty)
    return pb.CountPeopleResponse(count=count), pb.CountPeopleResponse(totals=totals)
