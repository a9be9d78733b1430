"""JSON Lines read in bounded memory, whatever one line holds: records of many gigabytes included.

A line is read whole while it is short. In a longer one, long strings are cut; what is still too long after that is
skipped and counted. Numbers keep the digits they were written with.
"""

import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

LINE_LIMIT = 1 << 20
"""Bytes of a line that are held at most."""
STRING_LIMIT = 64 << 10
"""Bytes of one string that are kept when its line is longer than LINE_LIMIT."""


class Malformed(ValueError):
    """Bytes that are not JSON Lines. The text never quotes them."""


class Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `data` is None when it was too long even with its long strings cut."""

    data: bytes | None
    size: int
    """Bytes as they were sent, without the line's end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A string of which only the beginning was kept."""

    head: str
    size: int
    """Bytes of the whole, as JSON writes it."""


class Token(Enum):
    """What `tokens` tells apart."""

    STRUCTURE = auto()
    STRING = auto()
    TEXT = auto()
    STRING_END = auto()
    LINE_END = auto()


_ESCAPED = re.compile(rb'(?:[^"\\]++|\\u[0-9A-Fa-f]{4}|\\[^u])*+', re.DOTALL)
_LONGEST_ESCAPE = 6


def tokens(chunks: Iterable[bytes]) -> Iterator[tuple[Token, bytes]]:
    """What lies outside strings, and strings in pieces that never end inside an escape sequence.

    Only strings and line ends are told apart: the rest of the grammar is left to the parser.
    """
    in_string, held, open_line = False, b"", False
    for chunk in chunks:
        data, at = held + chunk, 0
        held = b""
        while at < len(data):
            open_line = True
            if not in_string:
                quote, end = data.find(b'"', at), data.find(b"\n", at)
                if end >= 0 and (quote < 0 or end < quote):
                    yield Token.STRUCTURE, data[at:end]
                    yield Token.LINE_END, b""
                    at, open_line = end + 1, False
                elif quote >= 0:
                    yield Token.STRUCTURE, data[at:quote]
                    yield Token.STRING, b""
                    at, in_string = quote + 1, True
                else:
                    yield Token.STRUCTURE, data[at:]
                    at = len(data)
                continue
            stop = _ESCAPED.match(data, at).end()  # type: ignore[union-attr]  # it matches nothing at the least
            if stop > at:
                yield Token.TEXT, data[at:stop]
            if stop < len(data) and data[stop] == ord('"'):
                yield Token.STRING_END, b""
                stop, in_string = stop + 1, False
            elif stop < len(data):
                held = data[stop:]
                if len(held) >= _LONGEST_ESCAPE:
                    raise Malformed("a string with a bad escape sequence")
                break
            at = stop
    if in_string:
        raise Malformed("a string that doesn't end")
    if open_line:
        yield Token.LINE_END, b""


class Lines:
    """The lines of a stream. Iterate once. `mark` ends every string that was cut."""

    def __init__(
        self, chunks: Iterable[bytes], *, line_limit: int = LINE_LIMIT, string_limit: int = STRING_LIMIT
    ) -> None:
        self._chunks = iter(chunks)
        self._line_limit = line_limit
        self._string_limit = string_limit
        # Unguessable, so that no record can claim that a string of its own was cut.
        self.mark = secrets.token_hex(16)

    def __iter__(self) -> Iterator[Line]:
        held = b""
        for chunk in self._chunks:
            *whole, held = (held + chunk).split(b"\n")
            yield from (Line(data, len(data)) for data in whole)
            while len(held) > self._line_limit:
                rest = _Rest(held, self._chunks)
                yield self._shorten(rest)
                *whole, held = rest.after.split(b"\n")
                yield from (Line(data, len(data)) for data in whole)
        if held:
            yield Line(held, len(held))

    def _shorten(self, rest: "_Rest") -> Line:
        kept, total, size = [b""], 0, 0
        text, length = b"", 0
        for kind, piece in tokens(rest):
            size += len(piece)
            match kind:
                case Token.STRING:
                    text, length, size = b"", 0, size + 1
                    piece = b'"'
                case Token.TEXT:
                    length += len(piece)
                    text += piece[: max(0, self._string_limit - len(text))]
                    continue
                case Token.STRING_END:
                    size += 1
                    piece = (text if length == len(text) else self._cut(text, length)) + b'"'
            total += len(piece)
            if total <= self._line_limit:
                kept.append(piece)
        return Line(b"".join(kept) if total <= self._line_limit else None, size)

    def _cut(self, text: bytes, length: int) -> bytes:
        whole = _ESCAPED.match(text).end()  # type: ignore[union-attr]
        return text[:whole].decode(errors="ignore").encode() + f"{self.mark}{length}".encode()

    def parse(self, line: Line) -> dict[str, Any] | None:
        """The record of a line; None when it was too long or nests too deeply. Strings that were cut are `Cut`.

        Raises Malformed for anything but a JSON object.
        """
        if line.data is None:
            return None
        try:
            record = _DECODER.decode(line.data.decode())
        except RecursionError:
            return None
        except ValueError:
            raise Malformed("a line that isn't JSON") from None  # a decoder's error holds the whole document
        if not isinstance(record, dict):
            raise Malformed("a line that isn't a JSON object")
        return self._mark_all(record) if line.size > self._line_limit else record

    def _mark_all(self, record: dict[str, Any]) -> dict[str, Any]:
        return {key.split(self.mark)[0]: self._mark(item) for key, item in record.items()}

    def _mark(self, value: Any) -> Any:
        match value:
            case dict():
                return self._mark_all(value)
            case list():
                return [self._mark(item) for item in value]
            case str() if self.mark in value:
                head, _, size = value.partition(self.mark)
                return Cut(head, int(size))
        return value


class _Rest:
    """The rest of one line: what was read of it, then chunks up to its end. `after` is what follows it."""

    def __init__(self, begun: bytes, chunks: Iterator[bytes]) -> None:
        self._begun = begun
        self._chunks = chunks
        self.after = b""

    def __iter__(self) -> Iterator[bytes]:
        yield self._begun
        for chunk in self._chunks:
            line, end, after = chunk.partition(b"\n")
            yield line
            if end:
                self.after = after
                return


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)


def dumps(value: Any) -> str:
    """JSON of a parsed value, with its numbers as they were written."""
    match value:
        case Number():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case Cut():
            return json.dumps(value.head, ensure_ascii=False)
        case dict():
            return "{" + ",".join(f"{dumps(key)}:{dumps(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",".join(map(dumps, value)) + "]"
    raise TypeError(type(value).__name__)
