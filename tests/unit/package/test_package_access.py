"""The access package as a whole."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dsr.v1.governance_pb2 import EraseAction, FieldMap
from google.protobuf.timestamp_pb2 import Timestamp

from dsrkit.errors import DsrError
from dsrkit.parts import Part, SourceReport
from services.access.package import base, build
from tests.unit.package import html, sample
from tests.unit.package.archive import unpack


def built(part: Part) -> bytes:
    """A package of one collection."""
    return b"".join(build(sample.report(one(part.collection)), [part]))


def one(collection: str, **more: Any) -> Sequence[SourceReport]:
    return [
        sample.source_report(sample.SHOP, "Shop", sample.DUBLIN, [sample.collection_map(collection, "Things", **more)])
    ]


def test_the_copy_is_what_the_connector_sent(tmp_path: Path) -> None:
    parts = sample.shop_parts()
    archive = unpack(build(sample.report(), parts), tmp_path)
    for part in parts:
        source = part.source.rpartition("/")[2]
        assert archive.read(f"data/{source}/{part.collection}.jsonl") == b"".join(part.open())
    assert archive.root.name == base(sample.report()) == "access-7a1f3c52-93d4-4c1e-8a51-0b9a3f6f2d11"


def test_the_same_request_gives_the_same_bytes() -> None:
    assert b"".join(build(sample.report(), sample.shop_parts())) == b"".join(
        build(sample.report(), sample.shop_parts())
    )


def test_files_are_files_again(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), sample.shop_parts()), tmp_path)
    below = "data/files/files/letters"
    assert archive.read(f"{below}/2026_Äpfel.pdf") == b"%PDF-1.7 a letter" * 900
    assert archive.read(f"{below}/page.html.txt") == b"<script>alert(1)</script>"
    assert archive.read(f"{below}/empty.txt") == b""


def test_the_descriptor_tells_every_table(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), sample.shop_parts()), tmp_path)
    descriptor = archive.json("data/datapackage.json")
    assert descriptor["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"
    assert descriptor["created"] == "2026-11-24T09:30:00Z"
    orders = next(r for r in descriptor["resources"] if r["path"] == "shop/public.orders.jsonl")
    assert orders["schema"]["primaryKey"] == ["order_number"]
    assert orders["schema"]["fields"][3] == {"name": "total", "type": "number"}
    assert orders["hash"] == f"sha256:{sample.shop_parts()[1].sha256.hex()}"
    assert (orders["type"], orders["encoding"], orders["mediatype"]) == ("table", "utf-8", "application/jsonl")


def test_processing_tells_every_point_of_article_15(tmp_path: Path) -> None:
    told = unpack(build(sample.report(), sample.shop_parts()), tmp_path).json("data/processing.json")
    assert (told["personal_data_found"], told["records"]) == (True, 427)
    assert told["controller"]["privacy_contact"] == "privacy@acme.example"
    assert told["processor"]["data_protection_contact"] == "dpo@agency.example"
    assert [i["type"] for i in told["identities"]] == ["email", "customer_number", "phone"]
    shop, files, newsletter = told["sources"]
    events = next(c for c in shop["collections"] if c["collection"] == "public.events")
    assert events["purposes"] == ["To find faults", "To recommend articles"]
    assert events["lawful_basis"] == {"article": "GDPR Art. 6(1)(a)", "term": "eu-gdpr:A6-1-a"}
    assert events["automated_decisions"].startswith("Articles are recommended")
    assert (events["origin"], events["records"], events["data"]) == ("OBSERVED", 412, "shop/public.events.jsonl")
    customers = shop["collections"][0]
    assert customers["origin_of_fields"] == {"loyalty_score": "DERIVED"}
    invoices = next(c for c in shop["collections"] if c["collection"] == "public.invoices")
    assert invoices["retained"] == [
        {
            "reason": "eu-gdpr:JustificationA17LegallyRequired",
            "legal_reference": "Taxes Consolidation Act 1997, s. 886",
            "review_time": "2031-01-01T00:00:00Z",
        }
    ]
    messages = next(c for c in shop["collections"] if c["collection"] == "public.messages")
    assert messages["withheld"] == [
        {"field": "agent_notes", "article": "GDPR Art. 15(4)", "reason": "It holds other people’s data"}
    ]
    assert files["location"] == {
        "provider": "Rackspace",
        "site": "London",
        "country": "GB",
        "in_european_economic_area": False,
    }
    assert files["collections"][1]["records"] == 0
    assert files["collections"][1]["data"] is None
    assert newsletter["searched_by"] == []


def test_what_the_data_map_retains_is_told_even_without_a_hold() -> None:
    review = Timestamp()
    review.FromDatetime(datetime(2031, 6, 1, tzinfo=UTC))
    law = {
        "erase_action": EraseAction.ERASE_ACTION_RETAIN,
        "retain_reason": "eu-gdpr:JustificationA17LegalClaims",
        "legal_reference": "Statute of Limitations 1957",
        "review_time": review,
    }
    sources = one("things", **law)
    page = page_of(
        build(sample.report(sources), [sample.part(sample.SHOP, "things", [("id", "integer")], [{"id": 1}])])
    )
    assert (
        "It may not be erased yet, because it is needed to establish, exercise or defend legal claims (Statute of "
        "Limitations 1957); this is looked at again on 1 June 2031." in page.words
    )


def test_an_unknown_person_gets_a_complete_and_honest_package(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), []), tmp_path)
    assert [name for name in archive.names() if name.startswith("data/")] == [
        "data/datapackage.json",
        "data/processing.json",
    ]
    told = archive.json("data/processing.json")
    assert (told["personal_data_found"], told["records"]) == (False, 0)
    assert len([c for s in told["sources"] for c in s["collections"]]) == 9
    page = html.parse(archive.read("index.html"))
    assert "No personal data about you was found. 8 collections were looked at" in page.words
    assert "Your rights" in page.words
    (table,) = [t for t in page.all("table") if t.all("caption")[0].words == "What was found, and where"]
    assert len(table.all("tbody")[0].all("tr")) == 9
    assert not [a for a in page.all("a") if a.get("href").startswith("#c")]


def test_a_request_without_sources_is_a_package_too(tmp_path: Path) -> None:
    unpack(build(sample.report([]), []), tmp_path)


def test_a_collection_announced_and_empty_counts_as_nothing_found(tmp_path: Path) -> None:
    part = sample.part(sample.SHOP, "things", [("id", "integer")], [])
    archive = unpack(build(sample.report(one("things")), [part]), tmp_path)
    assert "data/shop/things.jsonl" not in archive.names()
    assert "No personal data about you was found" in html.parse(archive.read("index.html")).words


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": bytes(32)}, "another SHA-256 than its trailer says"),
        ({"size": 1}, "more bytes than its trailer says"),
        ({"size": 10_000}, "fewer bytes than its trailer says"),
        ({"records": 2}, "another number of records than its trailer says"),
    ],
)
def test_a_copy_that_contradicts_its_trailer_is_refused(change: dict[str, Any], why: str) -> None:
    part = sample.part(sample.SHOP, "things", [("id", "integer")], [{"id": 4711}])
    with pytest.raises(DsrError) as caught:
        built(dataclasses.replace(part, **change))
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    assert caught.value.metadata == {"source": sample.SHOP, "why": why}
    assert "4711" not in caught.value.message


def test_a_collection_outside_the_data_map_is_refused() -> None:
    part = sample.part(sample.SHOP, "secrets", [("id", "integer")], [{"id": 1}])
    with pytest.raises(DsrError, match="the data map doesn't name"):
        build(sample.report(one("things")), [part])


def test_other_peoples_data_is_refused_when_a_connector_sends_it_all_the_same() -> None:
    part = sample.part(
        sample.SHOP, "things", [("id", "integer"), ("neighbour", "string")], [{"id": 1, "neighbour": "x"}]
    )
    sources = one("things", fields=[FieldMap(field="neighbour", third_party=True)])
    with pytest.raises(DsrError, match="was to be left out"):
        build(sample.report(sources), [part])


def test_records_that_are_no_objects_are_refused() -> None:
    part = sample.part_of(sample.SHOP, "things", [("id", "integer")], b"not json\n")
    with pytest.raises(DsrError, match="a line that isn't JSON"):
        built(part)


def test_parts_are_closed_when_the_package_is_abandoned() -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b'{"id": 1}\n' * 10_000
        finally:
            closed.append(True)

    part = dataclasses.replace(
        sample.part(sample.SHOP, "things", [("id", "integer")], [{"id": 1}]), size=1 << 40, open=pieces
    )
    package = build(sample.report(one("things")), [part])
    assert [next(package) for _ in range(2)]  # the first piece is but a header
    package.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_names_of_sources_and_collections_cannot_leave_the_package(tmp_path: Path) -> None:
    hostile = ["../../etc/passwd", "/abs", "a/b", "A/B", "con", "..", "x\x00y", "\u202ename"]
    maps = [sample.collection_map(name, name) for name in hostile]
    sources = [sample.source_report(sample.SHOP, "Shop", sample.DUBLIN, maps)]
    parts = [sample.part(sample.SHOP, name, [("id", "integer")], [{"id": n}]) for n, name in enumerate(hostile)]
    archive = unpack(build(sample.report(sources), parts), tmp_path)
    copies = [name for name in archive.names() if name.endswith(".jsonl")]
    assert len(copies) == len(hostile)
    assert all(name.count("/") == 2 and name.startswith("data/shop/") for name in copies)
    assert sorted(json.loads(archive.read(name))["id"] for name in copies) == list(range(len(hostile)))


def page_of(package: Iterator[bytes]) -> html.Element:
    """The page of a package."""
    with zipfile.ZipFile(io.BytesIO(b"".join(package))) as zipped:
        return html.parse(zipped.read(next(n for n in zipped.namelist() if n.endswith("index.html"))))
