"""What the package tells, gathered once for people and for machines: Art. 15(1)(a) to (h) and (2), per collection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsr.authority.v1.authority_pb2 import Retention
from dsr.v1.governance_pb2 import CollectionMap, EraseAction, Origin

from dsrkit import payload
from dsrkit.filenames import Names
from dsrkit.filerecords import holds_files
from dsrkit.parts import Part, Report, SourceReport, inconsistent
from dsrkit.watermark import WATERMARK
from services.access.package import words


@dataclass(frozen=True)
class Withheld:
    """A field that was left out."""

    field: str
    article: str
    reason: str


@dataclass
class Shown:
    """A file of a file collection, as far as the page tells of it."""

    record: Mapping[str, Any]
    path: str | None
    """Within the bag; None when the record has no content."""
    size: int


@dataclass
class Collection:
    """One collection: its law, and its part if there were records."""

    map: CollectionMap
    part: Part | None
    retentions: Sequence[Retention]
    anchor: str
    """Its id on the page."""
    path: str | None
    """Its JSON Lines within the bag; None without records."""
    files: list[Shown] = field(default_factory=list)
    """The first files, once they have been written."""

    @property
    def records(self) -> int:
        return self.part.records if self.part else 0

    @property
    def holds_files(self) -> bool:
        return self.part is not None and holds_files(self.part)

    @property
    def withheld(self) -> list[Withheld]:
        """Fields that the connector left out, and why."""
        if self.part is None:
            return []
        others = {f.field for f in self.map.fields if f.third_party}
        return [
            Withheld(name, "Art. 15(4)", "It holds other people’s data")
            if name in others
            else Withheld(name, "Art. 15(4)", "It was left out on the controller’s instruction")
            for name in self.part.withheld_fields
        ]

    @property
    def other_origins(self) -> list[tuple[str, Origin.ValueType]]:
        """Fields that come from elsewhere than the collection's others."""
        there = {f.name for f in self.part.fields} if self.part else set()
        return [
            (f.field, f.origin)
            for f in self.map.fields
            if f.field in there and f.origin and f.origin != self.map.origin
        ]


@dataclass
class Source:
    """One data source."""

    report: SourceReport
    collections: list[Collection]

    @property
    def title(self) -> str:
        return self.report.instructions.data_source.display_name

    @property
    def records(self) -> int:
        return sum(collection.records for collection in self.collections)

    @property
    def searched(self) -> bool:
        """Whether it could be asked for the person at all."""
        return self.report.searched_by is None or bool(self.report.searched_by)

    @property
    def in_eea(self) -> bool:
        return words.in_eea(self.report.instructions.data_source.location.country)


def gather(report: Report, parts: Sequence[Part]) -> list[Source]:
    """The sources of the request in its order, each collection of the data map with its part.

    Raises DsrError SOURCE_INCONSISTENT for a part of a collection that the data map doesn't name, and for a field that
    holds other people's data: its connector was never told to export them.
    """
    left = {(part.source, part.collection): part for part in parts}
    if len(left) < len(parts):
        raise ValueError("two parts of one collection")
    names = Names()
    sources: list[Source] = []
    for source in report.sources:
        name = source.instructions.data_source.name
        collections: list[Collection] = []
        for entry in source.instructions.map.collections:
            part = left.pop((name, entry.collection), None)
            if part is not None and not part.records:
                part = None  # a connector may announce a collection and then find nothing in it
            if part and {f.field for f in entry.fields if f.third_party} & {f.name for f in part.fields}:
                raise inconsistent(part, "it has a field that was to be left out")
            collections.append(
                Collection(
                    map=entry,
                    part=part,
                    retentions=_retentions(source, entry),
                    anchor=f"c{sum(len(s.collections) for s in sources) + len(collections) + 1}",
                    path=payload.path(names, part, ".jsonl") if part else None,
                )
            )
        sources.append(Source(source, collections))
    for part in left.values():
        raise inconsistent(part, "it has a collection that the data map doesn't name")
    return sources


