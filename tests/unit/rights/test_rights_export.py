"""What an export may look like, message by message; everything else is not believed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyrage
import pytest
from dsr.connector.v1 import connector_pb2 as pb

from dsrkit.errors import DsrError
from dsrkit.requests.export import Spool, _Receiver
from dsrkit.vault import RequestKey

DATA = b'{"a":1}\n{"a":2}\n'
SHA = hashlib.sha256(DATA).digest()


def header(name: str = "c") -> pb.ExportResponse:
    return pb.ExportResponse(header=pb.CollectionHeader(collection=name, fields=[pb.Field(name="a", type="integer")]))


def data(text: bytes = DATA) -> pb.ExportResponse:
    return pb.ExportResponse(data=text)


def trailer(records: int = 2, size: int = len(DATA), sha: bytes = SHA) -> pb.ExportResponse:
    return pb.ExportResponse(trailer=pb.CollectionTrailer(records=records, bytes=size, sha256=sha))


def totals(collections: int = 1, records: int = 2, size: int = len(DATA)) -> pb.ExportResponse:
    return pb.ExportResponse(totals=pb.ExportTotals(collections=collections, records=records, bytes=size))


async def receive(folder: Path, messages: Sequence[pb.ExportResponse]) -> Sequence[object]:
    key = RequestKey(b"k" * 32, pyrage.x25519.Identity.generate())
    receiver = _Receiver("partners/acme/dataSources/s", {"c", "d"}, folder / "t-1", key, Spool(folder))
    try:
        for message in messages:
            await receiver.take(message)
        return receiver.finished()
    except DsrError:
        receiver.abandon()
        raise


@pytest.mark.policy("P10", "what a connector sends is spooled as ciphertext")
async def test_a_consistent_export_is_taken_and_is_ciphertext(tmp_path: Path) -> None:
    found = await receive(tmp_path, [header(), data(DATA[:3]), data(DATA[3:]), trailer(), totals()])
    assert len(found) == 1
    assert b'"a"' not in (tmp_path / "t-1" / "0.age").read_bytes()


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([header(), data(), trailer(records=3), totals(records=3)], "COLLECTION_TOTALS"),
        ([header(), data(), trailer(size=1), totals(size=1)], "COLLECTION_TOTALS"),
        ([header(), data(), trailer(sha=b"x" * 32), totals()], "COLLECTION_TOTALS"),
        ([header(), data(), trailer(), totals(collections=2)], "TOTALS"),
        ([header(), data(), trailer(), totals(records=9)], "TOTALS"),
        ([header(), data(), trailer()], "NO_TOTALS"),
        ([data()], "DATA"),
        ([header(), data(b"x" * (1024 * 1024 + 1))], "DATA"),
        ([header(), header("d")], "HEADER"),
        ([header(), data(), trailer(), header()], "HEADER"),
        ([header("e")], "UNNAMED_COLLECTION"),
        ([trailer()], "TRAILER"),
        ([header(), totals(0, 0, 0)], "TOTALS_WITHIN_COLLECTION"),
        ([totals(0, 0, 0), header()], "AFTER_TOTALS"),
        ([pb.ExportResponse()], "AFTER_TOTALS"),
    ],
)
async def test_what_contradicts_itself_is_not_used(
    tmp_path: Path, messages: Sequence[pb.ExportResponse], why: str
) -> None:
    with pytest.raises(DsrError) as caught:
        await receive(tmp_path, messages)
    assert (caught.value.reason, caught.value.metadata["why"]) == ("SOURCE_INCONSISTENT", why)
