"""Where a data source's connector is and by what it is known, decided by two people of the partner."""

from dsr.v1.connectors_pb2_grpc import add_ConnectorChangeServiceServicer_to_server

from services.governance.connectors.servicer import ConnectorChangeServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.ConnectorChangeService",
    register=lambda tools, server: add_ConnectorChangeServiceServicer_to_server(ConnectorChangeServicer(tools), server),
)
