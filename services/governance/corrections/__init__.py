"""Rectification (Art. 16), restriction (Art. 18) and objection (Art. 21)."""

from dsr.v1.correction_pb2_grpc import add_CorrectionServiceServicer_to_server

from services.governance.corrections.servicer import CorrectionServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.CorrectionService",
    register=lambda tools, server: add_CorrectionServiceServicer_to_server(CorrectionServicer(tools), server),
)
