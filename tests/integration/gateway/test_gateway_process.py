"""`python -m gateway` as a process, TLS on both sides, and answers held to their schemas."""

import asyncio
import datetime
import ipaddress
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from openapi_schema_validator import OAS31Validator

from gateway.config import Config
from gateway.routes import PUBLIC_SERVICES, Kind, Route, routes_of
from gateway.server import open_gateway
from tests.gateway_fake import PARTNER, Platform, open_platform
from tests.integration.gateway.test_gateway_rpcs import PARTNERS_ROLES, operators_only, url_of
from tests.support.http import PLAINTEXT

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTION: dict[str, Any] = json.loads((ROOT / "gateway" / "openapi.json").read_text())
READING = [
    r
    for r in routes_of(PUBLIC_SERVICES)
    if r.http_method == "GET" and r.kind is Kind.RESOURCE and not operators_only(r)
]


def environment(platform: Platform, **extra: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DSR_")}
    services = {f"DSR_{name.upper()}_ADDRESS": platform.target for name in PUBLIC_SERVICES}
    return {**clean, **services, "DSR_LISTEN": "127.0.0.1:0", **extra}


@asynccontextmanager
async def process_of(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as a process, which ends with the block whatever happens in it."""
    command = (sys.executable, "-m", "gateway")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_process_serves_and_drains(platform: Platform) -> None:
    async with process_of(environment(platform)) as process, asyncio.timeout(30):
        assert process.stderr is not None
        line = json.loads(await process.stderr.readline())
        assert (line["event"], line["service"]) == ("listening", "gateway")
        headers = {"authorization": f"Bearer {platform.token()}"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{line['port']}", headers=headers, verify=PLAINTEXT
        ) as http:
            assert (await http.get("/healthz")).json() == {"status": "ok"}
            assert (await http.get("/readyz")).json()["status"] == "ready"
            assert (await http.get(f"/v1/{PARTNER}?secret=jane@example.org")).status_code == 400
            assert (await http.get(f"/v1/{PARTNER}")).status_code == 200
        traces = [call.header("traceparent") for call in platform.calls]
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", traces[-1][0])
        process.send_signal(signal.SIGTERM)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    lines = [json.loads(line) for line in rest.splitlines()]
    assert lines[-1]["event"] == "drained"
    assert {one["route"] for one in lines if one["event"] == "http"} >= {"/healthz", "/v1/{name=partners/*}"}
    assert "jane" not in rest
    assert "127.0.0.1" not in rest  # the originating address stands in processing records only


async def test_a_wrong_variable_is_told(platform: Platform) -> None:
    async with process_of(environment(platform, DSR_LISTEM="x")) as process, asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"DSR_LISTEM" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("route", READING, ids=lambda route: route.rpc.name)
async def test_answers_have_the_described_shape(http: httpx.AsyncClient, platform: Platform, route: Route) -> None:
    headers = {"authorization": f"Bearer {platform.token(roles=PARTNERS_ROLES)}"}
    response = await http.get(url_of(route), headers=headers)
    operations = [one for methods in DESCRIPTION["paths"].values() for one in methods.values()]
    operation = next(one for one in operations if one["operationId"] == route.rpc.name)
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]
    OAS31Validator({**reference, "components": DESCRIPTION["components"]}).validate(response.json())


async def test_problems_have_the_described_shape(http: httpx.AsyncClient) -> None:
    schema = DESCRIPTION["components"]["schemas"]["Problem"]
    for url in ("/nowhere", f"/v1/{PARTNER}/accessRequests?pageSize=x", "/v1/partners/other"):
        OAS31Validator(schema).validate((await http.get(url)).json())


async def test_documentation_is_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/openapi.json")).json() == DESCRIPTION
    for path in ("/", "/docs"):
        page = await http.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "CreateErasureRequest" in page.text
    assert (await http.get("/docs.css")).headers["content-type"].startswith("text/css")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for loopback that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, critical=False)
    signed = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
        key, hashes.SHA384()
    )
    folder = tmp_path_factory.mktemp("tls")
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()))
    return chain, private


@pytest.mark.policy("P9", "the gateway serves and dials TLS with 256-bit suites only")
async def test_tls_on_both_sides(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = certificate
    pair = [(key.read_bytes(), chain.read_bytes())]
    mutual = grpc.ssl_server_credentials(pair, chain.read_bytes(), require_client_auth=True)
    async with open_platform(tmp_path, mutual) as platform:
        target = f"localhost:{platform.port}"
        config = Config(
            *(target, target, target, target, "127.0.0.1:0"),
            tls_certificate=str(chain),
            tls_key=str(key),
            upstream_ca=str(chain),
            upstream_certificate=str(chain),
            upstream_key=str(key),
        )
        trust = ssl.create_default_context(cafile=str(chain))
        headers = {"authorization": f"Bearer {platform.token()}"}
        async with open_gateway(config) as gateway, httpx.AsyncClient(verify=trust, headers=headers) as http:
            assert (await http.get(f"https://localhost:{gateway.port}/v1/{PARTNER}")).status_code == 200
            checks = {
                "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384": True,
                "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384": True,
                "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256": True,
                "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256": False,
                "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256": False,
                "-tls1_1 -cipher ALL:@SECLEVEL=0": False,
            }
            for options, answered in checks.items():
                assert await asyncio.to_thread(_asks, gateway.port, options.split()) is answered, options


def _asks(port: int, options: list[str]) -> bool:
    command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", *options]
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    done = subprocess.run(command, input=request, capture_output=True, timeout=20, check=False)
    return b"200 OK" in done.stdout


async def test_a_port_in_use_ends_the_start(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = config.access_address
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="in use"):
            async with open_gateway(Config(target, target, target, target, listen=listen)):
                pass
