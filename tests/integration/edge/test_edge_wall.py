"""Whom the edge lets in, how far, and what it says to the others."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from dsr.v1 import governance_pb2
from dsr.v1.access_pb2 import ListAccessRequestsRequest
from dsr.v1.access_pb2_grpc import AccessServiceStub
from dsr.v1.governance_pb2_grpc import GovernanceServiceStub
from dsr.v1.portability_pb2 import GetPortabilityRequestRequest
from dsr.v1.portability_pb2_grpc import PortabilityServiceStub

from deploy.certificates import Authority, replace
from deploy.edge import write_issuers
from dsrkit.errors import from_rpc_error
from dsrkit.issuer import TrustFile
from dsrkit.tls import TlsFiles
from tests.gateway_fake import PARTNER
from tests.integration.edge.conftest import Edge, start
from tests.support.http import PLAINTEXT

URL = f"/v1/{PARTNER}"


def shown(edge: Edge, name: str) -> TlsFiles | None:
    """A certificate that the edge doesn't know the authority of, or none."""
    if name == "none":
        return None
    if name == "ours":  # a process of the platform: that is another authority
        folder = edge.pki / "gateway"
        return TlsFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    return Authority(edge.folder / "stranger", "partners").issue(edge.folder / "stranger", "urn:dsr:partner:acme")


@pytest.mark.policy("P9", "the edge takes no connection without a certificate that the partners' authority signed")
@pytest.mark.parametrize("certificate", ["none", "ours", "stranger"])
async def test_no_connection(edge: Edge, certificate: str) -> None:
    async with edge.http(shown(edge, certificate), edge.token()) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(URL)
    assert not edge.platform.calls


async def test_no_plaintext(edge: Edge) -> None:
    async with httpx.AsyncClient(verify=PLAINTEXT) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://localhost:{edge.port}{URL}")


Refusal = tuple[str, Callable[[Edge], str | None], dict[str, Any], int, str]
REFUSALS: list[Refusal] = [
    ("acme", lambda _: None, {}, 401, "CREDENTIAL_INVALID"),
    ("acme", lambda _: "junk", {}, 401, "CREDENTIAL_INVALID"),
    ("acme", lambda edge: edge.token(audience="dsr.authority"), {}, 403, "CERTIFICATE_MISMATCH"),
    ("acme", lambda edge: edge.token("service"), {}, 401, "CREDENTIAL_INVALID"),
    ("acme", lambda edge: edge.token("developer"), {}, 401, "CREDENTIAL_INVALID"),
    ("other", lambda edge: edge.token("acme"), {}, 403, "CERTIFICATE_MISMATCH"),
    ("acme", lambda edge: edge.token("other"), {}, 403, "CERTIFICATE_MISMATCH"),
    ("acme", lambda edge: edge.token(), {"content": b"x" * 1_100_000, "method": "POST"}, 413, "MESSAGE_TOO_LARGE"),
    ("acme", lambda edge: edge.token(), {"url": "/healthz"}, 404, "METHOD_UNKNOWN"),
    ("acme", lambda edge: edge.token(), {"url": "/dsr.v1.GovernanceService/GetPartner"}, 404, "METHOD_UNKNOWN"),
]


@pytest.mark.policy("P9", "a partner's token is taken over a connection with that partner's certificate only")
@pytest.mark.parametrize(("certificate", "token", "how", "status", "reason"), REFUSALS)
async def test_refused(
    edge: Edge, certificate: str, token: Callable[[Edge], str | None], how: dict[str, Any], status: int, reason: str
) -> None:
    how = {"method": "GET", "url": URL, **how}
    async with edge.http(edge.certificate(certificate), token(edge)) as http:
        answer = await http.request(**how)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["domain"] == "dsr.v1"
    assert not edge.platform.calls


async def test_headers_are_bounded(edge: Edge) -> None:
    async with edge.http(edge.certificate(), edge.token()) as http:
        assert (await http.get(URL, headers={"x-long": "x" * 20_000})).status_code == 431
        assert (await http.get(URL, headers={f"x-{n}": "1" for n in range(80)})).status_code in (400, 431)
    assert not edge.platform.calls


