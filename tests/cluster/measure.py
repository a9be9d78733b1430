"""What the pods took: the most memory each process held, beside what its manifest lets it have."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.kubernetes import Manifest
from deploy.local.stage import Stage
from tests.cluster.pods import Pods

_MIB = 2**20


def peak(pid: int) -> int:
    """The most memory that a process held at any time, in bytes (VmHWM, proc(5)); without what its children held."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"/proc/{pid}/status names no VmHWM")
    return int(found[1]) * 1024


def show(stage: Stage, pods: Pods, workloads: Mapping[str, Manifest]) -> None:
    """A table, and the expectation that no process came near its limit."""
    rows = list(_rows(pods, workloads))
    stage.table(["container", "most memory, MiB", "limit, MiB"], rows)
    stage.expect("every process stayed below three quarters of its limit", all(m < 0.75 * top for _, m, top in rows))


def _rows(pods: Pods, workloads: Mapping[str, Manifest]) -> Iterator[tuple[str, int, int]]:
    for name, workload in workloads.items():
        for container in workload["spec"]["template"]["spec"]["containers"]:
            pid = pods.process(f"{pods.network}-{name}", container["name"])
            limit = container["resources"]["limits"]["memory"]
            yield f"{name}/{container['name']}", peak(pid) // _MIB, int(limit.removesuffix("Mi"))
