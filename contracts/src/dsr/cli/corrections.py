"""The call of `dsr correction resolve`, which is like that of the rights."""

from collections.abc import Sequence

from dsr.client import Platform
from dsr.v1 import correction_pb2, request_pb2


async def resolve(
    platform: Platform, name: str, decisions: Sequence[request_pb2.CandidateDecision], request_id: str
) -> correction_pb2.CorrectionRequest:
    """Says which candidates are the person."""
    return await platform.corrections.ResolveCorrectionRequestIdentities(
        correction_pb2.ResolveCorrectionRequestIdentitiesRequest(name=name, decisions=decisions, request_id=request_id)
    )
