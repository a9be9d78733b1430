"""Snapshots of data sources, and restores (policy P7)."""

from collections.abc import Sequence
from functools import partial

import grpc
from dsr.v1.backups_pb2_grpc import add_BackupServiceServicer_to_server

from services.governance.backups import chores
from services.governance.backups.servicer import BackupServicer
from services.governance.tools import Chore, Family, Tools


def _register(tools: Tools, server: grpc.aio.Server) -> None:
    add_BackupServiceServicer_to_server(BackupServicer(tools), server)


def _chores(tools: Tools) -> Sequence[Chore]:
    return [(3600.0, partial(chores.overdue, tools)), (3600.0, partial(chores.purge, tools))]


FAMILY = Family("dsr.v1.BackupService", _register, chores=_chores)
