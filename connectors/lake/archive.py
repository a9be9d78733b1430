"""Notices files that hold other files, by their first bytes. Nothing here opens them: they must not look searched."""

from collections.abc import Iterable, Iterator

from connectors.lake.record import Archive, Unreadable

_HEAD = 512
"""Bytes that tell an archive: a tar's header."""
_MAGIC = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x07\x08",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\xfd7zXZ\x00",
    b"BZh",
    b"\x04\x22\x4d\x18",
    b"\xff\x06\x00\x00sNaPpY",
    b"\x1f\x9d",
    b"\x1f\xa0",
    b"LZIP",
    b"MSCF\x00\x00\x00\x00",
    b"!<arch>\n",
    b"\xc7\x71",
    b"\x60\xea",
)
"""zip, 7z, rar, xz, bzip2, lz4, snappy, compress, lzip, cab, ar, cpio, arj."""
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""gzip, zstd: read once, and not again within."""


def refuse(head: bytes, *, within: bool = False) -> None:
    """Archive if the bytes, from a file's beginning, are an archive's. `within`: they were compressed."""
    if head.startswith(_MAGIC) and not (head.startswith(b"BZh") and head[4:10] != b"1AY&SY"):
        raise Archive("it is an archive, or compressed in a way that isn't read")
    if within and head.startswith(_COMPRESSED):
        raise Archive("it is compressed more than once")
    if _is_tar(head):
        raise Archive("it is a tar archive")


def text(blocks: Iterable[bytes], *, within: bool) -> Iterator[bytes]:
    """The same blocks, once it is clear that they are text. Archive or Unreadable if they aren't."""
    held = b""
    rest = iter(blocks)
    for block in rest:
        held += block
        if len(held) >= _HEAD:
            break
    refuse(held, within=within)
    if b"\x00" in held[:_HEAD]:
        raise Unreadable("it is not text")
    if held:
        yield held
    yield from rest


def _is_tar(head: bytes) -> bool:
    """By the checksum of its first header: old tars have no magic."""
    if len(head) < _HEAD:
        return False
    field = head[148:156].strip(b" \x00")
    if not field or not field.isdigit():
        return False
    header = head[:148] + b" " * 8 + head[156:_HEAD]
    try:
        return sum(header) == int(field, 8)
    except ValueError:
        return False
