"""Who calls: partner and role come from the credential alone.

Every issuer is bound to one partner (or to none: the operator and the platform's own services). Only EdDSA is
accepted; keys come from the trust file, never from a token's header.
"""

import contextvars
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from dsrkit.errors import DsrError

MAX_TOKEN_BYTES = 4096
_LEEWAY = 5
_MAX_LIFETIME = 300 + _LEEWAY
_SUBJECT = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ISSUER = re.compile(r"[A-Za-z0-9._:/-]{1,200}")
_TOKEN_ID = re.compile(r"[!-~]{1,200}")
ACTOR_FORM = "must be issuer#subject, the subject an opaque id: 1 to 128 of letters, digits and . _ : -"
"""What `is_actor` asks for, for an error's text."""
_FORBIDDEN_HEADERS = frozenset({"jku", "x5u", "jwk", "x5c", "crit"})


STAFF = frozenset({"ROLE_OPERATOR", "ROLE_SUPPORT", "ROLE_PRIVACY_OFFICER", "ROLE_ENGINEER", "ROLE_DPO"})
"""Roles of the operator's staff that need a grant, too, and reach every partner."""


@dataclass(frozen=True)
class Caller:
    """Whoever presented the credential of the current call."""

    issuer: str
    subject: str
    partner: str | None
    """`partners/{partner}` the issuer is bound to; None for operator staff and services."""
    roles: frozenset[str]
    audience: str
    actor_type: str
    auth_time: float | None
    token_id: str
    actors: tuple[str, ...]
    """Everybody who acts, as `issuer#subject`: the subject first, then its `act` chain (RFC 8693)."""
    expire_time: float
    originating_ip: str = ""

    @property
    def principal(self) -> str:
        """Opaque id of the actor."""
        return self.actors[0]


@dataclass(frozen=True)
class Issuer:
    """Somebody whose tokens are believed, and how far."""

    name: str
    partner: str | None
    roles: frozenset[str]
    keys: Mapping[str, Any]
    development: bool


