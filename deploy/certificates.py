"""A small certificate authority for development and tests; production has its own (cert-manager).

`python -m deploy.certificates FOLDER` makes two authorities, `platform` for the processes among themselves and
`partners` for who may come to the edge, and a certificate for each process and for the operator's `staff`; with
`--partner acme` one for a partner, too. Each is a folder with tls.crt, tls.key and ca.crt, as in a Kubernetes secret.
Run again, it makes new certificates under the same authorities.
"""

import argparse
import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dsrkit.tls import TlsFiles

PROCESSES = ("access", "portability", "erasure", "governance", "connectors", "gateway", "edge")
STAFF = "urn:dsr:operator"
"""The operator's people, who come through the edge as partners do."""
_USAGE = ("digital_signature", "key_cert_sign", "crl_sign")
_ALL_USAGES = (*_USAGE, "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")


class Authority:
    """An authority whose key lies in `folder`, made there when there is none."""

    def __init__(self, folder: Path, name: str) -> None:
        certificate, key = folder / "ca.crt", folder / "ca.key"
        if not key.exists():
            self._key = ec.generate_private_key(ec.SECP384R1())
            self.certificate = _sign(name, self._key.public_key(), None, self._key, days=3650)
            _write_key(key, self._key)
            certificate.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key} is not an EC key")
        self._key = loaded
        self.path = certificate
        self.certificate = x509.load_pem_x509_certificate(certificate.read_bytes())

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, folder: Path, uri: str, hosts: Sequence[str] = (), days: int = 30) -> TlsFiles:
        """Writes (again) a certificate for whom `uri` names, good for both sides of a connection, under `hosts`."""
        return self.issue_all(folder, [uri], hosts, days)

    def issue_all(self, folder: Path, uris: Sequence[str], hosts: Sequence[str] = (), days: int = 30) -> TlsFiles:
        """The same for who has several names."""
        key = ec.generate_private_key(ec.SECP384R1())
        names = [*(x509.UniformResourceIdentifier(uri) for uri in uris), *(_host(host) for host in hosts)]
        signed = _sign(uris[0], key.public_key(), self.certificate, self._key, days, names)
        _write_key(folder / "tls.key", key)
        for name, content in (("tls.crt", signed), ("ca.crt", self.certificate)):
            replace(folder / name, content.public_bytes(serialization.Encoding.PEM))
        return TlsFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _sign(
    name: str,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    names: Sequence[x509.GeneralName] = (),
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = _USAGE if issuer is None else _USAGE[:1]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=issuer is None, path_length=0 if issuer is None else None), critical=True
        )
        .add_extension(
            x509.KeyUsage(**{one: one in usage for one in _ALL_USAGES}, encipher_only=False, decipher_only=False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if names:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return builder.sign(key, hashes.SHA384())


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    plain = serialization.NoEncryption()
    replace(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


def replace(path: Path, content: bytes) -> None:
    """Whole or not at all, and readable by its owner alone."""
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)


def make(folder: Path, partners: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
    """All certificates of a platform; `hosts` are further names and addresses of its processes."""
    platform = Authority(folder / "platform", "platform")
    outside = Authority(folder / "partners", "partners")
    for name in PROCESSES:
        platform.issue(folder / name, f"urn:dsr:service:{name}", [name, *hosts])
    # Who comes from outside checks the edge by the platform's authority, and is checked by the partners'.
    outsiders = {folder / "partners" / partner: f"urn:dsr:partner:{partner}" for partner in partners}
    for place, uri in {**outsiders, folder / "staff": STAFF}.items():
        outside.issue(place, uri)
        replace(place / "ca.crt", platform.path.read_bytes())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.certificates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--partner", action="append", default=[], help="a partner's id; may be repeated")
    parser.add_argument("--host", action="append", default=[], help="a further name or address of every process")
    arguments = parser.parse_args()
    make(arguments.folder, arguments.partner, arguments.host)


if __name__ == "__main__":
    main()
