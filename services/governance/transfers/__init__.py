"""What must be on record before data leaves the EEA (policy P12). The gate asks `records.load`."""

from dsr.v1.transfer_pb2_grpc import add_TransferServiceServicer_to_server

from services.governance.tools import Family
from services.governance.transfers.servicer import TransferServicer

FAMILY = Family(
    service="dsr.v1.TransferService",
    register=lambda tools, server: add_TransferServiceServicer_to_server(TransferServicer(tools), server),
)
