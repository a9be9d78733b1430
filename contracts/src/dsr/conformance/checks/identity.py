"""Rules about whose records an Export brings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, require
from dsr.conformance.checks.export import Part, copy
from dsr.conformance.material import Person
from dsr.connector.v1 import connector_pb2 as pb

_FIELDS = {pb.IdentityField.MATCH_EXACT, pb.IdentityField.MATCH_CASE_FOLD}
"""Telephone numbers may be written in as many ways as there are countries: what is equal there isn't known here."""


class OnePerson(Check):
    rule = "export.one-person"
    condition = "a person with records, in collections that only the asked identities lead to"
    code = "OK"
    meaning = "Every record carries one of these identities, compared as its field declares. No key comes twice."
    caller = "gives the records to this person, and to nobody else"
    remedy = "Copy what Locate finds: the same condition, whatever else has as many records."

    async def run(self, bench: Bench) -> None:
        """The present person, collection by collection."""
        await bench.needs(pb.CAPABILITY_EXPORT)
        person = bench.material.present
        copied, personal, looked = await copy(bench, person), await bench.personal(), False
        for name, part in copied.parts.items():
            _keys(name, personal[name].primary_key, part)
            fields = _searchable(personal[name], person, part)
            if fields and part.records:
                looked = True
                foreign = sum(not any(_carries(record, *field) for field in fields) for record in part.records)
                require(not foreign, f"{name}: {foreign} of {len(part.records)} records are not the person's")
        if not looked:
            raise NotApplicable("no collection with records says by a field whose they are")


def _keys(name: str, primary_key: Sequence[str], part: Part) -> None:
    if not primary_key or not all(key in record for record in part.records for key in primary_key):
        return
    keys = {tuple(repr(record[key]) for key in primary_key) for record in part.records}
    require(len(keys) == len(part.records), f"{name}: {len(part.records) - len(keys)} records are sent twice")


def _searchable(collection: pb.Collection, person: Person, part: Part) -> list[tuple[pb.IdentityField, list[str]]]:
    """Fields by which each record must say whose it is; none where a reference may lead to it as well."""
    if any(reference.ownership != pb.Reference.OWNERSHIP_LOOKUP for reference in collection.references):
        return []
    sent = {field.name for field in part.header.fields}
    asked = [field for field in collection.identity_fields if any(field.type == kind for kind, _ in person.identities)]
    if any(field.match not in _FIELDS or field.field not in sent for field in asked):
        return []
    return [(field, [value for kind, value in person.identities if kind == field.type]) for field in asked]


def _carries(record: Mapping[str, Any], field: pb.IdentityField, asked: Sequence[str]) -> bool:
    found = set(_values(record[field.field]))
    if field.match == pb.IdentityField.MATCH_CASE_FOLD:
        return not {value.casefold() for value in found}.isdisjoint(value.casefold() for value in asked)
    return not found.isdisjoint(asked)


def _values(value: Any) -> Iterator[str]:
    """A value as an identity is written; several where the field holds a list."""
    if isinstance(value, list):
        for one in value:
            yield from _values(one)
    elif isinstance(value, float) and value.is_integer():
        yield str(int(value))
    elif value is not None:
        # A column of fixed width pads what it holds.
        yield str(value).rstrip(" ")


CHECKS: Sequence[Check] = (OnePerson(),)
