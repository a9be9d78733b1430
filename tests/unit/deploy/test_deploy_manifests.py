"""The manifests: valid, consistent with each other, with the processes' configuration and with the edge's; no more is
allowed than is declared. Rendered here; where there is kubectl, the same as kubectl renders."""

import dataclasses
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.config import HostConfig, load
from deploy.edge import configuration
from deploy.kubernetes import OVERLAYS, Manifest, render
from dsrkit.requests.runtime import Config as RightConfig
from gateway.config import Config as GatewayConfig
from services.governance.config import Config as GovernanceConfig
from tests.cluster.world import World
from tests.unit.deploy.rendered import RIGHTS, containers, labels, matches, of, pod, ports, workloads

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import kubernetes_validate  # type: ignore[import-untyped]

NAMES = ("dev", "production", "production/migration")
CONFIGS: dict[str, Any] = {
    **{f"services.{name}": RightConfig for name in RIGHTS},
    "services.governance": GovernanceConfig,
    "gateway": GatewayConfig,
    "connectors": HostConfig,
}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=NAMES)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(OVERLAYS / request.param)


@pytest.fixture(scope="module")
def dev() -> list[Manifest]:
    return render(OVERLAYS / "dev")


@pytest.mark.long
def test_they_are_valid(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if not manifest["apiVersion"].startswith("cert-manager.io/"):
            kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl to compare with")
@pytest.mark.parametrize("overlay", NAMES)
def test_they_are_what_kubectl_renders(overlay: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", str(OVERLAYS / overlay)], capture_output=True, check=True)
    theirs = {(m["kind"], m["metadata"]["name"]): m for m in yaml.safe_load_all(done.stdout)}
    assert {(m["kind"], m["metadata"]["name"]): m for m in render(OVERLAYS / overlay)} == theirs


def test_what_selects_finds(manifests: list[Manifest]) -> None:
    found = workloads(manifests)
    for workload in of(manifests, "Deployment", "StatefulSet"):
        assert matches(workload["spec"]["selector"], labels(workload)), workload["metadata"]["name"]
        for spread in pod(workload).get("topologySpreadConstraints", []):
            assert matches(spread["labelSelector"], labels(workload))
        accounts = {account["metadata"]["name"] for account in of(manifests, "ServiceAccount")}
        assert pod(workload)["serviceAccountName"] in accounts
    for budget in of(manifests, "PodDisruptionBudget"):
        chosen = [w for w in found if matches(budget["spec"]["selector"], labels(w))]
        assert [w["metadata"]["name"] for w in chosen] == [budget["metadata"]["name"]]
    for scaler in of(manifests, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in {w["metadata"]["name"] for w in of(manifests, "Deployment")}
    for service in of(manifests, "Service"):
        (workload,) = [w for w in found if service["spec"]["selector"].items() <= labels(w).items()]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports(workload), service["metadata"]["name"]
    if any(manifest["kind"] == "NetworkPolicy" for manifest in manifests):
        for policy in of(manifests, "NetworkPolicy"):
            assert any(matches(policy["spec"]["podSelector"], labels(w)) for w in found), policy["metadata"]["name"]


def test_every_volume_that_is_mounted_is_there(manifests: list[Manifest]) -> None:
    claims = {claim["metadata"]["name"] for claim in of(manifests, "PersistentVolumeClaim")}
    for workload in workloads(manifests):
        volumes = {volume["name"]: volume for volume in pod(workload).get("volumes", [])}
        volumes |= {one["metadata"]["name"]: {} for one in workload["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for one in containers(workload) for mount in one.get("volumeMounts", [])}
        assert mounted == set(volumes), workload["metadata"]["name"]
        for volume in volumes.values():
            assert "hostPath" not in volume
            assert volume.get("persistentVolumeClaim", {}).get("claimName", None) in claims | {None}


@pytest.mark.policy(
    "P16", "pods run restricted: no root, no privilege, no token, a root file system that can't be written"
)
def test_pods_are_restricted(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        spec, name = pod(workload), workload["metadata"]["name"]
        assert spec["automountServiceAccountToken"] is False, name
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            # Else the node promises memory that it doesn't have. Postgres here is for development.
            resources = container["resources"]
            assert resources["limits"]["memory"] == resources["requests"]["memory"] or name == "postgres", name
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]
    for account in of(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for namespace in of(manifests, "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def referred_to(workload: Manifest) -> set[str]:
    """The ConfigMaps and Secrets that a workload's pods need."""
    environment = [entry for one in containers(workload) for entry in one.get("env", [])]
    volumes = pod(workload).get("volumes", [])
    return {
        *(v["secret"]["secretName"] for v in volumes if "secret" in v),
        *(e["valueFrom"]["secretKeyRef"]["name"] for e in environment if "secretKeyRef" in e.get("valueFrom", {})),
        *(v["configMap"]["name"] for v in volumes if "configMap" in v),
    }


def test_the_trial_brings_all_that_the_overlay_names(dev: list[Manifest], tmp_path: Path) -> None:
    world = World(tmp_path, "127.0.0.1", "127.0.0.2")
    world.make()
    values = world.values()
    own = {one["metadata"]["name"] for one in of(dev, "ConfigMap")}
    assert set().union(*(referred_to(one) for one in workloads(dev))) - own == set(values)
    sources = tmp_path / "served.yaml"
    sources.write_bytes(values["connectors-sources"]["sources.yaml"])
    assert len(load(sources).sources) == 3


@pytest.mark.policy("P16", "manifests hold no secret, they name them")
def test_secrets_are_named_and_documented(manifests: list[Manifest]) -> None:
    assert not list(of(manifests, "Secret"))
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    certificates = {one["spec"]["secretName"] for one in of(manifests, "Certificate")}
    own = {one["metadata"]["name"] for one in of(manifests, "ConfigMap")}
    for workload in workloads(manifests):
        environment = [entry for one in containers(workload) for entry in one.get("env", [])]
        for entry in environment:
            secret = any(word in entry["name"] for word in ("PASSWORD", "DATABASE_URL", "TOKEN"))
            assert "value" not in entry or not secret, entry
        named = referred_to(workload) - own
        for name in named:
            assert f"`{name}`" in text, f"docs/kubernetes.md doesn't say how {name} is made"
            assert not certificates or not name.endswith("-tls") or name in certificates


def settings(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def test_every_variable_is_known_and_every_needed_one_is_given(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        for container in containers(workload):
            config = CONFIGS.get(container.get("args", ["", ""])[1])
            given = {name for name in settings(container) if name.startswith("DSR_")}
            if config is None:
                assert not given
                continue
            fields = {f"DSR_{field.name.upper()}": field for field in dataclasses.fields(config)}
            assert given <= set(fields), workload["metadata"]["name"]
            needed = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
            assert needed - {"DSR_SMTP_PASSWORD"} <= given, workload["metadata"]["name"]
            assert settings(container)["DSR_TLS_CERTIFICATE"]


def test_ports_probes_and_addresses_agree(manifests: list[Manifest]) -> None:
    services = {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in of(manifests, "Service")}
    for workload in of(manifests, "Deployment", "StatefulSet"):
        found = ports(workload)
        container = next(one for one in pod(workload)["containers"] if "ports" in one)
        values = settings(container)
        for name, port in (("DSR_LISTEN", "service"), ("DSR_HEALTH_LISTEN", "health")):
            assert values.get(name) in (None, f"0.0.0.0:{found.get(port)}"), workload["metadata"]["name"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            (how,) = [
                container[probe][kind] for kind in ("grpc", "httpGet", "tcpSocket", "exec") if kind in container[probe]
            ]
            assert "command" in how or how["port"] in (*found, found.get("health"))
        for name, value in values.items():
            if name.endswith("_ADDRESS"):
                host, _, number = value.removeprefix("dns:///").partition(":")
                assert services[host] == int(number), (workload["metadata"]["name"], name)
        drain = float(values.get("DSR_DRAIN_NOTICE_SECONDS", 0))
        assert pod(workload).get("terminationGracePeriodSeconds", 30) >= drain + 25 or not drain


def test_the_edge_agrees_with_its_configuration(dev: list[Manifest]) -> None:
    resources = configuration()["static_resources"]
    listeners = {one["name"]: one["address"]["socket_address"]["port_value"] for one in resources["listeners"]}
    (edge,) = [w for w in workloads(dev) if w["metadata"]["name"] == "edge"]
    assert ports(edge) == {"service": listeners["public"], "health": listeners["health"]}
    services = {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in of(dev, "Service")}
    for cluster in resources["clusters"]:
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        assert services[address["address"]] == address["port_value"]


def test_certificates_say_who_each_process_is() -> None:
    manifests = render(OVERLAYS / "production")
    issued = {one["spec"]["secretName"]: one["spec"] for one in of(manifests, "Certificate")}
    for workload in of(manifests, "Deployment", "StatefulSet"):
        name = workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        certificate = issued[f"{name}-tls"]
        assert certificate["uris"] == [f"urn:dsr:service:{name}"]
        assert certificate["dnsNames"] == [name]
        assert certificate["issuerRef"]["name"] == "platform"


def examples() -> list[Any]:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def test_the_example_of_an_authority_reaches_every_service(tmp_path: Path) -> None:
    (example,) = [one for one in examples() if "patches" in one]
    (tmp_path / "rds.pem").write_text("PEM")
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": [str(OVERLAYS / "production")], **example})
    )
    made = render(tmp_path)
    (authority,) = [m["metadata"]["name"] for m in of(made, "ConfigMap") if "rds.pem" in m["data"]]
    reached = set()
    for workload in of(made, "Deployment"):
        volumes = [v for v in pod(workload)["volumes"] if v.get("configMap", {}).get("name") == authority]
        mounts = [m for m in containers(workload)[0]["volumeMounts"] if m["name"] in {v["name"] for v in volumes}]
        reached |= {workload["metadata"]["name"] for mount in mounts if mount["mountPath"] == "/etc/dsr/database"}
    assert reached == {f"{name}-{role}" for name in (*RIGHTS, "governance") for role in ("api", "worker")}


def test_the_example_of_a_class_is_one_that_production_names() -> None:
    (example,) = [one for one in examples() if one.get("kind") == "StorageClass"]
    claims = of(render(OVERLAYS / "production"), "PersistentVolumeClaim")
    assert example["metadata"]["name"] in {claim["spec"].get("storageClassName") for claim in claims}


def test_the_three_rights_are_alike() -> None:
    base = OVERLAYS.parent / "base"
    texts = {name: (base / f"{name}.yaml").read_text() for name in RIGHTS}
    ports_of = {"access": ("7001", "8001"), "portability": ("7002", "8002"), "erasure": ("7003", "8003")}
    plain = set()
    for name, text in texts.items():
        for number, word in zip(ports_of[name], ("PORT", "HEALTH"), strict=True):
            text = text.replace(number, word)
        plain.add(text.replace(name, "RIGHT").replace("RIGHTModes", "accessModes"))
    assert len(plain) == 1
