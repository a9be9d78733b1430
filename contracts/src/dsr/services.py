"""Which public services there are, and which process serves them."""

from collections.abc import Mapping, Sequence

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from dsr.v1 import (
    access_pb2,
    backups_pb2,
    breach_pb2,
    connectors_pb2,
    correction_pb2,
    erasure_pb2,
    governance_pb2,
    ledger_pb2,
    location_pb2,
    notifications_pb2,
    policy_pb2,
    portability_pb2,
    recipient_pb2,
    records_pb2,
    refusal_pb2,
    retention_pb2,
    sandbox_pb2,
    staff_pb2,
    termination_pb2,
    transfer_pb2,
)

FILES: Mapping[str, Sequence[FileDescriptor]] = {
    "access": (access_pb2.DESCRIPTOR,),
    "portability": (portability_pb2.DESCRIPTOR,),
    "erasure": (erasure_pb2.DESCRIPTOR,),
    "governance": (
        governance_pb2.DESCRIPTOR,
        notifications_pb2.DESCRIPTOR,
        correction_pb2.DESCRIPTOR,
        backups_pb2.DESCRIPTOR,
        retention_pb2.DESCRIPTOR,
        termination_pb2.DESCRIPTOR,
        location_pb2.DESCRIPTOR,
        connectors_pb2.DESCRIPTOR,
        breach_pb2.DESCRIPTOR,
        records_pb2.DESCRIPTOR,
        refusal_pb2.DESCRIPTOR,
        transfer_pb2.DESCRIPTOR,
        recipient_pb2.DESCRIPTOR,
        policy_pb2.DESCRIPTOR,
        staff_pb2.DESCRIPTOR,
        sandbox_pb2.DESCRIPTOR,
        ledger_pb2.DESCRIPTOR,
    ),
}
"""Files that declare a public service each, by the process that serves it."""


def descriptors() -> Mapping[str, Sequence[ServiceDescriptor]]:
    """The services, by the process that serves them."""
    return {
        process: tuple(service for file in files for service in file.services_by_name.values())
        for process, files in FILES.items()
    }
