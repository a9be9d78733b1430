"""A number that contradicts itself is no number."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from dsr.connector.v1 import connector_pb2 as pb

from dsrkit.errors import DsrError
from dsrkit.requests.connector import Connector, Connectors

EXACT, ESTIMATED = pb.CERTAINTY_EXACT, pb.CERTAINTY_ESTIMATED


def says(*people: int, totals: int, certainty: Any = EXACT) -> list[pb.CountPeopleResponse]:
    found = [pb.CountPeopleResponse(count=pb.PeopleCount(people=n, certainty=EXACT)) for n in people]
    return [*found, pb.CountPeopleResponse(totals=pb.PeopleTotals(people=totals, certainty=certainty))]


async def asked(monkeypatch: pytest.MonkeyPatch, messages: Sequence[pb.CountPeopleResponse]) -> pb.PeopleTotals:
    async def stream(*_: Any) -> AsyncIterator[pb.CountPeopleResponse]:
        for message in messages:
            yield message

    connectors = Connectors(cast(Any, None), cast(Any, None))
    monkeypatch.setattr(connectors, "_stream", stream)
    connector = Connector("partners/a/dataSources/s", "", "", "")
    return await connectors.count_people(connector, pb.CountPeopleRequest())


async def test_what_can_be_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    for messages in (says(3, 4, totals=4), says(3, 4, totals=7, certainty=ESTIMATED), says(0, totals=0)):
        alive = pb.CountPeopleResponse(progress=pb.Progress())
        assert await asked(monkeypatch, [alive, *messages]) == messages[-1].totals


@pytest.mark.parametrize(
    "messages",
    [
        [],
        says(3, totals=3)[:-1],
        [*says(3, totals=3), *says(3, totals=3)],
        says(3, 4, totals=8),
        says(3, 4, totals=3),
        says(-1, totals=-1),
        says(3, totals=3, certainty=pb.CERTAINTY_UNSPECIFIED),
    ],
    ids=["nothing", "no end", "two ends", "more than all", "fewer than some", "negative", "not sure whether sure"],
)
async def test_what_can_not_be_is_not(
    monkeypatch: pytest.MonkeyPatch, messages: Sequence[pb.CountPeopleResponse]
) -> None:
    with pytest.raises(DsrError) as caught:
        await asked(monkeypatch, messages)
    assert caught.value.reason == "SOURCE_INCONSISTENT"
