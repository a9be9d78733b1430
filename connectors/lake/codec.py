"""Compression of line formats, told by an object's first bytes and kept when it is written anew."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from connectors.lake.record import Sink, Source, Unreadable

Codec = Literal["none", "gzip", "zstd"]

_MAGIC: dict[bytes, Codec] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BLOCK = 1 << 20
_gzip_file = cast(Callable[..., Any], igzip.IGzipFile)
_isal_error = cast(type[Exception], isal_zlib.error)


def detect(source: Source) -> Codec:
    """The codec, by the first bytes; `source` is at its beginning again afterwards."""
    head = source.read(4)
    source.seek(0)
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), "none")


def blocks(source: Source, codec: Codec) -> Iterator[bytes]:
    """The content, in pieces of up to 1 MiB. Unreadable if it is damaged: half is never taken for all."""
    try:
        match codec:
            case "none":
                stream: Any = source
            case "gzip":
                stream = _gzip_file(fileobj=source, mode="rb")
            case "zstd":
                stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
        while block := stream.read(_BLOCK):
            yield bytes(block)
    except (EOFError, zlib.error, _isal_error, gzip.BadGzipFile):
        raise Unreadable("its compression is damaged") from None
    except OSError as error:
        # pyarrow says so of damage; an error of the file below has an errno.
        if error.errno is not None:
            raise
        raise Unreadable("its compression is damaged") from None


@contextmanager
def writer(sink: Sink, codec: Codec) -> Iterator[Sink]:
    """Compresses into `sink`. What was written is complete when the context ends without an exception."""
    if codec == "none":
        yield sink
        return
    raw = _Raw(sink)
    if codec == "gzip":
        # No name and no time in the header: the same content gives the same bytes.
        stream: Any = _gzip_file(filename="", fileobj=raw, mode="wb", compresslevel=2, mtime=0)
    else:
        stream = pa.CompressedOutputStream(pa.PythonFile(raw, mode="w"), "zstd")
    try:
        yield stream.write
    except BaseException:
        raw.discard()
        raise
    finally:
        stream.close()


class _Raw(io.RawIOBase):
    """A file that only a compressor writes to."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink: Sink | None = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._sink is not None:
            self._sink(bytes(data))
        return len(data)

    def discard(self) -> None:
        """Forgets what follows: the object is not going to be complete."""
        self._sink = None
