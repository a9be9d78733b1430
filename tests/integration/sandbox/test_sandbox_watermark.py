"""Whatever a sandbox hands out says that it proves nothing; what is handed out for anybody live says nothing of it."""

import io
import json
import zipfile
from typing import Any

import pytest
from dsr.v1 import erasure_pb2, records_pb2
from dsr.v1.records_pb2_grpc import RecordServiceStub

from dsrkit.watermark import WATERMARK
from services.governance.notifications.words import letter
from tests.integration.sandbox.conftest import Setting
from tests.support.services import World


async def files(world: World, right: str, identity: tuple[str, str]) -> tuple[Any, dict[str, str]]:
    """The request, and the documents in its bundle."""
    made = await world.create(right, identities=[identity])
    done = await world.until(right, made.name)
    archive = zipfile.ZipFile(io.BytesIO(await world.download(right, made.name)))
    wanted = ("bag-info.txt", "index.html", "README.txt", "data/processing.json", "data/scope.json")
    found = {n.split("/", 1)[1]: archive.read(n).decode() for n in archive.namelist()}
    return done, {name: text for name, text in found.items() if name in wanted}


@pytest.mark.policy("P1", "what a sandbox hands out says that it proves nothing")
@pytest.mark.parametrize("right", ["access", "portability"])
async def test_bundles(setting: Setting, right: str) -> None:
    done, documents = await files(setting.world, right, ("email", "bea@sandbox.example"))
    assert len(documents) == 3
    assert all(WATERMARK in text for text in documents.values()), documents.keys()
    assert done.bundle.sandbox == WATERMARK
    done, documents = await files(setting.live, right, ("email", "ann@example.com"))
    assert len(documents) == 3
    assert not any("sandbox" in text.lower() for text in documents.values())
    assert done.bundle.sandbox == ""


async def test_an_erasure_report(setting: Setting) -> None:
    world = setting.world
    made = await world.create("erasure", identities=[("email", "notfound@sandbox.example")])
    await world.until("erasure", made.name)
    message = erasure_pb2.DownloadErasureReportRequest(name=made.name)
    document = b""
    async for part in world.stub("erasure").DownloadErasureReport(message, metadata=world.metadata()):
        document += part.data
    assert json.loads(document)["report"]["sandbox"] == WATERMARK


async def test_the_register_of_processing(setting: Setting) -> None:
    for world, marked in ((setting.world, True), (setting.live, False)):
        kind = records_pb2.DownloadProcessingRegisterRequest
        message = kind(parent=f"partners/{world.partner_id}", format=kind.FORMAT_HTML)
        page = b""
        stub = RecordServiceStub(world.channel("governance"))
        call: Any = stub.DownloadProcessingRegister(message, metadata=world.metadata("adam", "ROLE_ADMIN"))
        async for part in call:
            page += part.data
        assert (WATERMARK.encode() in page) is marked


def test_letters() -> None:
    told = ("request.state_changed", "partners/x/accessRequests/1", {"state": "COMPLETED"}, "Agency", "dpo@x")
    subject, text = letter(*told, WATERMARK)
    assert subject.startswith("[Sandbox] ")
    assert text.startswith(WATERMARK)
    assert WATERMARK not in "".join(letter(*told))
