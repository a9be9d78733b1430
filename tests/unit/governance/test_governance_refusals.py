"""What a controller's refusal must say; what becomes of an objection."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dsr.v1 import refusal_pb2 as pb
from dsr.v1 import request_pb2

from services.governance.refusals.domain import REASONS, RIGHTS, after, reference, same, told_late, wrong

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BOTH = [pb.SubjectRefusal.REMEDY_COMPLAINT, pb.SubjectRefusal.REMEDY_JUDICIAL]
UNFOUNDED = "eu-gdpr:JustificationA12ManifestlyUnfounded"


def refusal(received: int = -10, told: int = -1, **changes: Any) -> pb.SubjectRefusal:
    made = pb.SubjectRefusal(**{"right": "A15", "reason": UNFOUNDED, "remedies": BOTH, **changes})
    made.received_time.FromDatetime(NOW + timedelta(days=received))
    made.subject_told_time.FromDatetime(NOW + timedelta(days=told))
    return made


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, None),
        ({"told": 0}, None),
        ({"right": "A99"}, "right"),
        ({"reason": "because"}, "reason"),
        ({"reason": "eu-gdpr:JustificationA17LegalClaims"}, "reason"),
        ({"reason": "eu-gdpr:JustificationA17LegalClaims", "right": "A17"}, None),
        ({"received": 1, "told": 1}, "received_time"),
        ({"told": 1}, "subject_told_time"),
        ({"told": -11}, "subject_told_time"),
        ({"remedies": BOTH[:1]}, "remedies"),
        ({"request": "partners/b/accessRequests/1"}, "request"),
        ({"request": "partners/a/holds/1"}, "request"),
        ({"request": "partners/a/accessRequests/1"}, None),
        ({"reference": "x" * 201}, "reference"),
    ],
)
@pytest.mark.policy("P13", "a controller's refusal names a reason that fits the right, and both remedies")
def test_what_a_controllers_refusal_must_say(changes: dict[str, Any], field: str | None) -> None:
    found = wrong(refusal(**changes), "partners/a", NOW)
    assert (found[0] if found else None) == field


def test_every_reason_has_an_article_and_rights_that_exist() -> None:
    for reason in REASONS.values():
        assert reason.article.startswith("GDPR Art.")
        assert set(reason.rights) <= set(RIGHTS)


@pytest.mark.parametrize(("day", "late"), [(28, False), (29, True)])
def test_told_later_than_a_month_after_receipt(day: int, late: bool) -> None:
    received = datetime(2026, 1, 31, 12, tzinfo=UTC)
    told = datetime(2026, 2, 28, 11, tzinfo=UTC) + timedelta(days=day - 28)
    assert told_late(received, told, "Europe/Dublin") is late


@pytest.mark.parametrize(
    ("verb", "kind", "state", "result"),
    [
        ("object", "INSTRUCTION", "STANDING", "OBJECTED"),
        ("object", "INSTRUCTION", "OBJECTED", None),
        ("object", "INSTRUCTION", "UPHELD", None),
        ("object", "SUBJECT", "STANDING", None),
        ("uphold", "INSTRUCTION", "OBJECTED", "UPHELD"),
        ("withdraw", "INSTRUCTION", "OBJECTED", "WITHDRAWN"),
        ("uphold", "INSTRUCTION", "STANDING", None),
        ("withdraw", "INSTRUCTION", "UPHELD", None),
        ("uphold", "SUBJECT", "OBJECTED", None),
    ],
)
def test_what_becomes_of_a_refusal(verb: str, kind: str, state: str, result: str | None) -> None:
    assert after(verb, kind, state) == result


def test_the_same_refusal_is_one_resource_whatever_the_day() -> None:
    first = request_pb2.Refusal(rule="R", facts=["country: US", "day: 2026-11-25"])
    later = request_pb2.Refusal(rule="R", facts=["country: US", "day: 2026-11-26"])
    other = request_pb2.Refusal(rule="R", facts=["country: IN", "day: 2026-11-25"])
    assert same(first, "Authorize", "x") == same(later, "Authorize", "x")
    assert len({same(r, o, q) for r in (first, other) for o in ("A", "B") for q in ("x", "y")}) == 8


@pytest.mark.parametrize(("text", "good"), [("a", True), (" ", False), ("", False), ("x" * 201, False)])
def test_a_reference(text: str, good: bool) -> None:
    assert (reference(text) is None) is good
