"""Collections whose records are files: the content in base64 becomes a file of the package again, as a stream."""

import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from dsrkit import filenames
from dsrkit.bag import DENSE, STORED, File
from dsrkit.jsonlines import Lines, Malformed, Number, Token, tokens
from dsrkit.parts import Part, inconsistent, read

CONTENT = "content"
"""The field that holds a file's bytes, in base64."""
_FILE = frozenset({"path", "size", "media_type", "sha256", CONTENT})
_COMPRESSED = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "video/",
    "audio/",
    "application/zip",
    "application/gzip",
)


@dataclass(frozen=True)
class Extracted:
    """One file of a collection: its record without the content, and where its content lies in the package."""

    record: dict[str, Any]
    file: File | None
    """None when the record has no content."""


def holds_files(part: Part) -> bool:
    """Whether a collection's records are files. Connectors of files and of objects all name these fields."""
    return {field.name for field in part.fields} >= _FILE


def extract(part: Part, name: Callable[[str], str]) -> Iterator[Extracted]:
    """The files of a collection, in the order of its records. Write each file before asking for the next.

    `name` makes the file's path in the package from the record's `path`. Raises DsrError SOURCE_INCONSISTENT when a
    content is not base64 or not what the record says of it.
    """
    # Two readers in step: one for what a record says of its file, which may stand behind the content, one for the
    # content itself, which may be larger than memory.
    with closing(read(part)) as first, closing(read(part)) as second:
        lines = Lines(first)
        try:
            for line, content in zip(lines, _contents(second), strict=True):
                record = lines.parse(line)
                if record is None:
                    raise inconsistent(part, "the record of a file is too long")
                had = record.pop(CONTENT, None) is not None
                yield Extracted(record, _file(part, record, content, name) if had else None)
        except Malformed as error:
            raise inconsistent(part, str(error)) from None


def _file(part: Part, record: dict[str, Any], content: Iterator[bytes], name: Callable[[str], str]) -> File:
    path, media_type = record.get("path"), record.get("media_type")
    level = STORED if isinstance(media_type, str) and media_type.startswith(_COMPRESSED) else DENSE
    last = path.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(path, str) else ""
    named = name(filenames.passive(filenames.safe(last)))
    return File(named, _checked(part, record, content), part.size, level)


def _checked(part: Part, record: dict[str, Any], content: Iterator[bytes]) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    try:
        for piece in content:
            digest.update(piece)
            size += len(piece)
            yield piece
    except Malformed as error:
        raise inconsistent(part, str(error)) from None
    said = record.get("sha256")
    if isinstance(said, str) and said != digest.hexdigest():
        raise inconsistent(part, "a file has another SHA-256 than its record says")
    said = record.get("size")
    if isinstance(said, Number) and said != str(size):
        raise inconsistent(part, "a file has another size than its record says")


def _contents(chunks: Iterable[bytes]) -> Iterator[Iterator[bytes]]:
    """For each line the decoded content; whoever takes it need not read it to the end."""
    stream = tokens(chunks)
    depth, key, text, found = 0, b"", b"", False
    for kind, piece in stream:
        match kind:
            case Token.STRUCTURE:
                depth += piece.count(b"{") + piece.count(b"[") - piece.count(b"}") - piece.count(b"]")
                if between := piece.strip():  # space alone may be the rest of what a chunk's end cut
                    key = text if between == b":" and depth == 1 else b""
            case Token.STRING if depth == 1 and not found and _is_content(key):
                found = True
                decoded = _decoded(stream)
                yield decoded
                for _ in decoded:
                    pass
                text = b""
            case Token.STRING:
                text = b""
            case Token.TEXT:
                # Only keys are of interest, and the one that is wanted is short.
                text += piece[:64]
            case Token.LINE_END:
                if not found:
                    yield iter(())
                depth, key, text, found = 0, b"", b"", False


def _is_content(key: bytes) -> bool:
    return key == CONTENT.encode() or (b"\\" in key and json.loads(b'"' + key + b'"') == CONTENT)


def _decoded(stream: Iterator[tuple[Token, bytes]]) -> Iterator[bytes]:
    """Base64 up to the string's end."""
    held, ended = b"", False
    for kind, piece in stream:
        if kind is Token.STRING_END:
            if held:
                raise Malformed("a file's content isn't base64")
            return
        if b"\\" in piece:
            piece = json.loads(b'"' + piece + b'"').encode()
        data = held + piece
        whole = len(data) - len(data) % 4
        held = data[whole:]
        if ended and data:
            raise Malformed("a file's content isn't base64")
        try:
            decoded = binascii.a2b_base64(data[:whole], strict_mode=True)
        except binascii.Error:
            raise Malformed("a file's content isn't base64") from None
        ended = data[:whole].endswith(b"=")
        if decoded:
            yield decoded
