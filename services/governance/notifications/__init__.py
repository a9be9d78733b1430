"""Notifications: whom a partner wants to be told, and what it is told. Other families call `outbox.notify`."""

from collections.abc import Mapping, Sequence
from functools import partial

import grpc
from dsr.v1.notifications_pb2_grpc import add_NotificationServiceServicer_to_server

from dsrkit.tasks.worker import Step
from services.governance.notifications import deadlines
from services.governance.notifications.email import Email
from services.governance.notifications.servicer import NotificationServicer
from services.governance.notifications.webhook import Deliver
from services.governance.tools import Chore, Family, Tools


def _register(tools: Tools, server: grpc.aio.Server) -> None:
    add_NotificationServiceServicer_to_server(NotificationServicer(tools), server)


def _steps(tools: Tools) -> Mapping[str, Step]:
    return {"deliver": Deliver(tools).deliver, "email": Email(tools).send}


def _chores(tools: Tools) -> Sequence[Chore]:
    return [(60.0, partial(deadlines.warn, tools)), (3600.0, partial(deadlines.purge, tools))]


FAMILY = Family("dsr.v1.NotificationService", _register, _steps, _chores)
