"""Grants: permission for one operation, signed by governance (Ed25519, RFC 8032), obeyed by connectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from dsr.connector.v1.grant_pb2 import Grant, SignedGrant
from google.protobuf.message import DecodeError

from dsrkit.errors import DsrError

LIFETIME = timedelta(minutes=5)
_PREFIX = b"dsr.connector.v1.Grant\0"
_CLOCK_SKEW = timedelta(seconds=30)


@dataclass(frozen=True)
class GrantSigner:
    """Governance's signing key."""

    key_id: str
    key: Ed25519PrivateKey

    def sign(self, grant: Grant, now: datetime) -> SignedGrant:
        """Sets the grant's times and signs it."""
        grant.issue_time.FromDatetime(now)
        grant.expire_time.FromDatetime(now + LIFETIME)
        payload = grant.SerializeToString(deterministic=True)
        return SignedGrant(grant=payload, key_id=self.key_id, signature=self.key.sign(_PREFIX + payload))


@dataclass(frozen=True)
class GrantVerifier:
    """Checks grants against governance's public keys: key id to 32 raw bytes."""

    keys: Mapping[str, bytes]

    def verify(
        self,
        signed: SignedGrant,
        source: str,
        operation: "Grant.Operation.ValueType",
        now: datetime,
        *,
        sandbox: bool = False,
    ) -> Grant:
        """The grant, or GRANT_INVALID with `why`: UNKNOWN_KEY, SIGNATURE, MALFORMED, SOURCE, OPERATION, SANDBOX,
        EXPIRED. `sandbox`: whether the source is one, as the grant's mark must say too."""
        key = self.keys.get(signed.key_id)
        if key is None:
            raise _invalid("UNKNOWN_KEY")
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, _PREFIX + signed.grant)
            grant = Grant.FromString(signed.grant)
        except InvalidSignature:
            raise _invalid("SIGNATURE") from None
        except DecodeError:
            raise _invalid("MALFORMED") from None
        issued, expires = (t.ToDatetime(UTC) for t in (grant.issue_time, grant.expire_time))
        if grant.source != source:
            raise _invalid("SOURCE")
        if grant.operation != operation:
            raise _invalid("OPERATION")
        if grant.HasField("sandbox") != sandbox:
            raise _invalid("SANDBOX")
        if not grant.task or grant.attempt < 1:
            raise _invalid("MALFORMED")
        if not issued - _CLOCK_SKEW <= now <= expires or expires - issued > LIFETIME:
            raise _invalid("EXPIRED")
        return grant


def _invalid(why: str) -> DsrError:
    return DsrError("GRANT_INVALID", "The grant does not permit this. Get a new one from governance.", why=why)
