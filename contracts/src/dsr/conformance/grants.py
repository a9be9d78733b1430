"""Signs grants, good ones and bad ones, with a test key that the connector under test trusts."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dsr.connector.v1.grant_pb2 import Grant, SignedGrant

LIFETIME = timedelta(minutes=5)
_PREFIX = b"dsr.connector.v1.Grant\0"


@dataclass(frozen=True)
class GrantKey:
    """A signing key. The file is JSON: `key_id` and `private_key` (raw Ed25519, base64url)."""

    key_id: str
    private_key: Ed25519PrivateKey

    @classmethod
    def load(cls, path: Path) -> "GrantKey":
        """Reads a key file. ValueError names the file, never the key."""
        try:
            data = json.loads(path.read_text())
            raw = base64.urlsafe_b64decode(str(data["private_key"]) + "==")
            return cls(str(data["key_id"]), Ed25519PrivateKey.from_private_bytes(raw))
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                f"{path} is not a grant key: JSON with key_id and private_key (Ed25519, base64url)"
            ) from None

    def sign(self, grant: Grant, *, issued: datetime | None = None, lifetime: timedelta = LIFETIME) -> SignedGrant:
        """The grant with its times set, signed."""
        start = issued or datetime.now(UTC)
        grant.issue_time.FromDatetime(start)
        grant.expire_time.FromDatetime(start + lifetime)
        payload = grant.SerializeToString(deterministic=True)
        return SignedGrant(grant=payload, key_id=self.key_id, signature=self.private_key.sign(_PREFIX + payload))
