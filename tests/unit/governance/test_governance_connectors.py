"""By what a connector can be known."""

from datetime import UTC, datetime

import pytest
from dsr.v1.governance_pb2 import ConnectorIdentity

from services.governance.connectors.domain import fingerprints, wrong
from tests.support.pki import Authority

NAME, CA = "connector.acme.example", Authority()
GOOD = CA.pem


@pytest.mark.parametrize(
    ("name", "authority", "field"),
    [
        (NAME, GOOD, None),
        (NAME, GOOD + Authority("another").pem, None),
        ("xn--bcher-kva.example", GOOD, None),
        ("", GOOD, "server_name"),
        ("connector", GOOD, "server_name"),
        ("Connector.acme.example", GOOD, "server_name"),
        ("*.acme.example", GOOD, "server_name"),
        ("127.0.0.1", GOOD, "server_name"),
        ("connector.acme.example:443", GOOD, "server_name"),
        ("connector..example", GOOD, "server_name"),
        ("a" * 64 + ".example", GOOD, "server_name"),
        ("a.b" * 100 + ".example", GOOD, "server_name"),
        (NAME, "", "authority"),
        (NAME, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "authority"),
        (NAME, CA.issue(NAME).certificate.decode(), "authority"),
        (NAME, GOOD + CA.issue(NAME).certificate.decode(), "authority"),
        (NAME, GOOD + CA.issue(NAME).key.decode(), "authority"),
        (NAME, CA.expired(), "authority"),
        (NAME, GOOD * 6, "authority"),
        (NAME, GOOD + " " * 40_000, "authority"),
    ],
)
def test_what_an_identity_must_be(name: str, authority: str, field: str | None) -> None:
    found = wrong(ConnectorIdentity(server_name=name, authority=authority), datetime.now(UTC))
    assert (found[0] if found else None) == field


def test_two_authorities_of_one_name_have_other_fingerprints() -> None:
    assert fingerprints(GOOD) != fingerprints(Authority().pem)
    assert [len(one) for one in fingerprints(GOOD + Authority().pem)] == [64, 64]
