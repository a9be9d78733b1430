"""Versions of the operator's policy, and what partners agreed to (policy P17); who the operator is (P18)."""

from functools import partial

from dsr.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server

from services.governance.policies import chores
from services.governance.policies.servicer import PolicyServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.PolicyService",
    register=lambda tools, server: add_PolicyServiceServicer_to_server(PolicyServicer(tools), server),
    chores=lambda tools: [(chores.SECONDS, partial(chores.follow, tools))],
)
