"""What is asked anew before every request, instruction, grant and download. Pure; the first broken rule refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2

from services.governance.domain import refusal
from services.governance.law.domain import Law
from services.governance.locations.domain import BUNDLES, DATA_SOURCES, Agreement, agreed, place_of

_PARTNERS_OWN = governance_pb2.DataSource.CUSTODY_PARTNER
_OPERATORS = governance_pb2.DataSource.CUSTODY_OPERATOR


@dataclass(frozen=True)
class GateFacts:
    """What the decision rests on, as of now."""

    right: "pb.Right.ValueType"
    standing: str
    country: str
    """The partner's."""
    sources: Sequence[governance_pb2.DataSource]
    """Those that the work touches."""
    agreements: Sequence[Agreement]
    """What the partner agreed to about places."""
    bundle_location: governance_pb2.Location
    """Where the asking service keeps bundles; empty when it doesn't say."""


def gate(facts: GateFacts, law: Law, now: datetime, dpo_contact: str) -> request_pb2.Refusal | None:
    """The operator's refusal (Art. 28(3)(h)), or None."""
    if facts.standing != "GOOD":
        return refusal("PARTNER_SUSPENDED", "GDPR Art. 28(3)(a)", [f"standing: {facts.standing}"], dpo_contact)
    if facts.right == pb.RIGHT_ERASURE:
        # It takes data away from where it is: refusing would keep alive what the rules below forbid.
        return None
    found = _bundles(facts, law, now, dpo_contact)
    if found is not None:
        return found
    bars = law.bars(facts.country, now.date())
    if bars:
        lines = ["a copy would be delivered to the partner", *bars]
        return refusal("TRANSFER_WITHOUT_BASIS", "GDPR Art. 44, Art. 45", lines, dpo_contact)
    for source in facts.sources:
        found = misplaced(source, law, facts.agreements, now, dpo_contact)
        if found is not None:
            return found
    return None


def _bundles(facts: GateFacts, law: Law, now: datetime, dpo_contact: str) -> request_pb2.Refusal | None:
    where = facts.bundle_location
    if not where.provider:
        lines = ["bundles: the service doesn't say where it keeps them (DSR_BUNDLE_LOCATION)"]
        return refusal("LOCATION_NOT_AGREED", "GDPR Art. 28(3)(a)", lines, dpo_contact)
    found = _kept("bundles", BUNDLES, "", where, law, facts.agreements, now, dpo_contact)
    return found or _beyond("bundles", where.country, law, now, dpo_contact)


def misplaced(
    source: governance_pb2.DataSource,
    law: Law,
    agreements: Sequence[Agreement],
    now: datetime,
    dpo_contact: str,
    use: str = DATA_SOURCES,
) -> request_pb2.Refusal | None:
    """The refusal of a source's place, or with another `use` of what is kept of it; None where that may be there.

    What the partner keeps itself is the partner's affair.
    """
    if source.custody == _PARTNERS_OWN:
        return None
    what, where = f"data source: {source.name}", source.location
    if source.custody == _OPERATORS:
        found = _kept(what, use, source.name, where, law, agreements, now, dpo_contact)
        if found is not None:
            return found
    return _beyond(what, where.country, law, now, dpo_contact)


def _kept(
    what: str,
    use: str,
    source: str,
    where: governance_pb2.Location,
    law: Law,
    agreements: Sequence[Agreement],
    now: datetime,
    dpo_contact: str,
) -> request_pb2.Refusal | None:
    """What the operator keeps is in a place that its policy names (P3), and that the partner agreed to (P4)."""
    place = place_of(where)
    lines = [what, f"place: {', '.join(place)}"]
    if place not in law.places:
        lines.append("it is none of the places that the policy names")
        return refusal("LOCATION_NOT_NAMED", "GDPR Art. 28(3)(a)", lines, dpo_contact)
    if not agreed(agreements, use, source, place, now):
        lines.append("not agreed to: the operator proposes the place, a person of the partner accepts it")
        return refusal("LOCATION_NOT_AGREED", "GDPR Art. 28(3)(a)", lines, dpo_contact)
    return None


def _beyond(what: str, country: str, law: Law, now: datetime, dpo_contact: str) -> request_pb2.Refusal | None:
    bars = law.bars(country, now.date())
    return refusal("TRANSFER_WITHOUT_BASIS", "GDPR Art. 44, Art. 45", [what, *bars], dpo_contact) if bars else None
