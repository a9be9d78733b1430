"""Sandboxes for integrators: made-up people behind the same API. What keeps them from everybody else: decision 0060."""

from functools import partial

from dsr.v1.sandbox_pb2_grpc import add_SandboxServiceServicer_to_server

from services.governance.sandbox import chores
from services.governance.sandbox.servicer import SandboxServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.SandboxService",
    register=lambda tools, server: add_SandboxServiceServicer_to_server(SandboxServicer(tools), server),
    chores=lambda tools: [(chores.SECONDS, partial(chores.follow, tools))],
)
