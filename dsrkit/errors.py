"""The one kind of error that leaves a service, and the one table that says what it looks like on the wire.

Raise `DsrError(reason, message, **metadata)`. Neither message nor metadata may hold personal data: name the field,
the resource or the limit, never the value. The mapping to gRPC happens once, in `dsrkit.interceptors`.
"""

from __future__ import annotations

from datetime import timedelta

import grpc
from dsr.v1.error_reason_pb2 import ErrorReason
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "dsr.v1"

_C = grpc.StatusCode
CODES: dict[str, grpc.StatusCode] = {
    "FIELD_REQUIRED": _C.INVALID_ARGUMENT,
    "FIELD_INVALID": _C.INVALID_ARGUMENT,
    "FIELD_UNKNOWN": _C.INVALID_ARGUMENT,
    "CREDENTIAL_MISSING": _C.UNAUTHENTICATED,
    "CREDENTIAL_INVALID": _C.UNAUTHENTICATED,
    "ROLE_REQUIRED": _C.PERMISSION_DENIED,
    "PERSON_REQUIRED": _C.PERMISSION_DENIED,
    "FOUR_EYES": _C.PERMISSION_DENIED,
    "NOT_FOUND": _C.NOT_FOUND,
    "REQUEST_ID_REUSED": _C.ALREADY_EXISTS,
    "ALREADY_EXISTS": _C.ALREADY_EXISTS,
    "STATE_CONFLICT": _C.FAILED_PRECONDITION,
    "NOT_COUNTABLE": _C.FAILED_PRECONDITION,
    "PLAN_STALE": _C.ABORTED,
    "PLAN_CHANGED": _C.FAILED_PRECONDITION,
    "PLAN_BLOCKED": _C.FAILED_PRECONDITION,
    "DEADLINE_PASSED": _C.FAILED_PRECONDITION,
    "BUNDLE_GONE": _C.FAILED_PRECONDITION,
    "INSTRUCTION_REFUSED": _C.PERMISSION_DENIED,
    "GOVERNANCE_UNAVAILABLE": _C.UNAVAILABLE,
    "SOURCE_UNAVAILABLE": _C.UNAVAILABLE,
    "SOURCE_TIMEOUT": _C.DEADLINE_EXCEEDED,
    "SOURCE_REJECTED": _C.FAILED_PRECONDITION,
    "SOURCE_INCONSISTENT": _C.DATA_LOSS,
    "CAP_EXCEEDED": _C.FAILED_PRECONDITION,
    "ATTEMPT_SUPERSEDED": _C.ABORTED,
    "GRANT_INVALID": _C.PERMISSION_DENIED,
    "FINGERPRINT_CHANGED": _C.FAILED_PRECONDITION,
    "SOURCE_BUSY": _C.UNAVAILABLE,
    "RATE_LIMITED": _C.RESOURCE_EXHAUSTED,
    "MESSAGE_TOO_LARGE": _C.RESOURCE_EXHAUSTED,
    "STREAM_ENDED": _C.UNAVAILABLE,
    "METHOD_UNKNOWN": _C.UNIMPLEMENTED,
    "INTERNAL": _C.INTERNAL,
    "STORE_UNAVAILABLE": _C.UNAVAILABLE,
    "LEDGER_BEHIND": _C.UNAVAILABLE,
    "BACKEND_UNENCRYPTED": _C.FAILED_PRECONDITION,
    "ADDRESS_FORBIDDEN": _C.PERMISSION_DENIED,
    "OUT_OF_RANGE": _C.OUT_OF_RANGE,
    "COPY_IN_PROGRESS": _C.UNAVAILABLE,
    "ERASURE_IN_PROGRESS": _C.UNAVAILABLE,
    "BUNDLES_ENDING": _C.UNAVAILABLE,
    "CERTIFICATE_MISMATCH": _C.PERMISSION_DENIED,
    "SERVICE_UNAVAILABLE": _C.UNAVAILABLE,
    "SOURCE_NOT_SERVED": _C.UNAVAILABLE,
    "REPLAY_PENDING": _C.FAILED_PRECONDITION,
    "CONNECTOR_UNCONFIRMED": _C.FAILED_PRECONDITION,
    "CONNECTOR_UNTRUSTED": _C.UNAVAILABLE,
    "FIELD_NOT_AMENDABLE": _C.INVALID_ARGUMENT,
    "VALUE_UNFIT": _C.INVALID_ARGUMENT,
    "DESTRUCTION_BLOCKED": _C.FAILED_PRECONDITION,
    "RETURN_OUTDATED": _C.FAILED_PRECONDITION,
    "SANDBOX_MISMATCH": _C.FAILED_PRECONDITION,
}
"""gRPC code of every `ErrorReason`, by the value's name without its prefix."""


class DsrError(Exception):
    """An error with a reason of the contract. `retry_after` becomes RetryInfo."""

    def __init__(self, reason: str, message: str, *, retry_after: timedelta | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.code = CODES[reason]
        self.reason = reason
        self.message = message
        self.metadata = metadata
        if retry_after is None and self.code in (_C.UNAVAILABLE, _C.RESOURCE_EXHAUSTED):
            retry_after = timedelta(seconds=1)
        self.retry_after = retry_after

    def status(self) -> status_pb2.Status:
        """The `google.rpc.Status` with ErrorInfo, and where they apply BadRequest and RetryInfo."""
        details = [error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)]
        packed = [_pack(d) for d in details]
        if self.code is _C.INVALID_ARGUMENT and "field" in self.metadata:
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=self.metadata["field"], description=self.message, reason=self.reason
            )
            packed.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
        if self.retry_after is not None:
            delay = Duration()
            delay.FromTimedelta(self.retry_after)
            packed.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
        return status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message, details=packed)


def _pack(message: object) -> Any:
    packed = Any()
    packed.Pack(message)  # type: ignore[arg-type]
    return packed


def invalid(field: str, why: str) -> DsrError:
    """FIELD_INVALID for `field` (a path such as `subject.identities[0].type`)."""
    return DsrError("FIELD_INVALID", f"{field}: {why}.", field=field, why=why)


def required(field: str) -> DsrError:
    """FIELD_REQUIRED for `field`."""
    return DsrError("FIELD_REQUIRED", f"{field} is required.", field=field)


def not_found(resource_type: str) -> DsrError:
    """The one answer to an absent id and to a foreign id."""
    return DsrError("NOT_FOUND", f"There is no such {resource_type}.", resource_type=resource_type)


def reason_value(reason: str) -> ErrorReason.ValueType:
    """The enum value of a reason's name."""
    return ErrorReason.Value(f"ERROR_REASON_{reason}")


def from_rpc_error(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo a peer attached, or None. Read from trailing metadata: `rpc_status.aio` rejects AioRpcError."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Is(info.DESCRIPTOR):
                    detail.Unpack(info)
                    return info
    return None
