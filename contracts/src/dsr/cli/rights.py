"""The three rights, told apart in one table, so that one set of commands serves them all."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dsr.client import Platform, Request
from dsr.v1 import access_pb2, erasure_pb2, portability_pb2, request_pb2

Resolve = Callable[[Platform, str, Sequence[request_pb2.CandidateDecision], str], Awaitable[Any]]
"""Given the request's name, the decisions and the request id; the request."""


@dataclass(frozen=True)
class Right:
    """How one right is called for."""

    name: str
    collection: str
    about: str
    message: type[Any]
    create: Callable[[Platform, str, Any, str], Awaitable[Request]]
    """Given the parent, the request and the request id."""
    cancel: Callable[[Platform, str, str], Awaitable[Request]]
    extend: Callable[[Platform, str, request_pb2.Extension, str], Awaitable[Request]]
    resolve: Resolve
    page: Callable[[Platform, dict[str, Any]], Awaitable[tuple[list[Any], str]]]
    """Given the fields of the List request; the requests and the next page's token."""


async def _access_page(platform: Platform, fields: dict[str, Any]) -> tuple[list[Any], str]:
    page = await platform.access.ListAccessRequests(access_pb2.ListAccessRequestsRequest(**fields))
    return list(page.access_requests), page.next_page_token


async def _portability_page(platform: Platform, fields: dict[str, Any]) -> tuple[list[Any], str]:
    page = await platform.portability.ListPortabilityRequests(portability_pb2.ListPortabilityRequestsRequest(**fields))
    return list(page.portability_requests), page.next_page_token


async def _erasure_page(platform: Platform, fields: dict[str, Any]) -> tuple[list[Any], str]:
    page = await platform.erasure.ListErasureRequests(erasure_pb2.ListErasureRequestsRequest(**fields))
    return list(page.erasure_requests), page.next_page_token


ACCESS = Right(
    name="access",
    collection="accessRequests",
    about="The right of access: a copy of a person's data (Art. 15).",
    message=access_pb2.AccessRequest,
    create=lambda p, parent, request, request_id: p.access.CreateAccessRequest(
        access_pb2.CreateAccessRequestRequest(parent=parent, access_request=request, request_id=request_id)
    ),
    cancel=lambda p, name, request_id: p.access.CancelAccessRequest(
        access_pb2.CancelAccessRequestRequest(name=name, request_id=request_id)
    ),
    extend=lambda p, name, extension, request_id: p.access.ExtendAccessRequestDeadline(
        access_pb2.ExtendAccessRequestDeadlineRequest(name=name, extension=extension, request_id=request_id)
    ),
    resolve=lambda p, name, decisions, request_id: p.access.ResolveAccessRequestIdentities(
        access_pb2.ResolveAccessRequestIdentitiesRequest(name=name, decisions=decisions, request_id=request_id)
    ),
    page=_access_page,
)

PORTABILITY = Right(
    name="portability",
    collection="portabilityRequests",
    about="The right to data portability: the data a person provided, machine-readable (Art. 20).",
    message=portability_pb2.PortabilityRequest,
    create=lambda p, parent, request, request_id: p.portability.CreatePortabilityRequest(
        portability_pb2.CreatePortabilityRequestRequest(
            parent=parent, portability_request=request, request_id=request_id
        )
    ),
    cancel=lambda p, name, request_id: p.portability.CancelPortabilityRequest(
        portability_pb2.CancelPortabilityRequestRequest(name=name, request_id=request_id)
    ),
    extend=lambda p, name, extension, request_id: p.portability.ExtendPortabilityRequestDeadline(
        portability_pb2.ExtendPortabilityRequestDeadlineRequest(name=name, extension=extension, request_id=request_id)
    ),
    resolve=lambda p, name, decisions, request_id: p.portability.ResolvePortabilityRequestIdentities(
        portability_pb2.ResolvePortabilityRequestIdentitiesRequest(
            name=name, decisions=decisions, request_id=request_id
        )
    ),
    page=_portability_page,
)

ERASURE = Right(
    name="erasure",
    collection="erasureRequests",
    about="The right to erasure: planned, approved by a second person, carried out, read back (Art. 17).",
    message=erasure_pb2.ErasureRequest,
    create=lambda p, parent, request, request_id: p.erasure.CreateErasureRequest(
        erasure_pb2.CreateErasureRequestRequest(parent=parent, erasure_request=request, request_id=request_id)
    ),
    cancel=lambda p, name, request_id: p.erasure.CancelErasureRequest(
        erasure_pb2.CancelErasureRequestRequest(name=name, request_id=request_id)
    ),
    extend=lambda p, name, extension, request_id: p.erasure.ExtendErasureRequestDeadline(
        erasure_pb2.ExtendErasureRequestDeadlineRequest(name=name, extension=extension, request_id=request_id)
    ),
    resolve=lambda p, name, decisions, request_id: p.erasure.ResolveErasureRequestIdentities(
        erasure_pb2.ResolveErasureRequestIdentitiesRequest(name=name, decisions=decisions, request_id=request_id)
    ),
    page=_erasure_page,
)

RIGHTS = (ACCESS, PORTABILITY, ERASURE)
