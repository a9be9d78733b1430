"""Writes a download to a file: resumed where it broke off, checked, and there only when whole."""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsr.v1.request_pb2 import DownloadInfo

Progress = Callable[[int, int], None]
"""Told the bytes received so far and the size of the whole."""
_BEGINNINGS = 5


class Download:
    """One download. `run` may be called again after it failed, and goes on where it was."""

    def __init__(self, open_stream: Callable[[int], Any], to: Path, on_progress: Progress | None) -> None:
        self._open_stream = open_stream
        self._to = to
        self._on_progress = on_progress
        self._info: DownloadInfo | None = None
        self.received = 0
        """Bytes on disk."""

    async def run(self) -> Path:
        """Receives what is missing and returns the file's path. ValueError when the bytes aren't those announced."""
        for _ in range(_BEGINNINGS):
            self._info = info = self._info or await self._about()
            part = self._part(info)
            self.received = part.stat().st_size if part.exists() else 0
            if self.received > info.size_bytes:
                part.unlink()
                self.received = 0
            missing = self.received < info.size_bytes or not part.exists()
            if missing and not await self._receive(part, info):
                part.unlink()
                self._info = None
                continue
            return await asyncio.to_thread(self._finish, part, info)
        raise ValueError("the document changes while it is downloaded; try again")

    async def _about(self) -> DownloadInfo:
        """The first message; what follows it is not read."""
        call = self._open_stream(0)
        try:
            async for item in call:
                if item.WhichOneof("part") == "info":
                    info: DownloadInfo = item.info
                    return info
                break
        finally:
            call.cancel()
        raise ValueError("the platform didn't say what it sends; try again")

    async def _receive(self, part: Path, info: DownloadInfo) -> bool:
        """False when nothing is there yet and the document has become another: a report that goes on being written."""
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            call = self._open_stream(self.received)
            async for item in call:
                if item.WhichOneof("part") == "info":
                    if item.info.etag != info.etag or item.info.offset != self.received:
                        if self.received == 0:
                            call.cancel()
                            return False
                        raise ValueError("the bundle is not the one that was begun; download it anew")
                    continue
                file.write(item.data)
                self.received += len(item.data)
                if self._on_progress is not None:
                    self._on_progress(self.received, info.size_bytes)
            file.flush()
            os.fsync(file.fileno())
        return True

    def _finish(self, part: Path, info: DownloadInfo) -> Path:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if self.received != info.size_bytes or digest != info.sha256:
            part.unlink()
            raise ValueError("what arrived is not what the platform announced (size or SHA-256); download it anew")
        target = self._target(info)
        part.replace(target)
        return target

    def _target(self, info: DownloadInfo) -> Path:
        if not self._to.is_dir():
            return self._to
        # The name comes from elsewhere: nothing in it may lead out of the folder.
        name = re.sub(r"[^A-Za-z0-9._-]", "_", info.filename).lstrip(".") or "download"
        return self._to / name

    def _part(self, info: DownloadInfo) -> Path:
        target = self._target(info)
        tag = hashlib.sha256(f"{info.etag}\0{info.sha256}".encode()).hexdigest()[:12]
        return target.with_name(f".{target.name}.{tag}.part")
