"""What of each source is in the package, what isn't, and why: `scope.json`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dsrkit.parts import Part, Report, SourceReport, inconsistent
from dsrkit.portability_rule import Selection, select
from dsrkit.watermark import WATERMARK


@dataclass
class Collection:
    """One collection of the data map."""

    title: str
    selection: Selection
    part: Part | None
    notes: list[str] = field(default_factory=list)
    """What tables leave out; known once they have been written."""

    @property
    def records(self) -> int:
        return self.part.records if self.part else 0

    @property
    def withheld(self) -> dict[str, str]:
        """Fields that are left out, as far as their names are known, and why."""
        known = {name: str(reason) for name, reason in self.selection.withheld.items()}
        if self.part:
            known |= {name: str(self.selection.reason(name) or _INSTRUCTED) for name in self.part.withheld_fields}
        return known


_INSTRUCTED = "left out on the controller's instruction"


@dataclass
class Source:
    """One data source."""

    report: SourceReport
    collections: list[Collection]

    @property
    def name(self) -> str:
        return self.report.instructions.data_source.name

    @property
    def title(self) -> str:
        return self.report.instructions.data_source.display_name


def gather(report: Report, parts: Sequence[Part]) -> list[Source]:
    """The sources of the request in its order, each collection of the data map with its part.

    Raises DsrError SOURCE_INCONSISTENT for a collection or a field that the right doesn't reach: its connector was
    never told to export it.
    """
    left = {(part.source, part.collection): part for part in parts}
    if len(left) < len(parts):
        raise ValueError("two parts of one collection")
    sources = []
    for source in report.sources:
        instructions = source.instructions
        collections = []
        for entry, selection in zip(instructions.map.collections, select(instructions.map), strict=True):
            part = left.pop((instructions.data_source.name, entry.collection), None)
            if part:
                _check(part, selection)
            collections.append(Collection(entry.title, selection, part if part and part.records else None))
        sources.append(Source(source, collections))
    for part in left.values():
        raise inconsistent(part, "it has a collection that the data map doesn't name")
    return sources


def _check(part: Part, selection: Selection) -> None:
    if any(selection.reason(f.name) for f in part.fields):
        raise inconsistent(part, "it has a field that the right to portability doesn't reach")


def scope(report: Report, sources: Sequence[Source]) -> dict[str, Any]:
    """The contents of `scope.json`."""
    return {
        "title": "What this copy holds, and what it doesn't",
        "article": "GDPR Art. 20",
        **({"sandbox": WATERMARK} if report.partner.sandbox else {}),
        "request": report.request,
        "received_time": report.received_time.isoformat(),
        "package_time": report.package_time.isoformat(),
        "data_map_revision": report.data_map_revision,
        "controller": {
            "name": report.partner.display_name,
            "country": report.partner.country,
            "privacy_contact": report.partner.privacy_contact,
            "data_protection_officer": report.partner_dpo or None,
        },
        "sources": [
            {
                "source": source.name,
                "title": source.title,
                "searched_by": None if source.report.searched_by is None else list(source.report.searched_by),
                "searched_by_every_name": not source.report.names_unasked,
                "snapshot_time": source.report.snapshot_time.isoformat() if source.report.snapshot_time else None,
                "collections": [_collection(collection) for collection in source.collections],
            }
            for source in sources
        ],
    }


def _collection(collection: Collection) -> dict[str, Any]:
    rest = collection.selection.rest
    return {
        "collection": collection.selection.collection,
        "title": collection.title,
        "ported": collection.selection.ported,
        "records": collection.records,
        "withheld_fields": [{"field": name, "reason": why} for name, why in collection.withheld.items()],
        "other_fields_withheld": str(rest) if rest else None,
    }
