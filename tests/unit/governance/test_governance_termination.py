"""What has to be returned and destroyed, and when a termination may be certified."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from dsr.v1 import error_reason_pb2, governance_pb2
from dsr.v1 import termination_pb2 as pb

from services.governance.termination import domain
from services.governance.termination.domain import Item

CUSTODY = governance_pb2.DataSource
OURS, THEIRS = CUSTODY.CUSTODY_OPERATOR, CUSTODY.CUSTODY_PARTNER


def test_what_the_partner_keeps_is_disconnected_and_never_destroyed() -> None:
    ends = pb.Termination.Item
    assert domain.end_of(THEIRS) == ends.END_DISCONNECTED
    for custody in (OURS, CUSTODY.CUSTODY_SUB_PROCESSOR, CUSTODY.CUSTODY_UNSPECIFIED):
        assert domain.end_of(custody) == ends.END_DESTROYED


@pytest.mark.policy("P14", "nothing is confirmed before every data source in custody was returned")
def test_what_has_to_be_returned() -> None:
    items = [Item("a", OURS, True, False), Item("b", OURS, False, False), Item("c", THEIRS, False, False)]
    assert domain.unreturned(items) == ["b"]


@pytest.mark.policy("P14", "destroyed is certified only when sources, keys, bundles and the last snapshot are gone")
def test_when_it_is_certified() -> None:
    services = ((), ("access", "portability"), ("access", "portability", "erasure"))
    for state, destroyed, emptied, left in product(
        ("RETURNING", "DESTROYING", "SNAPSHOTS_LEFT", "CERTIFIED", "CANCELLED"), (False, True), services, (0, 3)
    ):
        items = [Item("a", OURS, True, destroyed), Item("b", THEIRS, False, False)]
        found = domain.next_state(state, items, emptied, left)
        if state in ("RETURNING", "CERTIFIED", "CANCELLED"):
            assert found == state
        elif not destroyed or len(emptied) < 3:
            assert found == "DESTROYING"
        else:
            assert found == ("SNAPSHOTS_LEFT" if left else "CERTIFIED")
    assert domain.next_state("DESTROYING", [], sorted(domain.SERVICES), 0) == "CERTIFIED"


def test_packages() -> None:
    package = pb.Termination.Package
    good = package(label="shop.tar", size_bytes=1, sha256="0" * 64)
    assert domain.wrong_package(good) is None
    for field, bad in (
        ("label", package(label="a b", sha256="0" * 64)),
        ("size_bytes", package(label="a", size_bytes=-1, sha256="0" * 64)),
        ("sha256", package(label="a", sha256="A" * 64)),
    ):
        assert (domain.wrong_package(bad) or "")[0] == field
    assert domain.digest({"a": [{"sha256": "0"}]}) != domain.digest({"b": [{"sha256": "0"}]})
    assert domain.digest({"a": [], "b": []}) == domain.digest({"b": [], "a": []})


@pytest.mark.policy(
    "P14", "what a connector doesn't cover is not certified as destroyed: the evidence says that it stays"
)
def test_the_evidence_says_what_stays() -> None:
    assert domain.evidence(20, 0).endswith("none is left; 20 were destroyed")
    assert "left, as nobody declared it or it isn't within the scope: 3 " in domain.evidence(20, 3)
    assert len(domain.evidence(10**18, 10**9)) <= 200


RETURNED = replace(Item("a", OURS, returned=True, destroyed=False), by_platform=True)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
CANNOT = error_reason_pb2.ERROR_REASON_METHOD_UNKNOWN


@pytest.mark.policy("P14", "sources that the partner keeps are disconnected, never returned and never destroyed")
@pytest.mark.parametrize(
    ("state", "item", "returns"),
    [
        ("RETURNING", Item("a", OURS, returned=False, destroyed=False), True),
        ("RETURNING", RETURNED, True),  # sees to it that the package lasts
        ("RETURNING", replace(RETURNED, by_platform=False), False),  # people returned it
        ("RETURNING", replace(RETURNED, custody=THEIRS), False),
        ("RETURNING", Item("a", OURS, returned=False, destroyed=False, return_failure=CANNOT), False),
        ("DESTROYING", RETURNED, False),
        ("CANCELLED", RETURNED, False),
    ],
)
def test_what_the_platform_returns(state: str, item: Item, *, returns: bool) -> None:
    assert domain.to_return(state, item) is returns


@pytest.mark.policy("P14", "the platform destroys nothing before the confirmation, and only what it returned")
@pytest.mark.parametrize(
    ("state", "effective", "item", "destroys"),
    [
        ("DESTROYING", NOW, RETURNED, True),
        ("DESTROYING", NOW + timedelta(seconds=1), RETURNED, False),
        ("DESTROYING", None, RETURNED, False),
        ("RETURNING", None, RETURNED, False),
        ("RETURNING", NOW, RETURNED, False),
        ("SNAPSHOTS_LEFT", NOW, RETURNED, False),
        ("DESTROYING", NOW, replace(RETURNED, by_platform=False), False),
        ("DESTROYING", NOW, replace(RETURNED, custody=THEIRS), False),
        ("DESTROYING", NOW, replace(RETURNED, destroyed=True), False),
        ("DESTROYING", NOW, replace(RETURNED, held=True), False),  # the law requires storage
        ("DESTROYING", NOW, replace(RETURNED, destroy_failure=CANNOT, fail_time=NOW - timedelta(days=9)), False),
        ("DESTROYING", NOW, replace(RETURNED, destroy_failure=54, fail_time=NOW - timedelta(minutes=59)), False),
        ("DESTROYING", NOW, replace(RETURNED, destroy_failure=54, fail_time=NOW - timedelta(hours=1)), True),
    ],
)
def test_what_the_platform_destroys(state: str, effective: datetime | None, item: Item, *, destroys: bool) -> None:
    assert domain.to_destroy(state, effective, item, NOW) is destroys
