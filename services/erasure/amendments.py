"""What governance orders to be put right or marked: looked for, previewed, and once it is approved set and read back.

Neither person nor values are kept here: they come with an order's grant and go with the call.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1 import correction_pb2
from dsr.v1.subject_pb2 import Identity

from dsrkit import log
from dsrkit.errors import DsrError, reason_value
from dsrkit.interceptors import map_error
from dsrkit.requests.connector import Connector
from dsrkit.requests.model import Found
from dsrkit.requests.runtime import Toolbox
from dsrkit.requests.view import parse_partner
from services.erasure.readback import ReadBack, amended

_O = correction_pb2.CorrectionRequest.Amendment
_OUTCOME = connector_pb2.Amended
_OBSTACLES = {
    "METHOD_UNKNOWN": _O.OBSTACLE_NOT_CAPABLE,
    "CONNECTOR_UNCONFIRMED": _O.OBSTACLE_NOT_CAPABLE,
    "FIELD_NOT_AMENDABLE": _O.OBSTACLE_NOT_AMENDABLE,
    "VALUE_UNFIT": _O.OBSTACLE_VALUE_UNFIT,
    "SOURCE_REJECTED": _O.OBSTACLE_REJECTED,
    "SOURCE_INCONSISTENT": _O.OBSTACLE_INCONSISTENT,
}
"""What trying again doesn't mend; people have to see to it."""
_NOTHING_TO_REPORT = frozenset({"STATE_CONFLICT", "FOUR_EYES", "GOVERNANCE_UNAVAILABLE"})
"""Governance has settled the task itself, or can't be told."""
_ROUNDS = 5
"""Of asking for further names, as for any request."""
_DONE = frozenset({_OUTCOME.OUTCOME_AMENDED, _OUTCOME.OUTCOME_REPLAYED, _OUTCOME.OUTCOME_RECONSTRUCTED})


