"""Network policies allow exactly what is declared here: each side of each edge by itself, and nobody outside but who is
named."""

import copy
from typing import Any

import pytest

from deploy.kubernetes import OVERLAYS, Manifest, render
from tests.unit.deploy.rendered import RIGHTS, containers, labels, matches, of, workloads

Edge = tuple[str, str, str]
"""Whose policy it is, the other side, protocol and port."""

PUBLIC = "0.0.0.0/0 except 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16"
DNS = "kubernetes.io/metadata.name=kube-system / k8s-app=kube-dns"
COLLECTOR = "kubernetes.io/metadata.name=observability / app.kubernetes.io/name=collector"
WORKERS = tuple(f"{right}-worker" for right in RIGHTS)
SERVICES = tuple(f"{name}-{role}" for name in ("governance", *RIGHTS) for role in ("api", "worker"))
GOVERNED = tuple(name for name in SERVICES if not name.startswith("governance"))
PORTS = {"governance-api": 7000, "access-api": 7001, "portability-api": 7002, "erasure-api": 7003}
INSIDE = {
    ("edge", "gateway-api", "TCP/8080"),
    *((caller, called, f"TCP/{port}") for caller in ("edge", "gateway-api") for called, port in PORTS.items()),
    *((caller, "governance-api", "TCP/7000") for caller in GOVERNED),
    *((caller, "connectors", "TCP/7300") for caller in WORKERS),
}
BESIDE = {(caller, "postgres", "TCP/5432") for caller in (*SERVICES, "connectors", "migration")}
"""`dev` has the database in its namespace."""
OUTSIDE = {
    "dev": set(),
    "production": {
        *((caller, "192.0.2.0/28", "TCP/5432") for caller in (*SERVICES, "migration")),
        *((caller, PUBLIC, f"TCP/{port}") for caller in WORKERS for port in (443, 7300)),
        ("governance-worker", PUBLIC, "TCP/443"),
        ("governance-worker", "192.0.2.16/32", "TCP/587"),
        *((caller, COLLECTOR, "TCP/4317") for caller in (*SERVICES, "connectors", "gateway-api")),
        *(("connectors", "198.51.100.0/24", f"TCP/{port}") for port in (443, 3306, 5432)),
    },
}


@pytest.fixture(scope="module", params=OUTSIDE)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def manifests(overlay: str) -> list[Manifest]:
    return rendered(overlay)


def rendered(overlay: str) -> list[Manifest]:
    return render(OVERLAYS / overlay) + (render(OVERLAYS / "production/migration") if overlay == "production" else [])


def allowed(manifests: list[Manifest], direction: str) -> set[Edge]:
    """What the policies allow in one direction, `Egress` or `Ingress`."""
    side, found = {"Egress": "to", "Ingress": "from"}[direction], set()
    for policy in of(manifests, "NetworkPolicy"):
        rules = policy["spec"].get(direction.lower(), [])
        assert not rules or direction in policy["spec"]["policyTypes"], policy["metadata"]["name"]
        subjects = selected(manifests, policy["spec"]["podSelector"])
        for rule in rules:
            # Nothing said is everything allowed.
            others = set().union(*(_peer(manifests, peer) for peer in rule.get(side) or [])) or {"anyone"}
            ports = {_port(port) for port in rule.get("ports") or []} or {"every port"}
            found |= {(subject, other, port) for subject in subjects for other in others for port in ports}
    return found


def selected(manifests: list[Manifest], selector: dict[str, Any]) -> set[str]:
    return {one["metadata"]["name"] for one in workloads(manifests) if matches(selector, labels(one))}


def _peer(manifests: list[Manifest], peer: dict[str, Any]) -> set[str]:
    if "ipBlock" in peer:
        without = ", ".join(sorted(peer["ipBlock"].get("except", [])))
        return {peer["ipBlock"]["cidr"] + (f" except {without}" if without else "")}
    if "namespaceSelector" in peer:
        return {f"{_text(peer['namespaceSelector'])} / {_text(peer.get('podSelector', {}))}"}
    # Pods that aren't ours are selected by an empty selector, too.
    return selected(manifests, peer["podSelector"]) if peer["podSelector"] else {"every pod"}


def _text(selector: dict[str, Any]) -> str:
    assert set(selector) <= {"matchLabels"}
    return ", ".join(f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()) or "all"


