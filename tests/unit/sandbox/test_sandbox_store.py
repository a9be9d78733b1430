"""The sandbox's file: who is unused by which time, what a reset and another version do to it, what is set."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, FieldValue, Grant, Inactivity, Sandbox
from dsr.v1.subject_pb2 import Identity

from connectors.sandbox.amend import amend
from connectors.sandbox.people import count_people, list_inactive
from connectors.sandbox.seed import DOMAIN, PEOPLE
from connectors.sandbox.store import Found, Store

BEGUN = datetime(2031, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EVE = pb.Subject(subject_ref="one", identities=[Identity(type="email", value=f"eve@{DOMAIN}")])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Reset once, by a sandbox that is years ahead."""
    opened, mark = Store(tmp_path / "sandbox.db", "partners/x/dataSources/shop"), Sandbox(resets=1)
    mark.reset_time.FromDatetime(BEGUN)
    opened.begin_anew(mark)
    return opened


def unused(store: Store, before: datetime, value: str = "", kind: str = "email") -> tuple[set[str], int]:
    wanted = Inactivity(collection="customers", field="last_login_time", identity_type=kind)
    wanted.before.FromDatetime(before)
    request = pb.ListInactiveRequest(value=value)
    *pages, end = list_inactive(store.everything(), request, wanted, "x", lambda row: "returning" in row["email"])
    found = [identity.value for message in pages for identity in message.page.identities]
    assert len(set(found)) == len(found) == end.totals.people
    return {who.partition("@")[0] for who in found}, end.totals.unknown


@pytest.mark.parametrize(
    ("days", "found"),
    [
        (-215, set()),  # not before the instant itself
        (-214, {"unused", "returning"}),
        (-180, {"unused", "returning"}),
        (-139, {"unused", "returning", "cem"}),
        (-89, {"unused", "returning", "cem", "bea"}),
        (30, {"unused", "returning", *PEOPLE}),
    ],
)
def test_who_is_unused(store: Store, days: int, found: set[str]) -> None:
    assert unused(store, BEGUN + days * DAY)[0] == found


def test_who_came_back_is_unused_only_in_the_list(store: Store) -> None:
    before = datetime.now(UTC) - DAY
    with store.transaction() as database:  # long ago for everybody, so that only the way of asking differs
        database.execute(
            """UPDATE record SET body = json_set(body, '$.last_login_time', '2020-01-01T00:00:00+00:00')"""
        )
    everybody, unknown = unused(store, before)
    assert {"returning", "unused", "slow"} <= everybody
    assert unknown == 0
    assert unused(store, before, f"returning@{DOMAIN}")[0] == set()
    assert unused(store, before, f"unused@{DOMAIN}")[0] == {"unused"}
    assert unused(store, before, "S-1005", "customer_number")[0] == {"S-1005"}


def test_without_a_last_login_nobody_is_unused(store: Store) -> None:
    assert unused(store, BEGUN + 3650 * DAY, f"slow@{DOMAIN}") == (set(), 1)


def test_a_reset_counts_once_and_another_version_begins_anew(store: Store, tmp_path: Path) -> None:
    before = count_people(store.everything())
    with store.transaction() as database:
        database.execute("DELETE FROM record WHERE collection = 'customers'")
    store.begin_anew(Sandbox(resets=1))
    assert not store.everything()["customers"]
    with closing(sqlite3.connect(tmp_path / "sandbox.db")) as database:
        database.execute("PRAGMA user_version = 1")
    assert count_people(store.everything()) == before


def test_a_customer_without_an_address_is_somebody_and_makes_the_number_a_guess(store: Store) -> None:
    sure = count_people(store.everything())[-1].totals
    with store.transaction() as database:
        database.execute("""UPDATE record SET body = json_set(body, '$.email', NULL) WHERE id = 'S-1001'""")
    guessed = count_people(store.everything())[-1].totals
    assert (guessed.people, sure.certainty, guessed.certainty) == (
        sure.people,
        pb.CERTAINTY_EXACT,
        pb.CERTAINTY_ESTIMATED,
    )


@pytest.mark.parametrize(
    ("amendment", "field", "value", "amended"),
    [
        (Amendment(set_flags=["restriction"]), "restricted", True, 1),
        (Amendment(clear_flags=["restriction"]), "restricted", False, 0),
        (Amendment(set_flags=["Sending offers"]), "no_offers", True, 1),
        (Amendment(fields=[FieldValue(field="name", value="Eve", current_value="Eve Sample")]), "name", "Eve", 1),
        (Amendment(fields=[FieldValue(field="name", value="Eve", current_value="Ann")]), "name", "Eve Sample", 0),
        (Amendment(fields=[FieldValue(field="phone")]), "phone", None, 1),
    ],
)
def test_what_is_set(store: Store, amendment: Amendment, field: str, value: object, amended: int) -> None:
    amendment.collection, amendment.cap = "customers", 1
    grant, request = Grant(task="t", attempt=1, amendments=[amendment]), pb.AmendRequest(subject=EVE)
    others = store.everything()["customers"]
    request.expected.extend(counts(store.find(EVE)))
    done = amend(store, request, grant, counts, forgets=False)
    assert (done.outcome, done.collections[0].amended) == (pb.Amended.OUTCOME_AMENDED, amended)
    assert store.find(EVE)["customers"][0][field] == value
    assert sum(new != old for new, old in zip(store.everything()["customers"], others, strict=True)) == amended


def counts(found: Found) -> list[pb.CollectionCount]:
    return [pb.CollectionCount(collection=name, records=len(rows)) for name, rows in found.items()]
