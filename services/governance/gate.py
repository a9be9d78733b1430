"""What is asked anew before every request, instruction and grant. Pure; the first rule that is broken refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1 import governance_pb2, request_pb2

from services.governance.domain import refusal
from services.governance.law.domain import Law

_PARTNERS_OWN = governance_pb2.DataSource.CUSTODY_PARTNER


@dataclass(frozen=True)
class GateFacts:
    """What the decision rests on, as of now."""

    right: "pb.Right.ValueType"
    standing: str
    country: str
    """The partner's."""
    sources: Sequence[governance_pb2.DataSource]
    """Those that the work touches."""


def gate(facts: GateFacts, law: Law, day: date, dpo_contact: str) -> request_pb2.Refusal | None:
    """The operator's refusal (Art. 28(3)(h)), or None."""
    if facts.standing != "GOOD":
        return refusal("PARTNER_SUSPENDED", "GDPR Art. 28(3)(a)", [f"standing: {facts.standing}"], dpo_contact)
    if facts.right == pb.RIGHT_ERASURE:
        # It takes data away from where it is: refusing would keep alive what the rules below forbid.
        return None
    bars = law.bars(facts.country, day)
    if bars:
        lines = ["a copy would be delivered to the partner", *bars]
        return refusal("TRANSFER_WITHOUT_BASIS", "GDPR Art. 44, Art. 45", lines, dpo_contact)
    for source in facts.sources:
        found = misplaced(source, law, day, dpo_contact)
        if found is not None:
            return found
    return None


def misplaced(source: governance_pb2.DataSource, law: Law, day: date, dpo_contact: str) -> request_pb2.Refusal | None:
    """The refusal of a place; None where data may be there. What the partner keeps itself is the partner's affair."""
    where = source.location
    if source.custody == _PARTNERS_OWN:
        return None
    if source.custody == governance_pb2.DataSource.CUSTODY_OPERATOR and (
        (where.provider, where.site, where.country) not in law.places
    ):
        lines = [f"data source: {source.name}", "its place is none of the places that the policy names"]
        return refusal("LOCATION_NOT_NAMED", "GDPR Art. 28(3)(a)", lines, dpo_contact)
    bars = law.bars(where.country, day)
    if bars:
        lines = [f"data source: {source.name}", *bars]
        return refusal("TRANSFER_WITHOUT_BASIS", "GDPR Art. 44, Art. 45", lines, dpo_contact)
    return None
