"""Art. 20 as a decision table, every row of it."""

from itertools import product

import pytest
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1.governance_pb2 import CollectionMap, FieldMap, LawfulBasis, Origin, SourceMap

from dsrkit.portability_rule import Selection, Withheld, select

BASES = LawfulBasis.values()
ORIGINS = Origin.values()
PORTABLE_BASES = {LawfulBasis.LAWFUL_BASIS_CONSENT, LawfulBasis.LAWFUL_BASIS_CONTRACT}
PORTABLE_ORIGINS = {Origin.ORIGIN_PROVIDED, Origin.ORIGIN_OBSERVED}


def one(collection: CollectionMap) -> Selection:
    (selection,) = select(SourceMap(collections=[collection]))
    return selection


@pytest.mark.parametrize(("basis", "origin"), list(product(BASES, ORIGINS)))
def test_a_whole_collection(basis: LawfulBasis.ValueType, origin: Origin.ValueType) -> None:
    selection = one(CollectionMap(collection="c", lawful_basis=basis, origin=origin))
    expected = None
    if origin not in PORTABLE_ORIGINS:
        expected = Withheld.ORIGIN
    if basis not in PORTABLE_BASES:
        expected = Withheld.BASIS
    assert selection.rest == expected
    assert selection.reason("any") == expected
    assert selection.ported is (expected is None)
    instruction = selection.instruction()
    if expected is None:
        assert instruction == CollectionInstruction(collection="c")
    else:
        assert instruction is None


@pytest.mark.parametrize(("basis", "origin"), list(product(BASES, ORIGINS)))
def test_a_field_of_its_own_rules(basis: LawfulBasis.ValueType, origin: Origin.ValueType) -> None:
    for rules in product(BASES, ORIGINS, [False, True]):
        check(basis, origin, *rules)


def check(
    basis: LawfulBasis.ValueType,
    origin: Origin.ValueType,
    field_basis: LawfulBasis.ValueType,
    field_origin: Origin.ValueType,
    third_party: bool,
) -> None:
    field = FieldMap(field="f", lawful_basis=field_basis, origin=field_origin, third_party=third_party)
    selection = one(CollectionMap(collection="c", lawful_basis=basis, origin=origin, fields=[field]))
    reached = (field_basis or basis) in PORTABLE_BASES and (field_origin or origin) in PORTABLE_ORIGINS
    assert (selection.reason("f") is None) is (reached and not third_party)
    if reached and third_party:
        assert selection.reason("f") is Withheld.THIRD_PARTY
    instruction = selection.instruction()
    if selection.rest is None:
        assert instruction is not None
        assert list(instruction.redact_fields) == ([] if selection.reason("f") is None else ["f"])
        assert not instruction.include_fields
    elif selection.reason("f") is None:
        assert instruction is not None
        assert (list(instruction.include_fields), list(instruction.redact_fields)) == (["f"], [])
    else:
        assert instruction is None


def test_a_field_named_twice_is_ported_only_if_both_entries_allow_it() -> None:
    provided = FieldMap(field="f", origin=Origin.ORIGIN_PROVIDED)
    derived = FieldMap(field="f", origin=Origin.ORIGIN_DERIVED)
    for fields in ([provided, derived], [derived, provided]):
        selection = one(CollectionMap(lawful_basis=LawfulBasis.LAWFUL_BASIS_CONSENT, fields=fields))
        assert selection.reason("f") is Withheld.ORIGIN
        assert selection.included == ()


def test_collections_keep_the_maps_order() -> None:
    found = select(SourceMap(collections=[CollectionMap(collection=name) for name in "bca"]))
    assert [selection.collection for selection in found] == ["b", "c", "a"]
