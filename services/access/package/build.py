"""Puts an access package together: what a person receives under Art. 15 GDPR, as one zip archive."""

from collections.abc import Iterator, Sequence

import orjson

from dsrkit import bag, datapackage
from dsrkit.bag import File
from dsrkit.datapackage import Resource
from dsrkit.filenames import Names, safe
from dsrkit.filerecords import extract
from dsrkit.parts import Part, Report, verified
from services.access.package import page
from services.access.package.facts import Collection, Shown, Source, folder, gather, processing


def base(report: Report) -> str:
    """The one folder in the archive; with `.zip` behind it, the archive's name."""
    return f"access-{report.request.rpartition('/')[2]}"


def build(report: Report, parts: Sequence[Part]) -> Iterator[bytes]:
    """The bytes of the archive. Blocking; memory stays bounded whatever the parts hold.

    Raises DsrError SOURCE_INCONSISTENT, possibly after the last byte of a part: what was yielded is then no package.
    """
    sources = gather(report, parts)
    resources: list[Resource] = []
    info = {
        "Source-Organization": report.partner.display_name,
        "External-Identifier": report.request,
        "External-Description": "Copy of personal data and information on its processing (Art. 15 GDPR)",
        "Contact-Name": report.partner.privacy_contact,
    }
    return bag.write(
        base(report), report.package_time, info, _payload(report, sources, resources), _tags(report, sources)
    )


def _payload(report: Report, sources: Sequence[Source], resources: list[Resource]) -> Iterator[File]:
    names = Names()
    for source in sources:
        for collection in source.collections:
            if collection.part and collection.path:
                yield from _records(collection, collection.part, collection.path, resources)
                if collection.holds_files:
                    yield from _files(collection, collection.part, names, resources)
    law = File.of("data/processing.json", orjson.dumps(processing(report, sources), option=orjson.OPT_INDENT_2))
    yield law
    resources.append(datapackage.resource(law, "application/json", "json", title="Information on the processing"))
    yield datapackage.descriptor(
        name=base(report),
        title=f"Personal data held by {report.partner.display_name}",
        description="Copy of one person's data under Art. 15 GDPR.",
        created=report.package_time,
        controller=report.partner.display_name,
        resources=resources,
    )


def _records(collection: Collection, part: Part, path: str, resources: list[Resource]) -> Iterator[File]:
    lines = File(path, verified(part), part.size)
    yield lines
    schema = datapackage.schema(part.fields, part.primary_key)
    resources.append(datapackage.table(lines, "application/jsonl", "jsonl", schema, title=collection.map.title))


def _files(collection: Collection, part: Part, names: Names, resources: list[Resource]) -> Iterator[File]:
    below = f"data/files/{folder(part.source).removeprefix('data/')}/{safe(part.collection)}"
    for found in extract(part, lambda name: names.unique(below, name)):
        if found.file:
            yield found.file
            media_type = found.record.get("media_type")
            resources.append(
                datapackage.resource(
                    found.file,
                    str(media_type or "application/octet-stream"),
                    found.file.path.rpartition(".")[2].lower(),
                )
            )
        if len(collection.files) < page.SHOWN_RECORDS:
            file = found.file
            collection.files.append(Shown(found.record, file.path if file else None, file.size if file else 0))


def _tags(report: Report, sources: Sequence[Source]) -> Iterator[File]:
    yield File("index.html", page.render(report, sources))
