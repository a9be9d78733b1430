"""Merkle trees of RFC 9162, section 2.1, over SHA-256: hashes, and the checks of both proofs."""

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32
MOST_HASHES = 64
"""A proof in a tree of fewer than 2^63 entries has no more."""


class LedgerError(ValueError):
    """What was presented doesn't prove what it should. The text says what is wrong, and never what was presented."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return sha256(b"\1" + left + right).digest()


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a tree of `size` entries has if `leaf` is its entry `index`, from 0 (RFC 9162, 2.1.3.2).

    LedgerError when the path can't be one.
    """
    if not 0 <= index < size or len(path) > MOST_HASHES:
        raise LedgerError("the entry's number is not in the tree")
    number, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise LedgerError("the proof is too long")
        if number & 1 or number == last:
            root = node_hash(sibling, root)
            while number & 1 == 0 and number != 0:
                number, last = number >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        number, last = number >> 1, last >> 1
    if last != 0:
        raise LedgerError("the proof is too short")
    return root


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Returns if the newer tree begins with the older one, entry by entry (RFC 9162, 2.1.4.2). LedgerError."""
    if not 0 <= old_size <= size or len(path) > MOST_HASHES:
        raise LedgerError("the ledger has become shorter")
    if old_size in (0, size):
        if path or (old_size == size and old_root != root):
            raise LedgerError("the ledger was changed")
        return
    hashes = list(path)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise LedgerError("the proof is too short")
    number, last = old_size - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise LedgerError("the proof is too long")
        if number & 1 or number == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while number & 1 == 0 and number != 0:
                number, last = number >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        number, last = number >> 1, last >> 1
    if last != 0 or before != old_root or after != root:
        raise LedgerError("the ledger was changed")
