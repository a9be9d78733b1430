"""What a request is: the row, its sealed part, and what may come next."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2
from dsr.v1.request_pb2 import RequestState
from dsr.v1.subject_pb2 import Identity as IdentityMessage

from dsrkit.tasks import NewTask

TERMINAL = frozenset({"COMPLETED", "PARTIALLY_ERASED", "REFUSED", "CANCELLED"})
OPEN_STATES = tuple(
    value.name.removeprefix("REQUEST_STATE_")
    for value in RequestState.DESCRIPTOR.values
    if value.number and value.name.removeprefix("REQUEST_STATE_") not in TERMINAL
)
AFTERWARDS = ("close", "certify")
"""Steps that go on after a request has become terminal."""


@dataclass(frozen=True)
class Right:
    """One of the three rights, as names."""

    noun: str
    """`access`: schema, and stem of the proto's names."""
    collection: str
    """`accessRequests`, in resource names."""
    number: "authority_pb2.Right.ValueType"

    def name(self, partner: str, request: UUID) -> str:
        """The resource name of a request."""
        return f"{partner}/{self.collection}/{request}"


@dataclass(frozen=True)
class Known:
    """An identity of the subject, and how it came to be known."""

    type: str
    value: str
    source: str = ""
    collection: str = ""
    hops: int = 0
    followed: bool = True


@dataclass(frozen=True)
class Candidate:
    """One of several people that an identity matched."""

    candidate: str
    source: str
    collection: str
    person: str
    identities: tuple[Known, ...] = ()
    decision: str = ""
    """`ACCEPT`, `REJECT`, or empty."""


@dataclass(frozen=True)
class Dossier:
    """What of a request is personal. Stored sealed under the request's key."""

    identities: tuple[Known, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    unasked: tuple[str, ...] = ()
    """Sources that were not asked by every name they could be asked by: the last ones lie too many hops away."""

    def followed(self) -> tuple[Known, ...]:
        """The identities that sources are asked by."""
        return tuple(known for known in self.identities if known.followed)

    def subject(self, ref: str, source: str, types: Sequence[str]) -> connector_pb2.Subject:
        """The person as one source may be asked about them: only types it declares, and the controller's choices."""
        known = [i for i in self.followed() if i.type in types]
        chosen: dict[str, list[str]] = {}
        for candidate in self.candidates:
            if candidate.source == source and candidate.decision:
                people = chosen.setdefault(candidate.collection, [])
                if candidate.decision == "ACCEPT":
                    people.append(candidate.person)
        return connector_pb2.Subject(
            subject_ref=ref,
            identities=[IdentityMessage(type=i.type, value=i.value) for i in known],
            people=[connector_pb2.PersonChoice(collection=c, people=p) for c, p in sorted(chosen.items())],
        )

    def dump(self) -> bytes:
        """As bytes, to be sealed."""
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, data: bytes) -> "Dossier":
        """From bytes that were sealed."""
        raw = orjson.loads(data)
        candidates = [
            Candidate(**{**c, "identities": tuple(Known(**i) for i in c["identities"])}) for c in raw["candidates"]
        ]
        return cls(tuple(Known(**i) for i in raw["identities"]), tuple(candidates), tuple(raw.get("unasked", ())))


@dataclass(frozen=True)
class Found:
    """What a Locate of one source brought, sealed in its task."""

    asked: tuple[tuple[str, str], ...]
    located: connector_pb2.Located
    anchors: tuple[connector_pb2.Anchors, ...] = ()

    def dump(self) -> bytes:
        """As bytes, to be sealed."""
        return orjson.dumps(
            {
                "asked": self.asked,
                "located": base64.b64encode(self.located.SerializeToString()).decode(),
                "anchors": [base64.b64encode(a.SerializeToString()).decode() for a in self.anchors],
            }
        )

    @classmethod
    def load(cls, data: bytes) -> "Found":
        """From bytes that were sealed."""
        raw = orjson.loads(data)
        return cls(
            asked=tuple((a[0], a[1]) for a in raw["asked"]),
            located=connector_pb2.Located.FromString(base64.b64decode(raw["located"])),
            anchors=tuple(connector_pb2.Anchors.FromString(base64.b64decode(a)) for a in raw["anchors"]),
        )


@dataclass(frozen=True)
class Request:
    """A row of `request`."""

    partner: str
    id: UUID
    request_id: UUID
    body_digest: bytes
    state: str
    creator: str
    creator_actors: Sequence[str]
    capacity: str
    received_time: datetime
    time_zone: str
    due_time: datetime
    extension: Mapping[str, Any] | None
    data_map_revision: int
    data_sources: Sequence[str]
    refusal: Mapping[str, Any] | None
    facts: Mapping[str, Any]
    sealed: bytes | None
    bundle_expire_time: datetime | None
    next_event: int
    create_time: datetime
    update_time: datetime
    complete_time: datetime | None

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it, but for its bundle's end."""
        return self.state in TERMINAL

    @property
    def preview(self) -> bool:
        """Whether it only shows what an erasure would do."""
        return bool(self.facts.get("validate_only"))

    @property
    def ended(self) -> bool:
        """Whether nobody has to do anything more about it: a preview ends with its plan."""
        return self.terminal or (self.preview and self.state == "PLANNED")

    def with_facts(self, **facts: Any) -> "Request":
        """A copy with more facts."""
        return replace(self, facts={**self.facts, **facts})


@dataclass(frozen=True)
class Move:
    """What follows when no task of a request is open any more: decided by the right's pure `advance`."""

    state: str
    tasks: Sequence[NewTask] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    dossier: Dossier | None = None
    bundle_expire_time: datetime | None = None
