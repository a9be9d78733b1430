"""Asks a backend how many people it holds, for the tests of every kind."""

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from connectors.backend import CountsPeople


async def count(source: CountsPeople) -> tuple[dict[str, tuple[str, int, bool]], int, bool]:
    """Per collection (type of identity, people, exact); people of the source; whether that is exact."""
    grant = Grant(operation=Grant.OPERATION_COUNT)
    found = {}
    totals = pb.PeopleTotals()
    async for message in source.count_people(pb.CountPeopleRequest(), grant):
        assert not totals.certainty, "nothing follows the totals"
        if message.WhichOneof("result") == "count":
            one = message.count
            found[one.collection] = (one.identity_type, one.people, one.certainty == pb.CERTAINTY_EXACT)
        totals.MergeFrom(message.totals)
    return found, totals.people, totals.certainty == pb.CERTAINTY_EXACT
