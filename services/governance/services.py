"""Which service may speak of what: each of the three rights for itself. Whoever captures one holds no other's work."""

from collections.abc import Mapping
from uuid import UUID

from dsr.authority.v1 import authority_pb2 as pb

from dsrkit.auth import current_caller
from dsrkit.errors import DsrError, invalid
from dsrkit.requests.flow import new_id
from dsrkit.requests.view import parse_partner

SERVICES: Mapping[int, str] = {
    pb.RIGHT_ACCESS: "access",
    pb.RIGHT_PORTABILITY: "portability",
    pb.RIGHT_ERASURE: "erasure",
}
_RIGHTS: Mapping[str, "pb.Right.ValueType"] = {
    "accessRequests": pb.RIGHT_ACCESS,
    "portabilityRequests": pb.RIGHT_PORTABILITY,
    "erasureRequests": pb.RIGHT_ERASURE,
}


def own_right(right: int) -> None:
    """FIELD_INVALID unless it is one of the three rights; ROLE_REQUIRED unless the calling service is that right's."""
    if right not in SERVICES:
        raise invalid("right", "must be one of the three rights")
    if current_caller().subject != SERVICES[right]:
        raise DsrError("ROLE_REQUIRED", "This service has no part in that right.", roles="ROLE_SERVICE")


def own_request(request: str, right: int | None = None) -> str:
    """The partner of a request of the calling service's own right; of `right`, where the call names one."""
    partner = parse_partner(request, "request")
    parts = request.split("/")
    named = _RIGHTS.get(parts[2]) if len(parts) == 4 else None
    if named is None or right not in (None, named):
        raise invalid("request", "must be a request of that right")
    own_right(named)
    return partner


def right_of(request: str) -> "pb.Right.ValueType":
    """The right of a request whose name was checked."""
    return _RIGHTS[request.split("/")[2]]


def request_name(partner: str, right: "pb.Right.ValueType", request_id: UUID) -> str:
    """The name of the request that a right's service makes of a call with this `request_id`."""
    collection = next(name for name, number in _RIGHTS.items() if number == right)
    return f"{partner}/{collection}/{new_id(partner, request_id)}"
