"""LedgerService: the ledger, to be checked by anybody."""

from typing import Any

from dsr.v1 import ledger_pb2 as pb
from dsr.v1.ledger_pb2_grpc import LedgerServiceServicer

from dsrkit.errors import invalid
from services.governance.tools import Tools


class LedgerServicer(LedgerServiceServicer):
    """The RPCs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._ledger = tools.ledger

    async def GetLedger(self, request: pb.GetLedgerRequest, context: Any) -> pb.Ledger:
        signed = await self._ledger.checkpoint(self._tools.real_time())
        message = pb.Ledger(verifier_key=str(self._ledger.witness.key.verifier))
        if signed is not None:
            message.size, message.checkpoint = signed.size, signed.note
            message.sign_time.FromDatetime(signed.sign_time)
        return message

    async def ProveLedgerConsistency(
        self, request: pb.ProveLedgerConsistencyRequest, context: Any
    ) -> pb.ProveLedgerConsistencyResponse:
        now = await self.GetLedger(pb.GetLedgerRequest(), context)
        if not 0 <= request.from_size <= now.size:
            raise invalid("from_size", f"must be from 0 to the ledger's size, which is {now.size}")
        hashes = await self._ledger.consistency(request.from_size, now.size)
        return pb.ProveLedgerConsistencyResponse(hashes=hashes, ledger=now)
