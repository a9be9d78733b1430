"""`make deploy-test`: starts the dev overlay by podman, tells the story of `make run` through the edge over mutual TLS,
kills a worker in the middle, replaces a service under load without a failed request, and takes everything down.

Needs podman as root and the images of `make images`; POSTGRES_IMAGE names another PostgreSQL than the overlay's.
"""

import asyncio
import os
import secrets
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import jwt
from dsr.client import connect
from dsr.credentials import Credential
from dsr.v1 import access_pb2
from rich.console import Console

from deploy.kubernetes import OVERLAYS, Manifest, render
from deploy.local.api import Actor, Api, ApiError, Event
from deploy.local.shop.database import CONNECTOR_ROLE, create_connector_role, fill
from deploy.local.shop.files import create_files
from deploy.local.shop.setting import Setting
from deploy.local.shop.sources import PARTNER as ACME
from deploy.local.shop.witness import Witness
from deploy.local.stage import Stage
from deploy.local.story import HERO, Story
from tests.cluster import measure
from tests.cluster.pods import POD_USER, Failed, Pods, podman
from tests.cluster.world import OPERATOR, PARTNER, SANDBOX, World

_EDGE, _DATABASE = 200, 201  # beyond those that are given out in turn


class ByIssuer(httpx.AsyncBaseTransport):
    """One client for several people: who a token is from decides whose certificate is shown."""

    def __init__(self, world: World) -> None:
        self._ways = {}
        for issuer in (OPERATOR, PARTNER, SANDBOX):
            context = ssl.create_default_context(cafile=str(world.authority))
            files = world.certificate(issuer)
            context.load_cert_chain(files.certificate, files.key)
            self._ways[issuer] = httpx.AsyncHTTPTransport(verify=context)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        issuer = jwt.decode(token, options={"verify_signature": False})["iss"]
        return await self._ways[issuer].handle_async_request(request)

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.aclose()


@dataclass(frozen=True)
class OwnFiles:
    """The pods' folders without what they were given to serve: the shop's database and files."""

    root: Path

    def rglob(self, pattern: str) -> Iterator[Path]:
        return (path for path in self.root.rglob(pattern) if not {"postgres-data", "shop-files"} & set(path.parts))


@dataclass
class Cluster:
    """The running pods, as the story asks for a platform."""

    world: World
    pods: Pods
    cluster: Any = field(default_factory=lambda: SimpleNamespace(home=Path("/nonexistent")))

    @property
    def folder(self) -> "OwnFiles":
        return OwnFiles(self.pods.folder / "claims")

    @property
    def logs(self) -> Path:
        """What every container has said until now, in a folder."""
        folder = self.world.folder / "logs"
        folder.mkdir(exist_ok=True)
        (folder / "all.log").write_text(self.pods.logs())
        return folder

    def credential(self, name: str) -> Path:
        return self.world.credential(name)

    @property
    def ledger_key(self) -> Path:
        return self.world.folder / "ledger.vkey"

    def address(self, _: str) -> str:
        return "connectors:7300"


@dataclass
class KillingStage(Stage):
    """A stage on which a worker dies, once, in the middle of an erasure."""

    kill: Any = None

    async def follow(self, events: AsyncIterator[Event], until: frozenset[str]) -> Event:
        async def watched() -> AsyncIterator[Event]:
            async for event in events:
                if event.state in ("ERASING", "VERIFYING") and self.kill is not None:
                    kill, self.kill = self.kill, None
                    self.say(await asyncio.to_thread(kill))
                yield event

        return await super().follow(watched(), until)


