"""The tree, its proofs and its notes: what is proved, and that nothing else is."""

import base64
import random
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsr.ledger import (
    Certificate,
    Checkpoint,
    LedgerError,
    SigningKey,
    VerifierKey,
    leaf_hash,
    node_hash,
    root_of_inclusion,
    verify_consistency,
)
from dsr.ledger.certificate import entry, proof
from hypothesis import given
from hypothesis import strategies as st

from services.governance.ledger import tree

KEY = SigningKey("ledger.example/1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ENTRIES = [bytes([n]) * (n % 5) for n in range(70)]
DOCUMENT = b'{\n  "name": "partners/acme/erasureRequests/1"\n}'
SALT = bytes(32)


def naive(entries: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it stands there."""
    if len(entries) == 1:
        return leaf_hash(entries[0])
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    return node_hash(naive(entries[:middle]), naive(entries[middle:]))


def grown(entries: Sequence[bytes]) -> dict[tree.Node, bytes]:
    """The nodes that are kept, one entry after the other."""
    known: dict[tree.Node, bytes] = {}
    for size, one in enumerate(entries):
        assert set(tree.siblings(size)) <= known.keys()
        known |= tree.grown(size, leaf_hash(one), known)
    return known


KNOWN = grown(ENTRIES)


def hashes(spans: Sequence[tree.Range]) -> list[bytes]:
    return [tree.root(span, KNOWN) for span in spans]


@pytest.mark.parametrize("size", range(1, len(ENTRIES) + 1))
def test_every_entry_and_every_earlier_tree_is_proved(size: int) -> None:
    root = tree.root((0, size), KNOWN)
    assert root == naive(ENTRIES[:size])
    for index in range(size):
        path = hashes(tree.inclusion(index, size))
        assert root_of_inclusion(leaf_hash(ENTRIES[index]), index, size, path) == root
    for old in range(1, size + 1):
        verify_consistency(old, naive(ENTRIES[:old]), size, root, hashes(tree.consistency(old, size)))


def test_a_known_tree() -> None:
    """The vectors of the Certificate Transparency project's reference tree of eight entries."""
    known = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    entries = [bytes.fromhex(text) for text in known]
    assert naive(entries).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert tree.root((0, 8), grown(entries)) == naive(entries)


@given(st.integers(1, 70), st.integers(0, 69), st.integers(0, 69), st.data())
def test_no_other_entry_is_proved(size: int, index: int, other: int, data: st.DataObject) -> None:
    index, other = index % size, other % size
    path, root = hashes(tree.inclusion(index, size)), naive(ENTRIES[:size])
    wrong = [(leaf_hash(b"never"), index, size, path), (leaf_hash(ENTRIES[index]), index, size, [*path, bytes(32)])]
    if other != index:
        wrong.append((leaf_hash(ENTRIES[index]), other, size, path))
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        wrong.append((leaf_hash(ENTRIES[index]), index, size, path[:place] + path[place + 1 :]))
    for leaf, number, count, hashed in wrong:
        with suppress(LedgerError):
            assert root_of_inclusion(leaf, number, count, hashed) != root


@given(st.integers(1, 70), st.integers(1, 70))
def test_no_other_history_is_proved(old: int, size: int) -> None:
    old, size = sorted((old, size))
    path, root = hashes(tree.consistency(old, size)), naive(ENTRIES[:size])
    changed = naive([b"changed", *ENTRIES[1:old]])
    for before, after in ((changed, root), (naive(ENTRIES[:old]), changed)):
        if before != after or old != size:
            with pytest.raises(LedgerError):
                verify_consistency(old, before, size, after, path)
    with pytest.raises(LedgerError):
        verify_consistency(old, naive(ENTRIES[:old]), size, root, [*path, bytes(32)])
    with pytest.raises(LedgerError, match="shorter"):
        verify_consistency(size + 1, root, size, root, path)


def test_keys_and_notes_are_as_c2sp_writes_them() -> None:
    """The vector of Go's golang.org/x/mod/sumdb/note, which C2SP signed-note describes."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert str(key) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note = KEY.sign(7, bytes(32))
    assert note.split("\n")[:4] == ["ledger.example/1", "7", base64.b64encode(bytes(32)).decode(), ""]
    assert Checkpoint.verify(note, VerifierKey.parse(str(KEY.verifier))) == Checkpoint(KEY.name, 7, bytes(32))
    # Others may sign beside: they are not looked at.
    assert Checkpoint.verify(note + "— witness.example AAAAAAAA\n", KEY.verifier).size == 7


@pytest.mark.parametrize(
    "text",
    ["", "a+b", "name+00000000+AQ==", "na me+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a+c74f20a3+!"],
)
def test_a_damaged_key_is_refused(text: str) -> None:
    with pytest.raises(LedgerError):
        VerifierKey.parse(text)


def certificate(document: bytes = DOCUMENT, index: int = 4, size: int = 11) -> Certificate:
    entries = list(ENTRIES[:size])
    entries[index] = entry(sha256(document).digest(), SALT)
    known = grown(entries)
    path = [tree.root(span, known) for span in tree.inclusion(index, size)]
    return Certificate(document, proof(SALT, index, path, KEY.sign(size, tree.root((0, size), known))))


def test_a_certificate_says_what_it_proves() -> None:
    found = Certificate.parse(certificate().dump()).verify(KEY.verifier)
    assert found.document == {"name": "partners/acme/erasureRequests/1"}
    assert (found.index, found.size, found.origin) == (4, 11, "ledger.example/1")


def test_another_key_proves_nothing() -> None:
    stranger = SigningKey(KEY.name, Ed25519PrivateKey.generate())
    for key in (stranger.verifier, VerifierKey("ledger.example/2", KEY.verifier.key)):
        with pytest.raises(LedgerError, match="isn't signed by this key"):
            certificate().verify(key)


def test_whatever_is_changed_proves_nothing() -> None:
    """Trial S13: bits, bytes lost and doubled, lines swapped, parts of another certificate; each is told."""
    whole, other = certificate().dump(), certificate(b'{"name": "partners/acme/erasureRequests/2"}', 5).dump()
    chance = random.Random(20261125)
    for _ in range(2_000):
        changed = bytearray(whole)
        place, kind = chance.randrange(len(whole)), chance.randrange(5)
        if kind == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[place : place + chance.randrange(1, 40)]
        elif kind == 2:
            changed[place:place] = whole[place : place + chance.randrange(1, 40)] or b"x"
        elif kind == 3:
            lines = whole.split(b"\n")
            one, two = chance.sample(range(len(lines)), 2)
            lines[one], lines[two] = lines[two], lines[one]
            changed = bytearray(b"\n".join(lines))
        else:
            changed = bytearray(whole[:place] + other[place:])
        if changed in (whole, other):
            continue
        with pytest.raises(LedgerError):
            Certificate.parse(bytes(changed)).verify(KEY.verifier)


def test_what_is_no_certificate_is_told_from_one() -> None:
    for data in (b"", b"{}", DOCUMENT, DOCUMENT + b"\n\nc2sp.org/tlog-proof@v1\n\xff", certificate().proof.encode()):
        with pytest.raises(LedgerError):
            Certificate.parse(data).verify(KEY.verifier)
    with pytest.raises(LedgerError, match="not in JSON"):
        certificate(b"not JSON").verify(KEY.verifier)
    with pytest.raises(LedgerError, match="not an object"):
        certificate(b"[]").verify(KEY.verifier)
