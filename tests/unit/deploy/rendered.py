"""How the tests read rendered manifests."""

from collections.abc import Iterator
from typing import Any

from deploy.kubernetes import Manifest

RIGHTS = ("access", "portability", "erasure")


def of(manifests: list[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] in kinds)


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return list(of(manifests, "Deployment", "StatefulSet", "Job"))


def pod(workload: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Manifest) -> list[dict[str, Any]]:
    return [*pod(workload).get("initContainers", []), *pod(workload)["containers"]]


def labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def matches(selector: dict[str, Any], found: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return selector.get("matchLabels", {}).items() <= found.items() and all(
        found.get(one["key"]) in one["values"] for one in expressions
    )


def ports(workload: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for one in containers(workload) for port in one.get("ports", [])}
