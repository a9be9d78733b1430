"""AccessService: messages in and out, nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from dsr.v1 import access_pb2 as pb
from dsr.v1.access_pb2_grpc import AccessServiceServicer

from dsrkit.requests import view
from dsrkit.requests.bundle import Bundles
from dsrkit.requests.downloads import download_bundle
from dsrkit.requests.model import Request
from dsrkit.requests.servicer import Parts, RequestRpcs
from dsrkit.tasks import Task


class AccessServicer(AccessServiceServicer):
    """The RPCs of the right."""

    def __init__(self, parts: Parts, bundles: Bundles) -> None:
        self._rpcs = RequestRpcs(parts, pb.AccessRequest, _fill)
        self._parts = parts
        self._bundles = bundles

    async def CreateAccessRequest(self, request: pb.CreateAccessRequestRequest, context: Any) -> pb.AccessRequest:
        facts: dict[str, Any] = {}
        created: pb.AccessRequest = await self._rpcs.create(request, facts)
        return created

    async def GetAccessRequest(self, request: pb.GetAccessRequestRequest, context: Any) -> pb.AccessRequest:
        found: pb.AccessRequest = await self._rpcs.get(request)
        return found

    async def ListAccessRequests(
        self, request: pb.ListAccessRequestsRequest, context: Any
    ) -> pb.ListAccessRequestsResponse:
        page: pb.ListAccessRequestsResponse = await self._rpcs.list(request, pb.ListAccessRequestsResponse())
        return page

    async def CancelAccessRequest(self, request: pb.CancelAccessRequestRequest, context: Any) -> pb.AccessRequest:
        cancelled: pb.AccessRequest = await self._rpcs.cancel(request)
        return cancelled

    async def ExtendAccessRequestDeadline(
        self, request: pb.ExtendAccessRequestDeadlineRequest, context: Any
    ) -> pb.AccessRequest:
        extended: pb.AccessRequest = await self._rpcs.extend(request)
        return extended

    async def ResolveAccessRequestIdentities(
        self, request: pb.ResolveAccessRequestIdentitiesRequest, context: Any
    ) -> pb.AccessRequest:
        resolved: pb.AccessRequest = await self._rpcs.resolve(request)
        return resolved

    async def WatchAccessRequest(
        self, request: pb.WatchAccessRequestRequest, context: Any
    ) -> AsyncIterator[pb.WatchAccessRequestResponse]:
        async for event in self._rpcs.watch(request, pb.WatchAccessRequestResponse):
            yield event

    async def DownloadAccessBundle(
        self, request: pb.DownloadAccessBundleRequest, context: Any
    ) -> AsyncIterator[pb.DownloadAccessBundleResponse]:
        async for piece in download_bundle(self._parts, self._bundles, request, pb.DownloadAccessBundleResponse):
            yield piece


async def _fill(message: pb.AccessRequest, request: Request, tasks: Sequence[Task] | None) -> None:
    if "bundle" in request.facts:
        view.fill_bundle(message.bundle, request, tasks)
