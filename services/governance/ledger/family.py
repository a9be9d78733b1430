"""Not in `__init__`: tools need the ledger, and a family needs the tools."""

from dsr.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server

from services.governance.ledger.servicer import LedgerServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.LedgerService",
    register=lambda tools, server: add_LedgerServiceServicer_to_server(LedgerServicer(tools), server),
)
