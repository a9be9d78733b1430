"""Issues, rotates and revokes credentials by editing the trust file. Used by `dsr partner` and by `make run`.

Keys of an issuer overlap while they are rotated: tokens of the old key are believed until it is revoked.
"""

import base64
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsr.ledger import VerifierKey

from dsrkit.auth import STAFF
from dsrkit.files import locked, replace

PARTNER_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,38}[a-z0-9]")
_SERVICE = "urn:dsr:service:"
STAFF_ROLES = tuple(sorted(STAFF))
PARTNER_ROLES = ("ROLE_READER", "ROLE_REQUESTER", "ROLE_APPROVER", "ROLE_ADMIN")


@dataclass(frozen=True)
class TrustFile:
    """The trust file, opened for change. Every change is atomic and excludes others."""

    path: Path

    def add_partner(self, partner: str, credential: Path, *, development: bool = False) -> str:
        """Adds an issuer bound to `partners/{partner}` and writes its first key to `credential`. Returns the key id."""
        if not PARTNER_ID.fullmatch(partner):
            raise ValueError("no partner can have that id: 3 to 40 of a-z, 0-9 and hyphen, no hyphen at either end")
        name = f"urn:dsr:partner:{partner}"
        return self._add(name, credential, partner=f"partners/{partner}", roles=PARTNER_ROLES, development=development)

    def add_service(self, service: str, credential: Path) -> str:
        """Adds one of the platform's own services; its key speaks for it alone."""
        return self._add(f"{_SERVICE}{service}", credential, partner=None, roles=("ROLE_SERVICE",), development=False)

    def add_operator(self, credential: Path, *, development: bool = False) -> str:
        """Adds the operator's staff."""
        return self._add("urn:dsr:operator", credential, partner=None, roles=STAFF_ROLES, development=development)

    def rotate(self, issuer: str, credential: Path) -> str:
        """Adds a second key to an issuer and writes it to `credential`; the old one stays until revoked."""
        key_id, private, public = _new_key()

        def change(data: dict[str, Any]) -> None:
            entry = _find(data, issuer)
            entry["keys"].append(public)

        self._change(change)
        _write_credential(credential, issuer, key_id, private)
        return key_id

    def revoke(self, issuer: str, key_id: str) -> None:
        """Removes a key; its tokens are refused from the next call on."""

        def change(data: dict[str, Any]) -> None:
            entry = _find(data, issuer)
            kept = [key for key in entry["keys"] if key["kid"] != key_id]
            if len(kept) == len(entry["keys"]):
                raise ValueError(f"issuer {issuer} has no key {key_id}; its keys are listed by `dsr partner keys`")
            entry["keys"] = kept

        self._change(change)

    def keys(self, issuer: str) -> list[str]:
        """The key ids of an issuer."""
        return [key["kid"] for key in _find(self._read(), issuer)["keys"]]

    def _add(
        self,
        issuer: str,
        credential: Path,
        *,
        partner: str | None,
        roles: tuple[str, ...],
        development: bool,
    ) -> str:
        key_id, private, public = _new_key()

        def change(data: dict[str, Any]) -> None:
            if any(entry["issuer"] == issuer for entry in data["issuers"]):
                raise ValueError(f"issuer {issuer} exists; use rotate to give it a new key")
            entry: dict[str, Any] = {"issuer": issuer, "roles": list(roles), "keys": [public]}
            if partner:
                entry["partner"] = partner
            if development:
                entry["development"] = True
            data["issuers"].append(entry)

        self._change(change)
        _write_credential(credential, issuer, key_id, private)
        return key_id

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"issuers": []}
        data: dict[str, Any] = json.loads(self.path.read_text())
        return data

    def _change(self, change: Callable[[dict[str, Any]], None]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".lock")):
            data = self._read()
            change(data)
            replace(self.path, json.dumps(data, indent=2), 0o644)


def make_grant_key(credential: Path, public: Path) -> str:
    """Makes the key by which governance signs grants: `credential` for governance, `public` (a JWK set) for connectors.

    Called again, it adds a key to the set, so that connectors believe both while the new one comes into use.
    """
    key_id, private, jwk = _new_key()
    keys = json.loads(public.read_text())["keys"] if public.exists() else []
    public.parent.mkdir(parents=True, exist_ok=True)
    replace(public, json.dumps({"keys": [*keys, jwk]}, indent=2), 0o644)
    _write_credential(credential, "urn:dsr:grants", key_id, private)
    return key_id


def make_ledger_key(credential: Path, public: Path) -> str:
    """Makes the key that signs the ledger's checkpoints: `credential` for governance, `public` for everybody.

    It is the ledger's name, and isn't rotated: another key is another ledger.
    """
    key = Ed25519PrivateKey.generate()
    name = f"dsr-ledger/{secrets.token_hex(8)}"
    verifier = VerifierKey(name, key.public_key().public_bytes_raw())
    public.parent.mkdir(parents=True, exist_ok=True)
    replace(public, f"{verifier}\n", 0o644)
    _write_credential(credential, name, verifier.id.hex(), _b64(key.private_bytes_raw()))
    return str(verifier)


def grant_keys(public: Path) -> list[str]:
    """The key ids by which grants are believed."""
    return [key["kid"] for key in json.loads(public.read_text())["keys"]]


def revoke_grant_key(public: Path, key_id: str) -> None:
    """Removes a key; its grants are refused by a connector host as soon as the file has arrived there."""
    keys = json.loads(public.read_text())["keys"]
    kept = [key for key in keys if key["kid"] != key_id]
    if len(kept) == len(keys):
        raise ValueError(f"there is no key {key_id}; there are {', '.join(key['kid'] for key in keys)}")
    replace(public, json.dumps({"keys": kept}, indent=2), 0o644)


def _find(data: dict[str, Any], issuer: str) -> dict[str, Any]:
    for entry in data["issuers"]:
        if entry["issuer"] == issuer:
            found: dict[str, Any] = entry
            return found
    raise ValueError(f"there is no issuer {issuer}")


def _new_key() -> tuple[str, str, dict[str, str]]:
    key = Ed25519PrivateKey.generate()
    key_id = secrets.token_hex(8)
    public = {"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": _b64(key.public_key().public_bytes_raw())}
    return key_id, _b64(key.private_bytes_raw()), public


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _write_credential(path: Path, issuer: str, key_id: str, private: str) -> None:
    data: dict[str, Any] = {"issuer": issuer, "key_id": key_id, "private_key": private}
    if issuer.startswith(_SERVICE):
        # A service's credential says who it is; people's say it in every token.
        data |= {"subject": issuer.removeprefix(_SERVICE), "roles": ["ROLE_SERVICE"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(data, indent=2), 0o600)
