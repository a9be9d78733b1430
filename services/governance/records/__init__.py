"""Processing records: how long they are kept, and the record of processing activities of Art. 30(2) (policy P5)."""

from functools import partial

from dsr.v1.records_pb2_grpc import add_RecordServiceServicer_to_server

from services.governance.records import chores
from services.governance.records.servicer import RecordServicer
from services.governance.tools import Family

FAMILY = Family(
    service="dsr.v1.RecordService",
    register=lambda tools, server: add_RecordServiceServicer_to_server(RecordServicer(tools), server),
    chores=lambda tools: [(3600.0, partial(chores.purge, tools))],
)
