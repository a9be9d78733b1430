"""What can be the identity of a connector. Pure."""

import re
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from dsr.v1.governance_pb2 import ConnectorIdentity

_NAME = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_MOST_CHARACTERS, _MOST_CERTIFICATES = 32_768, 5


def wrong(identity: ConnectorIdentity, now: datetime) -> tuple[str, str] | None:
    """What is wrong with an identity, as field and reason; None when a connector can be known by it."""
    if not _NAME.fullmatch(identity.server_name):
        return "server_name", "must be a DNS name in lower case, such as connector.acme.example"
    if len(identity.authority) > _MOST_CHARACTERS:
        return "authority", f"at most {_MOST_CHARACTERS:,} characters"
    if "PRIVATE KEY" in identity.authority:
        return "authority", "holds a private key: consider it known, replace it, and send certificates only"
    found = certificates(identity.authority)
    if not 1 <= len(found) <= _MOST_CERTIFICATES:
        return "authority", f"must be 1 to {_MOST_CERTIFICATES} certificates in PEM"
    for certificate in found:
        if not _signs_others(certificate):
            return "authority", "each certificate must be an authority's (basicConstraints CA:TRUE)"
        if certificate.not_valid_after_utc <= now:
            return "authority", "one of the certificates has expired"
    return None


def certificates(authority: str) -> list[x509.Certificate]:
    """The certificates of a PEM text; none when it can't be read."""
    try:
        return x509.load_pem_x509_certificates(authority.encode())
    except ValueError:
        return []


def fingerprints(authority: str) -> list[str]:
    """What people compare, over another line than this one."""
    return [certificate.fingerprint(SHA256()).hex() for certificate in certificates(authority)]


def _signs_others(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):  # ValueError: an extension that can't be read
        return False
