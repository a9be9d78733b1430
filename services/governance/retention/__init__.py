"""Data that nobody uses any more (policy P6)."""

from collections.abc import Sequence
from functools import partial

import grpc
from dsr.v1.retention_pb2_grpc import add_RetentionServiceServicer_to_server

from services.governance.retention import schedule
from services.governance.retention.servicer import RetentionServicer
from services.governance.tools import Chore, Family, Tools


def _register(tools: Tools, server: grpc.aio.Server) -> None:
    add_RetentionServiceServicer_to_server(RetentionServicer(tools), server)


def _chores(tools: Tools) -> Sequence[Chore]:
    return [(600.0, partial(schedule.begin_due, tools))]


FAMILY = Family("dsr.v1.RetentionService", _register, chores=_chores)
