"""Who of the operator's staff may do what (policy P16)."""

from dsr.v1.staff_pb2_grpc import add_StaffServiceServicer_to_server

from services.governance.staff.servicer import StaffServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.StaffService",
    register=lambda tools, server: add_StaffServiceServicer_to_server(StaffServicer(tools), server),
)
