"""A whole data source as a BagIt bag: every collection as JSON Lines with its Table Schema, files as files again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from dsr.v1.governance_pb2 import DataSource, Partner

from dsrkit import bag, datapackage, payload
from dsrkit.bag import File
from dsrkit.datapackage import Resource
from dsrkit.filenames import Names
from dsrkit.filerecords import Extracted, holds_files
from dsrkit.parts import Part
from dsrkit.watermark import WATERMARK

_README = """\
{title}

This package holds every record that the data source named above held when it was returned, whoever the record is about.

data/datapackage.json   what is in here: collections, fields, types, keys (Frictionless Data Package v2)
data/return.json        how many records of which collection
data/<source>/          one file of JSON Lines a collection, as the connector sent it
data/files/             files as files, where a collection holds files
manifest-sha256.txt     SHA-256 of each; `sha256sum -c manifest-sha256.txt` in this folder compares them

The data source is destroyed only after a person of yours confirmed the receipt, by the digest of the termination below.

{termination}
"""


@dataclass(frozen=True)
class Facts:
    """What the package says of itself."""

    request: str
    termination: str
    partner: Partner
    source: DataSource
    time: datetime
    """Of every file in it, so that building again gives the same bytes."""

    @property
    def base(self) -> str:
        """The one folder in the archive."""
        return f"return-{self.request.rpartition('/')[2]}"

    @property
    def title(self) -> str:
        """Of package and text."""
        return f"{self.source.display_name or self.source.name}: everything"


def build(facts: Facts, parts: Sequence[Part]) -> Iterator[bytes]:
    """The bytes of the archive. Blocking; memory stays bounded whatever the parts hold."""
    info = {
        "Source-Organization": facts.partner.display_name,
        "External-Identifier": facts.request,
        "External-Description": "A whole data source, returned at the end of a contract (Art. 28(3)(g) GDPR)",
    }
    text = _README.format(title=facts.title, termination=facts.termination)
    if facts.partner.sandbox:
        info, text = {**info, "Sandbox": WATERMARK}, f"{WATERMARK}\n\n{text}"
    readme = File.of("README.txt", text)
    time = facts.time.replace(microsecond=0)
    return bag.write(facts.base, time, info, _payload(facts, parts), [readme])


def _payload(facts: Facts, parts: Sequence[Part]) -> Iterator[File]:
    resources: list[Resource] = []
    names = Names()
    for part in parts:
        yield from payload.copied(part, payload.path(names, part, ".jsonl"), part.collection, resources)
        if holds_files(part):
            yield from payload.unpacked(part, names, resources, _ignore)
    counts = {
        "source": facts.source.name,
        "termination": facts.termination,
        "collections": [
            {"collection": p.collection, "records": p.records, "bytes": p.size, "sha256": p.sha256.hex()} for p in parts
        ],
    }
    told = File.of("data/return.json", orjson.dumps(counts, option=orjson.OPT_INDENT_2))
    yield told
    resources.append(datapackage.resource(told, "application/json", "json", title="What was returned"))
    yield datapackage.descriptor(
        name=facts.base,
        title=facts.title,
        description="A whole data source, returned at the end of a contract.",
        created=facts.time,
        controller=facts.partner.display_name,
        resources=resources,
    )


def _ignore(_: Extracted) -> None:
    """Where each file went is in the package's own description."""
