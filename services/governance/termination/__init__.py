"""The end of a contract (policy P14)."""

from collections.abc import Sequence
from functools import partial

import grpc
from dsr.v1.termination_pb2_grpc import add_TerminationServiceServicer_to_server

from services.governance.termination import progress
from services.governance.termination.servicer import TerminationServicer
from services.governance.tools import Chore, Family, Tools


def _register(tools: Tools, server: grpc.aio.Server) -> None:
    add_TerminationServiceServicer_to_server(TerminationServicer(tools), server)


def _chores(tools: Tools) -> Sequence[Chore]:
    return [(60.0, partial(progress.run, tools))]


FAMILY = Family("dsr.v1.TerminationService", _register, chores=_chores)
