"""The client: least tokens, errors that say what to do, streams that go on where they broke."""

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from dsr import client as dsr_client
from dsr.client import Platform as Client
from dsr.client import connect
from dsr.errors import DsrRpcError
from dsr.v1 import access_pb2, erasure_pb2, governance_pb2, options_pb2, request_pb2

from dsrkit.errors import DsrError
from gateway.routes import ALL_SERVICES
from tests.gateway_fake import ABSENT, CONTENT, PARTNER, Platform, events, pieces

NAME = f"{PARTNER}/accessRequests/1"
GET = access_pb2.GetAccessRequestRequest(name=NAME)


def claims(platform: Platform, number: int = -1) -> dict[str, Any]:
    token = platform.calls[number].header("authorization")[0].removeprefix("Bearer ")
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


async def test_stubs_speak_for_the_actor_with_the_least_role(client: Client, platform: Platform) -> None:
    answer = await client.access.GetAccessRequest(GET)
    assert answer.name == NAME
    assert (claims(platform)["sub"], claims(platform)["roles"]) == ("clerk-7", ["ROLE_READER"])
    assert claims(platform)["actor_type"] == "service"
    first = claims(platform)["jti"]
    await client.access.GetAccessRequest(GET)
    assert claims(platform)["jti"] != first


async def test_a_person_is_vouched_for_only_where_one_is_asked_for(client: Client, platform: Platform) -> None:
    request = erasure_pb2.ApproveErasureRequestRequest(
        name=f"{PARTNER}/erasureRequests/1", plan_digest="d", request_id="r"
    )
    await client.erasure.ApproveErasureRequest(request)
    assert (claims(platform)["actor_type"], claims(platform)["roles"]) == ("person", ["ROLE_APPROVER"])


