"""Rules of Describe."""

from collections.abc import Iterable, Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, require
from dsr.connector.v1 import connector_pb2 as pb

_TYPES = frozenset(
    [
        "string",
        "number",
        "integer",
        "boolean",
        "object",
        "array",
        "list",
        "datetime",
        "date",
        "time",
        "duration",
        "any",
        "year",
        "yearmonth",
        "geopoint",
        "geojson",
    ]
)


def _unique(names: Iterable[str], what: str) -> None:
    listed = list(names)
    require(all(listed), f"{what} without a name")
    require(len(set(listed)) == len(listed), f"two {what} have the same name")


class Sound(Check):
    rule = "describe.sound"
    condition = "a known source"
    code = "OK"
    meaning = "Every collection, those without personal data included; what it refers to is described as well."
    caller = "compares it with the data map; drift is a finding"
    remedy = (
        "Describe names kind and version, unique collections and fields, and refers to nothing that it doesn't list."
    )

    async def run(self, bench: Bench) -> None:
        """Each claim of the answer against the others."""
        described = await bench.described()
        require(described.connector and described.version, "connector and version must be given")
        _unique((pb.Capability.Name(c) for c in described.capabilities), "capabilities")
        require(pb.CAPABILITY_UNSPECIFIED not in described.capabilities, "CAPABILITY_UNSPECIFIED is declared")
        erases = pb.CAPABILITY_ERASE in described.capabilities
        anonymises = pb.CAPABILITY_ANONYMISE in described.capabilities
        require(erases or not anonymises, "ANONYMISE is declared without ERASE")
        exports = pb.CAPABILITY_EXPORT in described.capabilities
        require(exports or not anonymises, "ANONYMISE is declared without EXPORT: nobody could read it back")
        amends = pb.CAPABILITY_AMEND in described.capabilities
        require(exports or not amends, "AMEND is declared without EXPORT: nobody could read it back")
        require(described.collections, "no collection is described")
        _unique((c.name for c in described.collections), "collections")
        by_name = {c.name: c for c in described.collections}
        for collection in described.collections:
            _sound_collection(collection, by_name)
            _sound_amending(collection, amends=amends)
        for finding in described.findings:
            require(finding.code and finding.detail, "a finding lacks code or detail")
            require(not finding.collection or finding.collection in by_name, "a finding is about an unknown collection")


def _sound_collection(collection: pb.Collection, by_name: dict[str, pb.Collection]) -> None:
    name = collection.name
    _unique((f.name for f in collection.fields), f"fields of {name}")
    fields = {f.name for f in collection.fields}
    for field in collection.fields:
        require(field.type in _TYPES, f"{name}.{field.name}: {field.type[:40]} is not a Table Schema type")
    require(set(collection.primary_key) <= fields, f"{name}: the primary key is not made of its fields")
    for identity in collection.identity_fields:
        require(identity.field in fields, f"{name}: an identity field doesn't exist")
        require(identity.type, f"{name}.{identity.field}: the identity type is missing")
        require(identity.match, f"{name}.{identity.field}: the matching rule is missing")
    require(
        not (collection.no_personal_data and collection.identity_fields), f"{name}: identities, and no_personal_data"
    )
    _unique((r.name for r in collection.references), f"references of {name}")
    for reference in collection.references:
        target = by_name.get(reference.target)
        require(target is not None, f"{name}.{reference.name}: the target is not described")
        require(set(reference.fields) <= fields, f"{name}.{reference.name}: a field doesn't exist")
        targets = {f.name for f in target.fields} if target is not None else set()
        require(set(reference.target_fields) <= targets, f"{name}.{reference.name}: a target field doesn't exist")
        require(len(reference.fields) == len(reference.target_fields), f"{name}.{reference.name}: lengths differ")


def _sound_amending(collection: pb.Collection, *, amends: bool) -> None:
    name, fields = collection.name, {f.name for f in collection.fields}
    amendable = {f.name for f in collection.fields if f.amendable}
    require(amends or not (amendable or collection.flags), f"{name}: something may be set, though AMEND isn't declared")
    fixed = {*collection.primary_key, *(i.field for i in collection.identity_fields)}
    fixed |= {f for reference in collection.references for f in reference.fields}
    fixed |= {f.name for f in collection.fields if f.generated}
    _unique((f.name for f in collection.flags), f"flags of {name}")
    require({f.field for f in collection.flags} <= fields, f"{name}: a flag's field doesn't exist")
    settable = amendable | {f.field for f in collection.flags}
    require(not settable & fixed, f"{name}: keys, references, names and computed fields can't be amendable")
    require(all(f.set_value != f.clear_value for f in collection.flags), f"{name}: a flag has one value for both")


class Stable(Check):
    rule = "describe.stable"
    condition = "the same source again"
    code = "OK"
    meaning = "The same answer; only estimates may differ."
    caller = "caches it"
    remedy = "Answer in a fixed order, and declare capabilities that don't depend on the moment."

    async def run(self, bench: Bench) -> None:
        """Two answers, compared."""
        answers = []
        for _ in range(2):
            (described,) = await bench.answer("Describe", pb.DescribeRequest(source=bench.source))
            for collection in described.collections:
                collection.record_estimate = 0
            answers.append(described.SerializeToString(deterministic=True))
        require(answers[0] == answers[1], "two calls answer differently")


CHECKS: Sequence[Check] = (Sound(), Stable())
