"""Places, as agreed with the partner (policy P3, P4). The gate asks `agreements.load`."""

from dsr.v1.location_pb2_grpc import add_LocationServiceServicer_to_server

from services.governance.locations.servicer import LocationServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.LocationService",
    register=lambda tools, server: add_LocationServiceServicer_to_server(LocationServicer(tools), server),
)
