"""What must be on record before data leaves the EEA, branch by branch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dsr.v1 import transfer_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from services.governance.law.domain import Law
from services.governance.transfers.domain import (
    ARTICLES,
    DEROGATIONS,
    Attestation,
    Destination,
    Records,
    Safeguard,
    bar,
    wrong_attestation,
    wrong_safeguard,
)

LAW, NOW = Law.load(), datetime(2026, 11, 25, tzinfo=UTC)
PARTNER, SOURCE = "partners/a", "partners/a/dataSources/s"
DAY = timedelta(days=1)
CLAUSES, COVERED = pb.TRANSFER_INSTRUMENT_STANDARD_CLAUSES, pb.TRANSFER_INSTRUMENT_COVERED_RECIPIENT
CONSENT = pb.TRANSFER_INSTRUMENT_CONSENT
NONE, BASIS, WORD = None, "TRANSFER_WITHOUT_BASIS", "TRANSFER_NOT_ATTESTED"


def safeguard(instrument: int = CLAUSES, **changes: Any) -> Safeguard:
    facts: dict[str, Any] = {"recipient": PARTNER, "country": "US", "begins": NOW - DAY}
    return Safeguard(instrument=instrument, **{**facts, **changes})


def told(country: str = "US", **changes: Any) -> Attestation:
    return Attestation(country, **{"told": NOW - DAY, **changes})


@pytest.mark.parametrize(
    ("country", "safeguards", "attestations", "rule"),
    [
        # In the EEA nothing is asked.
        ("IE", [], [], NONE),
        # Adequate: the basis is there, the partner's word is not.
        ("GB", [], [], WORD),
        ("GB", [], [told()], WORD),
        ("GB", [], [told("GB")], NONE),
        ("GB", [], [told("GB", ends=NOW)], WORD),
        ("GB", [], [told("GB", ends=NOW + DAY)], NONE),
        ("GB", [], [told("GB", told=NOW + DAY)], WORD),
        # Adequate for some recipients only.
        ("US", [], [told()], BASIS),
        ("US", [safeguard(COVERED)], [told()], NONE),
        ("US", [safeguard(COVERED)], [], WORD),
        ("IN", [safeguard(COVERED, country="IN")], [told("IN")], BASIS),
        # Safeguards.
        ("IN", [], [told("IN")], BASIS),
        ("IN", [safeguard(country="IN")], [told("IN")], NONE),
        ("IN", [safeguard(country="IN")], [], WORD),
        ("IN", [safeguard(country="US")], [told("IN")], BASIS),
        ("IN", [safeguard(country="IN", recipient=SOURCE)], [told("IN")], BASIS),
        ("IN", [safeguard(country="IN", begins=NOW + DAY)], [told("IN")], BASIS),
        ("IN", [safeguard(country="IN", ends=NOW)], [told("IN")], BASIS),
        ("IN", [safeguard(country="IN", ends=NOW + DAY)], [told("IN")], NONE),
        ("IN", [safeguard(CONSENT, country="IN", ends=NOW + DAY)], [told("IN")], NONE),
    ],
)
@pytest.mark.policy("P12", "the gate is closed unless basis, attestation and notice are all on record")
def test_a_delivery(country: str, safeguards: Any, attestations: Any, rule: str | None) -> None:
    destination = Destination("a copy", PARTNER, country, keeps=False)
    found = bar(destination, LAW, Records(safeguards, attestations), NOW)
    assert (found.rule if found else None) == rule
    if found:
        assert found.facts[0] == "a copy"
        assert "Art. 44" in found.article


@pytest.mark.parametrize("instrument", ARTICLES)
def test_a_derogation_lets_nothing_be_kept_and_the_operator_has_no_safeguard_of_its_own(instrument: int) -> None:
    there = Records([safeguard(instrument, recipient=SOURCE)], [told()])
    kept = bar(Destination("data", SOURCE, "US"), LAW, there, NOW)
    assert (kept is None) == (instrument not in DEROGATIONS)
    assert bar(Destination("bundles", "", "US"), LAW, Records([safeguard(instrument, recipient="")], [told()]), NOW)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2))
def test_without_records_nothing_leaves(country: str) -> None:
    assert (bar(Destination("x", PARTNER, country), LAW, Records(), NOW) is None) == (country in LAW.eea)


def given_safeguard(**changes: Any) -> pb.TransferSafeguard:
    fields = {"recipient": PARTNER, "country": "US", "instrument": CLAUSES, "document_reference": "d"}
    made = pb.TransferSafeguard(**{**fields, "document_sha256": "0" * 64, **changes})
    made.begin_time.FromDatetime(NOW)
    return made


@pytest.mark.parametrize(
    ("changes", "days", "field"),
    [
        ({}, None, None),
        ({"instrument": 99}, None, "instrument"),
        ({"recipient": "partners/b"}, None, "recipient"),
        ({"recipient": SOURCE}, None, None),
        ({}, 0, "end_time"),
        ({"instrument": CONSENT}, None, "end_time"),
        ({"instrument": CONSENT}, 32, "end_time"),
        ({"instrument": CONSENT}, 31, None),
        ({"instrument": CONSENT, "recipient": SOURCE}, 31, "instrument"),
        ({"country": "IE"}, None, "country"),
        ({"country": "usa"}, None, "country"),
        ({"document_reference": " "}, None, "document_reference"),
        ({"document_sha256": "0" * 63}, None, "document_sha256"),
        ({"document_sha256": "G" * 64}, None, "document_sha256"),
    ],
)
def test_what_a_safeguard_must_say(changes: dict[str, Any], days: int | None, field: str | None) -> None:
    made = given_safeguard(**changes)
    if days is not None:
        made.end_time.FromDatetime(NOW + timedelta(days=days))
    found = wrong_safeguard(made, PARTNER, LAW.eea)
    assert (found[0] if found else None) == field


@pytest.mark.parametrize(
    ("changes", "days", "field"),
    [
        ({}, 0, None),
        ({"compliant": False}, 0, "compliant"),
        ({}, 1, "subjects_told_time"),
        ({"country": "DE"}, 0, "country"),
        ({"notice_sha256": ""}, 0, "notice_sha256"),
        ({"notice_reference": "x" * 201}, 0, "notice_reference"),
    ],
)
def test_what_an_attestation_must_say(changes: dict[str, Any], days: int, field: str | None) -> None:
    fields = {"country": "GB", "compliant": True, "notice_reference": "n", "notice_sha256": "a" * 64}
    made = pb.TransferAttestation(**{**fields, **changes})
    made.subjects_told_time.FromDatetime(NOW + timedelta(days=days))
    found = wrong_attestation(made, LAW.eea, NOW)
    assert (found[0] if found else None) == field
