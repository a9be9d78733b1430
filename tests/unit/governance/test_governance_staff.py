"""Whom a deployment may name as the operator's first people."""

import pytest

from dsrkit.config import ConfigError
from services.governance.staff.first import named

OLGA, OSKAR = "urn:dsr:operator#olga", "urn:dsr:operator#oskar"


@pytest.mark.parametrize(
    ("text", "people"),
    [("", ()), (" , ", ()), (f"{OLGA},{OSKAR}", (OLGA, OSKAR)), (f" {OSKAR} , {OLGA},{OSKAR},", (OSKAR, OLGA))],
)
def test_the_first_people_are_named_as_credentials_name_them(text: str, people: tuple[str, ...]) -> None:
    assert named(text) == people


@pytest.mark.policy("P16", "a deployment names two operators or more, never one alone")
@pytest.mark.parametrize(
    "text", [OLGA, f"{OLGA},{OLGA}", f"{OLGA},oskar", f"{OLGA},urn:dsr:operator#", f"{OLGA} {OSKAR}"]
)
def test_one_person_or_nobodys_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="DSR_OPERATORS"):
        named(text)