async def test_grpc_refusals_have_the_contracts_reasons(edge: Edge) -> None:
    request = governance_pb2.GetPartnerRequest(name=PARTNER)
    cases = {
        (None, "acme", "GetPartner"): "CREDENTIAL_INVALID",
        ("acme", "other", "GetPartner"): "CERTIFICATE_MISMATCH",
    }
    for (token, certificate, _), reason in cases.items():
        async with edge.channel(edge.certificate(certificate)) as channel:
            governance: Any = GovernanceServiceStub(channel)
            metadata = (("authorization", f"Bearer {edge.token(token)}"),) if token else ()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await governance.GetPartner(request, metadata=metadata, timeout=10)
        info = from_rpc_error(caught.value)
        assert info is not None
        assert info.reason == reason
    async with edge.channel(edge.certificate()) as channel:
        portability: Any = PortabilityServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await portability.GetPortabilityRequest(
                GetPortabilityRequestRequest(name=f"{PARTNER}/portabilityRequests/1"),
                metadata=(("authorization", f"Bearer {edge.token()}"),),
                timeout=10,
            )
    info = from_rpc_error(caught.value)
    assert info is not None
    assert (info.reason, caught.value.code()) == ("SERVICE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    # What isn't public isn't there: the platform's own services, reflection.
    async with edge.channel(edge.certificate()) as channel:
        for path in ("/dsr.authority.v1.AuthorityService/Authorize", "/grpc.health.v1.Health/Check"):
            call: Any = channel.unary_unary(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", metadata=(("authorization", f"Bearer {edge.token()}"),), timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not edge.platform.calls


@pytest.mark.policy("P5", "what the edge says of a caller's address is its own observation")
async def test_what_a_service_hears(edge: Edge) -> None:
    lies = {"x-forwarded-for": "203.0.113.7", "x-dsr-originating-ip": "203.0.113.7", "traceparent": "00-1-1-01"}
    async with edge.http(edge.certificate(), edge.token()) as http:
        assert (await http.get(URL, headers=lies)).status_code == 200
    async with edge.channel(edge.certificate()) as channel:
        governance: Any = GovernanceServiceStub(channel)
        metadata = (("authorization", f"Bearer {edge.token()}"), *lies.items())
        await governance.GetPartner(governance_pb2.GetPartnerRequest(name=PARTNER), metadata=metadata, timeout=10)
        access: Any = AccessServiceStub(channel)
        await access.ListAccessRequests(ListAccessRequestsRequest(parent=PARTNER), metadata=metadata, timeout=10)
    assert [call.originating_ip for call in edge.platform.calls] == ["127.0.0.1"] * 3
    assert [call.header("x-dsr-originating-ip") for call in edge.platform.calls] == [["127.0.0.1"]] * 3
    assert "00-1-1-01" not in str([call.metadata for call in edge.platform.calls])


async def test_each_partner_has_a_rate_of_its_own(edge: Edge) -> None:
    metadata = (("authorization", f"Bearer {edge.token('other')}"),)
    async with edge.channel(edge.certificate("other")) as channel:
        call: Any = channel.unary_unary("/dsr.v1.Nothing/Nothing")

        async def refusal() -> grpc.aio.AioRpcError:
            try:
                await call(b"", metadata=metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                return error
            raise AssertionError("there is no such method")

        answers = await asyncio.gather(*(refusal() for _ in range(500)))
    codes = [answer.code() for answer in answers]
    assert codes.count(grpc.StatusCode.UNIMPLEMENTED) >= 200  # the bucket was full
    limited = next(answer for answer in answers if answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
    info = from_rpc_error(limited)
    assert info is not None
    assert info.reason == "RATE_LIMITED"
    async with edge.http(edge.certificate(), edge.token()) as http:
        assert (await http.get(URL)).status_code == 200


@pytest.mark.policy("P9", "the edge speaks TLS 1.2 with 256-bit suites only")
async def test_suites(edge: Edge) -> None:
    checks = {
        "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384": True,
        "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305": True,
        "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256": False,
        "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA": False,
        "-tls1_3": False,
        "-tls1_1 -cipher ALL:@SECLEVEL=0": False,
    }
    answers = await asyncio.gather(*(asyncio.to_thread(_asks, edge, options.split()) for options in checks))
    assert dict(zip(checks, answers, strict=True)) == checks


def _asks(edge: Edge, options: list[str]) -> bool:
    who = edge.certificate()
    command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{edge.port}", *options]
    request = b"GET /v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    command += ["-cert", str(who.certificate), "-key", str(who.key)]
    done = subprocess.run(command, input=request, capture_output=True, timeout=20, check=False)
    return b"401 Unauthorized" in done.stdout


@pytest.mark.policy("P5", "the edge's log has the partner's id, and neither address nor path nor token")
async def test_the_log_has_no_personal_data(edge: Edge) -> None:
    token = edge.token(subject="person-canary")
    async with edge.http(edge.certificate(), token) as http:
        await http.get(f"{URL}/accessRequests/canary-id?pageToken=canary@example.org")
        await http.get("/canary-path")

    async def written() -> bool:
        return '"route":"nothing"' in edge.log()

    await _until(written, True)
    text = edge.log()
    assert "urn:dsr:partner:acme" in text
    for secret in ("canary", "127.0.0.1", token[:20]):
        assert secret not in text


async def test_a_new_partner_is_let_in_and_a_revoked_key_is_not(edge: Edge) -> None:
    """The trust file changes; Envoy takes it over while it runs."""
    folder = edge.folder
    trust = TrustFile(folder / "trust.json")
    Authority(edge.pki / "partners", "partners").issue(edge.pki / "partners" / "newcomer", "urn:dsr:partner:newcomer")
    root = (edge.pki / "platform" / "ca.crt").read_bytes()
    (edge.pki / "partners" / "newcomer" / "ca.crt").write_bytes(root)
    key = trust.add_partner("newcomer", folder / "newcomer.json")

    async def status() -> int:
        async with edge.http(edge.certificate("newcomer"), edge.token("newcomer")) as http:
            return (await http.get("/v1/partners/newcomer")).status_code

    assert await status() == 401
    write_issuers(trust.path, folder / "issuers")
    await _until(status, 200)
    trust.revoke("urn:dsr:partner:newcomer", key)
    write_issuers(trust.path, folder / "issuers")
    await _until(status, 401)


async def _until(ask: Any, wanted: Any) -> None:
    async with asyncio.timeout(15):
        while await ask() != wanted:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.05)


async def test_the_certificate_is_replaced_without_a_restart(edge: Edge) -> None:
    authority = Authority(edge.pki / "platform", "platform")
    before = await asyncio.to_thread(_serial, edge)
    authority.issue(edge.pki / "edge", "urn:dsr:service:edge", ["localhost"])

    async def changed() -> bool:
        return await asyncio.to_thread(_serial, edge) != before

    await _until(changed, True)
    async with edge.http(edge.certificate(), edge.token()) as http:
        assert (await http.get(URL)).status_code == 200


def _serial(edge: Edge) -> bytes:
    who = edge.certificate()
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-tls1_2", "-showcerts"]
    command += ["-cert", str(who.certificate), "-key", str(who.key)]
    return subprocess.run(command, input=b"", capture_output=True, timeout=20, check=False).stdout.split(b"-----")[2]


@pytest.mark.policy("P9", "the partners' authority is replaced by way of both, without a restart of the edge")
async def test_the_partners_authority_is_replaced_without_a_restart(edge: Edge) -> None:
    bundle, old = edge.pki / "partners" / "ca.crt", edge.certificate()
    authority = Authority(edge.folder / "authority", "partners, the next")
    new = authority.issue(edge.folder / "authority" / "acme", "urn:dsr:partner:acme")
    before, after = Authority(edge.pki / "partners", "partners").pem, authority.pem

    async def let_in(who: TlsFiles) -> bool:
        async with edge.http(who, edge.token()) as http:
            try:
                return (await http.get(URL)).status_code == 200
            except httpx.TransportError:
                return False

    try:
        assert not await let_in(new)
        replace(bundle, before + after)
        await _until(lambda: let_in(new), True)
        assert await let_in(old)
        replace(bundle, after)
        await _until(lambda: let_in(old), False)
        assert await let_in(new)
    finally:
        replace(bundle, before)
        await _until(lambda: let_in(old), True)


async def test_the_configuration_as_deployed_is_valid(edge: Edge, tmp_path: Path) -> None:
    """What Kubernetes gets: with its own addresses, from its own file."""
    for name in ("config", "tls", "issuers"):
        (tmp_path / name).symlink_to((edge.folder / name).resolve())
    process = await start(tmp_path, "-c", "config/envoy.yaml", "--mode", "validate")
    assert await asyncio.wait_for(process.wait(), 30) == 0, (tmp_path / "log").read_text()
