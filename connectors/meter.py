"""Counts what goes through a connector host."""

from dsr.connector.v1 import connector_pb2 as pb

from dsrkit.metrics import CONNECTOR_IO, CONNECTOR_RECORDS, counter


def exported(kind: str, message: pb.ExportResponse) -> None:
    """Takes note of one message of an Export."""
    match message.WhichOneof("part"):
        case "data":
            counter(CONNECTOR_IO).add(len(message.data), {"dsr.connector.kind": kind})
        case "trailer":
            _records(kind, "export", message.trailer.records)


def erased(kind: str, message: pb.EraseResponse) -> None:
    """Takes note of one message of an Erase. What an earlier attempt did was counted then."""
    if message.erased.outcome in (pb.Erased.OUTCOME_ERASED, pb.Erased.OUTCOME_RECONSTRUCTED):
        done = message.erased.collections
        _records(kind, "erase", sum(c.deleted + c.anonymised + c.pseudonymised for c in done))


def _records(kind: str, operation: str, count: int) -> None:
    if count > 0:
        counter(CONNECTOR_RECORDS).add(count, {"dsr.connector.kind": kind, "dsr.connector.operation": operation})
