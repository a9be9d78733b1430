"""What a failed call says: the contract's reason, its metadata, and what to do next."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

NEXT_STEPS: Mapping[str, str] = MappingProxyType(
    {
        "FIELD_REQUIRED": "Fill in the field and send it again.",
        "FIELD_INVALID": "Correct the field and send it again.",
        "FIELD_UNKNOWN": "Leave the field out, or correct its name.",
        "CREDENTIAL_MISSING": "Give a credential.",
        "CREDENTIAL_INVALID": "Get a new token; check the credential, its audience and this machine's clock.",
        "ROLE_REQUIRED": "Let somebody with one of the roles do it.",
        "PERSON_REQUIRED": "A person must sign in afresh and do it.",
        "FOUR_EYES": "Let another person do it.",
        "NOT_FOUND": "Check the name, and whose partner the credential is.",
        "REQUEST_ID_REUSED": "Send it under a new request id.",
        "ALREADY_EXISTS": "Read what exists.",
        "STATE_CONFLICT": "Read it again: its state doesn't allow this.",
        "PLAN_STALE": "Read the plan again and approve what it says now.",
        "PLAN_CHANGED": "Read the new plan; it waits for an approval of its own.",
        "PLAN_BLOCKED": "Mend what the findings name, then create a new request.",
        "DEADLINE_PASSED": "The deadline can't be extended (again); complete the request.",
        "BUNDLE_GONE": "Create a new request if the copy is still needed.",
        "INSTRUCTION_REFUSED": "Read the rule and the article; object to the data protection officer.",
        "GOVERNANCE_UNAVAILABLE": "Try again in a while.",
        "SOURCE_UNAVAILABLE": "Wait: the platform tries again by itself.",
        "SOURCE_TIMEOUT": "Wait: the platform tries again by itself.",
        "SOURCE_REJECTED": "Mend the data source.",
        "SOURCE_INCONSISTENT": "An engineer must look at the data source.",
        "CAP_EXCEEDED": "Raise the cap, or narrow the plan.",
        "ATTEMPT_SUPERSEDED": "Stop: a newer attempt is running.",
        "GRANT_INVALID": "Get a new grant.",
        "FINGERPRINT_CHANGED": "Locate again.",
        "SOURCE_BUSY": "Try again in a while.",
        "RATE_LIMITED": "Wait as long as it says, then try again.",
        "MESSAGE_TOO_LARGE": "Send less.",
        "STREAM_ENDED": "Resume after what was received last.",
        "METHOD_UNKNOWN": "Check the versions of client and server.",
        "INTERNAL": "Give the incident to support.",
        "STORE_UNAVAILABLE": "Try again in a while.",
        "LEDGER_BEHIND": "Ask the operator; the certificate comes later.",
        "BACKEND_UNENCRYPTED": "Turn on encryption of the data source's connection.",
        "ADDRESS_FORBIDDEN": "Use an address that is allowed.",
        "OUT_OF_RANGE": "Ask for less.",
        "COPY_IN_PROGRESS": "Wait until the copy is ready.",
        "ERASURE_IN_PROGRESS": "Wait until the other erasure is done.",
        "BUNDLES_ENDING": "Wait until older bundles have ended.",
        "CERTIFICATE_MISMATCH": "Connect with a certificate and a token of the same partner.",
        "SERVICE_UNAVAILABLE": "Try again later.",
        "SOURCE_NOT_SERVED": "Wait: the source is being restored. Confirm its replays, then finish the restore.",
        "REPLAY_PENDING": "Carry out again each erasure that the restore lists, and confirm it.",
        "CONNECTOR_UNCONFIRMED": "Have another person confirm the connector: dsr connector confirm.",
        "FIELD_NOT_AMENDABLE": "Have people put it right, or declare the field amendable.",
        "VALUE_UNFIT": "Correct the value, then make a new request.",
        "NOT_COUNTABLE": "Declare a unique identity in the collection of people; then it can be counted.",
        "CONNECTOR_UNTRUSTED": "Mend the connector's certificate, or propose and confirm the new one.",
        "DESTRUCTION_BLOCKED": "The operator mends what the connector found, or destroys by hand and records it.",
        "RETURN_OUTDATED": "The operator hands the rest over, destroys by hand and records it.",
        "SANDBOX_MISMATCH": "Use a partner and a data source of one sort: both sandboxes, or both live.",
    }
)
"""By reason, without the prefix `ERROR_REASON_`."""

_BY_CODE: Mapping[grpc.StatusCode, str] = MappingProxyType(
    {
        grpc.StatusCode.UNAVAILABLE: "Check the target and that it can be reached; then try again.",
        grpc.StatusCode.DEADLINE_EXCEEDED: "Try again, with more time.",
        grpc.StatusCode.UNIMPLEMENTED: "Check the versions of client and server.",
    }
)


class DsrRpcError(grpc.aio.AioRpcError):
    """A call failed. Also an `AioRpcError`, so code that knows only gRPC catches it too."""

    reason: str
    """A value of `ErrorReason` without its prefix; empty when it wasn't the platform that answered."""
    metadata: Mapping[str, str]
    """As the contract documents it for the reason. Never personal data."""
    retry_after: timedelta | None
    """How long to wait before trying again, when that is any use."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(
            error.code(),
            error.initial_metadata(),
            error.trailing_metadata(),
            error.details(),
            error.debug_error_string(),
        )
        self.reason, self.metadata, self.retry_after = "", {}, None
        for detail in _details(error):
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                self.retry_after = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToTimedelta()

    @property
    def next_step(self) -> str:
        """What to do about it, in a sentence."""
        if self.reason in NEXT_STEPS:
            return NEXT_STEPS[self.reason]
        return _BY_CODE.get(self.code(), "Tell support what was called, and when.")

    def __str__(self) -> str:
        return f"{self.reason or self.code().name}: {self.details() or 'no details'} {self.next_step}"


def _details(error: grpc.aio.AioRpcError) -> Any:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value).details
    return ()
