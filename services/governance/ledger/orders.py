"""What the rights services have certified."""

from typing import Any

from dsr.authority.v1 import authority_pb2 as pb
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceServicer

from dsrkit.db import partner_transaction
from dsrkit.errors import invalid
from services.governance.services import own_request
from services.governance.tools import Tools

_SHA256_BYTES = 32


class CertifyRpcs(AuthorityServiceServicer):
    """Part of the authority."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def Certify(self, request: pb.CertifyRequest, context: Any) -> pb.CertifyResponse:
        partner = own_request(request.request, pb.RIGHT_ERASURE)
        if len(request.document_sha256) != _SHA256_BYTES:
            raise invalid("document_sha256", "must be 32 bytes")
        ledger, now = self._tools.ledger, self._tools.clock()
        async with partner_transaction(self._tools.store.pool, partner) as connection:
            entry = await ledger.certify(connection, request.request, request.document_sha256, now)
        # In another transaction: signed is only what is committed.
        proof = await ledger.prove(entry["number"], entry["salt"], self._tools.real_time())
        return pb.CertifyResponse(proof=proof, entry=ledger.entry(entry))
