"""What is asked anew before every request, instruction, grant and download. Pure; the first broken rule refuses."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2

from services.governance.domain import refusal
from services.governance.law.domain import Law
from services.governance.locations.domain import BUNDLES, DATA_SOURCES, Agreement, agreed, place_of
from services.governance.recipients.domain import find, state
from services.governance.transfers.domain import Destination, Records, bar

_PARTNERS_OWN = governance_pb2.DataSource.CUSTODY_PARTNER
_OPERATORS = governance_pb2.DataSource.CUSTODY_OPERATOR
_SUB_PROCESSORS = governance_pb2.DataSource.CUSTODY_SUB_PROCESSOR


@dataclass(frozen=True)
class Ground:
    """What every question about a place or a transfer rests on, as of now."""

    law: Law
    now: datetime
    dpo_contact: str
    agreements: Sequence[Agreement] = ()
    """What the partner agreed to about places."""
    records: Records = field(default_factory=Records)
    """What it has on record about transfers."""
    objections: Collection[str] = ()
    """Ids of the sub-processors it objected to."""


@dataclass(frozen=True)
class GateFacts:
    """What is asked."""

    right: "pb.Right.ValueType"
    standing: str
    partner: str
    country: str
    """The partner's."""
    sources: Sequence[governance_pb2.DataSource]
    """Those that the work touches."""
    bundle_location: governance_pb2.Location
    """Where the asking service keeps bundles; empty when it doesn't say."""


def gate(facts: GateFacts, ground: Ground) -> request_pb2.Refusal | None:
    """The operator's refusal (Art. 28(3)(h)), or None."""
    if facts.standing != "GOOD":
        lines = [f"standing: {facts.standing}"]
        return refusal("PARTNER_SUSPENDED", "GDPR Art. 28(3)(a)", lines, ground.dpo_contact)
    if facts.right == pb.RIGHT_ERASURE:
        # It takes data away from where it is: refusing would keep alive what the rules below forbid.
        return None
    delivery = Destination("a copy would be delivered to the partner", facts.partner, facts.country, keeps=False)
    found = _bundles(facts.bundle_location, ground) or _beyond(delivery, ground)
    for source in facts.sources:
        found = found or misplaced(source, ground) or _remote(source, ground)
    return found


def misplaced(source: governance_pb2.DataSource, ground: Ground, use: str = DATA_SOURCES) -> request_pb2.Refusal | None:
    """The refusal of a source's place, or with another `use` of what is kept of it; None where that may be there.

    What the partner keeps itself is the partner's affair.
    """
    if source.custody == _PARTNERS_OWN:
        return None
    what = f"data source: {source.name}"
    if source.custody == _OPERATORS:
        found = _kept(what, use, source.name, source.location, ground)
        if found is not None:
            return found
    known = find(source.location.provider)
    if known is not None and known.id in ground.objections:
        lines = [what, f"sub-processor: {known.name}", "the partner objected to it"]
        return refusal("SUB_PROCESSOR_OBJECTED", "GDPR Art. 28(2)", lines, ground.dpo_contact)
    return _beyond(Destination(what, source.name, source.location.country), ground)


def unregistered(source: governance_pb2.DataSource, ground: Ground) -> request_pb2.Refusal | None:
    """The refusal to begin with a sub-processor that is not in use by the register, so nobody was told of it (P15).

    Only what is new is asked: a copy of what is already there harms nobody, and an erasure is what helps.
    """
    if source.custody != _SUB_PROCESSORS:
        return None
    provider = source.location.provider
    known = find(provider)
    stands = state(known, False, ground.now.date()) if known else "not in the register"
    if stands == "IN_USE":
        return None
    lines = [
        f"data source: {source.name}",
        f"sub-processor: {known.name if known else provider}, {stands}",
        "the partner's own processors are in CUSTODY_PARTNER; others of the operator's are announced first",
    ]
    return refusal("SUB_PROCESSOR_NOT_REGISTERED", "GDPR Art. 28(2)", lines, ground.dpo_contact)


def _remote(source: governance_pb2.DataSource, ground: Ground) -> request_pb2.Refusal | None:
    """A connector in the partner's own network is sent the names by which the person is looked for."""
    if source.custody != _PARTNERS_OWN:
        return None
    what = f"names would be sent to the connector of {source.name}"
    return _beyond(Destination(what, source.name, source.location.country), ground)


def _bundles(where: governance_pb2.Location, ground: Ground) -> request_pb2.Refusal | None:
    if not where.provider:
        lines = ["bundles: the service doesn't say where it keeps them (DSR_BUNDLE_LOCATION)"]
        return refusal("LOCATION_NOT_AGREED", "GDPR Art. 28(3)(a)", lines, ground.dpo_contact)
    return _kept("bundles", BUNDLES, "", where, ground) or _beyond(Destination("bundles", "", where.country), ground)


def _kept(
    what: str, use: str, source: str, where: governance_pb2.Location, ground: Ground
) -> request_pb2.Refusal | None:
    """What the operator keeps is in a place that its policy names (P3), and that the partner agreed to (P4)."""
    place = place_of(where)
    lines = [what, f"place: {', '.join(place)}"]
    if place not in ground.law.places:
        lines.append("it is none of the places that the policy names")
        return refusal("LOCATION_NOT_NAMED", "GDPR Art. 28(3)(a)", lines, ground.dpo_contact)
    if not agreed(ground.agreements, use, source, place, ground.now):
        lines.append("not agreed to: the operator proposes the place, a person of the partner accepts it")
        return refusal("LOCATION_NOT_AGREED", "GDPR Art. 28(3)(a)", lines, ground.dpo_contact)
    return None


def _beyond(destination: Destination, ground: Ground) -> request_pb2.Refusal | None:
    """What goes outside the EEA has a basis, an attestation and a notice on record (P12)."""
    found = bar(destination, ground.law, ground.records, ground.now)
    return refusal(found.rule, found.article, found.facts, ground.dpo_contact) if found else None
