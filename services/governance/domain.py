"""Decisions as pure functions over facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dsr.authority.v1 import authority_pb2 as pb
from dsr.connector.v1.grant_pb2 import Anonymisation, CollectionInstruction
from dsr.v1 import erasure_pb2, governance_pb2, request_pb2, subject_pb2

from dsrkit.portability_rule import select

_ACTIONS: Mapping[int, "CollectionInstruction.Action.ValueType"] = {
    governance_pb2.ERASE_ACTION_DELETE: CollectionInstruction.ACTION_DELETE,
    governance_pb2.ERASE_ACTION_ANONYMISE: CollectionInstruction.ACTION_ANONYMISE,
    governance_pb2.ERASE_ACTION_RETAIN: CollectionInstruction.ACTION_RETAIN,
}


@dataclass(frozen=True)
class Hold:
    """A hold in force."""

    name: str
    source: str
    collection: str
    reason: str
    legal_reference: str
    review_time: datetime


@dataclass(frozen=True)
class Facts:
    """What the decision about a new request rests on."""

    right: "pb.Right.ValueType"
    standing: str
    mapped: Sequence[str]
    """Sources in the data map."""
    registered: Sequence[str]
    """Sources of the partner."""
    wanted: Sequence[str]
    """Sources the request names; empty: all."""
    verification: "subject_pb2.IdentityVerification.Method.ValueType"


def refuse(facts: Facts, dpo_contact: str) -> request_pb2.Refusal | None:
    """The operator's refusal of an instruction that infringes the law (Art. 28(3)(h)), or None."""
    wanted = list(facts.wanted or facts.registered)
    unmapped = sorted(set(wanted) - set(facts.mapped))
    hands_out = facts.right in (pb.RIGHT_ACCESS, pb.RIGHT_PORTABILITY)
    if facts.standing != "GOOD":
        return refusal("PARTNER_SUSPENDED", "GDPR Art. 28(3)(a)", [f"standing: {facts.standing}"], dpo_contact)
    if not wanted:
        return refusal("NO_DATA_SOURCE", "GDPR Art. 30(2)", ["data sources registered: 0"], dpo_contact)
    if unmapped:
        lines = [f"data source not in the data map: {source}" for source in unmapped]
        return refusal("SOURCE_NOT_MAPPED", "GDPR Art. 28(3)(a)", lines, dpo_contact)
    if hands_out and facts.verification == subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED:
        lines = ["verification: METHOD_CONTACT_CONFIRMED", "personal data would be handed out on an address alone"]
        return refusal("VERIFICATION_TOO_WEAK", "GDPR Art. 12(6), Art. 32(1)", lines, dpo_contact)
    return None


_OWN_DEMANDS = frozenset(
    {
        erasure_pb2.ErasureRequest.GROUND_CONSENT_WITHDRAWN,
        erasure_pb2.ErasureRequest.GROUND_OBJECTION,
        erasure_pb2.ErasureRequest.GROUND_CHILD_DATA,
    }
)
"""Grounds of Art. 17(1) that only the person's own act can bring about: (b), (c), (f)."""


def restricted(
    ground: "erasure_pb2.ErasureRequest.Ground.ValueType", restrictions: Sequence[str], dpo_contact: str
) -> request_pb2.Refusal | None:
    """The refusal to erase restricted data, which is to be stored, unless the person demands it (Art. 18(2)).

    The person asked for the restriction instead of erasure, or needs the data for a claim: a retention sweep must not
    end it. A ground that isn't stated is no demand.
    """
    if not restrictions or ground in _OWN_DEMANDS:
        return None
    lines = [f"restriction in force: {name}" for name in restrictions]
    lines.append(f"ground: {erasure_pb2.ErasureRequest.Ground.Name(ground)}")
    return refusal("RESTRICTED", "GDPR Art. 18(2)", lines, dpo_contact)


def refusal(rule: str, article: str, facts: Sequence[str], dpo_contact: str) -> request_pb2.Refusal:
    """An operator's refusal: what it rests on, and how to object."""
    return request_pb2.Refusal(
        kind=request_pb2.Refusal.KIND_INSTRUCTION,
        rule=rule,
        article=article,
        facts=facts,
        objection=f"To the controller: mend the facts above and ask again, or object to {dpo_contact}.",
    )


