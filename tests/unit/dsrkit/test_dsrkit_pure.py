"""Deadlines, configuration, log redaction, tokens, grants, keys and sealed files: each on its own."""

import io
import json
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsr.connector.v1.grant_pb2 import Grant, Sandbox, SignedGrant
from dsr.v1 import subject_pb2
from dsr.v1.error_reason_pb2 import ErrorReason
from hypothesis import given
from hypothesis import strategies as st

from dsrkit import log
from dsrkit.calendar import due
from dsrkit.config import ConfigError, from_env
from dsrkit.errors import CODES, DsrError
from dsrkit.grants import LIFETIME, GrantSigner, GrantVerifier
from dsrkit.interceptors import check_required, originating_ip
from dsrkit.sealed import read_sealed, write_sealed
from dsrkit.vault import KeyGone, Vault


@pytest.mark.parametrize(
    ("received", "zone", "extended", "expected"),
    [
        ("2026-01-31T12:00:00+00:00", "UTC", False, "2026-02-28T12:00:00+00:00"),
        ("2028-01-31T12:00:00+00:00", "UTC", False, "2028-02-29T12:00:00+00:00"),
        ("2026-01-31T12:00:00+00:00", "UTC", True, "2026-04-30T12:00:00+00:00"),
        ("2026-11-30T12:00:00+00:00", "UTC", True, "2027-02-28T12:00:00+00:00"),
        # 1 March 00:30 in Dublin is still 28 February, 23:30 in UTC in summer: the month is the partner's.
        ("2026-03-31T23:30:00+00:00", "Europe/Dublin", False, "2026-04-30T23:30:00+00:00"),
        # The clocks change in between: the wall clock stays.
        ("2026-03-15T12:00:00+00:00", "Europe/Dublin", False, "2026-04-15T11:00:00+00:00"),
        ("2026-08-01T00:00:00+00:00", "UTC", False, "2026-09-01T00:00:00+00:00"),
    ],
)
@pytest.mark.policy("P11", "one calendar month from the controller's receipt, three when extended (Art. 12(3))")
def test_deadlines(received: str, zone: str, extended: bool, expected: str) -> None:
    found = due(datetime.fromisoformat(received), zone, extended=extended)
    assert found == datetime.fromisoformat(expected)


@given(st.datetimes(datetime(2018, 6, 1), datetime(2090, 1, 1)).map(lambda d: d.replace(tzinfo=UTC)))  # noqa: DTZ001
def test_a_month_is_never_longer_than_31_days_nor_extended_before_plain(received: datetime) -> None:
    plain, extended = due(received, "Europe/Dublin"), due(received, "Europe/Dublin", extended=True)
    assert timedelta(days=27) < plain - received <= timedelta(days=31, hours=1)
    assert plain < extended


@dataclass(frozen=True)
class Settings:
    listen: str
    count: int = 3
    folder: Path = Path("/tmp")  # noqa: S108
    on: bool = False


def test_configuration_is_read_from_its_own_variables_only() -> None:
    found = from_env(Settings, {"DSR_LISTEN": "x", "DSR_COUNT": "4", "DSR_ON": "true", "HOME": "/"})
    assert found == Settings("x", 4, on=True)
    for env, text in (
        ({}, "DSR_LISTEN"),
        ({"DSR_LISTEN": "x", "DSR_LISTNE": "y"}, "DSR_LISTNE"),
        ({"DSR_LISTEN": "x", "DSR_COUNT": "four"}, "DSR_COUNT"),
        ({"DSR_LISTEN": "x", "DSR_ON": "yes"}, "DSR_ON"),
    ):
        with pytest.raises(ConfigError, match=text):
            from_env(Settings, env)