class Amendments:
    """Pulls orders, as sweeps are pulled: governance holds nothing by which it could set a field."""

    def __init__(self, tools: Toolbox) -> None:
        self._vault = tools.parts.vault
        self._authority = tools.parts.authority
        self._connectors = tools.connectors

    async def pull(self) -> None:
        """Chore. An order that fails is left for another time, and the others are done."""
        for order in await self._authority.amendment_orders():
            try:
                await self._carry_out(order)
            except DsrError as error:
                log.get_logger().warning("amendment.left", request=order.request, reason=error.reason)

    async def _carry_out(self, order: authority_pb2.AmendmentOrder) -> None:
        report = authority_pb2.ReportAmendmentRequest(request=order.request, source=order.source, attempt=order.attempt)
        try:
            await self._work(order, report)
        except _Obstacle as found:
            report.obstacle = found.obstacle
            report.candidates.extend(found.people)
        except Exception as error:
            known = map_error(error)
            if known.reason in _NOTHING_TO_REPORT:
                raise known from None
            if known.reason in _OBSTACLES:
                report.obstacle, report.field = _OBSTACLES[known.reason], known.metadata.get("field", "")
            else:
                await self._delay(order, report.attempt, known, error)
                return
        await self._authority.report_amendment(report)

    async def _delay(
        self, order: authority_pb2.AmendmentOrder, attempt: int, known: DsrError, error: Exception
    ) -> None:
        unknown = None if isinstance(error, DsrError) else error
        log.get_logger().warning("amendment.waiting", request=order.request, reason=known.reason, error=unknown)
        message = authority_pb2.DelayAmendmentRequest(
            request=order.request,
            source=order.source,
            attempt=attempt,
            waiting_reason=reason_value(known.reason),
            waiting_source=known.metadata.get("source", order.source),
        )
        await self._authority.delay_amendment(message)

    async def _work(self, order: authority_pb2.AmendmentOrder, report: authority_pb2.ReportAmendmentRequest) -> None:
        told = await self._authority.amendment_grant(order, [], [])
        report.attempt = told.attempt
        reference = order.request.rpartition("/")[2]
        connector = Connector.of(order.source, told.data_source)
        described = await self._connectors.describe(connector)
        capable = connector_pb2.CAPABILITY_AMEND in described.capabilities
        flags = {(c.name, flag.name): flag for c in described.collections for flag in c.flags} if capable else {}
        names = await self._resolved(told, reference) if capable else list(told.identities)
        told = await self._authority.amendment_grant(
            order,
            [authority_pb2.DeclaredFlag(collection=c, flag=n, field=f.field) for (c, n), f in flags.items()],
            names,
        )
        report.attempt = told.attempt
        if not capable or not told.HasField("grant"):
            raise _Obstacle(_O.OBSTACLE_NOT_CAPABLE)
        subject = _subject(told, reference, order.source, names)
        found = await self._connectors.locate(connector, subject, with_anchors=False)
        if not any(count.records for count in found.located.collections):
            raise _Obstacle(_O.OBSTACLE_NOT_FOUND)
        _check_one(found, order.source, subject)
        person = await self._person(order.request, names, found)
        if not order.preview and person != told.person_digest:
            report.exceeded = True
            return
        request = connector_pb2.AmendRequest(
            grant=told.grant, subject=subject, expected=found.located.collections, preview=order.preview
        )
        done = await self._connectors.amend(connector, request)
        if done.outcome == _OUTCOME.OUTCOME_CHANGED:
            raise DsrError("FINGERPRINT_CHANGED", "The records changed just before; again later.", source=order.source)
        if done.outcome == _OUTCOME.OUTCOME_BLOCKED:
            raise _Obstacle(_O.OBSTACLE_BLOCKED)
        if done.outcome == _OUTCOME.OUTCOME_CAP_EXCEEDED and not order.preview:
            report.exceeded = True
            return
        wanted = {_OUTCOME.OUTCOME_PREVIEWED} if order.preview else _DONE
        if done.outcome not in wanted:
            raise _inconsistent(order.source, "OUTCOME")
        if not order.preview:
            await self._read_back(connector, subject, told, flags)
        report.collections.extend(done.collections)
        report.person_digest = person

    async def _resolved(self, told: authority_pb2.IssueAmendmentGrantResponse, reference: str) -> list[Identity]:
        """The person's names: those of the request, and those that the sources know that are authoritative for them."""
        names = {(i.type, i.value) for i in told.identities}
        for _ in range(_ROUNDS):
            fresh: set[tuple[str, str]] = set()
            for place in told.identity_sources:
                connector = Connector.of(place.data_source.name, place.data_source)
                subject = _subject(told, reference, connector.source, _identities(names))
                found = await self._connectors.locate(connector, subject, with_anchors=False)
                _check_one(found, connector.source, subject)
                known = (f.identity for f in found.located.identities if f.unique)
                fresh |= {(i.type, i.value) for i in known if i.type in place.types}
            if fresh <= names:
                break
            names |= fresh
        return _identities(names)

    async def _person(self, request: str, names: Sequence[Identity], found: Found) -> str:
        """A keyed digest of who was found: names, and records of people."""
        told = sorted(f"{i.type}\0{i.value}" for i in names)
        records = sorted(f"{p.collection}\0{p.person}" for p in found.located.people)
        content = "\1".join([request, *told, "", *records]).encode()
        digest = await self._vault.digest(parse_partner(request), content)
        return digest.hex()

    async def _read_back(
        self,
        connector: Connector,
        subject: connector_pb2.Subject,
        told: authority_pb2.IssueAmendmentGrantResponse,
        flags: Mapping[tuple[str, str], connector_pb2.Flag],
    ) -> None:
        """Nothing is reported done that the source doesn't show: located anew, exported, compared."""
        granted = Grant.FromString(told.grant.grant)
        reader = ReadBack(connector.source, amended(granted.amendments, flags))
        again = await self._connectors.locate(connector, subject, with_anchors=False)
        request = connector_pb2.ExportRequest(grant=told.read_back, subject=subject)
        async for part in self._connectors.export(connector, request):
            reader.take(part)
        reader.finish({c.collection: c.records for c in again.located.collections})
        if reader.left:
            raise _inconsistent(connector.source, "READ_BACK")


@dataclass
class _Obstacle(Exception):
    """People have to do it."""

    obstacle: "_O.Obstacle.ValueType"
    people: Sequence[authority_pb2.FoundPerson] = ()
    """Whom the controller may choose from."""


def _subject(
    told: authority_pb2.IssueAmendmentGrantResponse, reference: str, source: str, names: Sequence[Identity]
) -> connector_pb2.Subject:
    """The person as one source is asked about them, with the controller's choice."""
    choice = [people for chosen in told.chosen if chosen.source == source for people in chosen.people]
    return connector_pb2.Subject(subject_ref=reference, identities=names, people=choice)


def _check_one(found: Found, source: str, subject: connector_pb2.Subject) -> None:
    """Several people in one collection are one only by the controller's word."""
    one = {(choice.collection, person) for choice in subject.people for person in choice.people}
    people = {(person.collection, person.person) for person in found.located.people}
    crowded = {collection for collection, number in Counter(c for c, _ in people).items() if number > 1}
    unknown = sorted((c, person) for c, person in people - one if c in crowded)
    if unknown:
        raise _Obstacle(_O.OBSTACLE_AMBIGUOUS, [_found(found, source, *key) for key in unknown])


def _found(found: Found, source: str, collection: str, person: str) -> authority_pb2.FoundPerson:
    named = [f.identity for f in found.located.identities if (f.collection, f.person) == (collection, person)]
    return authority_pb2.FoundPerson(source=source, collection=collection, person=person, identities=named)


def _identities(names: Iterable[tuple[str, str]]) -> list[Identity]:
    return [Identity(type=kind, value=value) for kind, value in sorted(names)]


def _inconsistent(source: str, why: str) -> DsrError:
    return DsrError("SOURCE_INCONSISTENT", "What was set isn't what is there.", source=source, why=why)
