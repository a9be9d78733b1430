"""The gate before every request, instruction and grant, branch by branch; and the dated lists it rests on."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1 import governance_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.governance.gate import GateFacts, Ground, gate, unregistered
from services.governance.law.domain import Adequacy, Law
from services.governance.locations.domain import Agreement
from services.governance.transfers.domain import Attestation, Records

LAW, DPO, DAY = Law.load(), "dpo@x", date(2026, 11, 25)
SOURCE = governance_pb2.DataSource
DUBLIN = ("Amazon Web Services", "Dublin", "IE")
LONDON = ("Rackspace", "London", "GB")
LEEDS = ("Brightbox", "Leeds", "GB")
GB_ENDS = date(2031, 12, 27)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
NAME = "partners/a/dataSources/s"


def source(custody: int, place: tuple[str, str, str]) -> governance_pb2.DataSource:
    provider, site, country = place
    where = governance_pb2.Location(provider=provider, site=site, country=country)
    return SOURCE(name=NAME, custody=custody, location=where)  # type: ignore[arg-type]


def agreement(use: str, place: tuple[str, str, str], **changes: Any) -> Agreement:
    facts: dict[str, Any] = {"source": "", "state": "ACCEPTED", "begins": datetime(2026, 1, 1, tzinfo=UTC)}
    return Agreement(use=use, place=place, **{**facts, **changes})


def bundles(place: tuple[str, str, str]) -> governance_pb2.Location:
    return governance_pb2.Location(provider=place[0], site=place[1], country=place[2])


ELSE = [agreement("BUNDLES", DUBLIN), agreement("DATA_SOURCES", LONDON)]
ATTESTED = Records(attestations=[Attestation("GB", datetime(2026, 1, 1, tzinfo=UTC))])
AGREED = [agreement(use, place) for use in ("DATA_SOURCES", "BUNDLES") for place in (DUBLIN, LONDON)]
NOT_YET = datetime(2026, 11, 26, tzinfo=UTC)
OPERATOR, PARTNER, SUB = SOURCE.CUSTODY_OPERATOR, SOURCE.CUSTODY_PARTNER, SOURCE.CUSTODY_SUB_PROCESSOR


@pytest.mark.parametrize(
    ("changes", "day", "rule"),
    [
        ({}, DAY, None),
        ({"standing": "SUSPENDED"}, DAY, "PARTNER_SUSPENDED"),
        ({"standing": "SUSPENDED", "right": pb.RIGHT_ERASURE}, DAY, "PARTNER_SUSPENDED"),
        ({"country": "GB"}, DAY, None),
        ({"country": "GB"}, GB_ENDS, "TRANSFER_WITHOUT_BASIS"),
        ({"country": "US"}, DAY, "TRANSFER_WITHOUT_BASIS"),
        ({"country": "IN"}, DAY, "TRANSFER_WITHOUT_BASIS"),
        ({"country": "IN", "right": pb.RIGHT_PORTABILITY}, DAY, "TRANSFER_WITHOUT_BASIS"),
        ({"country": "IN", "right": pb.RIGHT_ERASURE}, DAY, None),
        ({"sources": [source(OPERATOR, LONDON)]}, DAY, None),
        ({"sources": [source(OPERATOR, LONDON)]}, GB_ENDS, "TRANSFER_WITHOUT_BASIS"),
        ({"sources": [source(OPERATOR, ("Amazon Web Services", "Paris", "FR"))]}, DAY, "LOCATION_NOT_NAMED"),
        ({"sources": [source(OPERATOR, ("Amazon Web Services", "Dublin", "DE"))]}, DAY, "LOCATION_NOT_NAMED"),
        ({"sources": [source(SUB, ("Acme Mail", "Paris", "FR"))]}, DAY, None),
        ({"sources": [source(SUB, ("Mailchimp", "Atlanta", "US"))]}, DAY, "TRANSFER_WITHOUT_BASIS"),
        (
            {"sources": [source(SUB, ("Mailchimp", "Atlanta", "US"))], "right": pb.RIGHT_ERASURE},
            DAY,
            None,
        ),
        ({"sources": [source(PARTNER, ("Own", "Mumbai", "IN"))]}, DAY, "TRANSFER_WITHOUT_BASIS"),
        ({"sources": [source(PARTNER, ("Own", "Mumbai", "IN"))], "right": pb.RIGHT_ERASURE}, DAY, None),
        ({"sources": [source(PARTNER, ("Own", "Cork", "IE"))]}, DAY, None),
        ({"sources": [source(PARTNER, ("Own", "Hull", "GB"))]}, DAY, None),
        ({"sources": [source(PARTNER, ("Own", "Hull", "GB"))], "records": Records()}, DAY, "TRANSFER_NOT_ATTESTED"),
        ({"sources": [source(OPERATOR, LONDON)], "records": Records()}, DAY, "TRANSFER_NOT_ATTESTED"),
        ({"bundle_location": bundles(LONDON), "records": Records()}, DAY, "TRANSFER_NOT_ATTESTED"),
        ({"country": "GB", "records": Records()}, DAY, "TRANSFER_NOT_ATTESTED"),
        ({"records": Records()}, DAY, None),
        ({"bundle_location": governance_pb2.Location()}, DAY, "LOCATION_NOT_AGREED"),
        ({"bundle_location": governance_pb2.Location(), "right": pb.RIGHT_ERASURE}, DAY, None),
        ({"bundle_location": bundles(("Own", "Cellar", "IE"))}, DAY, "LOCATION_NOT_NAMED"),
        ({"bundle_location": bundles(LEEDS)}, DAY, "LOCATION_NOT_AGREED"),
        ({"bundle_location": bundles(LONDON)}, DAY, None),
        ({"bundle_location": bundles(LONDON)}, GB_ENDS, "TRANSFER_WITHOUT_BASIS"),
        ({"agreements": [agreement("DATA_SOURCES", DUBLIN)]}, DAY, "LOCATION_NOT_AGREED"),
        ({"agreements": [agreement("BUNDLES", DUBLIN)]}, DAY, "LOCATION_NOT_AGREED"),
        ({"agreements": [*ELSE, agreement("DATA_SOURCES", DUBLIN, source=NAME)]}, DAY, None),
        ({"agreements": [*ELSE, agreement("DATA_SOURCES", DUBLIN, source="o")]}, DAY, "LOCATION_NOT_AGREED"),
        ({"agreements": [*ELSE, agreement("BACKUPS", DUBLIN)]}, DAY, "LOCATION_NOT_AGREED"),
        (
            {"agreements": [*ELSE, agreement("DATA_SOURCES", DUBLIN, state="PROPOSED")]},
            DAY,
            "LOCATION_NOT_AGREED",
        ),
        ({"agreements": [*ELSE, agreement("DATA_SOURCES", DUBLIN, begins=NOT_YET)]}, DAY, "LOCATION_NOT_AGREED"),
        ({"agreements": [*ELSE, agreement("DATA_SOURCES", DUBLIN, ends=NOW)]}, DAY, "LOCATION_NOT_AGREED"),
        ({"agreements": [*ELSE, agreement("DATA_SOURCES", DUBLIN, ends=NOT_YET)]}, DAY, None),
        ({"sources": [source(OPERATOR, DUBLIN), source(SUB, ("M", "A", "US"))]}, DAY, "TRANSFER_WITHOUT_BASIS"),
    ],
)
@pytest.mark.policy("P3", "the operator's four places are data; data in its custody may be nowhere else")
@pytest.mark.policy("P4", "nothing is kept where the partner has not agreed to it; silence agrees to nothing")
@pytest.mark.policy("P12", "outside the EEA only under an adequacy decision in force on the day, as dated data")
@pytest.mark.policy("P13", "an operator's refusal names rule, article, facts, and whom to object to")
def test_gate(changes: dict[str, Any], day: date, rule: str | None) -> None:
    facts: dict[str, Any] = {"right": pb.RIGHT_ACCESS, "standing": "GOOD", "partner": "partners/a", "country": "IE"}
    facts |= {"sources": [source(OPERATOR, DUBLIN)], "bundle_location": bundles(DUBLIN)}
    changes = dict(changes)
    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ground = Ground(LAW, now, DPO, changes.pop("agreements", AGREED), changes.pop("records", ATTESTED))
    refusal = gate(GateFacts(**{**facts, **changes}), ground)
    assert (refusal.rule if refusal else None) == rule
    if refusal:
        assert refusal.article.startswith("GDPR Art.")
        assert refusal.facts
        assert DPO in refusal.objection


@pytest.mark.policy("P15", "a data source is registered at no sub-processor that the register doesn't have in use")
@pytest.mark.parametrize(
    ("custody", "provider", "day", "fact"),
    [
        (SUB, "Mailchimp", DAY, ""),
        (SUB, "Google Workspace", DAY, ""),
        (SUB, "Acme Mail", DAY, "Acme Mail, not in the register"),
        (SUB, "", DAY, ", not in the register"),
        (SUB, "Mailchimp", date(2018, 5, 24), "Mailchimp, ANNOUNCED"),
        (PARTNER, "Acme Mail", DAY, ""),
        (OPERATOR, "Acme Mail", DAY, ""),  # LOCATION_NOT_NAMED
    ],
)
def test_who_may_keep_a_new_source(custody: int, provider: str, day: date, fact: str) -> None:
    ground = Ground(LAW, datetime(day.year, day.month, day.day, tzinfo=UTC), DPO)
    refusal = unregistered(source(custody, (provider, "s", "IE")), ground)
    assert (refusal is not None) is bool(fact)
    if refusal:
        assert (refusal.rule, refusal.article) == ("SUB_PROCESSOR_NOT_REGISTERED", "GDPR Art. 28(2)")
        assert f"sub-processor: {fact}" in refusal.facts
        assert DPO in refusal.objection


def test_the_lists_are_plausible() -> None:
    assert len(LAW.eea) == 30
    assert not LAW.eea & set(LAW.adequacy)
    assert {country for _, _, country in LAW.places} == {"IE", "DE", "GB"}
    assert len(LAW.places) == 4
    incomplete = {country for country, found in LAW.adequacy.items() if any(a.leaves_out for a in found)}
    assert incomplete == {"IL", "JP", "KR"}


@pytest.mark.parametrize(("day", "counts"), [(9, False), (10, True), (19, True), (20, False)])
def test_a_decision_counts_from_its_first_day_until_before_its_last(day: int, counts: bool) -> None:
    decision = Adequacy("d", date(2026, 1, 10), date(2026, 1, 20), "")
    assert decision.in_force(date(2026, 1, day)) is counts


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2), st.dates())
def test_a_country_without_a_decision_is_never_open(country: str, day: date) -> None:
    if country not in LAW.eea and country not in LAW.adequacy:
        assert LAW.bars(country, day)
    if country in LAW.eea:
        assert not LAW.bars(country, day)
