"""Every reason of the contract has a next step."""

from dsr.errors import NEXT_STEPS
from dsr.v1.error_reason_pb2 import ErrorReason


def test_every_reason_has_a_next_step() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items()} - {"UNSPECIFIED"}
    assert set(NEXT_STEPS) == reasons
    assert all(step.endswith(".") for step in NEXT_STEPS.values())