async def test_errors_say_what_to_do(client: Client) -> None:
    with pytest.raises(DsrRpcError) as caught:
        await client.access.GetAccessRequest(
            access_pb2.GetAccessRequestRequest(name=f"{PARTNER}/accessRequests/{ABSENT}")
        )
    error = caught.value
    assert (error.code(), error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert error.metadata == {"resource_type": "request"}
    assert "Check the name" in str(error)
    assert isinstance(error, grpc.aio.AioRpcError)


async def test_no_server(platform: Platform) -> None:
    async with connect("127.0.0.1:1", token=lambda _: "x") as client:
        with pytest.raises(DsrRpcError, match="Check the target") as caught:
            await client.get(NAME)
    assert caught.value.reason == ""


async def test_retries_follow_the_contract(client: Client, platform: Platform) -> None:
    failures = iter([True, True, False])

    def flaky(_: Any) -> Any:
        if next(failures):
            raise DsrError("STORE_UNAVAILABLE", "The store is away.")
        return access_pb2.AccessRequest(name=NAME)

    platform.answers["GetAccessRequest"] = flaky
    assert (await client.get(NAME)).name == NAME
    assert len(platform.calls) == 3


async def test_a_single_use_token_is_never_sent_twice(client: Client, platform: Platform) -> None:
    def away(_: Any) -> Any:
        raise DsrError("STORE_UNAVAILABLE", "The store is away.")

    platform.answers["ApproveErasureRequest"] = away
    request = erasure_pb2.ApproveErasureRequestRequest(
        name=f"{PARTNER}/erasureRequests/1", plan_digest="d", request_id="r"
    )
    with pytest.raises(DsrRpcError):
        await client.erasure.ApproveErasureRequest(request)
    assert len(platform.calls) == 1


def test_service_configuration_covers_every_rpc() -> None:
    config = json.loads((Path(dsr_client.__file__).parent / "grpc_service_config.json").read_text())
    named: dict[tuple[str, str], Any] = {}
    for entry in config["methodConfig"]:
        for name in entry["name"]:
            key = (name["service"], name.get("method", ""))
            assert key not in named
            named[key] = entry
    for service in ALL_SERVICES:
        for rpc in service.methods:
            entry = named.pop((service.full_name, rpc.name), None) or named[service.full_name, ""]
            person = rpc.GetOptions().Extensions[options_pb2.authorization].person_only
            assert ("retryPolicy" in entry) == (not person and rpc.name != "DeleteWebhook"), rpc.full_name
            assert ("timeout" in entry) == (not rpc.server_streaming), rpc.full_name
    assert {method for _, method in named} == {""}  # nothing names an RPC that doesn't exist


async def test_wait_resumes_after_the_last_event(client: Client, platform: Platform) -> None:
    async def breaking(message: Any) -> AsyncIterator[Any]:
        async for item in events(access_pb2.WatchAccessRequestResponse, message):
            yield item
            if item.event.event == message.after_event + 1 and item.event.event < 3:
                raise DsrError("STREAM_ENDED", "The server is draining.")

    def done(_: Any) -> Any:
        return access_pb2.AccessRequest(name=NAME, state=request_pb2.REQUEST_STATE_COMPLETED)

    platform.answers.update(WatchAccessRequest=breaking, GetAccessRequest=done)
    seen: list[int] = []
    request = await client.wait(NAME, on_event=lambda event: seen.append(event.event))
    assert request.state == request_pb2.REQUEST_STATE_COMPLETED
    assert seen == [1, 2, 3]
    watches = [call.message.after_event for call in platform.calls if call.rpc == "WatchAccessRequest"]
    assert watches == [0, 1, 2]


async def test_wait_ends_where_the_controller_must_decide(client: Client, platform: Platform) -> None:
    planned = erasure_pb2.ErasureRequest(state=request_pb2.REQUEST_STATE_PLANNED)
    states = iter([erasure_pb2.ErasureRequest(state=request_pb2.REQUEST_STATE_LOCATING), planned])

    async def forever(_: Any) -> AsyncIterator[Any]:
        event = request_pb2.RequestEvent(event=1, state=request_pb2.REQUEST_STATE_PLANNED)
        yield erasure_pb2.WatchErasureRequestResponse(event=event)
        raise DsrError("STREAM_ENDED", "Draining.")

    platform.answers.update(GetErasureRequest=lambda _: next(states), WatchErasureRequest=forever)
    request = await client.wait(f"{PARTNER}/erasureRequests/1", dsr_client.TERMINAL | dsr_client.UNDECIDED)
    assert request == planned


async def test_wait_gives_up_on_what_waiting_cannot_mend(client: Client) -> None:
    with pytest.raises(DsrRpcError, match="NOT_FOUND"):
        await client.wait(f"{PARTNER}/accessRequests/{ABSENT}")
    with pytest.raises(ValueError, match="not the name of a request"):
        await client.wait(f"{PARTNER}/holds/1")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_download(client: Client, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    path = await client.download(NAME, tmp_path, on_progress=lambda *step: progress.append(step))
    assert path == tmp_path / "access-1.zip"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert names(tmp_path) == [path.name]


async def test_download_resumes(client: Client, platform: Platform, tmp_path: Path) -> None:
    async def breaking(message: Any) -> AsyncIterator[Any]:
        async for item in pieces(access_pb2.DownloadAccessBundleResponse, message):
            if item.HasField("info"):
                yield item
            else:
                yield access_pb2.DownloadAccessBundleResponse(data=item.data[:700_000])
                raise DsrError("STREAM_ENDED", "Draining.")

    platform.answers["DownloadAccessBundle"] = breaking
    path = await client.download(NAME, tmp_path / "copy.zip")
    assert path.read_bytes() == CONTENT
    offsets = [call.message.offset for call in platform.calls]
    assert offsets == [0, 0, 700_000, 1_400_000, 2_100_000]


async def test_download_refuses_other_bytes(client: Client, platform: Platform, tmp_path: Path) -> None:
    async def forged(message: Any) -> AsyncIterator[Any]:
        async for item in pieces(access_pb2.DownloadAccessBundleResponse, message):
            yield item if item.HasField("info") else access_pb2.DownloadAccessBundleResponse(data=bytes(len(item.data)))

    platform.answers["DownloadAccessBundle"] = forged
    with pytest.raises(ValueError, match="SHA-256"):
        await client.download(NAME, tmp_path)
    assert not names(tmp_path)


async def test_a_report_that_goes_on_being_written_is_begun_anew(
    client: Client, platform: Platform, tmp_path: Path
) -> None:
    versions = iter((1, 2, 3, 3))

    async def written(message: Any) -> AsyncIterator[Any]:
        version = str(next(versions))
        async for item in pieces(access_pb2.DownloadAccessBundleResponse, message):
            if item.HasField("info"):
                item.info.etag = version
            yield item

    platform.answers["DownloadAccessBundle"] = written
    assert (await client.download(NAME, tmp_path / "copy.zip")).read_bytes() == CONTENT
    assert names(tmp_path) == ["copy.zip"], "nothing is left of the versions before"
    endless = itertools.count()
    versions = iter(endless)
    with pytest.raises(ValueError, match="changes while"):
        await client.download(NAME, tmp_path / "other.zip")


async def test_a_name_from_elsewhere_stays_in_the_folder(client: Client, platform: Platform, tmp_path: Path) -> None:
    async def sly(message: Any) -> AsyncIterator[Any]:
        async for item in pieces(access_pb2.DownloadAccessBundleResponse, message):
            if item.HasField("info"):
                item.info.filename = "../../etc/passwd"
            yield item

    platform.answers["DownloadAccessBundle"] = sly
    path = await client.download(NAME, tmp_path)
    assert path == tmp_path / "_.._etc_passwd"


async def test_connect_wants_all_it_needs(platform: Platform) -> None:
    with pytest.raises(ValueError, match="credential"):
        async with connect(platform.target):
            pass
    with pytest.raises(ValueError, match="no target for erasure, governance"):
        async with connect({"access": "127.0.0.1:1", "portability": "127.0.0.1:1"}, token=lambda _: "x"):
            pass
    targets = dict.fromkeys(dsr_client.SERVICES, platform.target)
    async with connect(targets, token=lambda _: platform.token(roles=["ROLE_READER"])) as client:
        answer = await client.governance.GetPartner(governance_pb2.GetPartnerRequest(name=PARTNER))
    assert answer.name == PARTNER


async def test_plaintext_stays_on_loopback() -> None:
    """A TLS handshake is attempted, and fails, where nothing but plaintext is spoken; no token is sent before."""
    async with connect("localhost.localdomain:1", token=lambda _: "x") as client:
        with pytest.raises(DsrRpcError):
            await client.access.GetAccessRequest(GET, timeout=2)
