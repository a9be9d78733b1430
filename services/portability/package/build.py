"""Puts a portability package together: what a person, or the service they move to, receives under Art. 20 GDPR."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import orjson
from dsr.v1.portability_pb2 import PortabilityRequest

from dsrkit import bag, datapackage, payload
from dsrkit.bag import DENSE, STORED, UNKNOWN_SIZE, File
from dsrkit.datapackage import Resource
from dsrkit.filenames import Names
from dsrkit.filerecords import CONTENT, Extracted, holds_files
from dsrkit.parts import Part, Report
from dsrkit.watermark import WATERMARK
from services.portability.package import readme, scope
from services.portability.package.parquet import to_parquet
from services.portability.package.tables import Table, csv_fields, to_csv

Format = PortabilityRequest.Format
_FORMATS = {"csv": Format.FORMAT_CSV, "parquet": Format.FORMAT_PARQUET}
_DIALECT = {"$schema": f"{datapackage.PROFILE}tabledialect.json", "delimiter": ",", "lineTerminator": "\r\n"}


def base(report: Report) -> str:
    """The one folder in the archive; with `.zip` behind it, the archive's name."""
    return f"portability-{report.request.rpartition('/')[2]}"


def build(report: Report, parts: Sequence[Part], formats: Collection[Format.ValueType] = ()) -> Iterator[bytes]:
    """The bytes of the archive. Blocking; memory stays bounded whatever the parts hold.

    `formats` beside JSON Lines; CSV when empty. Raises DsrError SOURCE_INCONSISTENT, possibly after the last byte of a
    part: what was yielded is then no package.
    """
    sources = scope.gather(report, parts)
    wanted = [name for name, value in _FORMATS.items() if value in formats] or ["csv"]
    info = {
        "Source-Organization": report.partner.display_name,
        "External-Identifier": report.request,
        "External-Description": "Personal data in machine-readable form (Art. 20 GDPR)",
        "Contact-Name": report.partner.privacy_contact,
        **({"Sandbox": WATERMARK} if report.partner.sandbox else {}),
    }
    payload_files, tags = _payload(report, sources, wanted), _tags(report, sources, wanted)
    return bag.write(base(report), report.package_time, info, payload_files, tags)


def _payload(report: Report, sources: Sequence[scope.Source], formats: Sequence[str]) -> Iterator[File]:
    resources: list[Resource] = []
    names = Names()
    for collection in (c for source in sources for c in source.collections):
        if collection.part:
            yield from _collection(collection, collection.part, names, formats, resources)
    told = File.of("data/scope.json", orjson.dumps(scope.scope(report, sources), option=orjson.OPT_INDENT_2))
    yield told
    resources.append(datapackage.resource(told, "application/json", "json", title="What this copy holds"))
    yield datapackage.descriptor(
        name=base(report),
        title=f"Data from {report.partner.display_name}",
        description="One person's data under Art. 20 GDPR.",
        created=report.package_time,
        controller=report.partner.display_name,
        resources=resources,
    )


def _collection(
    collection: scope.Collection, part: Part, names: Names, formats: Sequence[str], resources: list[Resource]
) -> Iterator[File]:
    yield from payload.copied(part, payload.path(names, part, ".jsonl"), collection.title, resources)
    files: list[str | None] | None = None
    if holds_files(part):
        files = []
        yield from payload.unpacked(part, names, resources, _paths(files))
    if "csv" in formats:
        table = Table(part, files)
        file = File(payload.path(names, part, ".csv"), to_csv(table), UNKNOWN_SIZE, DENSE)
        yield file
        more = {"dialect": _DIALECT} | _told(collection, table)
        resources.append(datapackage.table(file, "text/csv", "csv", _schema(table), **more))
    if "parquet" in formats:
        table = Table(part, files)
        file = File(payload.path(names, part, ".parquet"), to_parquet(table), UNKNOWN_SIZE, STORED)
        yield file
        media_type = "application/vnd.apache.parquet"
        resources.append(datapackage.resource(file, media_type, "parquet", **_told(collection, table)))


def _paths(files: list[str | None]) -> Callable[[Extracted], None]:
    def seen(found: Extracted) -> None:
        files.append(found.file.path.removeprefix("data/") if found.file else None)

    return seen


def _schema(table: Table) -> dict[str, Any]:
    schema = datapackage.schema(csv_fields(table), table.part.primary_key)
    if table.files is not None:
        for described in schema["fields"]:
            if described["name"] == CONTENT:
                described["description"] = "The file's path in this package"
    return schema


def _told(collection: scope.Collection, table: Table) -> dict[str, str]:
    note = table.note()
    if note and note not in collection.notes:
        collection.notes.append(note)
    return {"title": collection.title} | ({"description": note} if note else {})


def _tags(report: Report, sources: Sequence[scope.Source], formats: Sequence[str]) -> Iterator[File]:
    # A generator, so that the text is made after the payload, when it is known what tables had to leave out.
    yield File.of("README.txt", readme.render(report, sources, formats))
