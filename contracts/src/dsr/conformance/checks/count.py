"""Rules of CountPeople: everybody once, nobody by name, and no number that pretends to be surer than it is."""

from collections.abc import Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, Failed, NotApplicable, Unprepared, require
from dsr.conformance.checks import requests
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

_KNOWN = (pb.CERTAINTY_EXACT, pb.CERTAINTY_ESTIMATED)


class Undeclared(Check):
    rule = "count.undeclared"
    condition = "COUNT isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this. One that was made before this RPC says so without a reason."
    caller = "doesn't retry; the number stays unknown, and says why"
    remedy = "Answer UNIMPLEMENTED to what you don't declare."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        if await bench.declares(pb.CAPABILITY_COUNT):
            raise NotApplicable("COUNT is declared")
        requests.refused(await bench.undeclared("CountPeople", _request(bench)), self)


class Sound(Check):
    rule = "count.sound"
    condition = "a source with people"
    code = "OK"
    meaning = "One `count` per collection that tells people apart, then `totals`: no fewer than any, no more than all."
    caller = "shows the number of the source, with its mark"
    remedy = "Count distinct people per collection, then over all collections; send `totals` at the very end."

    async def run(self, bench: Bench) -> None:
        """Every collection is one of Describe's, known by one of its unique identities."""
        counts, totals = await _count(bench)
        personal = await bench.personal()
        require(len({c.collection for c in counts}) == len(counts), "a collection is counted twice")
        for count in counts:
            require(count.collection in personal, "a collection is counted that Describe doesn't know")
            types = {i.type for i in personal[count.collection].identity_fields if i.unique}
            named = count.identity_type in types or (not count.identity_type and personal[count.collection].people)
            require(named, f"{count.collection}: people are told apart by no unique identity of it")
            require(count.certainty in _KNOWN, f"{count.collection}: `certainty` is neither EXACT nor ESTIMATED")
            require(count.people >= 0, f"{count.collection}: a negative number")
        require(totals.certainty in _KNOWN, "`certainty` of the totals is neither EXACT nor ESTIMATED")
        most, total = max(c.people for c in counts), sum(c.people for c in counts)
        require(most <= totals.people <= total, f"{totals.people:,} is not between {most:,} and {total:,}")


class Honest(Check):
    rule = "count.honest"
    condition = "a number that isn't sure: records that name nobody, or collections that know people by different types"
    code = "OK"
    meaning = "ESTIMATED. EXACT is said only of what was told apart by one type of identity, throughout."
    caller = "tells the controller which it is"
    remedy = "Say EXACT of the totals only if every collection is exact, and all use the same type of identity."

    async def run(self, bench: Bench) -> None:
        """What the connector says of itself must not contradict that."""
        counts, totals = await _count(bench)
        if totals.certainty != pb.CERTAINTY_EXACT:
            return
        require(all(c.certainty == pb.CERTAINTY_EXACT for c in counts), "exact totals of a collection that isn't")
        require(len({c.identity_type for c in counts}) == 1, "exact totals over people known by different types")
        require(all(c.identity_type for c in counts), "exact totals of people who can't be told apart")


class Everybody(Check):
    rule = "count.everybody"
    condition = "the number of people that is known to be in the source"
    code = "OK"
    meaning = "That number, everybody once."
    caller = "counts on it"
    remedy = "A person with two records, or two spellings that Locate finds together, counts once."

    async def run(self, bench: Bench) -> None:
        """As the material says."""
        await bench.needs(pb.CAPABILITY_COUNT)
        if not bench.material.people:
            raise Unprepared("the material doesn't say how many `people` there are")
        _, totals = await _count(bench)
        require(totals.people == bench.material.people, f"{totals.people:,} instead of {bench.material.people:,}")


class Repeatable(Check):
    rule = "count.repeatable"
    condition = "the same source again, nothing having changed"
    code = "OK"
    meaning = "The same numbers."
    caller = "may ask again after an answer was lost"
    remedy = "Change nothing by counting, and let no order of records matter."

    async def run(self, bench: Bench) -> None:
        """Twice."""
        first, again = await _count(bench), await _count(bench)
        require(first[1] == again[1], "the totals differ")
        by_name = [sorted(counts, key=lambda c: c.collection) for counts, _ in (first, again)]
        require(by_name[0] == by_name[1], "the counts of collections differ")


async def _count(bench: Bench) -> tuple[Sequence[pb.PeopleCount], pb.PeopleTotals]:
    await bench.needs(pb.CAPABILITY_COUNT)
    messages = await bench.answer("CountPeople", _request(bench))
    kinds = [message.WhichOneof("result") for message in messages]
    if len(kinds) < 2 or kinds[-1] != "totals" or set(kinds[:-1]) != {"count"}:
        raise Failed("the stream isn't one `count` or more, then `totals`")
    return [message.count for message in messages[:-1]], messages[-1].totals


def _request(bench: Bench) -> pb.CountPeopleRequest:
    return pb.CountPeopleRequest(grant=bench.sign(bench.grant(Grant.OPERATION_COUNT, [])))


CHECKS: Sequence[Check] = (Undeclared(), Sound(), Honest(), Everybody(), Repeatable())
