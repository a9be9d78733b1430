"""Signed checkpoints: C2SP tlog-checkpoint in a C2SP signed-note, by Ed25519."""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dsr.ledger.merkle import HASH_BYTES, LedgerError

_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+]{1,200}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— ([^\s+]{1,200}) ([A-Za-z0-9+/]+={0,2})")
_MOST_BYTES, _MOST_SIGNATURES = 128 * 1024, 16


@dataclass(frozen=True)
class VerifierKey:
    """A ledger's public key: `name+hash+key`, as C2SP signed-note writes it. Got from the operator once, and kept."""

    name: str
    key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise LedgerError("the key's name has spaces or plus signs, or is too long")

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """LedgerError when it isn't such a key, or was damaged on its way."""
        name, _, rest = text.strip().partition("+")
        hashed, _, encoded = rest.partition("+")
        raw = decoded(encoded)
        if raw[:1] != _ED25519 or len(raw) != 1 + HASH_BYTES:
            raise LedgerError("the key is not of the form name+hash+key, with a key for Ed25519")
        found = cls(name, raw[1:])
        if found.id.hex() != hashed:
            raise LedgerError("the key was damaged: its hash doesn't fit")
        return found

    @property
    def id(self) -> bytes:
        """The first four bytes of the key's hash; each signature begins with them."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"


@dataclass(frozen=True)
class SigningKey:
    """The key a ledger signs its checkpoints with."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """Its public half."""
        return VerifierKey(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, size: int, root: bytes) -> str:
        """A signed checkpoint: the ledger has `size` entries with that root."""
        text = f"{self.name}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self.verifier.id + self.key.sign(text.encode())).decode()
        return f"{text}\n— {self.name} {signature}\n"


@dataclass(frozen=True)
class Checkpoint:
    """What a ledger signed: how many entries it has, and their root."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def verify(cls, note: str, key: VerifierKey) -> "Checkpoint":
        """A checkpoint that this key signed. LedgerError."""
        text, found = _split(note)
        for name, encoded in found:
            signature = decoded(encoded)
            if name != key.name or signature[:4] != key.id:
                continue  # others may sign beside the ledger; what isn't known isn't looked at
            try:
                Ed25519PublicKey.from_public_bytes(key.key).verify(signature[4:], text.encode())
            except InvalidSignature:
                raise LedgerError("the checkpoint's signature is wrong") from None
            return cls._parse(text, key)
        raise LedgerError("the checkpoint isn't signed by this key")

    @classmethod
    def _parse(cls, text: str, key: VerifierKey) -> "Checkpoint":
        lines = text.split("\n")
        if len(lines) < 4 or lines[0] != key.name or not _NUMBER.fullmatch(lines[1]):
            raise LedgerError("the checkpoint is not of this ledger")
        return cls(lines[0], int(lines[1]), hash_of(lines[2]))


def _split(note: str) -> tuple[str, list[tuple[str, str]]]:
    """The text, and names and encoded signatures."""
    text, blank, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if len(note) > _MOST_BYTES or not blank or lines[-1] != "" or not 1 <= len(lines) - 1 <= _MOST_SIGNATURES:
        raise LedgerError("the checkpoint is not a signed note")
    found = [_SIGNATURE.fullmatch(line) for line in lines[:-1]]
    if not all(found):
        raise LedgerError("the checkpoint is not a signed note")
    return text + "\n", [(match[1], match[2]) for match in found if match]


def hash_of(text: str) -> bytes:
    """A hash in base64. LedgerError."""
    raw = decoded(text)
    if len(raw) != HASH_BYTES:
        raise LedgerError("a hash is not of 32 bytes")
    return raw


def decoded(text: str) -> bytes:
    """Base64, in the one spelling that each value has. LedgerError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise LedgerError("something is not in base64") from None
    if base64.b64encode(raw).decode() != text:
        raise LedgerError("something is not in base64")
    return raw
