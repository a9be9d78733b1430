"""What a controller's refusal must say, and what may become of an objection. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from uuid import UUID, uuid5

import yaml
from dsr.v1 import refusal_pb2 as pb
from dsr.v1 import request_pb2

from dsrkit.calendar import due

_DATA = yaml.safe_load(resources.files(__package__).joinpath("reasons.yaml").read_text())
RIGHTS: Sequence[str] = _DATA["any_right"]
_NAMESPACE = UUID("0b3f7f52-8a5e-4a52-9d57-0d2d4b4d5e61")
_LONGEST = 200
_REQUESTS = ("accessRequests", "portabilityRequests", "erasureRequests", "correctionRequests")


@dataclass(frozen=True)
class Reason:
    """A reason that may justify refusing a person."""

    article: str
    rights: Sequence[str]


REASONS: Mapping[str, Reason] = {
    term: Reason(entry["article"], entry.get("rights", RIGHTS)) for term, entry in _DATA["reasons"].items()
}


def wrong(refusal: pb.SubjectRefusal, partner: str, now: datetime) -> tuple[str, str] | None:
    """What is wrong with a controller's refusal, as field and reason; None when it can be recorded."""
    received, told = (t.ToDatetime(UTC) for t in (refusal.received_time, refusal.subject_told_time))
    if refusal.right not in RIGHTS:
        return "right", f"must be one of {', '.join(RIGHTS)}"
    reason = REASONS.get(refusal.reason)
    if reason is None or refusal.right not in reason.rights:
        fitting = [term for term, known in REASONS.items() if refusal.right in known.rights]
        return "reason", f"justifies no refusal of this right; these may: {', '.join(fitting)}"
    if received > now:
        return "received_time", "must not be in the future"
    if not received <= told <= now:
        return "subject_told_time", "must be between receipt and now: the person is told first"
    if set(refusal.remedies) != {pb.SubjectRefusal.REMEDY_COMPLAINT, pb.SubjectRefusal.REMEDY_JUDICIAL}:
        return "remedies", "the person must be told of both, complaint and judicial remedy (Art. 12(4))"
    parts = refusal.request.split("/")
    if refusal.request and not (len(parts) == 4 and "/".join(parts[:2]) == partner and parts[2] in _REQUESTS):
        return "request", "must be a request of this partner"
    return ("reference", f"at most {_LONGEST} characters") if len(refusal.reference) > _LONGEST else None


def told_late(received: datetime, told: datetime, time_zone: str) -> bool:
    """Whether the person was told later than one month after receipt (Art. 12(4))."""
    return told > due(received, time_zone)


def same(refusal: request_pb2.Refusal, operation: str, request: str) -> UUID:
    """The id of an operator's refusal: the same while the same is refused on the same facts, whatever the day."""
    facts = "\n".join(fact for fact in refusal.facts if not fact.startswith("day: "))
    return uuid5(_NAMESPACE, "\0".join((operation, request, refusal.rule, facts)))


def reference(text: str, field: str = "reference") -> tuple[str, str] | None:
    """What is wrong with a reference to reasons."""
    return None if 1 <= len(text.strip()) <= _LONGEST else (field, f"must have 1 to {_LONGEST} characters")


def after(verb: str, kind: str, state: str) -> str | None:
    """The state after `object`, `uphold` or `withdraw`; None when that isn't possible from here.

    A person doesn't object here to the controller's refusal: complaint and court are the remedies.
    """
    if kind != "INSTRUCTION":
        return None
    moves = {
        ("object", "STANDING"): "OBJECTED",
        ("uphold", "OBJECTED"): "UPHELD",
        ("withdraw", "OBJECTED"): "WITHDRAWN",
    }
    return moves.get((verb, state))
