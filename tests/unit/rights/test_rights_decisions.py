"""Governance's decisions and the erasure's plan and report, branch by branch."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from dsr.authority.v1 import authority_pb2 as pb
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1 import governance_pb2, subject_pb2

from dsrkit.instructions import differences
from dsrkit.requests.model import Dossier, Known
from services.erasure import plan as plans
from services.erasure.report import outcomes, remains
from services.erasure.steps import _erased
from services.governance.domain import Facts, Hold, check_map, instructions, refuse

METHOD = subject_pb2.IdentityVerification
DPO = "dpo@x"
FACTS = Facts(pb.RIGHT_ACCESS, "GOOD", ["a", "b"], ["a", "b"], [], METHOD.METHOD_ACCOUNT_LOGIN)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"standing": "SUSPENDED"}, "PARTNER_SUSPENDED"),
        ({"registered": [], "mapped": []}, "NO_DATA_SOURCE"),
        ({"mapped": ["a"]}, "SOURCE_NOT_MAPPED"),
        ({"mapped": ["a"], "wanted": ["a"]}, None),
        ({"verification": METHOD.METHOD_CONTACT_CONFIRMED}, "VERIFICATION_TOO_WEAK"),
        ({"verification": METHOD.METHOD_CONTACT_CONFIRMED, "right": pb.RIGHT_PORTABILITY}, "VERIFICATION_TOO_WEAK"),
        ({"verification": METHOD.METHOD_CONTACT_CONFIRMED, "right": pb.RIGHT_ERASURE}, None),
    ],
)
@pytest.mark.policy("P18", "every refusal names the data protection officer to object to")
def test_refusals(changes: dict[str, Any], rule: str | None) -> None:
    refusal = refuse(Facts(**{**FACTS.__dict__, **changes}), DPO)
    assert (refusal.rule if refusal else None) == rule
    if refusal:
        assert refusal.article.startswith("GDPR Art.")
        assert refusal.facts
        assert DPO in refusal.objection


def collection(name: str, action: int, **fields: Any) -> governance_pb2.CollectionMap:
    return governance_pb2.CollectionMap(
        collection=name,
        lawful_basis=governance_pb2.LAWFUL_BASIS_CONTRACT,
        origin=governance_pb2.ORIGIN_PROVIDED,
        erase_action=action,  # type: ignore[arg-type]
        **fields,
    )


ANONYMOUS = governance_pb2.FieldMap(field="name", anonymise=governance_pb2.FieldAnonymisation(constant='"x"'))
MAP = governance_pb2.SourceMap(
    source="s",
    collections=[
        collection("d", 1, fields=[governance_pb2.FieldMap(field="other", third_party=True)]),
        collection("a", 2, fields=[ANONYMOUS]),
        collection("r", 3, retain_reason="why", legal_reference="law"),
    ],
)


def test_instructions_for_each_right() -> None:
    access, _ = instructions(pb.RIGHT_ACCESS, MAP, [])
    assert {i.collection: list(i.redact_fields) for i in access} == {"d": ["other"], "a": [], "r": []}
    erasure, retentions = instructions(pb.RIGHT_ERASURE, MAP, [])
    assert [i.action for i in erasure] == [1, 2, 3]
    assert [(a.field, a.constant) for a in erasure[1].anonymise] == [("name", '"x"')]
    assert [(r.collection, r.legal_reference) for r in retentions] == [("r", "law")]


def test_a_hold_retains_whatever_the_map_says() -> None:
    early, late = (datetime(2030, m, 1, tzinfo=UTC) for m in (1, 6))
    holds = [Hold("h1", "s", "d", "claims", "art", early), Hold("h2", "s", "d", "claims", "art", late)]
    found, retentions = instructions(pb.RIGHT_ERASURE, MAP, holds)
    assert found[0].action == CollectionInstruction.ACTION_RETAIN
    assert retentions[0].hold == "h2", "the one that lasts longest is named"


def test_data_maps_are_checked() -> None:
    assert check_map(governance_pb2.DataMap(sources=[MAP])) is None
    cases = {
        "erase_action": collection("x", 0),
        "retain_reason": collection("x", 3),
        "fields": collection("x", 2),
    }
    for field, wrong in cases.items():
        source = governance_pb2.SourceMap(source="s", collections=[wrong])
        found = check_map(governance_pb2.DataMap(sources=[source]))
        assert found is not None
        assert found[0] == f"data_map.sources[0].collections[0].{field}"
    twice = governance_pb2.DataMap(sources=[MAP, MAP])
    assert check_map(twice) == ("data_map.sources[1].source", "stands twice")


def test_caps_do_not_count_as_a_change_of_instruction() -> None:
    before = [CollectionInstruction(collection="d", action=CollectionInstruction.ACTION_DELETE, cap=5)]
    assert (
        differences(before, [CollectionInstruction(collection="d", action=CollectionInstruction.ACTION_DELETE, cap=9)])
        == []
    )
    assert differences(before, [CollectionInstruction(collection="d", action=CollectionInstruction.ACTION_RETAIN)]) == [
        "d"
    ]
    assert differences(before, []) == ["d"]


def located(**counts: int) -> Any:
    return SimpleNamespace(result={"collections": counts, "findings": []})


def told() -> list[pb.SourceInstructions]:
    found, retentions = instructions(pb.RIGHT_ERASURE, MAP, [])
    source = governance_pb2.DataSource(name="s")
    return [pb.SourceInstructions(data_source=source, map=MAP, instructions=found, retentions=retentions)]


REQUEST: Any = SimpleNamespace(id=UUID(int=7), data_map_revision=1)


ANN = Dossier((Known("email", "a"),))


def made(dossier: Dossier = ANN, revision: int = 1, **counts: int) -> dict[str, Any]:
    return plans.make(REQUEST, dossier, revision, {"s": located(**counts)}, told(), 1.0, b"k", "2026-01-01T00:00:00Z")


def test_the_digest_covers_identities_actions_and_caps() -> None:
    base = made(d=1)
    assert made(d=1)["digest"] == base["digest"]
    assert made(d=100)["digest"] != base["digest"]
    assert made(d=1, a=1)["digest"] != base["digest"]
    assert made(Dossier((Known("email", "b"),)), d=1)["digest"] != base["digest"]
    assert made(d=1, revision=2)["digest"] != base["digest"]
    assert '"a"' not in str(base["digest"])


def test_what_is_not_mapped_blocks_the_plan() -> None:
    plan = made(d=1, unknown=2)
    assert [f["code"] for f in plan["findings"]] == ["COLLECTION_NOT_MAPPED"]


@pytest.mark.parametrize(
    ("counts", "kinds"),
    [
        ({"d": 1, "r": 1}, []),
        ({"d": 11, "r": 500}, []),
        ({"d": 12}, ["CAP_EXCEEDED"]),
        ({"d": 1, "a": 1}, ["NEW_COLLECTION"]),
        ({}, []),
    ],
)
def test_growth_beyond_the_caps_is_a_change(counts: dict[str, int], kinds: list[str]) -> None:
    plan = made(d=1, r=1)
    found = plans.changes(plan, {"s": located(**counts)}, told(), differences)
    assert [c["kind"] for c in found] == kinds


def test_outcomes_mean_what_they_say() -> None:
    plan = made(d=2, a=1, r=1)
    erased = {"s": {"collections": {"d": {"deleted": 2}, "a": {"pseudonymised": 1}, "r": {"retained": 1}}}}
    found = {o["collection"]: o["result"] for o in outcomes(plan, erased, {"s": {"remnants": {}}})}
    assert found == {"d": "ERASED", "a": "PSEUDONYMISED", "r": "RETAINED"}
    assert remains(outcomes(plan, erased, {})), "masked is not erased"
    left = {"s": {"remnants": {"d": {"unexplained": 1, "explained": 0, "fields": ["id"]}}}}
    assert {o["collection"]: o["result"] for o in outcomes(plan, erased, left)}["d"] == "REMAINS"
    surprise = {"s": {"remnants": {"z": {"unexplained": 3, "explained": 0, "fields": []}}}}
    assert outcomes(plan, erased, surprise)[-1]["remaining"] == 3


@pytest.mark.parametrize(
    ("code", "collection", "blocks"),
    [
        ("CASCADE_OUTSIDE_PLAN", "d", True),
        ("REFERENCED_OUTSIDE_PLAN", "a", False),
        ("CASCADE_OUTSIDE_PLAN", "r", False),
        ("TRIGGER", "d", True),
        ("TRIGGER", "r", False),
        ("TRIGGER", "elsewhere", False),
        ("UNDECLARED_COLLECTION", "elsewhere", True),
        ("UNDECIDED_REFERENCE", "elsewhere", True),
        ("PRIVILEGE_MISSING", "a", True),
    ],
)
def test_findings_block_what_they_concern(code: str, collection: str, blocks: bool) -> None:
    finding = {"code": code, "collection": collection, "detail": "mend it", "blocks": True}
    task: Any = SimpleNamespace(result={"collections": {"d": 1, "a": 1, "r": 1}, "findings": [finding]})
    actions = {i.collection: i for i in told()[0].instructions}
    assert bool(plans.blocking("s", task, actions)) is blocks
    harmless: Any = SimpleNamespace(result={"collections": {}, "findings": [{**finding, "blocks": False}]})
    assert not plans.blocking("s", harmless, actions)


def test_what_was_only_pseudonymised_counts_as_changed() -> None:
    """Governance ends older copies of a source by it: the person is in the clear there."""
    counts = connector_pb2.CollectionOutcome(collection="orders", pseudonymised=2, retained=1)
    erased = connector_pb2.Erased(outcome=connector_pb2.Erased.OUTCOME_RECONSTRUCTED, collections=[counts])
    assert _erased("s", erased, {}, {"collections": []}).records == 2
