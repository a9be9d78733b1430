"""Refusals as resources, both kinds (policy P13). Whoever refuses calls `book.enter`."""

from dsr.v1.refusal_pb2_grpc import add_RefusalServiceServicer_to_server

from services.governance.refusals.servicer import RefusalServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.RefusalService",
    register=lambda tools, server: add_RefusalServiceServicer_to_server(RefusalServicer(tools), server),
)