@pytest.mark.policy("P5", "a log line has no room for free text")
def test_logs_hold_no_free_text(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        log.configure("test")
        logger = log.get_logger()
        secret = subject_pb2.Identity(type="email", value="ann@example.com")
        try:
            raise ValueError("no row for ann@example.com")
        except ValueError as error:
            logger.error("it.failed", error=error, message=secret, name="Ann Walsh", mail="ann@example.com", count=3)
        line = json.loads(capsys.readouterr().err.strip())
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    assert "ann" not in json.dumps(line).lower()
    assert line["count"] == 3
    assert line["error"].startswith("ValueError at test_dsrkit_pure.py")


def test_every_reason_of_the_contract_has_a_code() -> None:
    assert set(CODES) == {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]}


def test_required_fields_are_named_by_their_path() -> None:
    subject = subject_pb2.Subject(
        identities=[subject_pb2.Identity(type="email", value="x"), subject_pb2.Identity(type="email")],
        capacity=subject_pb2.REQUESTER_CAPACITY_SELF,
    )
    with pytest.raises(DsrError, match=r"identities\[1\]\.value"):
        check_required(subject)
    subject.identities[1].value = "y"
    with pytest.raises(DsrError, match="verification"):
        check_required(subject)


@pytest.mark.parametrize(
    ("peer", "certificate", "told", "expected"),
    [
        ("ipv4:127.0.0.1:5000", None, "203.0.113.7", "203.0.113.7"),
        ("ipv4:127.0.0.1:5000", None, "nonsense", "127.0.0.1"),
        ("ipv4:198.51.100.9:5000", None, "203.0.113.7", "198.51.100.9"),
        ("ipv6:%5B::1%5D:5000", None, "2001:db8::1", "2001:db8::1"),
        ("unix:/run/x", None, "203.0.113.7", ""),
        ("ipv4:198.51.100.9:5000", "urn:dsr:service:gateway", "203.0.113.7", "203.0.113.7"),
        ("ipv4:198.51.100.9:5000", "urn:dsr:service:edge", "203.0.113.7", "203.0.113.7"),
        ("ipv4:198.51.100.9:5000", "urn:dsr:service:access", "203.0.113.7", "198.51.100.9"),
        ("ipv4:198.51.100.9:5000", "urn:dsr:service:gateway.example", "203.0.113.7", "198.51.100.9"),
        ("ipv4:127.0.0.1:5000", "", "203.0.113.7", "127.0.0.1"),
    ],
)
@pytest.mark.policy("P5", "the originating IP is believed from the gateway and the edge only")
def test_the_originating_ip_is_believed_of_hops_only(
    peer: str, certificate: str | None, told: str, expected: str
) -> None:
    context = {"transport_security_type": [b"insecure" if certificate is None else b"ssl"]}
    if certificate:
        context["peer_uri"] = [certificate.encode()]
    assert originating_ip(peer, context, [("x-dsr-originating-ip", told)]) == expected


SOURCE = "partners/acme/dataSources/shop"


def signed(now: datetime, **fields: object) -> tuple[SignedGrant, GrantVerifier]:
    key = Ed25519PrivateKey.generate()
    values = {"source": SOURCE, "operation": Grant.OPERATION_ERASE, "task": "t", "attempt": 1, **fields}
    grant = GrantSigner("k", key).sign(Grant(**values), now)  # type: ignore[arg-type]
    return grant, GrantVerifier({"k": key.public_key().public_bytes_raw()})


def test_a_grant_permits_what_it_says_and_nothing_else() -> None:
    now = datetime.now(UTC)
    grant, verifier = signed(now)
    assert verifier.verify(grant, SOURCE, Grant.OPERATION_ERASE, now).task == "t"
    cases = [
        (grant, SOURCE, Grant.OPERATION_EXPORT, now, "OPERATION"),
        (grant, f"{SOURCE}2", Grant.OPERATION_ERASE, now, "SOURCE"),
        (grant, SOURCE, Grant.OPERATION_ERASE, now + LIFETIME + timedelta(seconds=1), "EXPIRED"),
        (grant, SOURCE, Grant.OPERATION_ERASE, now - timedelta(minutes=2), "EXPIRED"),
        (SignedGrant(grant=grant.grant, key_id="other", signature=grant.signature), SOURCE, 2, now, "UNKNOWN_KEY"),
    ]
    for wrong, source, operation, when, why in cases:
        with pytest.raises(DsrError) as caught:
            verifier.verify(wrong, source, operation, when)  # type: ignore[arg-type]
        assert caught.value.metadata["why"] == why


