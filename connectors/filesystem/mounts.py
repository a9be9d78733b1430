"""Which file system a folder lies on, and whether it is encrypted on the wire and at rest, as far as Linux tells."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.glusterfs", "lustre", "afs"})
_WIRE_ENCRYPTION = frozenset({"sec=krb5p", "xprtsec=tls", "xprtsec=mtls", "seal", "ms_mode=secure"})
_LOOPBACK = re.compile(r"addr=(127\.|::1$)")


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5)), as far as it matters here."""

    point: str
    kind: str
    options: frozenset[str]

    @property
    def encrypted_in_transit(self) -> bool:
        """Whether nobody between here and the disk can read along. A local file system has no between."""
        return (
            self.kind not in _NETWORK
            or bool(self.options & _WIRE_ENCRYPTION)
            or any(_LOOPBACK.match(option) for option in self.options)
        )


def parse(lines: Iterable[str]) -> list[Mount]:
    """The mounts, in the order in which they were mounted."""
    mounts = []
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) < 6 or len(tail) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        mounts.append(Mount(point, tail[0], frozenset(tail[2].split(",")) | frozenset(fields[5].split(","))))
    return mounts


def find(path: Path, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a path lies on: the longest mount point above it, the latest if there are several."""
    real = os.path.realpath(path)
    best = None
    for mount in mounts:
        below = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        if below and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def of(path: Path) -> Mount | None:
    """The mount that `path` lies on; None where the system doesn't tell (macOS)."""
    table = Path("/proc/self/mountinfo")
    return find(path, parse(table.read_text(errors="surrogateescape").splitlines())) if table.exists() else None


def at_rest(path: Path, declared: bool | None) -> "pb.ProbeResponse.EncryptionAtRest.ValueType":
    """What the operator declared; else yes where the disk is a dm-crypt device; else unknown."""
    if declared is not None:
        return pb.ProbeResponse.ENCRYPTION_AT_REST_YES if declared else pb.ProbeResponse.ENCRYPTION_AT_REST_NO
    device = os.stat(path).st_dev
    uuid = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/dm/uuid")
    if uuid.exists() and uuid.read_text().startswith("CRYPT-"):
        return pb.ProbeResponse.ENCRYPTION_AT_REST_YES
    return pb.ProbeResponse.ENCRYPTION_AT_REST_UNSPECIFIED
