"""Lies about who is unused, and how many there are."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from tests.conformance.liar import Liar


class _Lists(Liar):
    async def list_inactive(
        self, request: pb.ListInactiveRequest, grant: Grant
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        self.ask(request, grant)
        async for message in super().list_inactive(request, grant):
            self.change(message, request)
            yield message

    def ask(self, request: pb.ListInactiveRequest, grant: Grant) -> None:
        """Changes the question."""

    def change(self, message: pb.ListInactiveResponse, request: pb.ListInactiveRequest) -> None:
        """Changes the answer."""


class ListsWhoIsUsed(_Lists):
    """Whenever a record was used, it was long ago."""

    def ask(self, request: pb.ListInactiveRequest, grant: Grant) -> None:
        grant.inactivity.before.FromDatetime(datetime(9999, 1, 1, tzinfo=UTC))


class ListsTwice(_Lists):
    """And says so in the totals."""

    def change(self, message: pb.ListInactiveResponse, request: pb.ListInactiveRequest) -> None:
        if message.HasField("page"):
            message.page.identities.extend(list(message.page.identities))
        if message.HasField("totals"):
            message.totals.people *= 2


class ListsTheUnknown(_Lists):
    """Who doesn't say when he was used wasn't."""

    def change(self, message: pb.ListInactiveResponse, request: pb.ListInactiveRequest) -> None:
        if message.HasField("page"):
            message.page.identities.add(type="customer_number", value="C-21")
        if message.HasField("totals"):
            message.totals.people, message.totals.unknown = message.totals.people + message.totals.unknown, 0


class CountsOtherwise(_Lists):
    """More than it would list."""

    def change(self, message: pb.ListInactiveResponse, request: pb.ListInactiveRequest) -> None:
        if message.HasField("totals"):
            message.totals.people += request.count_only


class OverlooksTheValue(_Lists):
    """Asked for one, answers for all."""

    def ask(self, request: pb.ListInactiveRequest, grant: Grant) -> None:
        request.value = ""


class _Counts(Liar):
    async def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        async for message in super().count_people(request, grant):
            self.change(message)
            yield message

    def change(self, message: pb.CountPeopleResponse) -> None:
        """Changes the answer."""


class CountsSomebodyTwice(_Counts):
    """Who stands in two collections is two people."""

    def change(self, message: pb.CountPeopleResponse) -> None:
        if message.HasField("totals"):
            message.totals.people += 1


class CountsTooFew(_Counts):
    """Fewer than in one collection alone."""

    def change(self, message: pb.CountPeopleResponse) -> None:
        if message.HasField("totals"):
            message.totals.people = 1


class IsSureOfTheSum(_Counts):
    """Exact totals of collections that aren't."""

    def change(self, message: pb.CountPeopleResponse) -> None:
        if message.HasField("count"):
            message.count.certainty = pb.CERTAINTY_ESTIMATED


class CountsAnew(_Counts):
    """Another number each time."""

    asked = 0

    def change(self, message: pb.CountPeopleResponse) -> None:
        if message.HasField("totals"):
            self.asked += 1
            message.totals.people -= self.asked % 2
