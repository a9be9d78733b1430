"""What the right to data portability reaches (Art. 20(1) and (4) GDPR), as a pure function of the data map.

In: data the person provided, or that was observed of them (WP 242 rev. 01), processed on consent (Art. 6(1)(a)) or
contract (Art. 6(1)(b)). Out: everything else, each field with its reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1.governance_pb2 import CollectionMap, FieldMap, LawfulBasis, Origin, SourceMap


class Withheld(StrEnum):
    """Why a field is outside the right; the first that applies."""

    BASIS = "Art. 20(1)(a): not processed on consent or contract"
    ORIGIN = "Art. 20(1): derived from other data, neither provided by you nor observed of you"
    THIRD_PARTY = "Art. 20(4): holds other people's data"


@dataclass(frozen=True)
class Selection:
    """What is ported of one collection."""

    collection: str
    rest: Withheld | None
    """Why the fields that the data map doesn't name are withheld; None: they are ported."""
    included: tuple[str, ...]
    """Named fields that are ported, in the map's order."""
    withheld: Mapping[str, Withheld]
    """Named fields that are withheld, and why."""

    @property
    def ported(self) -> bool:
        """Whether anything of the collection is."""
        return self.rest is None or bool(self.included)

    def reason(self, field: str) -> Withheld | None:
        """Why a field is withheld; None when it is ported."""
        if field in self.included:
            return None
        return self.withheld.get(field, self.rest)

    def instruction(self) -> CollectionInstruction | None:
        """What a connector is told; None when the collection isn't to be named at all."""
        if self.rest is None:
            return CollectionInstruction(collection=self.collection, redact_fields=self.withheld)
        if self.included:
            return CollectionInstruction(collection=self.collection, include_fields=self.included)
        return None


def select(source: SourceMap) -> list[Selection]:
    """For each collection of a source's map what is ported, in the map's order."""
    return [_select(collection) for collection in source.collections]


def _select(collection: CollectionMap) -> Selection:
    named: dict[str, Withheld | None] = {}
    for field in collection.fields:
        # A field that is named twice is ported only if both entries allow it.
        named[field.field] = named.get(field.field) or _decide(collection, field)
    return Selection(
        collection=collection.collection,
        rest=_decide(collection, FieldMap()),
        included=tuple(name for name, reason in named.items() if reason is None),
        withheld={name: reason for name, reason in named.items() if reason is not None},
    )


def _decide(collection: CollectionMap, field: FieldMap) -> Withheld | None:
    basis = field.lawful_basis or collection.lawful_basis
    # Not stated at either level is taken as derived (dsr.v1.Origin).
    origin = field.origin or collection.origin
    if basis not in (LawfulBasis.LAWFUL_BASIS_CONSENT, LawfulBasis.LAWFUL_BASIS_CONTRACT):
        return Withheld.BASIS
    if origin not in (Origin.ORIGIN_PROVIDED, Origin.ORIGIN_OBSERVED):
        return Withheld.ORIGIN
    return Withheld.THIRD_PARTY if field.third_party else None
