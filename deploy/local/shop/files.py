"""The shop's folder of files, by customer number: avatars, letters and invoices. The same on every machine."""

import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

KNOWN = ("C-104217", "C-1042170", "C-104219", "C-10421", "C-204001", "C-204002", "C-204003", "C-204004")
"""Customer numbers of the people in sql/known.sql; one is the beginning of another. c-104217 has no files: not every
file system tells it from C-104217."""

CROWD = tuple(f"C-{100000 + 3 * number}" for number in range(1, 20480, 97))


def create_files(root: Path, customers: Iterable[str] = (*KNOWN, *CROWD)) -> int:
    """Fills an empty folder; returns the number of files."""
    count = 0
    for number in customers:
        for path, content in _files_of(number):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            count += 1
    (root / "assets").mkdir(parents=True, exist_ok=True)
    (root / "assets" / "logo.png").write_bytes(png(b"acme"))
    return count + 1


def checksum(root: Path, without: str = "") -> dict[str, str]:
    """SHA-256 of every file by its path, but for those of one customer number."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        parts = path.relative_to(root).parts
        if without not in (parts[1], Path(parts[1]).stem):
            found["/".join(parts)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _files_of(number: str) -> list[tuple[str, bytes]]:
    seed = hashlib.sha256(number.encode()).digest()
    return [
        (f"avatars/{number}.png", png(seed)),
        (f"letters/{number}/2022/welcome.txt", f"Welcome to Acme, customer {number}.\n".encode()),
        (f"letters/{number}/2024/returns/label.pdf", pdf(f"Return label for {number}")),
        (f"invoices/{number}/2024-03.pdf", pdf(f"Invoice to customer {number}, March 2024")),
        (f"invoices/{number}/2025-01.pdf", pdf(f"Invoice to customer {number}, January 2025")),
    ]


def png(seed: bytes, side: int = 32) -> bytes:
    """A picture of stripes in colours drawn from the seed."""
    rows = b"".join(b"\0" + bytes(seed[(y // 8 + x // 8) % len(seed)] for x in range(side)) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def pdf(text: str) -> bytes:
    """A page with one line."""
    stream = f"BT /F1 14 Tf 72 760 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    out, offsets = b"%PDF-1.4\n", []
    for index, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (index, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        table,
        len(objects) + 1,
        len(out),
    )
