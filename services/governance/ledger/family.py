"""Not in `__init__`: tools need the ledger, and a family needs the tools."""

from functools import partial

from dsr.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server

from services.governance.ledger.servicer import LedgerServicer
from services.governance.tools import Family, Tools

SECONDS = 10.0
"""Within which what was certified is signed, also if nobody asks for it: what is signed can't be lost unnoticed."""


async def _sign(tools: Tools) -> None:
    await tools.ledger.checkpoint(tools.real_time())


FAMILY = Family(
    service="dsr.v1.LedgerService",
    register=lambda tools, server: add_LedgerServiceServicer_to_server(LedgerServicer(tools), server),
    chores=lambda tools: [(SECONDS, partial(_sign, tools))],
)
