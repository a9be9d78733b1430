"""Which snapshots may be registered, which hold what was erased, which erasures are replayed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dsr.cli.snapshots import listing, of_folder
from dsr.cli.terminal import CommandError
from dsr.v1 import backups_pb2 as pb
from dsr.v1 import governance_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.governance.backups import domain

NOW = datetime(2028, 3, 1, 12, tzinfo=UTC)
ZONE = "Europe/Dublin"
CUSTODY = governance_pb2.DataSource


def snapshot(taken: datetime = NOW - timedelta(days=1), expires: datetime | None = None, **fields: Any) -> pb.Snapshot:
    message = pb.Snapshot(**{"source": "s", "label": "shop-2028.dump", **fields})
    message.snapshot_time.FromDatetime(taken)
    if expires is not None:
        message.expire_time.FromDatetime(expires)
    return message


@pytest.mark.parametrize(
    ("wanted", "custody", "field"),
    [
        (snapshot(), CUSTODY.CUSTODY_OPERATOR, ""),
        (snapshot(collections=["orders"]), CUSTODY.CUSTODY_OPERATOR, ""),
        (snapshot(collections=["orders", "x"]), CUSTODY.CUSTODY_OPERATOR, "collections[1]"),
        (snapshot(), None, "source"),
        (snapshot(label="jane@example.org.dump"), CUSTODY.CUSTODY_OPERATOR, "label"),
        (snapshot(label=""), CUSTODY.CUSTODY_OPERATOR, "label"),
        (snapshot(NOW + timedelta(seconds=1)), CUSTODY.CUSTODY_OPERATOR, "snapshot_time"),
        (snapshot(expires=NOW - timedelta(days=1)), CUSTODY.CUSTODY_PARTNER, "expire_time"),
        (snapshot(expires=NOW + timedelta(days=400)), CUSTODY.CUSTODY_OPERATOR, "expire_time"),
        (snapshot(expires=NOW + timedelta(days=400)), CUSTODY.CUSTODY_PARTNER, ""),
        (snapshot(expires=NOW + timedelta(days=30)), CUSTODY.CUSTODY_OPERATOR, ""),
    ],
)
@pytest.mark.policy("P7", "a snapshot of what the operator keeps expires within a year")
def test_which_snapshots_may_be_registered(wanted: pb.Snapshot, custody: Any, field: str) -> None:
    source = None if custody is None else governance_pb2.DataSource(name="s", custody=custody)
    found = domain.wrong(wanted, source, {"orders"}, ZONE, NOW)
    assert (found[0] if found else "") == field


def test_a_year_is_a_calendar_year() -> None:
    leap = snapshot(datetime(2028, 2, 29, 3, tzinfo=UTC))
    assert domain.expiry(leap, ZONE) == datetime(2029, 2, 28, 3, tzinfo=UTC)
    # Three in the morning stays three in the morning where the partner is, over a change of the clock.
    spring = snapshot(datetime(2027, 3, 28, 3, tzinfo=UTC))
    assert domain.expiry(spring, ZONE) == datetime(2028, 3, 28, 3, tzinfo=UTC)
    assert domain.expiry(snapshot(expires=NOW), ZONE) == NOW


def test_that_its_time_is_over_does_not_show_that_it_is_gone() -> None:
    states = pb.Snapshot
    assert domain.state(NOW + timedelta(seconds=1), None, NOW) == states.STATE_KEPT
    assert domain.state(NOW, None, NOW) == states.STATE_OVERDUE
    assert domain.state(NOW, NOW, NOW) == states.STATE_DESTROYED


def test_which_snapshots_hold_what_was_erased() -> None:
    whole, part = snapshot(expires=NOW), snapshot(expires=NOW + timedelta(1), collections=["orders"])
    other = snapshot(source="elsewhere", expires=NOW)
    assert domain.holding([whole, part, other], {"s": ["orders"]}) == [part, whole]
    assert domain.holding([whole, part, other], {"s": ["people"]}) == [whole]
    assert domain.holding([whole, part, other], {}) == []


@given(
    st.timedeltas(timedelta(days=-4000), timedelta(days=4000)).map(NOW.__add__),
    st.timedeltas(timedelta(days=-400), timedelta(days=400)),
)
def test_every_erasure_newer_than_the_snapshot_is_replayed(taken: datetime, later: timedelta) -> None:
    assert domain.newer(None, taken)
    assert domain.newer(taken + later, taken) == (later > -domain.MARGIN)


def test_listings(tmp_path: Any) -> None:
    when = datetime(2026, 11, 25, 2, tzinfo=UTC)
    amazon = {"Contents": [{"Key": "shop/a.dump", "LastModified": "2026-11-25T02:00:00+00:00", "Size": 9}]}
    assert listing(amazon) == {"shop/a.dump": when}
    assert listing([{"name": "a.dump", "last_modified": "2026-11-25T02:00:00.000000", "bytes": 9}]) == {"a.dump": when}
    assert listing({}) == {}
    for wrong in ([{"Size": 9}], [1], [{"Key": "a", "LastModified": "yesterday"}]):
        with pytest.raises(CommandError):
            listing(wrong)
    (tmp_path / "a.dump").write_text("x")
    (tmp_path / ".part").write_text("x")
    assert set(of_folder(tmp_path)) == {"a.dump"}
