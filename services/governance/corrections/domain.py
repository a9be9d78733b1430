"""What a request may ask, where it has to be carried out, and what an objection means. Pure."""

from collections.abc import Collection, Mapping, Sequence

from dsr.v1 import correction_pb2 as pb
from dsr.v1 import governance_pb2

_KIND = pb.CorrectionRequest
_EFFECT = pb.CorrectionRequest.Effect
_MOST_VALUE, _MOST_CHANGES, _MOST_PURPOSES = 4_096, 100, 50


def wrong(
    request: pb.CorrectionRequest, registered: Collection[str], data_map: governance_pb2.DataMap
) -> tuple[str, str] | None:
    """What is wrong with a request, as field and reason; None when it can be carried out."""
    for index, source in enumerate(request.data_sources):
        if source not in registered:
            return f"data_sources[{index}]", "is not a data source of this partner"
    for field, kind in (
        ("changes", _KIND.KIND_RECTIFICATION),
        ("purposes", _KIND.KIND_OBJECTION),
        ("direct_marketing", _KIND.KIND_OBJECTION),
    ):
        if getattr(request, field) and request.kind != kind:
            return field, f"only a request of {_KIND.Kind.Name(kind)} has it"
    if request.HasField("restriction") != (request.kind == _KIND.KIND_RESTRICTION):
        return "restriction", "a request of KIND_RESTRICTION has it, and no other"
    match request.kind:
        case _KIND.KIND_RECTIFICATION:
            return _wrong_changes(request, data_map)
        case _KIND.KIND_RESTRICTION:
            grounds = _KIND.Restriction.Ground
            known = request.restriction.ground in grounds.values()
            return None if known else ("restriction.ground", f"must be one of {', '.join(grounds.keys()[1:])}")
        case _KIND.KIND_OBJECTION:
            return _wrong_purposes(request, data_map)
        case _:
            return "kind", "must be KIND_RECTIFICATION, KIND_RESTRICTION or KIND_OBJECTION"


def _wrong_changes(request: pb.CorrectionRequest, data_map: governance_pb2.DataMap) -> tuple[str, str] | None:
    if not 1 <= len(request.changes) <= _MOST_CHANGES:
        return "changes", f"a rectification has 1 to {_MOST_CHANGES}"
    mapped = {(s.source, c.collection) for s in data_map.sources for c in s.collections}
    chosen = set(request.data_sources)
    for index, change in enumerate(request.changes):
        path = f"changes[{index}]"
        if (change.source, change.collection) not in mapped:
            return f"{path}.collection", "is not in the data map"
        if chosen and change.source not in chosen:
            return f"{path}.source", "is not among data_sources"
        if not 1 <= len(change.field) <= 200:
            return f"{path}.field", "must have 1 to 200 characters"
        if any(len(value) > _MOST_VALUE for value in (change.value, change.current_value)):
            return f"{path}.value", f"at most {_MOST_VALUE:,} characters"
    return None


def _wrong_purposes(request: pb.CorrectionRequest, data_map: governance_pb2.DataMap) -> tuple[str, str] | None:
    if not 1 <= len(request.purposes) <= _MOST_PURPOSES:
        return "purposes", f"an objection has 1 to {_MOST_PURPOSES}"
    known = {purpose for s in data_map.sources for c in s.collections for purpose in c.purposes}
    for index, purpose in enumerate(request.purposes):
        if purpose not in known:
            return f"purposes[{index}]", "is not a purpose of the data map; spell it as it stands there"
    return None


def places(
    request: pb.CorrectionRequest, registered: Collection[str], effects: Sequence[pb.CorrectionRequest.Effect]
) -> list[str]:
    """The data sources that have something to do.

    An objection concerns the sources where processing stops, or may. A restriction concerns every source, mapped or
    not: what nobody mapped is processed too.
    """
    chosen = set(request.data_sources or registered)
    match request.kind:
        case _KIND.KIND_RECTIFICATION:
            found = {change.source for change in request.changes}
        case _KIND.KIND_OBJECTION:
            found = {effect.source for effect in effects if effect.consequence != _EFFECT.CONSEQUENCE_NONE}
        case _:
            found = set(registered)
    return sorted(found & chosen)


def touched(
    request: pb.CorrectionRequest, places: Collection[str], data_map: governance_pb2.DataMap
) -> dict[str, list[str]]:
    """Collections by source of which recipients have to hear (Art. 19): those with a change, or all restricted."""
    if request.kind == _KIND.KIND_RECTIFICATION:
        pairs = {(change.source, change.collection) for change in request.changes}
    elif request.kind == _KIND.KIND_RESTRICTION:
        pairs = {(s.source, c.collection) for s in data_map.sources for c in s.collections}
    else:
        pairs = set()
    return {
        source: sorted(c for s, c in pairs if s == source) for source in sorted({s for s, _ in pairs} & set(places))
    }


_BASES: Mapping[int, "pb.CorrectionRequest.Effect.Consequence.ValueType"] = {
    governance_pb2.LAWFUL_BASIS_PUBLIC_TASK: _EFFECT.CONSEQUENCE_STOPS_UNLESS_COMPELLING,
    governance_pb2.LAWFUL_BASIS_LEGITIMATE_INTERESTS: _EFFECT.CONSEQUENCE_STOPS_UNLESS_COMPELLING,
    governance_pb2.LAWFUL_BASIS_CONSENT: _EFFECT.CONSEQUENCE_WITHDRAW_CONSENT,
}


def consequence(basis: int, *, direct_marketing: bool) -> "pb.CorrectionRequest.Effect.Consequence.ValueType":
    """What an objection means for processing on this lawful basis (Art. 21(1) to (3))."""
    if direct_marketing:
        return _EFFECT.CONSEQUENCE_STOPS
    return _BASES.get(basis, _EFFECT.CONSEQUENCE_NONE)


def effects(
    request: pb.CorrectionRequest, registered: Collection[str], data_map: governance_pb2.DataMap
) -> list[pb.CorrectionRequest.Effect]:
    """What an objection means for each processing of the data map that serves one of its purposes."""
    sources, wanted = set(request.data_sources or registered), set(request.purposes)
    return [
        _EFFECT(
            source=source.source,
            collection=collection.collection,
            purpose=purpose,
            lawful_basis=collection.lawful_basis,
            consequence=consequence(collection.lawful_basis, direct_marketing=request.direct_marketing),
        )
        for source in data_map.sources
        if source.source in sources
        for collection in source.collections
        for purpose in collection.purposes
        if purpose in wanted
    ]
