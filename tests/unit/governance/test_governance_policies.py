"""Which version of the policy holds, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dsr.v1 import policy_pb2 as pb

from services.governance.policies.domain import ANSWER_TIME, deadline, not_accepted, too_late, wrong

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4


@pytest.mark.policy("P17", "a partner that has accepted no version in effect is refused new work, with the clause")
@pytest.mark.policy("P18", "the refusal of a partner without a policy names whom to object to")
@pytest.mark.parametrize(
    ("in_effect", "accepted", "refused"), [(0, 0, False), (1, 0, True), (2, 1, False), (2, 2, False), (3, 0, True)]
)
def test_work_needs_an_accepted_version_once_there_is_one(in_effect: int, accepted: int, refused: bool) -> None:
    found = not_accepted(in_effect, accepted, "dpo@agency.example")
    assert (found is not None) == refused
    if found is not None:
        assert (found.rule, found.facts[0]) == ("POLICY_NOT_ACCEPTED", f"version in effect: {in_effect}")
        assert "P17" in found.article
        assert "dpo@agency.example" in found.objection


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({}, None),
        ({"text_url": "http://agency.example/policy"}, "text_url"),
        ({"text_url": "https://agency.example/a policy"}, "text_url"),
        ({"text_url": "https://agency.example/" + "x" * 500}, "text_url"),
        ({"text_sha256": DIGEST.upper()}, "text_sha256"),
        ({"text_sha256": DIGEST[1:]}, "text_sha256"),
        ({"changes": "x" * 2001}, "changes"),
    ],
)
def test_what_may_be_proposed(changed: dict[str, Any], field: str | None) -> None:
    good: dict[str, Any] = {
        "text_url": "https://agency.example/policy/2",
        "text_sha256": DIGEST,
        "changes": "Logs end after a year.",
    }
    found = wrong(pb.PolicyVersion(**{**good, **changed}))
    assert (found[0] if found else None) == field


def test_nobody_has_less_time_to_answer_than_was_promised() -> None:
    assert not too_late(NOW + ANSWER_TIME, NOW)
    assert too_late(NOW + ANSWER_TIME - timedelta(seconds=1), NOW)
    assert deadline(NOW + timedelta(days=30), NOW) == NOW + timedelta(days=30)
    assert deadline(NOW, NOW + timedelta(days=100)) == NOW + timedelta(days=100) + ANSWER_TIME
