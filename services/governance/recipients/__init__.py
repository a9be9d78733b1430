"""Sub-processors, and what requests owe to recipients (policy P15, GDPR Art. 19). Others call `tasks.owe`."""

from functools import partial

from dsr.v1.recipient_pb2_grpc import add_RecipientServiceServicer_to_server

from services.governance.recipients import chores
from services.governance.recipients.servicer import RecipientServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.RecipientService",
    register=lambda tools, server: add_RecipientServiceServicer_to_server(RecipientServicer(tools), server),
    chores=lambda tools: [(3600.0, partial(chores.announce, tools))],
)