def alias_of(manifests: list[Manifest], workload: Manifest) -> str:
    """The Service that selects a workload's pods; its own name when there is none."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    found = [m for m in manifests if m["kind"] == "Service" and m["spec"]["selector"].items() <= labels.items()]
    return str(found[0]["metadata"]["name"] if found else workload["metadata"]["name"])


def health_port(workload: Manifest) -> int:
    ports = [port for one in workload["spec"]["template"]["spec"]["containers"] for port in one.get("ports", [])]
    return int(next(port["containerPort"] for port in ports if port["name"] == "health"))


@asynccontextmanager
async def start(folder: Path, stage: Stage) -> AsyncIterator[tuple[Cluster, dict[str, Manifest], Setting]]:
    """The overlay, in the order that docs/kubernetes.md gives: database, migration, and the rest."""
    subnet = f"10.89.{100 + secrets.randbelow(100)}"
    world = World(folder, f"{subnet}.{_EDGE}", f"{subnet}.{_DATABASE}")
    world.make()
    manifests = render(OVERLAYS / "dev")
    values = world.values()
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            values[manifest["metadata"]["name"]] = {key: text.encode() for key, text in manifest["data"].items()}
    kinds = ("Deployment", "StatefulSet", "Job")
    workloads = {m["metadata"]["name"]: m for m in manifests if m["kind"] in kinds}
    image = os.environ.get("POSTGRES_IMAGE")
    if image:
        workloads["postgres"]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    pods = Pods(folder / "pods", subnet, values, f"dsr-{secrets.token_hex(3)}")
    try:
        pods.open()
        with stage.chapter("The dev overlay, by podman") as chapter:
            with stage.doing("PostgreSQL, over TLS"):
                pods.start(workloads.pop("postgres"), "postgres", ip=_DATABASE)
                await _answers(world.owner("dsr"))
            with stage.doing("the migration"):
                job = pods.start(workloads.pop("migration"), "migration")
                code = await asyncio.to_thread(podman, "wait", f"{job}-migration")
                stage.expect("the migration ended well", code == "0")
            with stage.doing(f"{len(workloads)} workloads, until each says it serves, and a shop with everybody in it"):
                shop = asyncio.create_task(_shop(world, pods.folder / "claims" / "connectors-state"))
                names = {name: await _start(pods, manifests, one) for name, one in workloads.items()}
                await asyncio.gather(
                    *(pods.serving(names[n], health_port(w)) for n, w in workloads.items() if n != "edge")
                )
                setting = await shop
            chapter.outcome = ", ".join(names)
        yield Cluster(world, pods), workloads, setting
    except BaseException:
        stage.console.print(pods.logs()[-6000:], soft_wrap=True, markup=False)
        raise
    finally:
        pods.close()


async def _start(pods: Pods, manifests: list[Manifest], workload: Manifest) -> str:
    edge = workload["metadata"]["name"] == "edge"
    return await asyncio.to_thread(pods.start, workload, alias_of(manifests, workload), ip=_EDGE if edge else 0)


async def _answers(dsn: str) -> None:
    async with asyncio.timeout(90):
        while True:
            try:
                connection = await asyncpg.connect(dsn, timeout=5)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.3)
                continue
            await connection.close()
            return


async def _shop(world: World, state: Path) -> Setting:
    connection = await asyncpg.connect(world.owner("dsr"))
    await connection.execute("CREATE DATABASE shop")
    await connection.close()
    await fill(world.owner("shop"))
    await create_connector_role(world.owner("shop"), world.passwords[CONNECTOR_ROLE])
    files = state / "shop-files"
    count = create_files(files)
    for path in (files, *files.rglob("*")):
        os.chown(path, POD_USER, POD_USER)
    return Setting(world.owner("shop"), files, count, {})


async def replaced_under_load(cluster: Cluster, workload: Manifest, stage: Stage, api: Api) -> None:
    """One service's pod gives way to one of a new image, while calls go on over both ways."""
    old = f"{cluster.pods.network}-access-api"
    image = "localhost/dsr-platform:next"
    podman("tag", workload["spec"]["template"]["spec"]["containers"][0]["image"], image)
    clerk = Actor(Credential.load(cluster.credential("acme")), "clerk-7", ("ROLE_READER",))
    done, failed, stop, tick = [0, 0], [], asyncio.Event(), asyncio.Event()
    files = cluster.world.certificate(PARTNER)
    pair = (files.certificate.read_bytes(), files.key.read_bytes())
    root = cluster.world.authority.read_bytes()

    async def over_http() -> None:
        while not stop.is_set():
            answer = await api.client.get(f"/v1/{ACME}/accessRequests", headers=clerk.headers())
            done[0] += 1
            tick.set()
            if answer.status_code != 200:
                failed.append(f"HTTP {answer.status_code}: {answer.text[:200]}")
            await asyncio.sleep(0.02)

    def token(_: str) -> str:
        return clerk.headers()["authorization"].removeprefix("Bearer ")

    async def over_grpc() -> None:
        target = f"{cluster.world.edge}:8443"
        async with connect(target, token=token, root_certificates=root, certificate=pair) as platform:
            while not stop.is_set():
                try:
                    await platform.access.ListAccessRequests(access_pb2.ListAccessRequestsRequest(parent=ACME))
                except Exception as error:
                    failed.append(f"gRPC: {error}")
                done[1] += 1
                tick.set()
                await asyncio.sleep(0.02)

    async def calls(more: int) -> None:
        least = [count + more for count in done]
        async with asyncio.timeout(60):
            while any(count < wanted for count, wanted in zip(done, least, strict=True)):
                if any(task.done() for task in load):
                    return  # it failed, and is asked below
                tick.clear()
                await tick.wait()

    with stage.chapter("A service is replaced while calls go on") as chapter:
        load = [asyncio.create_task(over_http()), asyncio.create_task(over_grpc())]
        await calls(20)
        with stage.doing("a pod of the new image, until it answers calls"):
            new = await asyncio.to_thread(cluster.pods.start, workload, "access", name="access-api-next", image=image)
            await cluster.pods.serving(new, health_port(workload))
            await _asked(f"{new}-access")
        stage.say("the old pod is told to end")
        # The container, not the pod: `podman pod stop` takes the network away at once, Kubernetes after the containers.
        await asyncio.to_thread(podman, "stop", "--time", "40", f"{old}-access")
        await calls(100)
        stop.set()
        await asyncio.gather(*load)
        stage.expect(f"none of {done[0]} calls over HTTP and {done[1]} over gRPC failed", not failed)
        for text in failed[:5]:
            stage.say(text)
        chapter.outcome = f"{sum(done)} calls, {len(failed)} failed"