def _port(port: dict[str, Any]) -> str:
    last = f"-{port['endPort']}" if "endPort" in port else ""
    return f"{port.get('protocol', 'TCP')}/{port.get('port', 'all')}{last}"


def declared(overlay: str, manifests: list[Manifest]) -> dict[str, set[Edge]]:
    inside = INSIDE | (BESIDE if overlay == "dev" else set())
    names = {(one["metadata"]["name"], DNS, f"{kind}/53") for one in workloads(manifests) for kind in ("TCP", "UDP")}
    # The edge is the door.
    entered = {(called, caller, port) for caller, called, port in inside} | {("edge", "anyone", "TCP/8443")}
    return {"Egress": inside | names | OUTSIDE[overlay], "Ingress": entered}


@pytest.mark.policy("P16", "pods reach whom they are declared to reach, and nobody else")
@pytest.mark.parametrize("direction", ["Egress", "Ingress"])
def test_exactly_the_declared_edges(overlay: str, manifests: list[Manifest], direction: str) -> None:
    assert allowed(manifests, direction) == declared(overlay, manifests)[direction]
    (deny,) = [p for p in of(manifests, "NetworkPolicy") if p["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_who_is_told_an_address_may_go_there(manifests: list[Manifest]) -> None:
    ways = allowed(manifests, "Egress")
    services = {one["metadata"]["name"]: one["spec"]["selector"] for one in of(manifests, "Service")}
    for workload in workloads(manifests):
        for entry in (entry for one in containers(workload) for entry in one.get("env", [])):
            if entry["name"].endswith("_ADDRESS"):
                host, _, port = entry["value"].removeprefix("dns:///").partition(":")
                (called,) = selected(manifests, {"matchLabels": services[host]})
                assert (workload["metadata"]["name"], called, f"TCP/{port}") in ways


def test_metrics_reach_the_collector() -> None:
    manifests = rendered("production")
    settings = next(one["data"] for one in of(manifests, "ConfigMap") if "otlp-endpoint" in one["data"])
    host, _, port = settings["otlp-endpoint"].partition(":")
    name, namespace = host.split(".")
    there = f"kubernetes.io/metadata.name={namespace} / app.kubernetes.io/name={name}"
    told = {
        one["metadata"]["name"]
        for one in workloads(manifests)
        for entry in (entry for container in containers(one) for entry in container.get("env", []))
        if entry["name"] == "DSR_OTLP_ENDPOINT" and entry["valueFrom"]["configMapKeyRef"]["key"] == "otlp-endpoint"
    }
    # Envoy counts for itself, and what runs once tells nobody.
    assert told == {one["metadata"]["name"] for one in workloads(manifests)} - {"edge", "migration"}
    assert {(caller, there, f"TCP/{port}") for caller in told} <= allowed(manifests, "Egress")
    # It is checked by the authority that the processes check each other by.
    (certificate,) = [one["spec"] for one in of(manifests, "Certificate") if host in one["spec"].get("dnsNames", [])]
    assert certificate["issuerRef"]["name"] == "platform"
    assert "uris" not in certificate


@pytest.mark.parametrize(
    ("policy", "direction", "rule"),
    [
        ("access-worker", "Egress", {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}),
        ("governance-worker", "Egress", {"ports": [{"port": 443}]}),
        ("gateway", "Egress", {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "erasure"}}}]}),
        ("names", "Egress", {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}),
        ("erasure-api", "Ingress", {"from": [{"podSelector": {}}], "ports": [{"port": 7003}]}),
        ("erasure-api", "Ingress", {"from": [{"namespaceSelector": {}}], "ports": [{"port": 7003}]}),
        ("erasure-api", "Ingress", {"from": [], "ports": [{"port": 7003}]}),
        ("erasure-worker", "Ingress", {}),
        ("default-deny", "Ingress", {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 7000}]}),
        ("connectors", "Ingress", {"ports": [{"port": 1, "endPort": 65535}]}),
    ],
)
def test_one_rule_too_many_is_noticed(
    overlay: str, manifests: list[Manifest], policy: str, direction: str, rule: dict[str, Any]
) -> None:
    widened = copy.deepcopy(manifests)
    (one,) = [p for p in of(widened, "NetworkPolicy") if p["metadata"]["name"] == policy]
    one["spec"].setdefault(direction.lower(), []).append(rule)
    assert allowed(widened, direction) > declared(overlay, manifests)[direction]
