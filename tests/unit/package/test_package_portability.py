"""The portability package as a whole."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from dsr.v1.governance_pb2 import FieldMap, LawfulBasis, Origin
from dsr.v1.portability_pb2 import PortabilityRequest

from dsrkit.errors import DsrError
from dsrkit.parts import Part, SourceReport
from dsrkit.portability_rule import select
from services.portability.package import base, build
from tests.unit.package import sample
from tests.unit.package.archive import unpack

CSV, PARQUET = PortabilityRequest.FORMAT_CSV, PortabilityRequest.FORMAT_PARQUET


def ported_parts() -> list[Part]:
    """What the connectors of the example send, told what `select` says."""
    instructions = {
        (source.instructions.map.source, selection.collection): instruction
        for source in sample.shop()
        for selection in select(source.instructions.map)
        if (instruction := selection.instruction())
    }
    parts = []
    for part in sample.shop_parts():
        instruction = instructions.get((part.source, part.collection))
        if instruction is None:
            continue
        redacted = set(instruction.redact_fields)
        rows = [json.loads(line) for line in b"".join(part.open()).splitlines()]
        parts.append(
            sample.part(
                part.source,
                part.collection,
                [(f.name, f.type) for f in part.fields if f.name not in redacted],
                [{name: value for name, value in row.items() if name not in redacted} for row in rows],
                key=part.primary_key,
                withheld=sorted(redacted),
            )
        )
    return parts


def one(**more: Any) -> Sequence[SourceReport]:
    return [sample.source_report(sample.SHOP, "Shop", sample.DUBLIN, [sample.collection_map("t", "Things", **more)])]


def test_json_lines_and_csv_unless_told_otherwise(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), ported_parts()), tmp_path)
    suffixes = {Path(name).suffix for name in archive.names() if name.startswith("data/shop/")}
    assert suffixes == {".jsonl", ".csv"}
    assert archive.root.name == base(sample.report())
    for part in ported_parts():
        if part.source == sample.SHOP:
            assert archive.read(f"data/shop/{part.collection}.jsonl") == b"".join(part.open())
    assert "data/shop/public.invoices.jsonl" not in archive.names()


@pytest.mark.parametrize(
    ("formats", "suffixes"),
    [
        ([CSV], {".jsonl", ".csv"}),
        ([PARQUET], {".jsonl", ".parquet"}),
        ([PARQUET, CSV], {".jsonl", ".csv", ".parquet"}),
    ],
)
def test_formats(tmp_path: Path, formats: list[PortabilityRequest.Format.ValueType], suffixes: set[str]) -> None:
    archive = unpack(build(sample.report(), ported_parts(), formats), tmp_path)
    assert {Path(name).suffix for name in archive.names() if name.startswith("data/shop/")} == suffixes


def test_tables_hold_the_same_as_the_json_lines(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), ported_parts(), [CSV, PARQUET]), tmp_path)
    rows = [json.loads(line) for line in archive.read("data/shop/public.orders.jsonl").splitlines()]
    table = list(csv.DictReader(io.StringIO(archive.read("data/shop/public.orders.csv").decode(), newline="")))
    assert [row["order_number"] for row in table] == [row["order_number"] for row in rows]
    assert [float(row["total"]) for row in table] == [row["total"] for row in rows]
    assert [json.loads(row["items"]) for row in table] == [row["items"] for row in rows]
    columns = pq.read_table(archive.root / "data/shop/public.orders.parquet").to_pylist()
    assert [float(row["total"]) for row in columns] == [row["total"] for row in rows]
    assert [json.loads(row["items"]) for row in columns] == [row["items"] for row in rows]


def test_files_stand_in_tables_by_their_path(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), ported_parts(), [CSV, PARQUET]), tmp_path)
    (first, *_) = csv.DictReader(io.StringIO(archive.read("data/files/letters.csv").decode(), newline=""))
    assert first["content"] == "files/files/letters/2026_Äpfel.pdf"
    assert (archive.root / "data" / first["content"]).read_bytes() == b"%PDF-1.7 a letter" * 900
    columns = pq.read_table(archive.root / "data/files/letters.parquet").to_pylist()
    assert columns[0]["content"] == first["content"]
    (described,) = [r for r in archive.json("data/datapackage.json")["resources"] if r["path"] == "files/letters.csv"]
    assert described["schema"]["fields"][4]["description"] == "The file's path in this package"


def test_scope_says_what_is_out_and_why(tmp_path: Path) -> None:
    told = unpack(build(sample.report(), ported_parts()), tmp_path).json("data/scope.json")
    collections = {c["collection"]: c for source in told["sources"] for c in source["collections"]}
    assert collections["public.invoices"] == {
        "collection": "public.invoices",
        "title": "Invoices",
        "ported": False,
        "records": 0,
        "withheld_fields": [],
        "other_fields_withheld": "Art. 20(1)(a): not processed on consent or contract",
    }
    assert collections["public.customers"]["withheld_fields"] == [
        {
            "field": "loyalty_score",
            "reason": "Art. 20(1): derived from other data, neither provided by you nor observed of you",
        }
    ]
    assert collections["public.messages"]["withheld_fields"] == [
        {"field": "agent_notes", "reason": "Art. 20(4): holds other people's data"}
    ]
    assert collections["public.reviews"]["ported"] is True
    assert collections["public.reviews"]["records"] == 0


def test_readme_tells_people_and_engineers(tmp_path: Path) -> None:
    text = unpack(build(sample.report(), ported_parts()), tmp_path).read("README.txt").decode()
    assert text.startswith("Your data from Acme Shop\n========================\n")
    assert "Shop database / Customer account: 1 record, 1 field left out (see data/scope.json)" in text
    assert "Shop database / Invoices: not part of this right (Art. 20(1)(a)" in text
    assert "Newsletter / Newsletter subscriptions: could not be searched" in text
    assert "dpo@agency.example" in text
    assert "Formulas" in text
    without = (
        unpack(build(sample.report(), ported_parts(), [PARQUET]), tmp_path / "parquet").read("README.txt").decode()
    )
    assert "Formulas" not in without


def test_an_unknown_person_gets_an_honest_package(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), []), tmp_path)
    assert [n for n in archive.names() if n.startswith("data/")] == ["data/datapackage.json", "data/scope.json"]
    assert "Shop database / Orders: 0 records" in archive.read("README.txt").decode()


@pytest.mark.parametrize(
    "law",
    [
        {"lawful_basis": LawfulBasis.LAWFUL_BASIS_LEGAL_OBLIGATION},
        {"origin": Origin.ORIGIN_DERIVED},
        {"fields": [FieldMap(field="v", third_party=True)]},
        {"fields": [FieldMap(field="v", origin=Origin.ORIGIN_DERIVED)]},
    ],
)
def test_what_the_right_does_not_reach_is_refused_when_it_is_sent_all_the_same(law: dict[str, Any]) -> None:
    part = sample.part(sample.SHOP, "t", [("v", "string")], [{"v": "secret"}])
    with pytest.raises(DsrError, match="doesn't reach") as caught:
        build(sample.report(one(**law)), [part])
    assert caught.value.reason == "SOURCE_INCONSISTENT"


def test_only_named_fields_of_a_collection_that_is_otherwise_outside(tmp_path: Path) -> None:
    law = {"origin": Origin.ORIGIN_DERIVED, "fields": [FieldMap(field="given", origin=Origin.ORIGIN_PROVIDED)]}
    part = sample.part(sample.SHOP, "t", [("given", "string")], [{"given": "x"}], key=["id"], withheld=["id", "score"])
    archive = unpack(build(sample.report(one(**law)), [part]), tmp_path)
    (collection,) = archive.json("data/scope.json")["sources"][0]["collections"]
    assert [w["field"] for w in collection["withheld_fields"]] == ["id", "score"]
    assert {w["reason"] for w in collection["withheld_fields"]} == {collection["other_fields_withheld"]}
    described = archive.json("data/datapackage.json")["resources"][0]
    assert "primaryKey" not in described["schema"]  # the key isn't part of the copy


def test_a_copy_that_contradicts_its_trailer_is_refused() -> None:
    part = sample.part(sample.SHOP, "t", [("v", "string")], [{"v": "x"}])
    with pytest.raises(DsrError, match="another SHA-256"):
        b"".join(build(sample.report(one()), [dataclasses.replace(part, sha256=bytes(32))]))


def test_what_tables_leave_out_is_told(tmp_path: Path) -> None:
    data = b'{"id": 1, "v": "' + b"x" * 9_000_000 + b'"}\n{"id": 2, "v": "y"}\n'
    part = sample.part_of(sample.SHOP, "t", [("id", "integer"), ("v", "string")], data, cut=1 << 18)
    archive = unpack(build(sample.report(one()), [part], [CSV, PARQUET]), tmp_path)
    note = "Left out, and only in the JSON Lines: 1 values longer than 1,048,576 bytes."
    assert archive.read("README.txt").decode().count(note) == 1
    described = archive.json("data/datapackage.json")["resources"]
    assert [r.get("description") for r in described if r["path"] != "scope.json"] == [None, note, note]
    assert archive.read("data/shop/t.jsonl") == data
    assert archive.read("data/shop/t.csv") == b"id,v\r\n1,\r\n2,y\r\n"


def test_the_same_request_gives_the_same_bytes() -> None:
    first, second = (b"".join(build(sample.report(), ported_parts(), [CSV, PARQUET])) for _ in range(2))
    assert first == second
