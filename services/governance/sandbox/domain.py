"""What keeps a sandbox and what is live apart. Pure."""

from datetime import UTC, datetime, timedelta

from dsr.connector.v1.grant_pb2 import Sandbox
from dsr.v1 import governance_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from dsrkit.errors import DsrError, invalid

FARTHEST = timedelta(days=3650)
GOVERNANCE = "governance"
"""Its worker follows clocks as the rights services do."""


def check_same_sort(partner: governance_pb2.Partner, source: governance_pb2.DataSource) -> None:
    """SANDBOX_MISMATCH unless a sandbox is given a sandbox, and everybody else what is live."""
    if source.sandbox != partner.sandbox:
        raise mismatch(
            "A sandbox has sandboxes only as data sources: set data_source.sandbox, and have its connector say so."
            if partner.sandbox
            else "The partner is live, and a sandbox holds nobody's data: leave data_source.sandbox out.",
            partner.sandbox,
            field="data_source.sandbox",
        )


def mismatch(text: str, sandbox: bool, field: str) -> DsrError:
    """SANDBOX_MISMATCH; `sandbox`: what the partner is."""
    return DsrError("SANDBOX_MISMATCH", text, expected="sandbox" if sandbox else "live", field=field)


def leap(wanted: Timestamp, real: datetime, ahead: timedelta) -> timedelta:
    """How far ahead of the real time a clock is once it says `wanted`. FIELD_INVALID: time never goes back."""
    new = wanted.ToDatetime(UTC) - real
    if new < ahead:
        raise invalid("time", f"must not be before the sandbox's time, which is {(real + ahead).isoformat()}")
    if new > FARTHEST:
        raise invalid("time", f"must be at most {FARTHEST.days} days ahead of the real time")
    return new


def mark(source: governance_pb2.DataSource) -> Sandbox | None:
    """What a grant for this source carries."""
    if not source.sandbox:
        return None
    reset = source.sandbox_reset_time if source.HasField("sandbox_reset_time") else None
    return Sandbox(resets=source.sandbox_resets, reset_time=reset)
