"""The register of sub-processors, and which recipient has to hear of what."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from dsr.v1 import governance_pb2

from services.governance.recipients import view
from services.governance.recipients.domain import REGISTER, SubProcessor, find, owed, state

CUSTODY = governance_pb2.DataSource
SHOP, NEWS = "partners/a/dataSources/shop", "partners/a/dataSources/news"
TWELVE = {
    "New Relic",
    "GSuite",
    "GitHub",
    "CircleCI",
    "Adobe Creative Cloud",
    "Slack",
    "Stripe",
    "Asana",
    "Rollbar",
    "Mailchimp",
    "MessageBird",
    "Bugsnag",
}


@pytest.mark.policy("P15", "the register has the twelve sub-processors, each with purpose, address, country and data")
def test_the_register_is_whole() -> None:
    assert {entry.name for entry in REGISTER} == TWELVE
    assert len({entry.id for entry in REGISTER}) == 12
    for entry in REGISTER:
        assert entry.purpose
        assert entry.address
        assert len(entry.country) == 2
        assert entry.data
        assert set(entry.rights) == {"find", "copy", "erase"}
        assert set(entry.rights.values()) <= {"API", "API_ASYNC", "MANUAL"}
        assert entry.announced <= entry.effective
        assert len(entry.how) <= 200


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("Stripe Payments Europe Ltd, for payment", "stripe"),
        ("stripe", "stripe"),
        ("  Mailchimp (US)", "mailchimp"),
        ("Google Workspace", "gsuite"),
        ("Bird", "messagebird"),
        ("Birdwatchers Club", None),
        ("Stripes Ltd", None),
        ("DHL, successor of Stripe", None),
        ("", None),
    ],
)
def test_which_recipient_is_a_sub_processor(text: str, identifier: str | None) -> None:
    found = find(text)
    assert (found.id if found else None) == identifier


def entry(**changes: Any) -> SubProcessor:
    facts: dict[str, Any] = {"announced": date(2026, 11, 1), "effective": date(2026, 12, 1), "until": None}
    words: dict[str, Any] = {"id": "x", "name": "X", "purpose": "p", "address": "a", "country": "IE", "how": "h"}
    return SubProcessor(**{**words, "data": [], "rights": {}, **facts, **changes})


@pytest.mark.policy("P15", "what the operator hasn't compared with its contract is shown as that")
def test_an_entry_says_whether_the_operator_confirmed_it() -> None:
    known = entry(rights=dict.fromkeys(("find", "copy", "erase"), "API"))
    told = view.sub_processor("partners/a", known, None, date(2026, 12, 2))
    assert (told.confirmer, told.HasField("confirm_time")) == ("", False)
    known = replace(known, confirmed=date(2026, 12, 1), confirmed_by="urn:dsr:operator#dora")
    told = view.sub_processor("partners/a", known, None, date(2026, 12, 2))
    assert (told.confirmer, told.confirm_time.ToJsonString()) == ("urn:dsr:operator#dora", "2026-12-01T00:00:00Z")
    with pytest.raises(ValueError, match="stand together"):
        replace(known, confirmed_by="")


@pytest.mark.parametrize(
    ("objected", "day", "until", "expected"),
    [
        (False, date(2026, 11, 30), None, "ANNOUNCED"),
        (False, date(2026, 12, 1), None, "IN_USE"),
        (True, date(2026, 11, 30), None, "OBJECTED"),
        (True, date(2026, 12, 1), None, "OBJECTED"),
        (False, date(2026, 12, 9), date(2026, 12, 10), "IN_USE"),
        (False, date(2026, 12, 10), date(2026, 12, 10), "ENDED"),
        (True, date(2026, 12, 10), date(2026, 12, 10), "ENDED"),
    ],
)
def test_where_a_sub_processor_stands(objected: bool, day: date, until: date | None, expected: str) -> None:
    assert state(entry(until=until), objected, day) == expected


def data_map(**recipients: list[str]) -> governance_pb2.DataMap:
    collections = [governance_pb2.CollectionMap(collection=name, recipients=to) for name, to in recipients.items()]
    return governance_pb2.DataMap(sources=[governance_pb2.SourceMap(source=SHOP, collections=collections)])


def source(name: str, provider: str, custody: int = governance_pb2.DataSource.CUSTODY_SUB_PROCESSOR) -> Any:
    place = governance_pb2.Location(provider=provider, site="s", country="US")
    return governance_pb2.DataSource(name=name, custody=custody, location=place)  # type: ignore[arg-type]


@pytest.mark.policy("P15", "only recipients that the data map links to data of the person have to hear of it (Art. 19)")
def test_only_linked_recipients_are_told_and_each_once() -> None:
    told = data_map(orders=["DHL", "Stripe, for payment"], people=["Stripe"], logs=["Rollbar"])
    found = owed(told, {SHOP: ["orders", "people"]}, [], [SHOP])
    assert [(o.recipient, o.sub_processor, o.collections, o.source) for o in found] == [
        ("DHL", "", ["shop/orders"], ""),
        ("Stripe", "stripe", ["shop/orders", "shop/people"], ""),
    ]
    assert owed(told, {}, [], []) == []
    assert owed(told, {NEWS: ["orders"]}, [], []) == []


@pytest.mark.parametrize(
    ("sources", "asked", "done_by", "how"),
    [
        ([], [SHOP], "", "Delete the member"),
        ([source(NEWS, "Mailchimp")], [SHOP, NEWS], NEWS, "It has a connector"),
        ([source(NEWS, "Mailchimp")], [SHOP], "", f"It has a connector: make a request that includes {NEWS}."),
        (
            [source(NEWS, "Mailchimp"), source(SHOP, "Mailchimp")],
            [SHOP],
            "",
            f"It has a connector: make a request that includes {NEWS}.",
        ),
        ([source(NEWS, "Mailchimp"), source(SHOP, "Mailchimp")], [SHOP, NEWS], NEWS, "It has a connector"),
        ([source(NEWS, "Mailchimp", governance_pb2.DataSource.CUSTODY_PARTNER)], [NEWS], "", "Delete the member"),
        ([source(NEWS, "Rollbar")], [NEWS], "", "Delete the member"),
    ],
)
def test_a_recipient_with_a_connector_is_told_by_it(sources: Any, asked: Any, done_by: str, how: str) -> None:
    (only,) = owed(data_map(people=["Mailchimp"]), {SHOP: ["people"]}, sources, asked)
    assert only.source == done_by
    assert only.how.startswith(how)


@pytest.mark.parametrize("custody", [CUSTODY.CUSTODY_PARTNER, CUSTODY.CUSTODY_SUB_PROCESSOR])
def test_a_recipient_of_the_partners_own_with_a_connector(custody: Any) -> None:
    post = source(NEWS, "Acme Post", custody)
    (only,) = owed(data_map(people=["Acme Post, for letters"]), {SHOP: ["people"]}, [post], [NEWS])
    assert (only.source, only.sub_processor) == (NEWS, "")