@pytest.mark.policy("P1", "a grant's mark says sandbox or live, and the other sort of source refuses it")
@pytest.mark.parametrize(("marked", "sandbox", "good"), [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_a_grant_is_good_on_its_own_side_only(marked: int, sandbox: int, good: int) -> None:
    now = datetime.now(UTC)
    grant, verifier = signed(now, sandbox=Sandbox() if marked else None)
    with nullcontext() if good else pytest.raises(DsrError, match="does not permit"):
        verifier.verify(grant, SOURCE, Grant.OPERATION_ERASE, now, sandbox=bool(sandbox))


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_grant_with_one_flipped_bit_is_refused(position: int, bit: int) -> None:
    now = datetime.now(UTC)
    grant, verifier = signed(now)
    flipped = bytearray(grant.grant)
    flipped[position % len(flipped)] ^= 1 << bit
    wrong = SignedGrant(grant=bytes(flipped), key_id="k", signature=grant.signature)
    with pytest.raises(DsrError):
        verifier.verify(wrong, SOURCE, Grant.OPERATION_ERASE, now)


@pytest.mark.policy("P10", "one key per request, destroyed for good")
async def test_keys_are_made_once_and_destroyed_for_good(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    key = await vault.create("partners/acme", "r1")
    again = await vault.create("partners/acme", "r1")
    assert key.secret == again.secret
    sealed = key.seal(b"ann", "acme|r1|dossier")
    assert again.open(sealed, "acme|r1|dossier") == b"ann"
    for other in ("acme|r2|dossier", "globex|r1|dossier"):
        with pytest.raises(KeyGone):
            key.open(sealed, other)
    other_partner = await vault.create("partners/globex", "r1")
    with pytest.raises(KeyGone):
        other_partner.open(sealed, "acme|r1|dossier")
    # A wrapped key moved to another request opens nothing.
    (tmp_path / "acme" / "r9.key").write_bytes((tmp_path / "acme" / "r1.key").read_bytes())
    with pytest.raises(KeyGone):
        await vault.get("partners/acme", "r9")
    await vault.destroy("partners/acme", "r1")
    await vault.destroy("partners/acme", "r1")
    with pytest.raises(KeyGone):
        await vault.get("partners/acme", "r1")
    assert await vault.digest("partners/acme", b"x") != await vault.digest("partners/globex", b"x")


@pytest.mark.policy("P10", "what is written to disk about a person is ciphertext")
def test_sealed_files_round_trip_and_hide(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    content = b"ann@example.com" * 100_000
    pieces = [content[i : i + 70_001] for i in range(0, len(content), 70_001)]
    written = write_sealed(tmp_path / "f.age", identity.to_public(), pieces)
    assert written.plain_bytes == len(content)
    assert b"ann@" not in (tmp_path / "f.age").read_bytes()
    assert b"".join(read_sealed(tmp_path / "f.age", identity)) == content
    assert b"".join(read_sealed(tmp_path / "f.age", identity, offset=1_000_000)) == content[1_000_000:]
    first = read_sealed(tmp_path / "f.age", identity)
    assert next(first) == content[:262_144]
    first.close()  # type: ignore[attr-defined]
    damaged = bytearray((tmp_path / "f.age").read_bytes())
    damaged[-5] ^= 1
    (tmp_path / "g.age").write_bytes(damaged)
    with pytest.raises(OSError, match="could not be read"):
        io.BytesIO().writelines(read_sealed(tmp_path / "g.age", identity))


def test_a_writer_that_gives_up_leaves_no_file(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()

    def broken() -> object:
        yield b"x"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_sealed(tmp_path / "f.age", identity.to_public(), broken())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
