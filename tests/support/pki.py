"""A certificate authority for tests, in memory."""

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dsrkit.tls import TlsFiles

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Authority:
    """Signs what it is asked to. Two of one name are told apart by their keys only."""

    name: str = "Acme internal CA"
    key: Key = field(default_factory=new_key)

    @property
    def pem(self) -> str:
        return self._sign(self.name, self.key, (), ca=True).decode()

    def issue(self, *names: str, key: Key | None = None, valid_until: datetime.timedelta | None = None) -> Pair:
        """A certificate for these DNS names and IP addresses."""
        key = key or new_key()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(self._sign("connector", key, names, ca=False, valid_until=valid_until), secret)

    def files(self, folder: Path, name: str, *names: str) -> TlsFiles:
        """The same as files: `{name}.pem`, `{name}.key`, and `{name}-ca.pem`."""
        pair = self.issue(*names)
        tls = TlsFiles(folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}-ca.pem")
        tls.certificate.write_bytes(pair.certificate)
        tls.key.write_bytes(pair.key)
        (folder / f"{name}-ca.pem").write_bytes(self.pem.encode())
        return tls

    def expired(self) -> str:
        return self._sign(self.name, self.key, (), ca=True, valid_until=datetime.timedelta(seconds=-1)).decode()

    def _sign(
        self, subject: str, key: Key, names: tuple[str, ...], *, ca: bool, valid_until: datetime.timedelta | None = None
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + (valid_until or datetime.timedelta(hours=1)))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