@dataclass
class TrustStore:
    """The trust file: issuers, what each may say, and their public keys (JWKS). Read again when it changes."""

    path: Path
    _stamp: tuple[int, int] = (0, 0)
    _issuers: Mapping[str, Issuer] = field(default_factory=dict)

    def issuer(self, name: str) -> Issuer | None:
        """The issuer of that name, as the file says now. INTERNAL while the file can't be read: nobody is believed."""
        try:
            stat = os.stat(self.path)
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._issuers = _parse(json.loads(self.path.read_text()))
                self._stamp = stamp
        except (OSError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
            raise DsrError("INTERNAL", "The trust file can't be read; the operator must mend it.") from None
        return self._issuers.get(name)


def _parse(data: Mapping[str, Any]) -> Mapping[str, Issuer]:
    issuers = {}
    for entry in data["issuers"]:
        if entry.get("partner") and STAFF.intersection(entry["roles"]):
            raise ValueError("an issuer of a partner can't speak for staff")
        keys = {key["kid"]: jwt.PyJWK(key, algorithm="EdDSA").key for key in entry["keys"]}
        issuers[entry["issuer"]] = Issuer(
            name=entry["issuer"],
            partner=entry.get("partner"),
            roles=frozenset(entry["roles"]),
            keys=keys,
            development=bool(entry.get("development", False)),
        )
    return issuers


@dataclass(frozen=True)
class Authenticator:
    """Turns call metadata into a `Caller`, or raises CREDENTIAL_MISSING / CREDENTIAL_INVALID.

    `loopback` says whether the server listens on loopback only: development issuers are believed nowhere else.
    """

    trust: TrustStore
    audiences: Collection[str]
    loopback: bool = True

    def authenticate(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        """The caller of a call with this metadata."""
        headers = list(metadata)
        tokens = [value for key, value in headers if key.lower() == "authorization"]
        if not tokens:
            raise DsrError("CREDENTIAL_MISSING", "Present a token: authorization: Bearer <token>.")
        token = tokens[0]
        if len(tokens) > 1 or not isinstance(token, str):
            raise _invalid()
        scheme, _, token = token.partition(" ")
        if scheme.lower() != "bearer":  # a scheme is the same in any case (RFC 9110, 11.1)
            raise _invalid()
        return self.verify(token)

    def verify(self, token: str) -> Caller:
        """The caller that a bare token stands for."""
        if len(token) > MAX_TOKEN_BYTES:
            raise _invalid()
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
            issuer = self.trust.issuer(str(unverified.get("iss")))
            if issuer is None or _FORBIDDEN_HEADERS & header.keys() or (issuer.development and not self.loopback):
                raise _invalid()
            key = issuer.keys.get(str(header.get("kid")))
            if key is None:
                raise _invalid()
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=list(self.audiences),
                issuer=issuer.name,
                leeway=_LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat", "jti"], "strict_aud": False},
            )
            return _caller(issuer, claims)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
            raise _invalid() from None


def _caller(issuer: Issuer, claims: Mapping[str, Any]) -> Caller:
    subject, audience = claims["sub"], claims["aud"]
    roles = frozenset(claims.get("roles", ()))
    lifetime = claims["exp"] - claims["iat"]
    service = issuer.name.removeprefix("urn:dsr:service:")
    if service != issuer.name and subject != service:
        raise _invalid()  # a service's key speaks for that service alone
    actors = tuple(_actors(issuer.name, claims))
    # They stand in records and beside every request: an address or a name there would be personal data kept (P5).
    if not all(is_actor(actor) for actor in actors) or not _TOKEN_ID.fullmatch(claims["jti"]):
        raise _invalid()
    if not isinstance(audience, str) or lifetime > _MAX_LIFETIME or not roles <= issuer.roles:
        raise _invalid()
    return Caller(
        issuer=issuer.name,
        subject=subject,
        partner=issuer.partner,
        roles=roles,
        audience=audience,
        actor_type=str(claims.get("actor_type", "service")),
        auth_time=float(claims["auth_time"]) if "auth_time" in claims else None,
        token_id=str(claims["jti"]),
        actors=actors,
        expire_time=float(claims["exp"]),
    )


def is_actor(text: str) -> bool:
    """Whether this is `issuer#subject` with a subject that can be an opaque id."""
    issuer, _, subject = text.partition("#")
    return bool(_ISSUER.fullmatch(issuer) and _SUBJECT.fullmatch(subject))


def _actors(issuer: str, claims: Mapping[str, Any]) -> Iterable[str]:
    node: Any = claims
    for _ in range(8):
        yield f"{node.get('iss', issuer)}#{node['sub']}"
        node = node.get("act")
        if node is None:
            return
    raise _invalid()


def _invalid() -> DsrError:
    return DsrError("CREDENTIAL_INVALID", "The token is not valid here. Get a new one for this audience.")


def require_fresh_person(caller: Caller) -> None:
    """PERSON_REQUIRED unless the caller is a person who signed in within the last 15 minutes."""
    if caller.actor_type != "person":
        raise DsrError("PERSON_REQUIRED", "A person must do this, not a service.", why="SERVICE_ACTOR")
    if caller.auth_time is None or not -_LEEWAY <= time.time() - caller.auth_time <= 900:
        raise DsrError("PERSON_REQUIRED", "Sign in again: the last time was too long ago.", why="STALE_AUTHENTICATION")


_current: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the current RPC. Only inside an RPC."""
    return _current.get()


def known_caller() -> Caller | None:
    """The caller of the current RPC; None before it has been authenticated."""
    return _current.get(None)


def acting_partner(named: str) -> str:
    """The partner in whose name the database is asked: the credential's, whatever a request names.

    So that row-level security is a wall of its own: were the policy check ever missed, another partner's name in a
    request would still find nothing. Operator staff and services are bound to no partner and name one.
    """
    return _current.get().partner or named


def set_current_caller(caller: Caller) -> None:
    """Called by the interceptor; by tests of a servicer without one."""
    _current.set(caller)
