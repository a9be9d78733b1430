"""Cuts a stream into blocks of whole records, bounded however long one record is."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

LONGEST = 16 << 20
"""Bytes of one record that are held at most. A longer one is passed on in pieces, unread."""

End = Callable[[bytes], int]
"""Where the last whole record of some bytes ends; 0 if none does. The bytes begin with a record."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records, or (`piece`) a part of one that is too long to hold."""

    data: bytes
    piece: bool = False


def last_line(data: bytes) -> int:
    """End of the last line, its line feed included."""
    return data.rfind(b"\n") + 1


def cut(chunks: Iterable[bytes], end: End = last_line) -> Iterator[Block]:
    """The blocks, in order. Joined they are the stream, byte by byte."""
    held, long = b"", False
    for chunk in chunks:
        if long:
            # The rest of a record that was too long: up to its line's end.
            stop = chunk.find(b"\n") + 1
            if not stop:
                yield Block(chunk, piece=True)
                continue
            yield Block(chunk[:stop], piece=True)
            chunk, long = chunk[stop:], False
        held += chunk
        stop = end(held)
        if stop:
            yield Block(held[:stop])
            held = held[stop:]
        elif len(held) > LONGEST:
            yield Block(held, piece=True)
            held, long = b"", True
    if held:
        yield Block(held)