def instructions(
    right: "pb.Right.ValueType", source: governance_pb2.SourceMap, holds: Sequence[Hold]
) -> tuple[list[CollectionInstruction], list[pb.Retention]]:
    """What a connector is to do with each collection of a source, and what is retained and why."""
    if right == pb.RIGHT_PORTABILITY:
        return [i for selection in select(source) if (i := selection.instruction())], []
    if right == pb.RIGHT_ACCESS:
        return [_access(collection) for collection in source.collections], []
    found, retentions = [], []
    for collection in source.collections:
        instruction, retention = _erasure(collection, [h for h in holds if h.collection == collection.collection])
        found.append(instruction)
        if retention is not None:
            retentions.append(retention)
    return found, retentions


def _access(collection: governance_pb2.CollectionMap) -> CollectionInstruction:
    others = [field.field for field in collection.fields if field.third_party]
    return CollectionInstruction(collection=collection.collection, redact_fields=others)


def _erasure(
    collection: governance_pb2.CollectionMap, holds: Sequence[Hold]
) -> tuple[CollectionInstruction, pb.Retention | None]:
    name = collection.collection
    if holds:
        hold = max(holds, key=lambda h: h.review_time)
        retention = pb.Retention(
            collection=name, reason=hold.reason, legal_reference=hold.legal_reference, hold=hold.name
        )
        retention.review_time.FromDatetime(hold.review_time)
        return _retain(name, hold.reason), retention
    action = _ACTIONS[collection.erase_action]
    if action == CollectionInstruction.ACTION_RETAIN:
        retention = pb.Retention(
            collection=name, reason=collection.retain_reason, legal_reference=collection.legal_reference
        )
        if collection.HasField("review_time"):
            retention.review_time.CopyFrom(collection.review_time)
        return _retain(name, collection.retain_reason), retention
    instruction = CollectionInstruction(collection=name, action=action)
    if action == CollectionInstruction.ACTION_ANONYMISE:
        for field in collection.fields:
            if field.HasField("anonymise"):
                rule = Anonymisation(field=field.field)
                if field.anonymise.HasField("constant"):
                    rule.constant = field.anonymise.constant
                instruction.anonymise.append(rule)
    return instruction, None


def _retain(collection: str, reason: str) -> CollectionInstruction:
    return CollectionInstruction(collection=collection, action=CollectionInstruction.ACTION_RETAIN, reason=reason)


def check_map(data_map: governance_pb2.DataMap) -> tuple[str, str] | None:
    """What is wrong with a data map, as field path and reason; None when it can be used."""
    seen: set[str] = set()
    for i, source in enumerate(data_map.sources):
        path = f"data_map.sources[{i}]"
        if source.source in seen:
            return f"{path}.source", "stands twice"
        seen.add(source.source)
        names: set[str] = set()
        for j, collection in enumerate(source.collections):
            where = f"{path}.collections[{j}]"
            if collection.collection in names:
                return f"{where}.collection", "stands twice"
            names.add(collection.collection)
            wrong = _check_collection(collection)
            if wrong:
                return f"{where}.{wrong[0]}", wrong[1]
    return None


def check_hold(hold: governance_pb2.Hold, data_map: governance_pb2.DataMap) -> tuple[str, str] | None:
    """What is wrong with a hold: one that names what nobody would ever look up holds nothing."""
    source = next((s for s in data_map.sources if s.source == hold.source), None)
    if source is None:
        return "hold.source", "is not in the data map"
    if hold.collection not in {c.collection for c in source.collections}:
        return "hold.collection", "is not a collection of this source in the current data map"
    types = {kind for s in data_map.sources for kind in (*s.authoritative_for, *s.asked_by)}
    if hold.HasField("subject") and types and hold.subject.type not in types:
        return "hold.subject.type", f"is no identity type of the data map; there are {', '.join(sorted(types))}"
    return None


def _check_collection(collection: governance_pb2.CollectionMap) -> tuple[str, str] | None:
    if collection.erase_action not in _ACTIONS:
        return "erase_action", "must be DELETE, ANONYMISE or RETAIN"
    if collection.lawful_basis not in governance_pb2.LawfulBasis.values():
        return "lawful_basis", "must be a basis of Art. 6(1)"
    retains = collection.erase_action == governance_pb2.ERASE_ACTION_RETAIN
    if retains and not (collection.retain_reason and collection.legal_reference):
        return "retain_reason", "RETAIN needs retain_reason and legal_reference"
    empties = any(field.HasField("anonymise") for field in collection.fields)
    if collection.erase_action == governance_pb2.ERASE_ACTION_ANONYMISE and not empties:
        return "fields", "ANONYMISE needs at least one field with anonymise"
    return None