def _retentions(source: SourceReport, entry: CollectionMap) -> list[Retention]:
    """What keeps a collection's records from being erased: holds, and the data map's own word."""
    found = [r for r in source.instructions.retentions if r.collection == entry.collection]
    if not found and entry.erase_action == EraseAction.ERASE_ACTION_RETAIN:
        review_time = entry.review_time if entry.HasField("review_time") else None
        found.append(
            Retention(
                collection=entry.collection,
                reason=entry.retain_reason,
                legal_reference=entry.legal_reference,
                review_time=review_time,
            )
        )
    return found


def processing(report: Report, sources: Sequence[Source]) -> dict[str, Any]:
    """The contents of `processing.json`."""
    partner = report.partner
    return {
        "title": "Information on the processing of personal data",
        "article": "GDPR Art. 15(1) and (2)",
        **({"sandbox": WATERMARK} if partner.sandbox else {}),
        "request": report.request,
        "received_time": report.received_time.isoformat(),
        "package_time": report.package_time.isoformat(),
        "data_map_revision": report.data_map_revision,
        "controller": {
            "name": partner.display_name,
            "country": partner.country,
            "privacy_contact": partner.privacy_contact,
            "data_protection_officer": report.partner_dpo or None,
            "supervisory_authority": partner.supervisory_authority or None,
        },
        "processor": {"name": report.operator, "data_protection_contact": report.operator_contact}
        if report.operator
        else None,
        "personal_data_found": any(source.records for source in sources),
        "records": sum(source.records for source in sources),
        "identities": [
            {
                "type": i.type,
                "value": i.value,
                "source": i.source or None,
                "collection": i.collection or None,
                "hops": i.hops,
                "followed": i.followed,
            }
            for i in report.identities
        ],
        "sources": [_source(source) for source in sources],
        "rights": [{"article": f"GDPR {right.article}", "title": right.title} for right in words.RIGHTS]
        + [{"article": "GDPR Art. 77", "title": "Complain to a supervisory authority"}],
    }


def _source(source: Source) -> dict[str, Any]:
    told, data_source = source.report, source.report.instructions.data_source
    location = data_source.location
    return {
        "source": data_source.name,
        "title": source.title,
        "location": {
            "provider": location.provider,
            "site": location.site,
            "country": location.country,
            "in_european_economic_area": source.in_eea,
        },
        "searched_by": None if told.searched_by is None else list(told.searched_by),
        "searched_by_every_name": not told.names_unasked,
        "snapshot_time": told.snapshot_time.isoformat() if told.snapshot_time else None,
        "collections": [_collection(collection) for collection in source.collections],
    }


def _collection(collection: Collection) -> dict[str, Any]:
    law, part = collection.map, collection.part
    basis = words.basis(law.lawful_basis)
    return {
        "collection": law.collection,
        "title": law.title,
        "records": collection.records,
        "data": collection.path.removeprefix("data/") if collection.path else None,
        "sha256": part.sha256.hex() if part else None,
        "purposes": list(law.purposes),
        "category": law.category,
        "recipients": list(law.recipients),
        "retention": law.retention,
        "data_origin": law.data_origin or None,
        "automated_decisions": law.automated_decisions or None,
        "transfer_safeguards": law.transfer_safeguards or None,
        "lawful_basis": {"article": f"GDPR {basis.article}", "term": basis.term},
        "origin": _origin(law.origin),
        "origin_of_fields": {name: _origin(origin) for name, origin in collection.other_origins},
        "withheld": [
            {"field": w.field, "article": f"GDPR {w.article}", "reason": w.reason} for w in collection.withheld
        ],
        "retained": [
            {
                "reason": r.reason,
                "legal_reference": r.legal_reference or None,
                "review_time": r.review_time.ToJsonString() if r.HasField("review_time") else None,
            }
            for r in collection.retentions
        ],
    }


def _origin(origin: Origin.ValueType) -> str:
    return Origin.Name(origin or Origin.ORIGIN_DERIVED).removeprefix("ORIGIN_")
