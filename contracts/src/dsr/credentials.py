"""The key a client signs its own short-lived tokens with.

A credential file is JSON: `issuer`, `key_id`, `private_key` (raw Ed25519, base64url) and, where the key belongs to
one actor, `subject`, `roles`, `actor_type`. Keep it like a password. Tokens are JWTs (RFC 7519) signed with EdDSA
(RFC 8037), bound to one audience, valid for at most five minutes.
"""

import base64
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_LIFETIME = 300
"""Seconds a token lives at most."""

PLATFORM_AUDIENCE = "dsr"
"""Audience of the public services and the gateway."""

AUTHORITY_AUDIENCE = "dsr.authority"
"""Audience of governance's internal service."""


@dataclass(frozen=True)
class Credential:
    """A signing key and whom it speaks for."""

    issuer: str
    key_id: str
    private_key: Ed25519PrivateKey
    subject: str = ""
    roles: tuple[str, ...] = ()
    actor_type: str = "service"

    @classmethod
    def load(cls, path: Path) -> "Credential":
        """Reads a credential file. Raises ValueError that names the file and the field, never the key."""
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError):
            raise ValueError(f"{path} is not a readable credential file (JSON)") from None
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: Mapping[str, Any], origin: str = "credential") -> "Credential":
        """Parses the content of a credential file."""
        missing = [name for name in ("issuer", "key_id", "private_key") if not data.get(name)]
        if missing:
            raise ValueError(f"{origin} lacks {', '.join(missing)}")
        try:
            raw = base64.urlsafe_b64decode(str(data["private_key"]) + "==")
            key = Ed25519PrivateKey.from_private_bytes(raw)
        except ValueError:
            raise ValueError(f"{origin}: private_key is not an Ed25519 key in base64url") from None
        return cls(
            issuer=str(data["issuer"]),
            key_id=str(data["key_id"]),
            private_key=key,
            subject=str(data.get("subject", "")),
            roles=tuple(data.get("roles", ())),
            actor_type=str(data.get("actor_type", "service")),
        )

    def token(
        self,
        audience: str,
        *,
        subject: str | None = None,
        roles: Sequence[str] | None = None,
        actor_type: str | None = None,
        auth_time: float | None = None,
        lifetime: int = MAX_LIFETIME,
        act: Mapping[str, Any] | None = None,
    ) -> str:
        """A new token for `audience`.

        `roles` are names such as `ROLE_REQUESTER`; `auth_time` is when the person signed in (seconds since 1970; now
        when absent and the actor is a person); `act` is the actor chain of RFC 8693.
        """
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": subject or self.subject,
            "aud": audience,
            "iat": now,
            "exp": now + min(lifetime, MAX_LIFETIME),
            "jti": str(uuid.uuid4()),
            "roles": list(self.roles if roles is None else roles),
            "actor_type": actor_type or self.actor_type,
        }
        if claims["actor_type"] == "person":
            claims["auth_time"] = int(now if auth_time is None else auth_time)
        if act is not None:
            claims["act"] = dict(act)
        return jwt.encode(claims, self.private_key, algorithm="EdDSA", headers={"kid": self.key_id})
