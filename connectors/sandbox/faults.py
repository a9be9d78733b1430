"""What goes wrong for whom. Each is a row of triggers.yaml, which says what a request comes to."""

import asyncio
from collections.abc import AsyncIterator

from dsr.connector.v1 import connector_pb2 as pb

from connectors.sandbox.seed import DOMAIN, TRIGGERS, Row, order
from connectors.sandbox.store import Store
from dsrkit.errors import DsrError

SLOW_SECONDS = 3
_BUSY_TIMES = 2
_LOOKS_BEFORE_PLAN = 2
"""A plan rests on two looks: by the address, then by the customer number too."""
_MANY = 100
"""Orders: more than any cap of a plan that knew of two."""


class Faults:
    """Asked at every call about a person."""

    def __init__(self, store: Store, source: str) -> None:
        self._store = store
        self._source = source

    async def before_locate(self, subject: pb.Subject) -> AsyncIterator[pb.LocateResponse]:
        """Signs of life, or an error."""
        match trigger(subject):
            case "unavailable":
                raise DsrError("SOURCE_UNAVAILABLE", "The sandbox plays a source that is down.", source=self._source)
            case "busy" if await asyncio.to_thread(self._store.asked, "busy") <= _BUSY_TIMES:
                raise DsrError("SOURCE_BUSY", "The sandbox plays a source that is busy.", source=self._source)
            case "slow":
                for second in range(SLOW_SECONDS):
                    yield pb.LocateResponse(progress=pb.Progress(records=second))
                    await asyncio.sleep(1)
            case "changed" if await asyncio.to_thread(self._store.asked, "changed") == _LOOKS_BEFORE_PLAN + 1:
                await asyncio.to_thread(self._more_orders, subject, _MANY)
            case "anchored":
                await asyncio.to_thread(self._store.asked, "anchored")

    def findings(self, subject: pb.Subject) -> list[pb.Finding]:
        """What stands in the way of an erasure."""
        if trigger(subject) != "blocked":
            return []
        detail = "Records of somebody else refer to the person's orders."
        finding = pb.Finding(code="REFERENCED_OUTSIDE_PLAN", collection="orders", detail=detail, blocks_erasure=True)
        return [finding]

    def exported(self, subject: pb.Subject, message: pb.ExportResponse) -> pb.ExportResponse:
        """A message of a copy, as it goes out."""
        if trigger(subject) == "broken" and message.HasField("trailer"):
            message.trailer.sha256 = b"\0" * 32
        return message

    def before_erase(self, subject: pb.Subject) -> pb.Erased | None:
        """The answer instead of an erasure; None: go on."""
        self.before_amend(subject)
        match trigger(subject):
            case "cap":
                return pb.Erased(subject_ref=subject.subject_ref, outcome=pb.Erased.OUTCOME_CAP_EXCEEDED)
            case "racing" if self._store.asked("racing") == 1:
                self._more_orders(subject, 1)
        return None

    def before_amend(self, subject: pb.Subject) -> None:
        """SOURCE_REJECTED where the source changes nothing of this person."""
        if trigger(subject) == "rejected":
            text = "The sandbox plays a source that refuses."
            raise DsrError("SOURCE_REJECTED", text, source=self._source, why="SANDBOX")

    def forgets(self, subject: pb.Subject) -> bool:
        """Whether the source says that it sets something, and doesn't."""
        return trigger(subject) == "forgetful"

    def is_back(self, row: Row) -> bool:
        """Whether somebody was used since everybody unused was listed."""
        return bool(row.get("email") == f"returning@{DOMAIN}")

    def blocking(self) -> list[pb.Finding]:
        """What keeps the source from being destroyed."""
        if not self._store.was_asked("anchored"):
            return []
        detail = "Records that aren't in the sandbox refer to these. It plays that since somebody asked for `anchored`."
        code = "REFERENCED_OUTSIDE_SCOPE"
        return [pb.Finding(code=code, collection="customers", detail=detail, blocks_erasure=True)]

    def after_erase(self, subject: pb.Subject) -> None:
        """An order that was reported erased is there again."""
        if trigger(subject) == "remnant":
            self._more_orders(subject, 1)

    def _more_orders(self, subject: pb.Subject, number: int) -> None:
        customer = next((i.value for i in subject.identities if i.type == "customer_number"), "")
        if customer:
            self._store.add("orders", [order(customer, 1000 + index) for index in range(number)])


def trigger(subject: pb.Subject) -> str:
    """Which trigger somebody is; empty: an ordinary person."""
    addresses = (i.value for i in subject.identities if i.type == "email")
    parts = (address.removesuffix(f"@{DOMAIN}") for address in addresses if address.endswith(f"@{DOMAIN}"))
    return next((part for part in parts if part in TRIGGERS), "")
