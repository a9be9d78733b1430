"""When somebody is unused, which rule can be meant, what an approval covers."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dsr.v1 import governance_pb2
from dsr.v1 import retention_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.calendar import after
from services.governance.domain import Hold
from services.governance.retention import domain

ZONES = ["Europe/Dublin", "Europe/Berlin", "UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"]
NOW = datetime(2028, 8, 31, 12, tzinfo=UTC)
moments = st.timedeltas(timedelta(days=-4000), timedelta(days=4000)).map(NOW.__add__)


@pytest.mark.parametrize(
    ("now", "zone", "found"),
    [
        # 31 August leads to the last of February: the 29th in a leap year.
        ("2028-08-31T12:00+00:00", "UTC", "2028-02-29T12:00+00:00"),
        ("2027-08-31T12:00+00:00", "UTC", "2027-02-28T12:00+00:00"),
        ("2028-02-29T12:00+00:00", "UTC", "2027-08-29T12:00+00:00"),
        # Noon in Dublin stays noon in Dublin, in summer and in winter.
        ("2026-07-15T11:00+00:00", "Europe/Dublin", "2026-01-15T12:00+00:00"),
        # The first of a month where the partner is, still the last of the one before in UTC.
        ("2026-08-31T22:30+00:00", "Europe/Berlin", "2026-02-28T23:30+00:00"),
    ],
)
@pytest.mark.policy("P6", "six months are six calendar months where the partner is, across leap days and zones")
def test_six_months_ago(now: str, zone: str, found: str) -> None:
    assert domain.cutoff(datetime.fromisoformat(now), zone, 6) == datetime.fromisoformat(found)


@given(moments, st.sampled_from(ZONES), st.integers(6, 60), st.timedeltas(timedelta(), timedelta(days=4000)))
def test_nobody_is_unused_before_the_months_are_over(now: datetime, zone: str, months: int, earlier: timedelta) -> None:
    before = domain.cutoff(now, zone, months)
    assert before < now
    # By the calendar day where the partner is: whoever was seen before the cutoff has had all the months.
    seen = before - earlier - timedelta(microseconds=1)
    local = after(seen, zone, months=months).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert local <= now.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(hours=1)


@given(moments, st.sampled_from(ZONES), st.integers(6, 60), st.timedeltas(timedelta(), timedelta(days=400)))
def test_time_only_moves_forward(now: datetime, zone: str, months: int, later: timedelta) -> None:
    # An hour, where a clock is put back within the time that passes.
    gap = timedelta(hours=1)
    assert domain.cutoff(now, zone, months) <= domain.cutoff(now + later, zone, months) + gap
    assert domain.cutoff(now, zone, months + 1) <= domain.cutoff(now, zone, months)


def rule(**fields: Any) -> pb.RetentionRule:
    return pb.RetentionRule(**{"source": "s", "collection": "c", "field": "seen", "identity_type": "email", **fields})


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (rule(), ""),
        (rule(months=6), ""),
        (rule(months=5), "months"),
        (rule(months=-6), "months"),
        (rule(months=241), "months"),
        (rule(source="t"), "source"),
        (rule(collection="d"), "collection"),
        (rule(field=""), "field"),
        (rule(identity_type="E-Mail"), "identity_type"),
    ],
)
def test_which_rule_can_be_meant(wanted: pb.RetentionRule, field: str) -> None:
    found = domain.wrong_rule(wanted, ["s"], {"s": ["c"]})
    assert (found[0] if found else "") == field


def test_which_instruction_can_be_meant() -> None:
    given_ = pb.RetentionRule.StandingInstruction
    assert domain.wrong_instruction(given_(collections=["c"], purpose="orders are over"), ["c"]) is None
    assert (domain.wrong_instruction(given_(collections=["c", "d"], purpose="p"), ["c"]) or "")[0] == "collections[1]"
    assert (domain.wrong_instruction(given_(collections=["c"], purpose=" "), ["c"]) or "")[0] == "purpose"


@pytest.mark.policy("P6", "a standing instruction approves nothing but the collections it names")
def test_what_a_standing_instruction_covers() -> None:
    assert not domain.covered(["a"], None)
    assert domain.covered(["a"], {"collections": ["a", "b"]})
    assert not domain.covered(["a", "c"], {"collections": ["a", "b"]})


def test_what_is_erased_and_what_stays() -> None:
    collection = governance_pb2.CollectionMap
    source = governance_pb2.SourceMap(
        source="s",
        collections=[
            collection(collection="orders", erase_action=governance_pb2.ERASE_ACTION_DELETE),
            collection(collection="people", erase_action=governance_pb2.ERASE_ACTION_DELETE),
            collection(collection="invoices", erase_action=governance_pb2.ERASE_ACTION_RETAIN),
        ],
    )
    hold = Hold("h", "s", "orders", "r", "l", NOW)
    assert domain.effect(source, [hold]) == (["people"], ["orders", "invoices"])
    assert (domain.cap(1), domain.cap(1000)) == (11, 1100)


@pytest.mark.policy("P6", "statutory periods by country and category are suggested with their law, and hold nothing")
def test_suggestions() -> None:
    collection = governance_pb2.CollectionMap
    source = governance_pb2.SourceMap(
        source="s",
        collections=[
            collection(collection="invoices", category="order data"),
            collection(collection="x1", title="Billing runs"),
            collection(collection="people", category="contact data"),
        ],
    )
    data_map = governance_pb2.DataMap(sources=[source])
    years = {}
    for country in ("DE", "GB", "IE", "FR"):
        found = domain.suggestions(country, data_map, {("s", "x1")})
        assert [(s.collection, s.adopted) for s in found] == [("invoices", False), ("x1", True)]
        assert all(s.legal_reference and s.as_of for s in found)
        years[country] = found[0].years
    assert years == {"DE": 8, "GB": 6, "IE": 6, "FR": 10}
    assert domain.suggestions("PT", data_map, ()) == []
