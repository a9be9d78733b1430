"""Personal data breaches (policy P8)."""

from collections.abc import Sequence
from functools import partial

import grpc
from dsr.v1.breach_pb2_grpc import add_BreachServiceServicer_to_server

from services.governance.breach import clock
from services.governance.breach.servicer import BreachServicer
from services.governance.tools import Chore, Family, Tools


def _register(tools: Tools, server: grpc.aio.Server) -> None:
    add_BreachServiceServicer_to_server(BreachServicer(tools), server)


def _chores(tools: Tools) -> Sequence[Chore]:
    return [(300.0, partial(clock.remind, tools))]


FAMILY = Family("dsr.v1.BreachService", _register, chores=_chores)
