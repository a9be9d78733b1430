"""The platform's own keys: made once, rotated with an overlap, and never the last one revoked."""

from pathlib import Path

import pytest
from dsr.credentials import Credential

from deploy.keys import NAMES, SERVICES, command
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.errors import DsrError


def believed(folder: Path, token: str) -> str:
    return Authenticator(TrustStore(folder / "trust.json"), ["dsr"]).verify(token).subject


def test_keys_are_made_once(tmp_path: Path) -> None:
    folder = str(tmp_path)
    *said, ledger = command([folder])
    assert len(said) == len(NAMES)
    assert ledger.endswith((tmp_path / "ledger.vkey").read_text().strip())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert command([folder]) == ["nothing to do"]
    (tmp_path / "credentials" / "access.json").rename(tmp_path / "kept")
    with pytest.raises(SystemExit, match=r"issuer urn:dsr:service:access exists; use rotate"):
        command([folder])  # its key is lost: a new one is the operator's decision
    (tmp_path / "kept").rename(tmp_path / "credentials" / "access.json")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "credentials").iterdir())


@pytest.mark.parametrize("name", SERVICES)
def test_a_rotated_service_is_still_itself(tmp_path: Path, name: str) -> None:
    folder = str(tmp_path)
    command([folder])
    path = tmp_path / "credentials" / f"{name}.json"
    old = Credential.load(path).token("dsr")
    said = command([folder, "--rotate", name])
    new = Credential.load(path).token("dsr")
    assert (believed(tmp_path, old), believed(tmp_path, new)) == (name, name)
    command(said[1].split()[3:])  # what the command says to run next
    assert believed(tmp_path, new) == name
    with pytest.raises(DsrError) as caught:
        believed(tmp_path, old)
    assert caught.value.reason == "CREDENTIAL_INVALID"


def test_grants_are_believed_by_both_keys_until_one_is_revoked(tmp_path: Path) -> None:
    folder = str(tmp_path)
    command([folder])
    first = command([folder, "--list", "grants"])
    command([folder, "--rotate", "grants"])
    both = command([folder, "--list", "grants"])
    assert both[:1] == first
    assert Credential.load(tmp_path / "credentials" / "grants.json").key_id == both[1]
    command([folder, "--revoke", "grants", first[0]])
    assert command([folder, "--list", "grants"]) == both[1:]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--revoke", "grants", "ONLY"], "is the only key of grants; rotate it first"),
        (["--revoke", "grants", "0000"], "there is no key 0000"),
        (["--revoke", "access", "0000"], "has no key 0000"),
        (["--revoke", "gateway", "0000"], "there is no gateway; there are access, portability"),
    ],
)
def test_what_cant_be_done_is_said(tmp_path: Path, arguments: list[str], expected: str) -> None:
    folder = str(tmp_path)
    command([folder])
    only = command([folder, "--list", "grants"])[0]
    with pytest.raises(SystemExit, match=expected):
        command([folder, *(only if argument == "ONLY" else argument for argument in arguments)])
    with pytest.raises(SystemExit):
        command([str(tmp_path / "absent"), "--list", "grants"])
