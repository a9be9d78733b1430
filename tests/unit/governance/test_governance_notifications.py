"""Which warning is due, and who is told."""

from datetime import UTC, datetime, timedelta
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.calendar import days_before
from dsrkit.config import ConfigError
from dsrkit.errors import DsrError
from services.governance.mail import Mail
from services.governance.notifications.domain import Contacts, by_email, check_address, warning
from services.governance.notifications.words import DATA, KINDS, letter

DAYS = [14, 7, 2]
ZONES = ("Europe/Dublin", "Pacific/Kiritimati", "America/St_Johns", "Pacific/Apia", "UTC")
BEGIN, END = datetime(2019, 1, 1), datetime(2099, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
DUE = datetime(2028, 3, 14, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2028, 2, 29, 8, 59, 59, tzinfo=UTC), None),
        (datetime(2028, 2, 29, 9, tzinfo=UTC), 14),
        (datetime(2028, 3, 7, 8, 59, tzinfo=UTC), 14),
        (datetime(2028, 3, 7, 9, tzinfo=UTC), 7),
        (datetime(2028, 3, 12, 9, tzinfo=UTC), 2),
        (datetime(2028, 3, 14, 8, 59, tzinfo=UTC), 2),
        (DUE, 0),
        (DUE + timedelta(days=400), 0),
    ],
)
def test_the_nearest_warning_whose_time_has_come(now: datetime, expected: int | None) -> None:
    assert warning(now, DUE, "Europe/Dublin", DAYS) == expected


def test_a_day_in_which_clocks_change_is_a_day() -> None:
    due = datetime(2027, 3, 30, 9, tzinfo=ZoneInfo("Europe/Dublin"))  # clocks go forward on the 28th
    assert days_before(due, "Europe/Dublin", 7) == datetime(2027, 3, 23, 9, tzinfo=UTC)


@given(
    due=st.datetimes(BEGIN, END, timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    minutes=st.integers(-60 * 24 * 30, 60 * 24),
)
def test_warnings_come_nearer_and_never_earlier_than_they_say(due: datetime, zone: str, minutes: int) -> None:
    now = due + timedelta(minutes=minutes)
    days = warning(now, due, zone, DAYS)
    later = warning(now + timedelta(minutes=1), due, zone, DAYS)
    rank = {None: 99, 14: 14, 7: 7, 2: 2, 0: 0}
    assert rank[later] <= rank[days]
    if days:
        there = due.astimezone(ZoneInfo(zone)).date() - now.astimezone(ZoneInfo(zone)).date()
        assert there.days <= days + 1
        assert now >= days_before(due, zone, days)
    if days is None:
        assert due - now > timedelta(days=12)


@given(st.datetimes(BEGIN, END, timezones=st.just(UTC)), st.sampled_from(ZONES[:3]))
def test_fourteen_days_before_is_that_day_of_the_calendar(due: datetime, zone: str) -> None:
    local, earlier = due.astimezone(ZoneInfo(zone)), days_before(due, zone, 14).astimezone(ZoneInfo(zone))
    assert (local.date() - earlier.date()).days == 14


@pytest.mark.parametrize(
    "address",
    [
        "",
        "someone",
        "a@b",
        "a b@c.example",
        "a@c.example\nBcc: d@e.example",
        "<a@c.example>",
        "a@c.example,b@c.example",
    ],
)
def test_what_is_no_address_is_refused_without_being_quoted(address: str) -> None:
    with pytest.raises(DsrError) as caught:
        check_address(address, "contacts.primary_email")
    assert caught.value.reason == "FIELD_INVALID"
    assert not address or address not in caught.value.message


def test_one_address_is_told_once() -> None:
    assert Contacts("a@x.example", "a@x.example").channels() == ["primary"]
    assert Contacts("a@x.example").channels() == ["primary"]
    assert Contacts("a@x.example", "b@x.example").channels() == ["primary", "dpo"]


def test_what_waits_for_somebody_also_goes_by_e_mail() -> None:
    changed = KINDS["request.state_changed"]
    assert by_email(changed, {"state": "PLANNED"})
    assert not by_email(changed, {"state": "LOCATING"})
    assert by_email(KINDS["request.overdue"], {"due": "x"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_letter_names_resource_and_dpo(kind: str) -> None:
    words = KINDS[kind]["subject"] + KINDS[kind]["text"]
    facts = {name: "x" for _, name, _, _ in Formatter().parse(words) if name}
    subject, text = letter(kind, "partners/acme/accessRequests/1", facts, "Agency", "dpo@agency.example")
    assert subject
    assert "{" not in subject + text
    assert "partners/acme/accessRequests/1" in text
    assert "dpo@agency.example" in text
    assert "Your own" not in text
    told = (kind, "partners/acme/accessRequests/1", facts, "Agency", "dpo@agency.example")
    assert "Your own data protection officer: officer@acme.example" in letter(*told, "", "officer@acme.example")[1]


def test_the_list_says_where_it_comes_from() -> None:
    assert DATA["revision"]
    assert set(DATA["sources"]) >= {"deadlines", "keep", "webhooks"}


@pytest.mark.parametrize(
    ("address", "sender", "security"),
    [
        ("mail.example:25", "dsr@agency.example", "none"),
        ("mail.example", "dsr@agency.example", "tls"),
        ("mail.example:25", "", "tls"),
        ("mail.example:25", "dsr@agency.example", "maybe"),
    ],
)
def test_a_mail_server_outside_loopback_needs_tls(address: str, sender: str, security: str) -> None:
    with pytest.raises(ConfigError, match="DSR_SMTP_"):
        Mail.of(address, sender, security)
