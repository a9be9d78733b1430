"""Connectors that lie, each in one respect, each over the honest filesystem backend: the suite must catch every one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import grpc
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceServicer
from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server as add_servicer
from dsr.connector.v1.grant_pb2 import Grant

from connectors.backend import Backend, CountsPeople, Destroys, GivesBack, ListsInactive

M = TypeVar("M")


class Liar:
    """Says what the honest backend says, except where a lie overrides it."""

    def __init__(self, honest: Backend) -> None:
        self.honest = honest

    async def describe(self) -> pb.DescribeResponse:
        return await self.honest.describe()

    async def probe(self) -> pb.ProbeResponse:
        return await self.honest.probe()

    def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        return self.honest.locate(request)

    def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        return self.honest.export(request, grant)

    def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        return self.honest.erase(request, grant)

    def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        return self.honest.verify(request)

    def list_inactive(self, request: pb.ListInactiveRequest, grant: Grant) -> AsyncIterator[pb.ListInactiveResponse]:
        return cast(ListsInactive, self.honest).list_inactive(request, grant)

    def count_people(self, request: pb.CountPeopleRequest, grant: Grant) -> AsyncIterator[pb.CountPeopleResponse]:
        return cast(CountsPeople, self.honest).count_people(request, grant)

    def give_back(self, request: pb.ReturnRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        return cast(GivesBack, self.honest).give_back(request, grant)

    def destroy(self, request: pb.DestroyRequest, grant: Grant) -> AsyncIterator[pb.DestroyResponse]:
        return cast(Destroys, self.honest).destroy(request, grant)

    async def close(self) -> None:
        await self.honest.close()


class Trusting(ConnectorServiceServicer):
    """A servicer without any of the host's walls: no token, no grant, no limit is looked at."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        return await self._backend.describe()

    async def Probe(self, request: pb.ProbeRequest, context: Any) -> pb.ProbeResponse:
        return await self._backend.probe()

    async def Locate(self, request: pb.LocateRequest, context: Any) -> AsyncIterator[pb.LocateResponse]:
        async for message in self._backend.locate(request):
            yield message

    async def Export(self, request: pb.ExportRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        async for message in self._backend.export(request, Grant.FromString(request.grant.grant)):
            yield message

    async def Erase(self, request: pb.EraseRequest, context: Any) -> AsyncIterator[pb.EraseResponse]:
        async for message in self._backend.erase(request, Grant.FromString(request.grant.grant)):
            yield message

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> AsyncIterator[pb.VerifyResponse]:
        async for message in self._backend.verify(request):
            yield message

    async def Amend(self, request: pb.AmendRequest, context: Any) -> AsyncIterator[pb.AmendResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield pb.AmendResponse()

    async def ListInactive(
        self, request: pb.ListInactiveRequest, context: Any
    ) -> AsyncIterator[pb.ListInactiveResponse]:
        async for message in _absent(context, pb.ListInactiveResponse()):
            yield message

    async def CountPeople(self, request: pb.CountPeopleRequest, context: Any) -> AsyncIterator[pb.CountPeopleResponse]:
        async for message in _absent(context, pb.CountPeopleResponse()):
            yield message

    async def Return(self, request: pb.ReturnRequest, context: Any) -> AsyncIterator[pb.ExportResponse]:
        backend = cast(GivesBack, self._backend)
        async for message in backend.give_back(request, Grant.FromString(request.grant.grant)):
            yield message

    async def Destroy(self, request: pb.DestroyRequest, context: Any) -> AsyncIterator[pb.DestroyResponse]:
        backend = cast(Destroys, self._backend)
        async for message in backend.destroy(request, Grant.FromString(request.grant.grant)):
            yield message


async def _absent(context: Any, message: M) -> AsyncIterator[M]:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
    yield message


class Babbling(grpc.GenericRpcHandler):
    """Answers every method with bytes that are no message."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            return b"\xff" * 64

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def serve_bare(handler: ConnectorServiceServicer | grpc.GenericRpcHandler) -> AsyncIterator[str]:
    """Serves without interceptors; yields `host:port`."""
    server = grpc.aio.server()
    if isinstance(handler, ConnectorServiceServicer):
        add_servicer(handler, server)
    else:
        server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)
