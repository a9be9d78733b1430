"""Folders for the data of servers that tests start."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOM = 2 << 30


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder in memory if there is room: such servers wait for disks. It outlives killed processes there, too."""
    memory = Path("/dev/shm")  # noqa: S108 - below it a folder of the test's own
    place = memory if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as name:
        folder = Path(name)
        folder.chmod(0o755)  # for root PostgreSQL runs as nobody, who must reach its data
        yield folder
