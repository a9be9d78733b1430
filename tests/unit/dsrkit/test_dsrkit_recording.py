"""Processing records are written in batches, and none is forgotten while the database is away."""

import asyncio
from collections.abc import Sequence

import pytest
from dsr.v1.governance_pb2 import ProcessingRecord

from dsrkit import recording
from dsrkit.errors import DsrError
from dsrkit.recording import Recorder


async def test_records_wait_for_the_database_and_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "INTERVAL", 0.01)
    written: list[tuple[str, list[str]]] = []
    away, tries = True, asyncio.Event()

    async def write(partner: str, records: Sequence[ProcessingRecord]) -> None:
        tries.set()
        if away:
            raise ConnectionError
        written.append((partner, [r.operation for r in records]))

    recorder = Recorder(write)
    running = asyncio.create_task(recorder.run())
    for name in ("GetPartner", "ListHolds"):
        recorder.add("partners/acme", ProcessingRecord(operation=name))
    recorder.add("partners/globex", ProcessingRecord(operation="GetPartner"))
    await tries.wait()
    assert written == []
    away = False
    await recorder.stop(running)
    assert written == [("partners/acme", ["GetPartner", "ListHolds"]), ("partners/globex", ["GetPartner"])]


async def test_what_cannot_be_recorded_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_WAITING", 1)

    async def write(partner: str, records: Sequence[ProcessingRecord]) -> None:
        raise ConnectionError

    recorder = Recorder(write)
    recorder.need_room()
    recorder.add("partners/acme", ProcessingRecord())
    with pytest.raises(DsrError) as refused:
        recorder.need_room()
    assert refused.value.reason == "STORE_UNAVAILABLE"


@pytest.mark.parametrize(
    "name",
    [
        "partners/acme/accessRequests/ann@example.com",
        "partners/acme/accessRequests/Ann Smith",
        "partners/acme/accessRequests/ann-smith",
        "partners/acme/annRequests/7b1c0a52-4c39-4e5c-9d51-0d3f3a0a1b11",
        "partners/acme/accessRequests/7b1c0a52-4c39-4e5c-9d51-0d3f3a0a1b11/ann",
    ],
)
def test_a_record_names_no_request_but_by_its_form(name: str) -> None:
    assert recording.REQUEST.fullmatch("partners/acme/accessRequests/7b1c0a52-4c39-4e5c-9d51-0d3f3a0a1b11")
    assert not recording.REQUEST.fullmatch(name)
