"""Between messages and rows: what all three rights' resources have in common."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dsr.v1 import governance_pb2, request_pb2, subject_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from dsrkit import clock
from dsrkit.errors import invalid, not_found, reason_value
from dsrkit.requests.flow import latest
from dsrkit.requests.model import Dossier, Known, Request, Right
from dsrkit.tasks import Task
from dsrkit.watermark import watermark

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PARTNER = re.compile(r"partners/[a-z0-9][a-z0-9-]{1,38}[a-z0-9]")
_SKEW = timedelta(minutes=1)
_WEAK = subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED


@dataclass(frozen=True)
class Input:
    """What a new request brings, checked."""

    identities: tuple[Known, ...]
    capacity: "subject_pb2.RequesterCapacity.ValueType"
    verification: "subject_pb2.IdentityVerification.Method.ValueType"
    received_time: datetime
    data_sources: tuple[str, ...]


def parse_partner(name: str, field: str = "parent") -> str:
    """`partners/{partner}` of a resource name's beginning."""
    partner = "/".join(name.split("/")[:2])
    if not _PARTNER.fullmatch(partner):
        raise invalid(field, "must begin with partners/{partner}")
    return partner


def parse_name(name: str, right: Right) -> tuple[str, UUID]:
    """Partner and id of a request's name. NOT_FOUND for anything that can't be one."""
    parts = name.split("/")
    if len(parts) != 4 or parts[2] != right.collection:
        raise not_found("resource")
    try:
        identifier = UUID(parts[3])
    except ValueError:
        raise not_found("resource") from None
    if str(identifier) != parts[3]:
        raise not_found("resource")
    return "/".join(parts[:2]), identifier


def parse_uuid4(text: str, field: str) -> UUID:
    """A UUID4 in its canonical form. FIELD_INVALID."""
    try:
        value = UUID(text)
    except ValueError:
        raise invalid(field, "must be a UUID4, such as 9f4e7c1a-…") from None
    if value.version != 4 or str(value) != text:
        raise invalid(field, "must be a UUID4 in lower case with hyphens")
    return value


def parse_time(value: Timestamp, field: str) -> datetime:
    """A time that is not in the future, nor before 2018 (when the GDPR began to apply). FIELD_INVALID."""
    try:
        moment = value.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid(field, "is not a time") from None
    if moment > clock.now() + _SKEW:
        raise invalid(field, "must not be in the future")
    if moment < datetime(2018, 5, 25, tzinfo=UTC):
        raise invalid(field, "must not be before 2018-05-25")
    return moment


def parse_input(resource: Any, noun: str, partner: str) -> Input:
    """The part of a new request that all rights share. FIELD_INVALID with the field's path."""
    root = f"{noun}_request"
    subject = resource.subject
    identities = subject.identities
    if len(identities) > 20:
        raise invalid(f"{root}.subject.identities", "at most 20")
    known = []
    for index, identity in enumerate(identities):
        path = f"{root}.subject.identities[{index}]"
        if not _TYPE.fullmatch(identity.type):
            raise invalid(f"{path}.type", "must be lower-case letters, digits and underscores, at most 63")
        if len(identity.value) > 1024 or "\0" in identity.value or not identity.value.strip():
            raise invalid(f"{path}.value", "must have 1 to 1,024 characters, none of them NUL")
        known.append(Known(identity.type, identity.value))
    known_enum(subject.capacity, subject_pb2.RequesterCapacity, f"{root}.subject.capacity")
    verification = subject.verification
    known_enum(verification.method, subject_pb2.IdentityVerification.Method, f"{root}.subject.verification.method")
    if verification.method == _WEAK and subject.capacity != subject_pb2.REQUESTER_CAPACITY_SELF:
        raise invalid(f"{root}.subject.verification.method", "CONTACT_CONFIRMED is not enough for somebody else")
    if len(verification.verifier) > 200:
        raise invalid(f"{root}.subject.verification.verifier", "at most 200 characters")
    parse_time(verification.verify_time, f"{root}.subject.verification.verify_time")
    for index, source in enumerate(resource.data_sources):
        if not source.startswith(f"{partner}/dataSources/"):
            raise invalid(f"{root}.data_sources[{index}]", "must be a data source of this partner")
    return Input(
        identities=tuple(dict.fromkeys(known)),
        capacity=subject.capacity,
        verification=verification.method,
        received_time=parse_time(resource.clock.received_time, f"{root}.clock.received_time"),
        data_sources=tuple(sorted(set(resource.data_sources))),
    )


def known_enum(value: int, enum: Any, field: str) -> None:
    """FIELD_INVALID unless `value` is one of the enum's."""
    if value not in enum.values():
        raise invalid(field, f"must be one of {', '.join(enum.keys()[1:])}")


