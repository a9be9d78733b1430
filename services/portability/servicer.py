"""PortabilityService: messages in and out, nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from dsr.v1 import portability_pb2 as pb
from dsr.v1.portability_pb2_grpc import PortabilityServiceServicer

from dsrkit.auth import current_caller
from dsrkit.db import partner_transaction
from dsrkit.errors import DsrError
from dsrkit.requests import view
from dsrkit.requests.bundle import Bundles
from dsrkit.requests.downloads import download_bundle
from dsrkit.requests.model import Request
from dsrkit.requests.servicer import Parts, RequestRpcs, scope
from dsrkit.requests.view import known_enum
from dsrkit.tasks import Task


class PortabilityServicer(PortabilityServiceServicer):
    """The RPCs of the right."""

    def __init__(self, parts: Parts, bundles: Bundles) -> None:
        self._rpcs = RequestRpcs(parts, pb.PortabilityRequest, _fill)
        self._parts = parts
        self._bundles = bundles

    async def CreatePortabilityRequest(
        self, request: pb.CreatePortabilityRequestRequest, context: Any
    ) -> pb.PortabilityRequest:
        facts = {"formats": _formats(request.portability_request.formats)}
        created: pb.PortabilityRequest = await self._rpcs.create(request, facts)
        return created

    async def GetPortabilityRequest(
        self, request: pb.GetPortabilityRequestRequest, context: Any
    ) -> pb.PortabilityRequest:
        found: pb.PortabilityRequest = await self._rpcs.get(request)
        return found

    async def ListPortabilityRequests(
        self, request: pb.ListPortabilityRequestsRequest, context: Any
    ) -> pb.ListPortabilityRequestsResponse:
        page: pb.ListPortabilityRequestsResponse = await self._rpcs.list(request, pb.ListPortabilityRequestsResponse())
        return page

    async def CancelPortabilityRequest(
        self, request: pb.CancelPortabilityRequestRequest, context: Any
    ) -> pb.PortabilityRequest:
        cancelled: pb.PortabilityRequest = await self._rpcs.cancel(request)
        return cancelled

    async def ExtendPortabilityRequestDeadline(
        self, request: pb.ExtendPortabilityRequestDeadlineRequest, context: Any
    ) -> pb.PortabilityRequest:
        extended: pb.PortabilityRequest = await self._rpcs.extend(request)
        return extended

    async def ResolvePortabilityRequestIdentities(
        self, request: pb.ResolvePortabilityRequestIdentitiesRequest, context: Any
    ) -> pb.PortabilityRequest:
        resolved: pb.PortabilityRequest = await self._rpcs.resolve(request)
        return resolved

    async def WatchPortabilityRequest(
        self, request: pb.WatchPortabilityRequestRequest, context: Any
    ) -> AsyncIterator[pb.WatchPortabilityRequestResponse]:
        async for event in self._rpcs.watch(request, pb.WatchPortabilityRequestResponse):
            yield event

    async def DownloadPortabilityBundle(
        self, request: pb.DownloadPortabilityBundleRequest, context: Any
    ) -> AsyncIterator[pb.DownloadPortabilityBundleResponse]:
        await self._check_role(request.name)
        async for piece in download_bundle(self._parts, self._bundles, request, pb.DownloadPortabilityBundleResponse):
            yield piece

    async def _check_role(self, name: str) -> None:
        """A whole source is more than one person's records: another role downloads it. ROLE_REQUIRED."""
        partner, identifier = scope(name, self._parts.right)
        async with partner_transaction(self._parts.store.pool, partner) as connection:
            found = await self._parts.store.get(connection, identifier)
        role = "ROLE_ADMIN" if "termination" in found.facts else "ROLE_REQUESTER"
        if role not in current_caller().roles:
            raise DsrError("ROLE_REQUIRED", f"This bundle needs the role {role}.", roles=role)


async def _fill(message: pb.PortabilityRequest, request: Request, tasks: Sequence[Task] | None) -> None:
    message.formats.extend(request.facts["formats"])
    message.termination = request.facts.get("termination", "")
    if "bundle" in request.facts:
        view.fill_bundle(message.bundle, request, tasks)


def _formats(formats: Sequence[int]) -> list[int]:
    """CSV when empty; each once. FIELD_INVALID."""
    for index, value in enumerate(formats):
        known_enum(value, pb.PortabilityRequest.Format, f"portability_request.formats[{index}]")
    return sorted(set(formats)) or [pb.PortabilityRequest.FORMAT_CSV]
