"""Rectification, restriction, objection: every branch of what may be asked, where it is done, and what it means."""

from typing import Any

import pytest
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import erasure_pb2, governance_pb2

from services.governance.corrections.domain import consequence, effects, places, wrong
from services.governance.domain import restricted

R = pb.CorrectionRequest
G = erasure_pb2.ErasureRequest
REGISTERED = ["p/dataSources/a", "p/dataSources/b"]
A, B = REGISTERED
MAP = governance_pb2.DataMap(
    sources=[
        governance_pb2.SourceMap(
            source=A,
            collections=[
                governance_pb2.CollectionMap(
                    collection="people",
                    purposes=["newsletters", "delivery"],
                    lawful_basis=governance_pb2.LAWFUL_BASIS_LEGITIMATE_INTERESTS,
                ),
                governance_pb2.CollectionMap(
                    collection="invoices",
                    purposes=["tax", "newsletters"],
                    lawful_basis=governance_pb2.LAWFUL_BASIS_LEGAL_OBLIGATION,
                ),
            ],
        )
    ]
)
CHANGE = R.FieldChange(source=A, collection="people", field="email", value="new@example.com")
RIGHT = {"kind": R.KIND_RECTIFICATION, "changes": [CHANGE]}
RESTRICT = {"kind": R.KIND_RESTRICTION, "restriction": R.Restriction(ground=R.Restriction.GROUND_LEGAL_CLAIMS)}
OBJECT = {"kind": R.KIND_OBJECTION, "purposes": ["newsletters"]}


def changed(**fields: Any) -> R.FieldChange:
    change = R.FieldChange()
    change.CopyFrom(CHANGE)
    for name, value in fields.items():
        setattr(change, name, value)
    return change


@pytest.mark.policy("P11", "what can't be meant is refused by field, before anything is stored")
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (RIGHT, None),
        (RESTRICT, None),
        (OBJECT, None),
        ({**OBJECT, "direct_marketing": True}, None),
        ({**RIGHT, "data_sources": [A]}, None),
        ({**RIGHT, "data_sources": ["p/dataSources/x"]}, "data_sources[0]"),
        ({"kind": 9}, "kind"),
        ({"kind": R.KIND_RECTIFICATION}, "changes"),
        ({**RIGHT, "changes": [CHANGE] * 101}, "changes"),
        ({**RIGHT, "changes": [CHANGE, changed(collection="none")]}, "changes[1].collection"),
        ({**RIGHT, "changes": [changed(source=B)]}, "changes[0].collection"),
        ({**RIGHT, "data_sources": [B]}, "changes[0].source"),
        ({**RIGHT, "changes": [changed(field="x" * 201)]}, "changes[0].field"),
        ({**RIGHT, "changes": [changed(value="x" * 4097)]}, "changes[0].value"),
        ({**RIGHT, "changes": [changed(current_value="x" * 4097)]}, "changes[0].value"),
        ({**RIGHT, "purposes": ["tax"]}, "purposes"),
        ({**RIGHT, "direct_marketing": True}, "direct_marketing"),
        ({**RIGHT, "restriction": R.Restriction()}, "restriction"),
        ({"kind": R.KIND_RESTRICTION}, "restriction"),
        ({"kind": R.KIND_RESTRICTION, "restriction": R.Restriction(ground=9)}, "restriction.ground"),  # type: ignore[arg-type]
        ({**RESTRICT, "changes": [CHANGE]}, "changes"),
        ({"kind": R.KIND_OBJECTION}, "purposes"),
        ({**OBJECT, "purposes": ["tax"] * 51}, "purposes"),
        ({**OBJECT, "purposes": ["tax", "news"]}, "purposes[1]"),
    ],
)
def test_what_may_be_asked(fields: dict[str, Any], field: str | None) -> None:
    found = wrong(R(**fields), REGISTERED, MAP)
    assert (found[0] if found else None) == field
    assert found is None or "new@example.com" not in found[1]


@pytest.mark.parametrize(
    ("fields", "sources"),
    [
        (RIGHT, [A]),
        (RESTRICT, [A, B]),
        ({**RESTRICT, "data_sources": [B]}, [B]),
        (OBJECT, [A]),
        ({**OBJECT, "purposes": ["tax"]}, []),
        ({**OBJECT, "data_sources": [B]}, []),
    ],
)
def test_where_it_is_done(fields: dict[str, Any], sources: list[str]) -> None:
    request = R(**fields)
    assert places(request, REGISTERED, effects(request, REGISTERED, MAP)) == sources


@pytest.mark.policy("P11", "an objection is weighed by the lawful basis of each purpose (Art. 21)")
@pytest.mark.parametrize(
    ("basis", "weighed"),
    [
        ("CONSENT", "WITHDRAW_CONSENT"),
        ("CONTRACT", "NONE"),
        ("LEGAL_OBLIGATION", "NONE"),
        ("VITAL_INTERESTS", "NONE"),
        ("PUBLIC_TASK", "STOPS_UNLESS_COMPELLING"),
        ("LEGITIMATE_INTERESTS", "STOPS_UNLESS_COMPELLING"),
    ],
)
def test_what_an_objection_means(basis: str, weighed: str) -> None:
    number = governance_pb2.LawfulBasis.Value(f"LAWFUL_BASIS_{basis}")
    assert R.Effect.Consequence.Name(consequence(number, direct_marketing=False)) == f"CONSEQUENCE_{weighed}"
    assert consequence(number, direct_marketing=True) == R.Effect.CONSEQUENCE_STOPS


def test_the_effects_are_those_of_the_purposes_named() -> None:
    found = effects(R(**OBJECT), REGISTERED, MAP)  # type: ignore[arg-type]
    assert [(e.collection, e.purpose, e.consequence) for e in found] == [
        ("people", "newsletters", R.Effect.CONSEQUENCE_STOPS_UNLESS_COMPELLING),
        ("invoices", "newsletters", R.Effect.CONSEQUENCE_NONE),
    ]


@pytest.mark.policy("P11", "restricted data is not erased but at the person's own demand (Art. 18(2))")
@pytest.mark.parametrize(
    ("ground", "refused"),
    [
        (G.GROUND_UNSPECIFIED, True),
        (G.GROUND_NON_NECESSITY, True),
        (G.GROUND_CONSENT_WITHDRAWN, False),
        (G.GROUND_OBJECTION, False),
        (G.GROUND_UNLAWFUL_PROCESSING, True),
        (G.GROUND_LEGAL_OBLIGATION, True),
        (G.GROUND_CHILD_DATA, False),
    ],
)
def test_which_erasures_a_restriction_stops(ground: Any, refused: bool) -> None:
    assert restricted(ground, [], "dpo@x") is None
    refusal = restricted(ground, ["p/correctionRequests/1"], "dpo@x")
    assert (refusal is not None) == refused
    if refusal is not None:
        assert (refusal.rule, refusal.article) == ("RESTRICTED", "GDPR Art. 18(2)")
        assert "p/correctionRequests/1" in refusal.facts[0]
        assert "dpo@x" in refusal.objection
