"""Tokens and the trust file, bent in every way that whoever holds a key can bend them."""

import base64
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
import pytest
from dsr.credentials import Credential

from dsrkit.auth import Authenticator, TrustStore
from dsrkit.errors import DsrError
from dsrkit.issuer import TrustFile


@pytest.fixture
def trust(tmp_path: Path) -> TrustFile:
    file = TrustFile(tmp_path / "trust.json")
    file.add_partner("acme", tmp_path / "acme.json")
    for service in ("access", "erasure"):
        file.add_service(service, tmp_path / f"{service}.json")
    return file


def authenticator(trust: TrustFile) -> Authenticator:
    return Authenticator(TrustStore(trust.path), ["dsr"])


def signed(trust: TrustFile, holder: str = "acme", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token properly signed by the holder of a key, with any claims at all. A claim of ... is left out."""
    key = Credential.load(trust.path.with_name(f"{holder}.json"))
    now = int(time.time())
    body: dict[str, Any] = {
        "iss": key.issuer,
        "sub": "alice",
        "aud": "dsr",
        "iat": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        "roles": [],
        "actor_type": "person",
        "auth_time": now,
        **claims,
    }
    body = {name: value for name, value in body.items() if value is not ...}
    # Not `jwt.encode`, which refuses some of what is tried here.
    headers = {"kid": key.key_id, **(header or {})}
    return jwt.PyJWS().encode(json.dumps(body).encode(), key.private_key, algorithm="EdDSA", headers=headers)


def refused(trust: TrustFile, token: str) -> str:
    with pytest.raises(DsrError) as caught:
        authenticator(trust).verify(token)
    return caught.value.reason


def nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"sub": "z"}
    for number in range(depth):
        node = {"sub": str(number), "act": node}
    return node


NOW = int(time.time())
BENT: dict[str, dict[str, Any]] = {
    "an end beyond all time": {"exp": float("inf")},
    "an end that is no number": {"exp": float("nan")},
    "a beginning beyond all time": {"iat": float("inf")},
    "a beginning before all time": {"iat": float("-inf")},
    "an end of 400 digits": {"exp": 10**400, "iat": 10**400},
    "an end as text": {"exp": str(NOW + 100)},
    "an end a little too late": {"exp": NOW + 900},
    "a sign-in of 400 digits": {"auth_time": 10**400},
    "a sign-in as a list": {"auth_time": [NOW]},
    "no sign-in": {"auth_time": None},
    "audiences in a list": {"aud": ["dsr"]},
    "another audience": {"aud": "dsr.authority"},
    "roles as text": {"roles": "ROLE_ADMIN"},
    "roles as a mapping": {"roles": {"ROLE_SERVICE": True}},
    "roles in roles": {"roles": [["ROLE_ADMIN"]]},
    "a role the issuer may not give": {"roles": ["ROLE_SERVICE"]},
    "a subject that is a list": {"sub": ["alice"]},
    "an empty subject": {"sub": ""},
    "a subject that is an address": {"sub": "ann.walsh@example.com"},
    "a subject of two words": {"sub": "a b"},
    "a subject of two lines": {"sub": "a\nb"},
    "a subject with another's mark": {"sub": "a#b"},
    "a subject that ends its line": {"sub": "alice\n"},
    "a subject without end": {"sub": "a" * 129},
    "an actor who is an address": {"act": {"sub": "ann.walsh@example.com"}},
    "an actor's issuer with a mark": {"act": {"sub": "a", "iss": "urn:dsr:partner:acme#bob"}},
    "no token id": {"jti": ...},
    "a token id with NUL": {"jti": "a\0b"},
    "a token id without end": {"jti": "a" * 201},
    "nobody acting": {"act": {}},
    "an actor without a name": {"act": {"iss": "urn:dsr:partner:acme"}},
    "an actor who is text": {"act": "alice"},
    "actors in a list": {"act": [{"sub": "alice"}]},
    "a chain of nine actors": {"act": nested(9)},
    "an issuer in a list": {"iss": ["urn:dsr:partner:acme"]},
    "somebody else's issuer": {"iss": "urn:dsr:service:erasure"},
}


@pytest.mark.parametrize("name", BENT)
def test_a_bent_token_is_refused_and_never_a_defect(trust: TrustFile, name: str) -> None:
    assert refused(trust, signed(trust, **BENT[name])) == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_the_same_in_any_case(trust: TrustFile, scheme: str) -> None:
    assert authenticator(trust).authenticate([("authorization", f"{scheme} {signed(trust)}")]).subject == "alice"


@pytest.mark.parametrize("value", ["Basic {}", "{}", "Bearer  {}", "Bearer", " Bearer {}", "Bearer\t{}"])
def test_another_scheme_is_refused(trust: TrustFile, value: str) -> None:
    with pytest.raises(DsrError) as caught:
        authenticator(trust).authenticate([("authorization", value.format(signed(trust)))])
    assert caught.value.reason == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit"])
def test_a_key_from_the_token_s_own_header_is_not_looked_at(trust: TrustFile, name: str) -> None:
    assert refused(trust, signed(trust, header={name: ["x"]})) == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("part", [0, 1])
def test_brackets_without_end_are_a_bad_token_and_not_a_defect(trust: TrustFile, part: int) -> None:
    """Nobody needs a key for this one: it is read before any signature is."""
    parts = signed(trust).split(".")
    parts[part] = base64.urlsafe_b64encode(b"[" * 2600).decode().rstrip("=")
    assert refused(trust, ".".join(parts)) == "CREDENTIAL_INVALID"


def test_a_service_s_key_speaks_for_that_service_alone(trust: TrustFile) -> None:
    """Or whoever captured the access service would get grants to erase, under the name of the erasure service."""
    role: dict[str, Any] = {"roles": ["ROLE_SERVICE"], "actor_type": "service"}
    assert authenticator(trust).verify(signed(trust, "access", sub="access", **role)).subject == "access"
    assert refused(trust, signed(trust, "access", sub="erasure", **role)) == "CREDENTIAL_INVALID"


def test_the_whole_chain_is_compared(trust: TrustFile) -> None:
    chain = {"sub": "portal", "act": {"sub": "carol", "iss": "urn:dsr:partner:acme"}}
    caller = authenticator(trust).verify(signed(trust, act=chain))
    assert caller.actors == tuple(f"urn:dsr:partner:acme#{who}" for who in ("alice", "portal", "carol"))


@pytest.mark.parametrize("content", ["", "{}", "[]", "{", "null", '{"issuers": [{}]}', '{"issuers": 5}'])
def test_a_broken_trust_file_believes_nobody_until_it_is_mended(trust: TrustFile, content: str) -> None:
    good, token = trust.path.read_text(), signed(trust)
    gate = authenticator(trust)
    assert gate.verify(token).subject == "alice"
    trust.path.write_text(content)
    with pytest.raises(DsrError) as caught:
        gate.verify(token)
    assert caught.value.reason == "INTERNAL", "it is not the caller's token that is wrong"
    trust.path.write_text(good)
    assert gate.verify(token).subject == "alice"


def test_a_trust_file_that_is_gone_believes_nobody(trust: TrustFile) -> None:
    gate, token = authenticator(trust), signed(trust)
    gate.verify(token)
    trust.path.unlink()
    with pytest.raises(DsrError) as caught:
        gate.verify(token)
    assert caught.value.reason == "INTERNAL"


def test_a_link_that_is_turned_to_another_file_counts_at_once(trust: TrustFile, tmp_path: Path) -> None:
    """As Kubernetes does it: two folders, one link."""
    token = signed(trust)
    old, new, link = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "link.json"
    old.write_text(trust.path.read_text())
    new.write_text(json.dumps({"issuers": []}))
    stamp = old.stat().st_mtime_ns
    os.utime(new, ns=(stamp, stamp))
    link.symlink_to(old)
    gate = Authenticator(TrustStore(link), ["dsr"])
    assert gate.verify(token).subject == "alice"
    (tmp_path / "turned").symlink_to(new)
    os.replace(tmp_path / "turned", link)
    with pytest.raises(DsrError):
        gate.verify(token)


def test_a_revoked_key_is_refused_at_the_next_call(trust: TrustFile) -> None:
    gate, token = authenticator(trust), signed(trust)
    assert gate.verify(token).subject == "alice"
    key = Credential.load(trust.path.with_name("acme.json"))
    trust.revoke(key.issuer, key.key_id)
    with pytest.raises(DsrError) as caught:
        gate.verify(token)
    assert caught.value.reason == "CREDENTIAL_INVALID"
