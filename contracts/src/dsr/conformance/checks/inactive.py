"""Rules of ListInactive: who is listed, and that nobody is who may have been active."""

from collections.abc import Sequence
from datetime import UTC, datetime

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, Failed, NotApplicable, Unprepared, require
from dsr.conformance.checks import requests
from dsr.conformance.material import Unused
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, Inactivity

_PAGE = 1_000
_LONG_AGO = datetime(1000, 1, 1, tzinfo=UTC)


class _InactiveCheck(Check):
    code = "OK"

    async def people(self, bench: Bench) -> Unused:
        """NotApplicable without the capability, Unprepared without material."""
        await bench.needs(pb.CAPABILITY_INACTIVE)
        if bench.material.inactive is None:
            raise Unprepared("the material has no `inactive`: three people by their last use")
        return bench.material.inactive


class _Refused(_InactiveCheck):
    code = "FAILED_PRECONDITION / SOURCE_REJECTED"
    caller = "stops; the rule is compared with Describe"
    remedy = "Resolve collection, field and type against what you declare before you read anything."

    def spoil(self, wanted: Inactivity) -> None:
        """Makes the grant one that can't be meant."""
        raise NotImplementedError

    async def run(self, bench: Bench) -> None:
        """Asked to list and, where that could be answered, to count."""
        wanted = _wanted(await self.people(bench))
        self.spoil(wanted)
        requests.refused(await bench.call("ListInactive", _request(bench, wanted)), self)


class Undeclared(Check):
    rule = "inactive.undeclared"
    condition = "INACTIVE isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this. One that was made before this RPC says so without a reason."
    caller = "doesn't retry; the sweep ends, and says why"
    remedy = "Answer UNIMPLEMENTED to what you don't declare."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        if await bench.declares(pb.CAPABILITY_INACTIVE):
            raise NotApplicable("INACTIVE is declared")
        request = _request(bench, Inactivity(collection="any", identity_type="any"))
        requests.refused(await bench.undeclared("ListInactive", request), self)


class Listed(_InactiveCheck):
    rule = "inactive.listed"
    condition = "people whose every record was last used before the grant's time"
    meaning = "Each is listed once, in pages of at most 1,000; `totals` come last and say how many were listed."
    caller = "creates an erasure request for each, if somebody approved"
    remedy = "Group records by person, take the latest use of each, and send `totals` after the last page."

    async def run(self, bench: Bench) -> None:
        """The material's unused person must be among them."""
        people = await self.people(bench)
        listed, totals = await _list(bench, _wanted(people))
        require(people.unused in listed, "the unused person isn't listed")
        require(len(set(listed)) == len(listed), "somebody is listed twice")
        require(totals.people == len(listed), f"totals say {totals.people:,} of {len(listed):,} who were listed")


class Used(_InactiveCheck):
    rule = "inactive.used"
    condition = "a person with a record that was used since"
    meaning = "Isn't listed, whatever other records say."
    caller = "counts on it"
    remedy = "Compare the latest use of all records of the person, in any spelling that Locate finds together."

    async def run(self, bench: Bench) -> None:
        """And nobody is listed before anything was ever used."""
        people = await self.people(bench)
        listed, _ = await _list(bench, _wanted(people))
        require(people.used not in listed, "a person who was used since is listed")
        wanted = _wanted(people)
        wanted.before.FromDatetime(_LONG_AGO)
        listed, totals = await _list(bench, wanted)
        require(not listed and not totals.people, "people are listed as unused since before any record can be")


class Unknown(_InactiveCheck):
    rule = "inactive.unknown"
    condition = "a person with a record that doesn't say when it was last used"
    meaning = "Isn't listed, and is counted as `unknown`."
    caller = "leaves the person alone, and shows the number"
    remedy = "An empty time, or one that can't be read, makes the person unknown: never unused."

    async def run(self, bench: Bench) -> None:
        """The material may name one."""
        people = await self.people(bench)
        if not people.unknown:
            raise Unprepared("the material names no `inactive.unknown` person")
        listed, totals = await _list(bench, _wanted(people))
        require(people.unknown not in listed, "a person of whom it isn't known is listed")
        require(totals.unknown >= 1, "nobody is counted as unknown")


class Counted(_InactiveCheck):
    rule = "inactive.counted"
    condition = "`count_only`"
    meaning = "`totals` alone, as when they are listed. With an empty field, everybody is counted."
    caller = "shows the number to whoever approves"
    remedy = "Count by the same rule as you list, and send no page."

    async def run(self, bench: Bench) -> None:
        """Nobody's name is sent."""
        people = await self.people(bench)
        _, listed = await _list(bench, _wanted(people))
        counted = await _count(bench, _wanted(people))
        same = (counted.people, counted.unknown) == (listed.people, listed.unknown)
        require(same, f"{counted.people:,} and {counted.unknown:,} unknown are counted, not {listed.people:,}")
        everybody = _wanted(people)
        everybody.field = ""
        number = (await _count(bench, everybody)).people
        least = counted.people + counted.unknown + 1
        require(number >= least, f"everybody is {number:,}, and should be at least {least:,}")


