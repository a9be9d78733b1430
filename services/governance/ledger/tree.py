"""The shape of the tree (RFC 9162, section 2.1), as ranges of entries. Pure: hashes are kept by the store.

Kept is the hash of every perfect subtree: (level, number) stands for 2^level entries from number * 2^level on.
So an entry adds two rows on average, and every proof is made of as many as the tree is high.
"""

from collections.abc import Mapping, Sequence

from dsr.ledger import node_hash

Node = tuple[int, int]
Range = tuple[int, int]


def siblings(size: int) -> list[Node]:
    """The left halves of the subtrees that entry number `size` completes, from the leaf upwards."""
    found, level, number = [], 0, size
    while number & 1:
        found.append((level, number - 1))
        level, number = level + 1, number >> 1
    return found


def grown(size: int, leaf: bytes, known: Mapping[Node, bytes]) -> dict[Node, bytes]:
    """The nodes that entry number `size` adds. `known`: the hashes of `siblings(size)`."""
    added, number = {(0, size): leaf}, size
    for level, left in siblings(size):
        number >>= 1
        leaf = node_hash(known[level, left], leaf)
        added[level + 1, number] = leaf
    return added


def perfect(span: Range) -> list[Node]:
    """The perfect subtrees of a range, largest first. Ranges of proofs begin where such a subtree can."""
    begin, end = span
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return found


def root(span: Range, known: Mapping[Node, bytes]) -> bytes:
    """The hash of a range's tree, out of the hashes of its perfect subtrees."""
    *before, last = (known[node] for node in perfect(span))
    for left in reversed(before):
        last = node_hash(left, last)
    return last


def inclusion(index: int, size: int) -> list[Range]:
    """The ranges whose hashes prove that entry `index` is in the tree, from the leaf upwards."""
    path: list[Range] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _left(end - begin)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    return path[::-1]


def consistency(old: int, size: int) -> list[Range]:
    """The ranges whose hashes prove that the tree of `old` entries is how the tree of `size` begins."""
    if old in (0, size):
        return []
    path: list[Range] = []
    begin, end, whole = 0, size, True
    while end != old:
        middle = begin + _left(end - begin)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append((begin, end))
    return path[::-1]


def _left(count: int) -> int:
    """The largest power of two below a number of entries."""
    return 1 << ((count - 1).bit_length() - 1)


def nodes(spans: Sequence[Range]) -> list[Node]:
    """All perfect subtrees of these ranges."""
    return [node for span in spans for node in perfect(span)]
