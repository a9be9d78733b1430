"""The manifests as pods of podman.

What podman 4.3 doesn't know is replaced by what does the same on one machine, and nothing else is changed:
Deployment, StatefulSet and Job become one Pod each; ConfigMaps, Secrets, claims and empty folders become folders; what
refers to a key gets its value; probes are asked here; a Service is an alias in the network's DNS.
"""

import asyncio
import copy
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.kubernetes import Manifest

READY_SECONDS = 180.0
POD_USER = 65532
# `ports`: podman takes those of containers for ports of this machine.
_LEFT_OUT = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports")


class Failed(Exception):
    """podman said no. The text is what it said."""


def podman(*words: str, give: str = "") -> str:
    """Runs podman, and returns what it prints."""
    done = subprocess.run(["podman", *words], input=give, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Failed(f"podman {' '.join(words[:3])}: {done.stderr.strip()[-1000:]}")
    return done.stdout.strip()


@dataclass
class Pods:
    """Pods in a network of their own. `values` are the ConfigMaps and Secrets: name to key to content."""

    folder: Path
    subnet: str
    values: Mapping[str, Mapping[str, bytes]]
    network: str
    started: list[str] = field(default_factory=list)

    def open(self) -> None:
        podman("network", "create", "--subnet", f"{self.subnet}.0/24", self.network)

    def close(self) -> None:
        """Ends all of it."""
        for name in reversed(self.started):
            subprocess.run(["podman", "pod", "rm", "--force", "--time", "2", name], capture_output=True, check=False)
        subprocess.run(["podman", "network", "rm", "--force", self.network], capture_output=True, check=False)

    def start(self, workload: Manifest, alias: str, *, name: str = "", ip: int = 0, image: str = "") -> str:
        """Starts a workload as one pod, known as `alias`. Returns the pod's name."""
        spec = self._spec(workload, image)
        name = f"{self.network}-{name or workload['metadata']['name']}"
        # Once they have ended: by default podman removes them then, and finds at times that they haven't.
        annotations = {"io.podman.annotations.init.container.type": "always"}
        metadata = {"name": name, "annotations": annotations}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        where = ["--network", f"{self.network}:alias={alias}", *(["--ip", f"{self.subnet}.{ip}"] if ip else [])]
        self.started.append(name)
        podman("play", "kube", *where, "-", give=yaml.safe_dump(pod))
        return name

    def _spec(self, workload: Manifest, image: str) -> dict[str, Any]:
        spec = copy.deepcopy(workload["spec"]["template"]["spec"])
        owner = spec["securityContext"]["runAsUser"]
        claims = {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])}
        volumes = [*spec.pop("volumes", []), *({"name": name, "claim": name} for name in claims)]
        home = workload["metadata"]["name"]
        spec["volumes"] = [
            {"name": volume["name"], "hostPath": {"path": str(self._path(home, volume, owner)), "type": "Directory"}}
            for volume in volumes
        ]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for key in _LEFT_OUT:
                container.pop(key, None)
            # podman takes these from the container only
            for key in ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"):
                container["securityContext"][key] = spec["securityContext"][key]
            if image and container["image"].startswith("localhost/dsr-platform"):
                container["image"] = image
            for entry in container.get("env", []):
                if "valueFrom" in entry:
                    (reference,) = entry.pop("valueFrom").values()
                    entry["value"] = self.values[reference["name"]][reference["key"]].decode()
        # podman starts containers for initialisation, which have ended well, again and again under `Always`.
        spec["restartPolicy"] = "OnFailure"
        for key in ("topologySpreadConstraints", "serviceAccountName", "enableServiceLinks"):
            spec.pop(key, None)
        return dict(spec)

    def _path(self, workload: str, volume: Mapping[str, Any], owner: int) -> Path:
        kind = next(key for key in volume if key != "name")
        if kind in ("configMap", "secret"):
            name = volume[kind].get("name") or volume[kind]["secretName"]
            path = self.folder / "mounted" / f"{name}-{owner}"
            path.mkdir(parents=True, exist_ok=True)
            for key, content in self.values[name].items():
                if not (path / key).exists():
                    (path / key).write_bytes(content)
                    os.chmod(path / key, 0o400)
        elif kind == "persistentVolumeClaim":
            path = self.folder / "claims" / volume[kind]["claimName"]
        else:
            path = self.folder / "claims" / f"{workload}-{volume['name']}"
        path.mkdir(parents=True, exist_ok=True)
        for one in (path, *path.rglob("*")):
            os.chown(one, owner, owner)
        return path

    def address(self, pod: str) -> str:
        """The pod's IP address."""
        infra = podman("pod", "inspect", "--format", "{{.InfraContainerID}}", pod)
        return podman(
            "inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}', infra
        )

    def process(self, pod: str, container: str) -> int:
        """The id of a container's first process, on this machine."""
        return int(podman("inspect", "--format", "{{.State.Pid}}", f"{pod}-{container}"))

    def logs(self) -> str:
        """What every container said."""
        texts = []
        for pod in self.started:
            for container in podman("ps", "--all", "--filter", f"pod={pod}", "--format", "{{.Names}}").split():
                done = subprocess.run(["podman", "logs", container], capture_output=True, text=True, check=False)
                texts.append(f"===== {container}\n{done.stdout}{done.stderr}")
        return "\n".join(texts)

    async def serving(self, pod: str, port: int) -> None:
        """Waits until the pod's health port says that it serves."""
        target = f"{await asyncio.to_thread(self.address, pod)}:{port}"
        async with asyncio.timeout(READY_SECONDS), grpc.aio.insecure_channel(target) as channel:
            check: Any = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    answer = await check.Check(health_pb2.HealthCheckRequest(), timeout=3)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.3)
