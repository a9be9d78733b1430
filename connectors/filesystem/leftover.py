"""The file beside a lake file while that is written anew: what a kill leaves of it is recognised by its name.

`.<name>.dsr-<inode>-<time>-<size>` says what is being replaced. If the file itself is that one, it was exchanged with
its successor and is history; else it is a copy that was never finished.
"""

import os
import re
from dataclasses import dataclass

_NAME = re.compile(r"\.(?P<name>.+)\.dsr-(?P<inode>[0-9a-f]+)-(?P<time>-?[0-9a-f]+)-(?P<size>[0-9a-f]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Leftover:
    """What the name of such a file says."""

    name: str
    """Of the lake file."""
    inode: int
    mtime_ns: int
    size: int

    def is_history(self, status: os.stat_result) -> bool:
        """Whether the file is the one that was replaced, rather than a copy without the records."""
        return status.st_ino == self.inode

    def is_untouched(self, status: os.stat_result) -> bool:
        """Whether nobody wrote to it since it was read."""
        return (status.st_ino, status.st_mtime_ns, status.st_size) == (self.inode, self.mtime_ns, self.size)


def write(name: str, status: os.stat_result) -> str:
    """The name beside a file that is to be replaced."""
    return f".{name}.dsr-{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def read(name: str) -> Leftover | None:
    """What a name says; None if it is another file's."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Leftover(found["name"], int(found["inode"], 16), int(found["time"], 16), int(found["size"], 16))
