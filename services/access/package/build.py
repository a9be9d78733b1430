"""Puts an access package together: what a person receives under Art. 15 GDPR, as one zip archive."""

from collections.abc import Callable, Iterator, Sequence

import orjson

from dsrkit import bag, datapackage, payload
from dsrkit.bag import File
from dsrkit.datapackage import Resource
from dsrkit.filenames import Names
from dsrkit.filerecords import Extracted
from dsrkit.parts import Part, Report
from dsrkit.watermark import WATERMARK
from services.access.package import page
from services.access.package.facts import Collection, Shown, Source, gather, processing


def base(report: Report) -> str:
    """The one folder in the archive; with `.zip` behind it, the archive's name."""
    return f"access-{report.request.rpartition('/')[2]}"


def build(report: Report, parts: Sequence[Part]) -> Iterator[bytes]:
    """The bytes of the archive. Blocking; memory stays bounded whatever the parts hold.

    Raises DsrError SOURCE_INCONSISTENT, possibly after the last byte of a part: what was yielded is then no package.
    """
    sources = gather(report, parts)
    info = {
        "Source-Organization": report.partner.display_name,
        "External-Identifier": report.request,
        "External-Description": "Copy of personal data and information on its processing (Art. 15 GDPR)",
        "Contact-Name": report.partner.privacy_contact,
        **({"Sandbox": WATERMARK} if report.partner.sandbox else {}),
    }
    tags = [File("index.html", page.render(report, sources))]
    return bag.write(base(report), report.package_time, info, _payload(report, sources), tags)


def _payload(report: Report, sources: Sequence[Source]) -> Iterator[File]:
    resources: list[Resource] = []
    names = Names()
    for collection in (c for source in sources for c in source.collections):
        if collection.part and collection.path:
            yield from payload.copied(collection.part, collection.path, collection.map.title, resources)
            if collection.holds_files:
                yield from payload.unpacked(collection.part, names, resources, _remember(collection))
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


def _remember(collection: Collection) -> Callable[[Extracted], None]:
    """Notes the first files of a collection, for the page."""

    def seen(found: Extracted) -> None:
        if len(collection.files) < page.SHOWN_RECORDS:
            path, size = (found.file.path, found.file.size) if found.file else (None, 0)
            collection.files.append(Shown(found.record, path, size))

    return seen
