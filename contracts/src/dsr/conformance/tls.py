"""The certificates by which a run and the connector know each other."""

from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


def channel_credentials(ca: Path | None, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    """From the command's options; None for plaintext. ValueError names the option whose file can't be used."""
    if (certificate is None) != (key is None):
        raise ValueError("--certificate and --key belong together: give both or neither")
    authority = _read(ca, "--ca")
    chain, private = _read(certificate, "--certificate"), _read(key, "--key")
    if authority is not None:
        _certificates(authority, f"--ca: {ca}")
    if chain is not None and private is not None:
        public = _certificates(chain, f"--certificate: {certificate}")[0].public_key()
        try:
            own = load_pem_private_key(private, None).public_key()
        except (ValueError, TypeError):
            raise ValueError(f"--key: {key} holds no PEM key, or one that asks for a password") from None
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if own.public_bytes(*form) != public.public_bytes(*form):
            raise ValueError(f"--key: {key} is not the key of the first certificate in {certificate}")
    if authority is None and chain is None:
        return None
    return grpc.ssl_channel_credentials(authority, private, chain)


def _read(path: Path | None, option: str) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise ValueError(f"{option}: {path} can't be read: {error.strerror}") from None


def _certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(f"{what} holds no PEM certificate") from None
