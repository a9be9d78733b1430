"""Files encrypted with age (C2SP), written and read as streams in bounded memory. Blocking: call from a thread."""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyrage

CHUNK = 256 * 1024


@dataclass(frozen=True)
class Written:
    """What was written: size and SHA-256 of the plaintext and of the ciphertext."""

    plain_bytes: int
    plain_sha256: str
    cipher_bytes: int
    cipher_sha256: str


class SealedWriter:
    """Writes plaintext pieces into an age file. Use as a context manager; `written` is there after it."""

    def __init__(self, path: Path, recipient: pyrage.x25519.Recipient) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: BinaryIO = path.open("wb")
        read_end, write_end = os.pipe()
        self._reader, self._writer = os.fdopen(read_end, "rb"), os.fdopen(write_end, "wb", buffering=0)
        self._plain = hashlib.sha256()
        self._count = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._encrypt, args=(recipient,), daemon=True)
        self._thread.start()
        self.written: Written | None = None

    def _encrypt(self, recipient: pyrage.x25519.Recipient) -> None:
        try:
            pyrage.encrypt_io(self._reader, self._file, [recipient])
        except BaseException as error:
            self._error = error
        finally:
            self._reader.close()

    def write(self, data: bytes) -> None:
        """Appends plaintext."""
        self._plain.update(data)
        self._count += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._writer.fileno(), view) :]

    def close(self) -> Written:
        """Finishes the file, durably."""
        self._writer.close()
        self._thread.join()
        if self._error is not None:
            self._file.close()
            raise OSError("could not write an encrypted file") from self._error
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self._path.open("rb") as file:
            cipher = hashlib.file_digest(file, "sha256").hexdigest()
        size = self._path.stat().st_size
        self.written = Written(self._count, self._plain.hexdigest(), size, cipher)
        return self.written

    def abandon(self) -> None:
        """Gives up and removes the file."""
        if not self._writer.closed:
            self._writer.close()
        self._thread.join()
        self._file.close()
        self._path.unlink(missing_ok=True)


def write_sealed(path: Path, recipient: pyrage.x25519.Recipient, pieces: Iterable[bytes]) -> Written:
    """Writes all `pieces` into an age file at `path`."""
    writer = SealedWriter(path, recipient)
    try:
        for piece in pieces:
            writer.write(piece)
    except BaseException:
        writer.abandon()
        raise
    return writer.close()


def read_sealed(path: Path, identity: pyrage.x25519.Identity, offset: int = 0) -> Iterator[bytes]:
    """The plaintext of an age file from `offset` on, in pieces of at most 256 KiB."""
    source = path.open("rb")  # here and not in the thread: nobody would end a pipe that was never written to
    read_end, write_end = os.pipe()
    errors: list[BaseException] = []

    def decrypt() -> None:
        with source, os.fdopen(write_end, "wb") as sink:
            try:
                pyrage.decrypt_io(source, sink, [identity])
            except BrokenPipeError:
                return  # the reader stopped early, as a range request does
            except BaseException as error:
                errors.append(error)

    thread = threading.Thread(target=decrypt, daemon=True)
    thread.start()
    try:
        with os.fdopen(read_end, "rb") as plain:
            skipped = 0
            while skipped < offset:
                piece = plain.read(min(CHUNK, offset - skipped))
                if not piece:
                    break
                skipped += len(piece)
            while piece := plain.read(CHUNK):
                yield piece
    finally:
        thread.join()
    if errors:
        raise OSError("an encrypted file could not be read") from errors[0]