class One(_InactiveCheck):
    rule = "inactive.one"
    condition = "`value`"
    meaning = "Only that person: one if unused, else none."
    caller = "asks right before it erases somebody, and leaves alone who came back"
    remedy = "Restrict the search to the value, compared as Locate compares it."

    async def run(self, bench: Bench) -> None:
        """Unused, used, and somebody who isn't there."""
        people = await self.people(bench)
        expected = {people.unused: 1, people.used: 0, people.unknown: 0, f"{people.unused}-nobody": 0}
        for value, number in expected.items():
            if value:
                found = (await _count(bench, _wanted(people), value)).people
                require(found == number, f"{found} of one person are counted who should be {number}")


class LongValue(_InactiveCheck):
    rule = "inactive.long-value"
    condition = "a `value` of more than 1,024 characters"
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    meaning = "The limit of a value."
    caller = "doesn't retry; an engineer looks"
    remedy = "Check the length before you search."

    async def run(self, bench: Bench) -> None:
        """One character too many."""
        request = _request(bench, _wanted(await self.people(bench)), value="x" * 1_025)
        requests.refused(await bench.call("ListInactive", request), self)


class Everybody(_Refused):
    rule = "inactive.everybody"
    condition = "an empty field, without `count_only`"
    meaning = "Everybody may be counted and not listed."

    def spoil(self, wanted: Inactivity) -> None:
        wanted.field = ""


class NoCollection(_Refused):
    rule = "inactive.unknown-collection"
    condition = "a collection that the source doesn't have"
    meaning = "The rule is out of date. Nobody must not look like everybody is used."

    def spoil(self, wanted: Inactivity) -> None:
        wanted.collection = "conformance.nothing"


class NoField(_Refused):
    rule = "inactive.unknown-field"
    condition = "a field that the collection doesn't have, or that is no time and no date"
    meaning = "The rule is out of date."

    def spoil(self, wanted: Inactivity) -> None:
        wanted.field = "conformance_nothing"


class NoType(_Refused):
    rule = "inactive.unknown-type"
    condition = "a type of identity that the collection doesn't declare unique"
    meaning = "People can't be told apart by it."

    def spoil(self, wanted: Inactivity) -> None:
        wanted.identity_type = "conformance_nothing"


def _wanted(people: Unused) -> Inactivity:
    wanted = Inactivity(collection=people.collection, field=people.field, identity_type=people.identity_type)
    wanted.before.FromDatetime(people.before)
    return wanted


def _request(bench: Bench, wanted: Inactivity, *, count_only: bool = False, value: str = "") -> pb.ListInactiveRequest:
    grant = bench.grant(Grant.OPERATION_LIST_INACTIVE, [])
    grant.inactivity.CopyFrom(wanted)
    return pb.ListInactiveRequest(grant=bench.sign(grant), count_only=count_only, value=value)


async def _list(bench: Bench, wanted: Inactivity) -> tuple[list[str], pb.InactiveTotals]:
    messages = await bench.answer("ListInactive", _request(bench, wanted))
    listed: list[str] = []
    for message in messages[:-1]:
        identities = message.page.identities
        require(message.WhichOneof("result") == "page", "something other than a page stands before the end")
        require(len(identities) <= _PAGE, f"a page holds {len(identities):,} people")
        require(all(i.type == wanted.identity_type for i in identities), "somebody is listed by another type")
        listed += [identity.value for identity in identities]
    return listed, _totals(messages)


async def _count(bench: Bench, wanted: Inactivity, value: str = "") -> pb.InactiveTotals:
    messages = await bench.answer("ListInactive", _request(bench, wanted, count_only=True, value=value))
    require(len(messages) == 1, "counting sends `totals` alone")
    return _totals(messages)


def _totals(messages: Sequence[pb.ListInactiveResponse]) -> pb.InactiveTotals:
    if not messages or messages[-1].WhichOneof("result") != "totals":
        raise Failed("the stream ends without `totals`")
    totals: pb.InactiveTotals = messages[-1].totals
    return totals


CHECKS: Sequence[Check] = (
    Undeclared(),
    Listed(),
    Used(),
    Unknown(),
    Counted(),
    One(),
    LongValue(),
    Everybody(),
    NoCollection(),
    NoField(),
    NoType(),
)
