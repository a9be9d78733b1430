"""A certificate: a document, and the proof that the operator's ledger has it. One file, for people and for programs."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from dsr.ledger.merkle import HASH_BYTES, MOST_HASHES, LedgerError, leaf_hash, root_of_inclusion
from dsr.ledger.note import Checkpoint, VerifierKey, decoded, hash_of

MOST_BYTES = 16 * 1024 * 1024
SALT_BYTES = 32
_HEADER = "c2sp.org/tlog-proof@v1"
_BETWEEN = f"\n\n{_HEADER}\n"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


def entry(document_sha256: bytes, salt: bytes) -> bytes:
    """What the ledger has of a document: nobody who doesn't hold the certificate can tell which."""
    if len(document_sha256) != HASH_BYTES or len(salt) != SALT_BYTES:
        raise LedgerError("an entry is made of 32 bytes of salt and the document's SHA-256")
    return salt + document_sha256


def proof(salt: bytes, index: int, path: Sequence[bytes], checkpoint: str) -> str:
    """A proof as C2SP tlog-proof has it; `extra` is the salt."""
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in path)
    return f"{_HEADER}\nextra {base64.b64encode(salt).decode()}\nindex {index}\n{hashes}\n{checkpoint}"


@dataclass(frozen=True)
class Verified:
    """What a certificate proves."""

    document: dict[str, Any]
    index: int
    """The entry's number in the ledger, from 0."""
    size: int
    """How many entries the ledger had when this was signed."""
    origin: str
    """The ledger."""


@dataclass(frozen=True)
class Certificate:
    """A document with its proof."""

    document: bytes
    """JSON; certified byte for byte."""
    proof: str

    def dump(self) -> bytes:
        """The file."""
        return self.document + f"\n\n{self.proof}".encode()

    @classmethod
    def parse(cls, data: bytes) -> "Certificate":
        """LedgerError when it isn't a certificate."""
        if len(data) > MOST_BYTES:
            raise LedgerError("no certificate is that large")
        document, found, rest = data.rpartition(_BETWEEN.encode())
        try:
            text = rest.decode()
        except UnicodeDecodeError:
            found = b""
        if not found:
            raise LedgerError("this is not a certificate: a document in JSON, an empty line, and its proof")
        return cls(document, f"{_HEADER}\n{text}")

    def verify(self, key: VerifierKey) -> Verified:
        """What it proves by this key. LedgerError when it proves nothing."""
        salt, index, path, note = _parts(self.proof)
        checkpoint = Checkpoint.verify(note, key)
        leaf = leaf_hash(entry(sha256(self.document).digest(), salt))
        if root_of_inclusion(leaf, index, checkpoint.size, path) != checkpoint.root:
            raise LedgerError("the document isn't the one that the ledger has")
        try:
            document = json.loads(self.document)
        except ValueError:
            raise LedgerError("the document is not in JSON") from None
        if not isinstance(document, dict):
            raise LedgerError("the document is not an object in JSON")
        return Verified(document, index, checkpoint.size, checkpoint.origin)


def _parts(text: str) -> tuple[bytes, int, list[bytes], str]:
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    form = blank and len(lines) > 2 and lines[0] == _HEADER and lines[1].startswith("extra ")
    number = _INDEX.fullmatch(lines[2]) if form else None
    if number is None:
        raise LedgerError("the proof is not of the form tlog-proof, version 1, with the salt as `extra`")
    if len(lines) > 3 + MOST_HASHES:
        raise LedgerError("the proof is too long")
    return decoded(lines[1].removeprefix("extra ")), int(number[1]), [hash_of(line) for line in lines[3:]], note