def fill(message: Any, right: Right, request: Request, dossier: Dossier | None, tasks: Sequence[Task] | None) -> None:
    """Fills what all resources share. `dossier` None leaves people out, `tasks` None leaves progress out."""
    message.name = right.name(request.partner, request.id)
    message.state = request_pb2.RequestState.Value(f"REQUEST_STATE_{request.state}")
    message.clock.received_time.FromDatetime(request.received_time)
    message.clock.due_time.FromDatetime(request.due_time)
    if request.extension:
        message.clock.extension.reason = request.extension["reason"]
        message.clock.extension.subject_told_time.FromJsonString(request.extension["subject_told_time"])
    message.data_sources.extend(request.data_sources)
    message.capacity = subject_pb2.RequesterCapacity.Value(request.capacity)
    message.creator = request.creator
    message.create_time.FromDatetime(request.create_time)
    message.update_time.FromDatetime(request.update_time)
    if request.complete_time:
        message.complete_time.FromDatetime(request.complete_time)
    message.data_map_revision = request.data_map_revision
    message.policy_version = request.facts.get("policy_version", 0)
    if request.refusal:
        message.refusal.CopyFrom(refusal(request.refusal))
    for task in _shown(tasks or ()):
        message.sources.append(progress(task))
    if dossier is not None:
        message.identities.extend(identity(known) for known in dossier.identities)
        message.candidates.extend(candidates(dossier))


def _shown(tasks: Sequence[Task]) -> list[Task]:
    """The newest task of every step and source, in the order of work."""
    shown: dict[tuple[str, str], Task] = {}
    for task in tasks:
        if task.source is not None and task.state != "dropped":
            shown[task.step, task.source] = task
    return list(shown.values())


def progress(task: Task) -> request_pb2.SourceProgress:
    """How a source is getting on."""
    message = request_pb2.SourceProgress(
        source=task.source or "",
        step=task.step,
        done=task.state == "done",
        attempts=task.attempt,
        records=task.records,
    )
    if task.state == "open" and task.waiting_reason:
        message.waiting_reason = reason_value(task.waiting_reason)
        message.next_attempt_time.FromDatetime(task.due_time)
    return message


def candidates(dossier: Dossier) -> list[request_pb2.Candidate]:
    """People of the same names, by what a source knows them by; never by their keys there."""
    return [
        request_pb2.Candidate(
            candidate=candidate.candidate,
            source=candidate.source,
            collection=candidate.collection,
            identities=[identity(known) for known in candidate.identities],
            decision=request_pb2.Candidate.Decision.Value(f"DECISION_{candidate.decision or 'UNSPECIFIED'}"),
        )
        for candidate in dossier.candidates
    ]


def identity(known: Known) -> request_pb2.ResolvedIdentity:
    """An identity, and where it came from."""
    return request_pb2.ResolvedIdentity(
        type=known.type,
        value=known.value,
        source=known.source,
        collection=known.collection,
        hops=known.hops,
        followed=known.followed,
    )


def refusal(data: Mapping[str, Any]) -> request_pb2.Refusal:
    """A stored refusal."""
    return request_pb2.Refusal(
        kind=data["kind"],
        rule=data["rule"],
        article=data["article"],
        facts=data["facts"],
        objection=data["objection"],
        name=data.get("name", ""),
    )


def store_refusal(message: request_pb2.Refusal) -> dict[str, Any]:
    """A refusal to be stored."""
    return {
        "kind": int(message.kind),
        "rule": message.rule,
        "article": message.article,
        "facts": list(message.facts),
        "objection": message.objection,
        "name": message.name,
    }


def fill_bundle(message: request_pb2.Bundle, request: Request, tasks: Sequence[Task] | None) -> None:
    """The bundle, and what is in it."""
    bundle = request.facts["bundle"]
    message.state = request_pb2.Bundle.State.Value(f"STATE_{bundle['state']}")
    message.filename = bundle["filename"]
    message.media_type = bundle["media_type"]
    message.size_bytes = bundle["size"]
    message.sha256 = bundle["sha256"]
    message.sandbox = watermark(bundle.get("sandbox", False))
    if "location" in bundle:
        message.location.CopyFrom(governance_pb2.Location(**bundle["location"]))
    if request.bundle_expire_time:
        message.expire_time.FromDatetime(request.bundle_expire_time)
    for source, task in sorted(latest(tasks or (), "export").items()):
        for collection in task.result["collections"]:
            message.collections.add(
                source=source,
                collection=collection["collection"],
                records=collection["records"],
                withheld_fields=collection["withheld"],
            )
