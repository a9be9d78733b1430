"""What keeps a sandbox and what is live apart. Pure."""

from dsr.connector.v1.grant_pb2 import Sandbox
from dsr.v1 import governance_pb2

from dsrkit.errors import DsrError


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


def mark(source: governance_pb2.DataSource) -> Sandbox | None:
    """What a grant for this source carries."""
    return Sandbox(resets=source.sandbox_resets) if source.sandbox else None
