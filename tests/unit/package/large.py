"""Builds a package of a part that doesn't fit into memory: `python -m tests.unit.package.large rows access 300`.

Prints the part's bytes, the package's bytes, the MiB by which the process's peak grew while it was built, and seconds.
"""

import hashlib
import resource
import sys
import time
from collections.abc import Callable, Iterator

from dsr.v1.portability_pb2 import PortabilityRequest

from dsrkit.parts import Field, Part
from services.access.package import build as build_access
from services.portability.package import build as build_portability
from tests.unit.package import sample

TABLE = [("id", "integer"), ("name", "string"), ("total", "number"), ("when", "datetime")]
BOTH = [PortabilityRequest.FORMAT_CSV, PortabilityRequest.FORMAT_PARQUET]
ROW = b'{"id": %d, "name": "some text that goes on for a while", "total": 19.90, "when": "2026-01-01T00:00:00Z"}\n'
BASE64 = b"QUJD" * 250_000


def rows(megabytes: int) -> Iterator[bytes]:
    """Many records."""
    block = b"".join(ROW % number for number in range(9_600))
    for _ in range(megabytes):
        yield block


def line(megabytes: int) -> Iterator[bytes]:
    """One record with one very long text."""
    yield b'{"id": 1, "name": "'
    for _ in range(megabytes):
        yield BASE64
    yield b'", "total": 1}\n'


def file(megabytes: int) -> Iterator[bytes]:
    """One file."""
    digest = hashlib.sha256()
    for _ in range(megabytes):
        digest.update(b"ABC" * 250_000)
    size = megabytes * 750_000
    yield b'{"path": "a/large.mp4", "media_type": "video/mp4", "modified_time": null, "size": %d, "content": "' % size
    for _ in range(megabytes):
        yield BASE64
    yield b'", "sha256": "%s"}\n' % digest.hexdigest().encode()


SHAPES: dict[str, Callable[[int], Iterator[bytes]]] = {"rows": rows, "line": line, "file": file}


def main(shape: str, right: str, megabytes: int) -> str:
    """The four figures."""
    make = SHAPES[shape]
    digest, size, records = hashlib.sha256(), 0, 0
    for piece in make(megabytes):
        digest.update(piece)
        size += len(piece)
        records += piece.count(b"\n")
    part = Part(
        source=sample.SHOP,
        collection="t",
        fields=[Field(*field) for field in (sample.FILE_FIELDS if shape == "file" else TABLE)],
        primary_key=["id"],
        withheld_fields=[],
        records=records,
        size=size,
        sha256=digest.digest(),
        open=lambda: make(megabytes),
    )
    maps = [sample.collection_map("t", "Things")]
    report = sample.report([sample.source_report(sample.SHOP, "Shop", sample.DUBLIN, maps)])
    before, started = peak(), time.monotonic()
    package = build_access(report, [part]) if right == "access" else build_portability(report, [part], BOTH)
    total = sum(map(len, package))
    return f"{size} {total} {peak() - before} {time.monotonic() - started:.1f}"


def peak() -> int:
    """The process's peak of resident memory so far, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used // (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1], sys.argv[2], int(sys.argv[3])) + "\n")
