"""The processor's record of processing activities for one controller (GDPR Art. 30(2)). Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr.v1 import governance_pb2 as pb

from dsrkit.watermark import watermark
from services.governance.law.domain import Law
from services.governance.recipients.domain import REGISTER, SubProcessor, state


@dataclass(frozen=True)
class Facts:
    """What the document rests on."""

    operator: str
    dpo_contact: str
    partner: pb.Partner
    partner_dpo: str
    """The controller's own data protection officer; empty: none is known."""
    objections: Collection[str]
    """Ids of the sub-processors that it objected to."""
    data_map: pb.DataMap
    sources: Sequence[pb.DataSource]
    measures: Sequence[str]
    carried_out: Sequence[Mapping[str, Any]]
    """What was done, by month, operation, source and outcome."""
    after: datetime | None
    before: datetime


def register(facts: Facts, law: Law) -> dict[str, Any]:
    """The document, by the letters of Art. 30(2)."""
    partner, mapped = facts.partner, {source.source: source for source in facts.data_map.sources}
    return {
        "title": "Record of processing activities carried out for a controller (GDPR Art. 30(2))",
        "sandbox": watermark(partner.sandbox),
        "period": {"from": facts.after.isoformat() if facts.after else "", "to": facts.before.isoformat()},
        "processor": {"name": facts.operator, "data_protection_officer": facts.dpo_contact},
        "controller": {
            "name": partner.display_name,
            "resource": partner.name,
            "country": partner.country,
            "contact": partner.privacy_contact,
            "data_protection_officer": facts.partner_dpo,
            "supervisory_authority": partner.supervisory_authority,
        },
        "categories_of_processing": [
            _category(source.name, collection)
            for source in facts.sources
            if source.name in mapped
            for collection in mapped[source.name].collections
        ],
        "places": [_place(source, law, facts.before) for source in facts.sources],
        "delivery": _where(partner.country, law, facts.before),
        "sub_processors": [_sub_processor(entry, facts) for entry in REGISTER],
        "security_measures": list(facts.measures),
        "carried_out": [dict(line) for line in facts.carried_out],
    }


def _category(source: str, collection: pb.CollectionMap) -> dict[str, Any]:
    return {
        "data_source": source,
        "collection": collection.title,
        "category_of_data": collection.category,
        "purposes": list(collection.purposes),
        "lawful_basis": pb.LawfulBasis.Name(collection.lawful_basis).removeprefix("LAWFUL_BASIS_"),
        "recipients": list(collection.recipients),
        "retention": collection.retention,
        "transfer_safeguards": collection.transfer_safeguards,
    }


def _sub_processor(entry: SubProcessor, facts: Facts) -> dict[str, Any]:
    confirmed = f"{entry.confirmed.isoformat()}, {entry.confirmed_by}" if entry.confirmed else ""
    return {
        "name": entry.name,
        "purpose": entry.purpose,
        "address": entry.address,
        "country": entry.country,
        "data": list(entry.data),
        "state": state(entry, entry.id in facts.objections, facts.before.date()),
        "confirmed_by_processor": confirmed,
    }


def _place(source: pb.DataSource, law: Law, day: datetime) -> dict[str, Any]:
    return {
        "data_source": source.name,
        "custody": pb.DataSource.Custody.Name(source.custody).removeprefix("CUSTODY_"),
        "provider": source.location.provider,
        "site": source.location.site,
        **_where(source.location.country, law, day),
    }


def _where(country: str, law: Law, day: datetime) -> dict[str, Any]:
    """A country, and on what a transfer there rests (Art. 30(2)(c))."""
    inside = country in law.eea
    decisions = [
        f"{a.decision} (not for {a.leaves_out})" if a.leaves_out else a.decision
        for a in law.adequacy.get(country, ())
        if a.in_force(day.date())
    ]
    return {"country": country, "third_country": not inside, "adequacy": [] if inside else decisions}