async def _asked(container: str) -> None:
    """Waits until the edge knows a service's new address and brings it calls, as a rollout does."""
    async with asyncio.timeout(60):
        while True:
            if "/dsr.v1.AccessService/" in await asyncio.to_thread(_said, container):
                return
            await asyncio.sleep(0.3)


def _said(container: str) -> str:
    done = subprocess.run(["podman", "logs", container], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


async def run(folder: Path, stage: KillingStage) -> None:
    """Everything; ends in order on SIGTERM and when the terminal goes away, too."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)  # type: ignore[union-attr]
    async with AsyncExitStack() as stack:
        cluster, workloads, setting = await stack.enter_async_context(start(folder, stage))
        stage.kill = lambda: _kill(cluster.pods)
        connection = await asyncpg.connect(setting.dsn)
        stack.push_async_callback(connection.close)
        client = httpx.AsyncClient(
            base_url=f"https://{cluster.world.edge}:8443", transport=ByIssuer(cluster.world), timeout=60
        )
        api = Api(await stack.enter_async_context(client))
        await _edge_answers(api, cluster)
        witness = await Witness.of(connection, HERO)
        platform: Any = cluster
        await Story(platform, setting, api, stage, witness, folder / "packages").tell()
        stage.expect("a worker was killed in the middle", stage.kill is None)
        with stage.chapter("What it took"):
            measure.show(stage, cluster.pods, workloads)
        await replaced_under_load(cluster, workloads["access-api"], stage, api)
        stage.finished = True


def _kill(pods: Pods) -> str:
    """SIGKILL from outside, as the kernel would; who runs the pod starts the container again."""
    pid = pods.process(f"{pods.network}-erasure-worker", "erasure")
    os.kill(pid, signal.SIGKILL)
    return "erasure's worker is killed"


async def _edge_answers(api: Api, cluster: Cluster) -> None:
    reader = Actor(Credential.load(cluster.credential("acme")), "clerk-7", ("ROLE_READER",))
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await api.client.get(f"/v1/{ACME}/accessRequests", headers=reader.headers())
                if answer.status_code != 503:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.3)


def main() -> int:
    if os.geteuid() != 0 or subprocess.run(["podman", "--version"], capture_output=True, check=False).returncode:
        sys.stderr.write(
            "deploy-test: needs podman, as root; on Debian: apt-get install podman runc netavark aardvark-dns\n"
        )
        return 2
    stage = KillingStage(Console(highlight=False, width=None if sys.stdout.isatty() else 120))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dsr-cluster-") as folder:
        Path(folder).chmod(0o711)  # so that the pods' users find what is theirs below
        try:
            asyncio.run(run(Path(folder), stage))
        except asyncio.CancelledError:
            stage.console.print("ended; nothing is left running")
        except (Failed, ApiError, TimeoutError) as error:
            stage.console.print(f"[bold red]{type(error).__name__}: {error}", soft_wrap=True)
    stage.console.print(
        f"\n  {stage.held} expectations held, {len(stage.broken)} didn't; {time.monotonic() - begin:.0f} s"
    )
    for text in stage.broken:
        stage.console.print(f"  [red]✗ {text}")
    return 0 if stage.finished and not stage.broken else 1


if __name__ == "__main__":
    sys.exit(main())
