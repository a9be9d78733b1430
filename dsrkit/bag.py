"""A zip archive that is a BagIt bag (RFC 8493), written as a stream.

`write` takes files one after the other and yields the archive's bytes. A file's totals are known once it has been
written, that is, when the generator that yielded it is resumed: so a generator may describe at its end what it
yielded before. Payload lies below `data/`; what else lies in the bag is a tag file.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from stream_zip import ZIP_AUTO, MemberFile, stream_zip

PIECE = 256 * 1024
UNKNOWN_SIZE = 1 << 62
"""Size of a file that is made while it is written. Such a member is written as ZIP64."""
STORED, FAST, DENSE = 0, 1, 6
"""Deflate levels: for what is compressed already, for what hardly compresses, for text."""

# Readable by the owner only: what is in here is about one person.
_MODE = 0o100600


@dataclass
class File:
    """One file of a bag. `size`, `sha256` and `sha512` are set when it has been written."""

    path: str
    """Within the bag, `/` between its parts. Make it with `Names`."""
    chunks: Iterable[bytes]
    bound: int = UNKNOWN_SIZE
    """Its size in bytes, or more than that."""
    level: int = DENSE
    size: int = field(default=0, init=False)
    sha256: bytes = field(default=b"", init=False)
    sha512: bytes = field(default=b"", init=False)

    @classmethod
    def of(cls, path: str, text: str | bytes) -> "File":
        """A small file whose content is at hand."""
        data = text.encode() if isinstance(text, str) else text
        return cls(path, [data], len(data))

    def read(self) -> Generator[bytes]:
        """The content, once. Sets the totals at its end, and closes `chunks` however it ends."""
        sha256, sha512, size = hashlib.sha256(), hashlib.sha512(), 0
        try:
            for chunk in self.chunks:
                size += len(chunk)
                sha256.update(chunk)
                sha512.update(chunk)
                yield chunk
        finally:
            if isinstance(self.chunks, Generator):
                self.chunks.close()
        self.size, self.sha256, self.sha512 = size, sha256.digest(), sha512.digest()


def write(
    base: str, time: datetime, info: Mapping[str, str], payload: Iterable[File], tags: Iterable[File]
) -> Iterator[bytes]:
    """The archive's bytes.

    `base` is the one folder in the archive (RFC 8493, 4.1). `info` goes into bag-info.txt. `tags` is iterated after
    the whole payload has been written. `time` is the time of every file. An error of an iterable passes through, and
    what was yielded before it is no archive.
    """
    moment = time.astimezone(UTC)
    files = _files(info, moment, payload, tags)
    reading: Generator[bytes] | None = None

    def members() -> Iterator[MemberFile]:
        nonlocal reading
        for file in files:
            reading = file.read()
            yield f"{base}/{file.path}", moment, _MODE, ZIP_AUTO(file.bound, level=file.level), reading

    try:
        yield from stream_zip(members(), chunk_size=PIECE)
    finally:
        # The library's generators refer to each other, so that an abandoned archive would hold its sources open until
        # the garbage is collected.
        if reading is not None:
            reading.close()
        files.close()


def _files(info: Mapping[str, str], time: datetime, payload: Iterable[File], tags: Iterable[File]) -> Generator[File]:
    listed: list[_Entry] = []
    octets = 0
    for file in payload:
        yield file
        listed.append(_Entry(file.path, file.sha256, file.sha512))
        octets += file.size

    def tag_files() -> Iterator[File]:
        yield from tags
        yield File.of("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        facts = {**info, "Bagging-Date": time.date().isoformat(), "Payload-Oxum": f"{octets}.{len(listed)}"}
        yield File.of("bag-info.txt", "".join(f"{key}: {_one_line(text)}\n" for key, text in facts.items()))
        yield from _manifests("manifest", listed)

    tagged: list[_Entry] = []
    for file in tag_files():
        yield file
        tagged.append(_Entry(file.path, file.sha256, file.sha512))
    yield from _manifests("tagmanifest", tagged)


class _Entry(NamedTuple):
    path: str
    sha256: bytes
    sha512: bytes


def _manifests(name: str, entries: list[_Entry]) -> Iterator[File]:
    yield File(f"{name}-sha256.txt", (f"{e.sha256.hex()}  {e.path}\n".encode() for e in entries))
    yield File(f"{name}-sha512.txt", (f"{e.sha512.hex()}  {e.path}\n".encode() for e in entries))


def _one_line(text: str) -> str:
    return " ".join(text.split())
