"""What an agreement about a place means, and what may become of a proposal."""

from datetime import UTC, datetime, timedelta

import pytest
from dsr.v1 import governance_pb2

from dsrkit.config import ConfigError
from dsrkit.requests.runtime import parse_location
from services.governance.locations.domain import completable, move

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("verb", "state", "after"),
    [
        ("accept", "PROPOSED", "ACCEPTED"),
        ("accept", "ACCEPTED", "ACCEPTED"),
        ("accept", "REJECTED", None),
        ("accept", "WITHDRAWN", None),
        ("reject", "PROPOSED", "REJECTED"),
        ("reject", "REJECTED", "REJECTED"),
        ("reject", "ACCEPTED", None),
        ("reject", "WITHDRAWN", None),
        ("withdraw", "PROPOSED", "WITHDRAWN"),
        ("withdraw", "WITHDRAWN", "WITHDRAWN"),
        ("withdraw", "ACCEPTED", None),
        ("withdraw", "REJECTED", None),
    ],
)
def test_what_becomes_of_a_proposal(verb: str, state: str, after: str | None) -> None:
    assert move(verb, state) == after


@pytest.mark.parametrize(
    ("state", "hours", "done"),
    [("ACCEPTED", 0, True), ("ACCEPTED", -1, True), ("ACCEPTED", 1, False), ("PROPOSED", -1, False)],
)
def test_a_move_is_done_only_once_it_was_agreed_and_its_time_has_come(state: str, hours: int, done: bool) -> None:
    assert completable(state, NOW + timedelta(hours=hours), NOW) is done


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Rackspace/London/GB", ("Rackspace", "London", "GB")),
        ("A/S of Denmark/Aarhus/DK", ("A/S of Denmark", "Aarhus", "DK")),
    ],
)
def test_a_place_in_the_configuration(text: str, parts: tuple[str, str, str]) -> None:
    provider, site, country = parts
    assert parse_location(text) == governance_pb2.Location(provider=provider, site=site, country=country)


def test_no_place_in_the_configuration() -> None:
    assert parse_location("") is None


@pytest.mark.parametrize(
    "text", ["Dublin", "Amazon/Dublin", "Amazon//IE", "/Dublin/IE", "Amazon/Dublin/Ireland", "A/D/ie"]
)
def test_a_place_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="DSR_BUNDLE_LOCATION"):
        parse_location(text)
