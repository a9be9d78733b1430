"""What is to be set for a correction, what of it is shown, and what counts as read back."""

from typing import Any

import pytest
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Amendment, FieldValue
from dsr.v1 import correction_pb2 as pb

from services.erasure import readback
from services.governance.corrections import amendments

R, E = pb.CorrectionRequest, pb.CorrectionRequest.Effect
CRM, SHOP = "partners/acme/dataSources/crm", "partners/acme/dataSources/shop"
DECLARED = [
    ("people", "restriction"),
    ("people", "mail"),
    ("letters", "mail"),
    ("letters", "restriction"),
    ("x", "mail"),
]


def change(source: str, collection: str, field: str, current: str = "") -> pb.CorrectionRequest.FieldChange:
    return R.FieldChange(source=source, collection=collection, field=field, value="new", current_value=current)


def effect(collection: str, purpose: str, consequence: Any, source: str = CRM) -> pb.CorrectionRequest.Effect:
    return E(source=source, collection=collection, purpose=purpose, consequence=consequence)


RECTIFICATION = R(
    kind=R.KIND_RECTIFICATION,
    changes=[change(CRM, "people", "name"), change(SHOP, "orders", "item"), change(CRM, "people", "city", "Oslo")],
)
CASES: list[tuple[pb.CorrectionRequest, list[str], list[tuple[str, list[str], list[str]]]]] = [
    (RECTIFICATION, ["people"], [("people", ["name", "city"], [])]),
    (R(kind=R.KIND_RECTIFICATION, changes=[change(SHOP, "orders", "item")]), ["people"], []),
    (R(kind=R.KIND_RESTRICTION), ["people"], [("people", [], ["restriction"])]),
    (R(kind=R.KIND_RESTRICTION), [], []),
    (
        R(kind=R.KIND_RESTRICTION),
        ["people", "letters"],
        [("letters", [], ["restriction"]), ("people", [], ["restriction"])],
    ),
    (
        R(kind=R.KIND_OBJECTION, effects=[effect("people", "mail", E.CONSEQUENCE_STOPS)]),
        ["people", "letters"],
        [("people", [], ["mail"])],
    ),
    (
        R(kind=R.KIND_OBJECTION, effects=[effect("people", "mail", E.CONSEQUENCE_STOPS_UNLESS_COMPELLING)]),
        ["people"],
        [("people", [], ["mail"])],
    ),
    (R(kind=R.KIND_OBJECTION, effects=[effect("people", "mail", E.CONSEQUENCE_WITHDRAW_CONSENT)]), ["people"], []),
    (R(kind=R.KIND_OBJECTION, effects=[effect("people", "mail", E.CONSEQUENCE_NONE)]), ["people"], []),
    (R(kind=R.KIND_OBJECTION, effects=[effect("people", "mail", E.CONSEQUENCE_STOPS, SHOP)]), ["people"], []),
    (R(kind=R.KIND_OBJECTION, effects=[effect("x", "mail", E.CONSEQUENCE_STOPS)]), ["people"], []),
]


@pytest.mark.policy(
    "P11", "which flags an objection or a restriction sets follows from the data map and the declaration"
)
@pytest.mark.parametrize(("request_", "mapped", "expected"), CASES)
def test_what_is_to_be_set(request_: pb.CorrectionRequest, mapped: list[str], expected: Any) -> None:
    found = amendments.wanted(request_, CRM, mapped, DECLARED)
    assert [(a.collection, [f.field for f in a.fields], list(a.set_flags)) for a in found] == expected


def test_only_the_wrong_value_is_replaced_where_it_is_given() -> None:
    (found,) = amendments.wanted(RECTIFICATION, CRM, ["people"], [])
    assert [(f.HasField("current_value"), f.current_value) for f in found.fields] == [(False, ""), (True, "Oslo")]


def test_what_is_shown_names_fields_and_no_values() -> None:
    found = amendments.wanted(RECTIFICATION, CRM, ["people"], [])
    found[0].set_flags.append("mail")
    (shown,) = amendments.shown(found, {("people", "mail"): "mails"})
    assert shown == {
        "collection": "people",
        "fields": ["name", "city", "mails"],
        "flags": ["mail"],
        "amended": 0,
        "unchanged": 0,
    }
    assert amendments.knows([shown], "people.city")
    assert not amendments.knows([shown], "people.Jane Doe")
    assert amendments.same_names([shown], [{**shown, "amended": 3}])
    assert not amendments.same_names([shown], [{**shown, "fields": ["name"]}])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("people", 1, 2)], (1, 2)),
        ([("people", -1, 2)], None),
        ([("others", 1, 2)], None),
        ([("people", 1, 2), ("others", 1, 2)], None),
        ([], None),
    ],
)
def test_counts_are_of_what_was_asked(told: Any, expected: Any) -> None:
    collections = [connector_pb2.AmendedCollection(collection=c, amended=a, unchanged=u) for c, a, u in told]
    found = amendments.counted([{"collection": "people"}], collections)
    assert (found and (found[0]["amended"], found[0]["unchanged"])) == expected


def test_every_part_of_a_preview_is_approved() -> None:
    task: dict[str, Any] = {
        "source": "s",
        "clears": False,
        "changes": [{"collection": "c", "amended": 1}],
        "holds": ["h"],
    }
    others: dict[str, Any] = {
        "source": "s2",
        "clears": True,
        "changes": [{"collection": "c", "amended": 2}],
        "holds": [],
    }
    whole: list[Any] = ["r", task, "p", b"sealed"]
    spoiled: list[list[Any]] = [["r2", task, "p", b"sealed"], ["r", task, "p2", b"sealed"], ["r", task, "p", b"other"]]
    spoiled += [["r", {**task, name: other}, "p", b"sealed"] for name, other in others.items()]
    assert len({amendments.digest(*parts) for parts in (whole, *spoiled)}) == 8


BACK = [
    ("12.50", None, "12.5", True),
    ("12.50", None, "12.51", False),
    ("Ann", None, "Ann", True),
    ("Ann", None, "ann", False),
    ("Ann", None, None, False),
    ("", None, None, False),
    ("2024-01-02T03:04:05Z", None, "2024-01-02T03:04:05+00:00", True),
    ("true", None, "false", False),
    ("right", "wrong", "other", True),
    ("right", "wrong", "right", True),
    ("right", "wrong", "wrong", False),
]
"""Value set, value that was wrong, value read back, and whether it is as it should be."""


@pytest.mark.parametrize(("value", "current", "found", "good"), BACK)
def test_what_counts_as_read_back(value: str, current: str | None, found: Any, good: bool) -> None:
    wanted = Amendment(collection="c", fields=[FieldValue(field="f", value=value, current_value=current)])
    assert readback.amended([wanted], {})["c"]["f"](found) is good


def test_flags_are_read_back_by_their_declared_value() -> None:
    flags = {("c", "restriction"): connector_pb2.Flag(name="restriction", field="held", set_value="true")}
    rules = readback.amended([Amendment(collection="c", set_flags=["restriction"])], flags)
    assert [rules["c"]["held"](found) for found in (True, False, None)] == [True, False, False]
    flags["c", "restriction"].clear_value = "null"
    rules = readback.amended([Amendment(collection="c", clear_flags=["restriction"])], flags)
    assert [rules["c"]["held"](found) for found in (True, False, None)] == [False, False, True]


@pytest.mark.policy(
    "P11", "a lifted restriction's mark is cleared wherever its source declares one; nothing else is set"
)
def test_a_mark_is_cleared_by_the_declared_value() -> None:
    found = amendments.wanted(R(kind=R.KIND_RESTRICTION), CRM, ["people", "letters"], DECLARED, clears=True)
    told = [(a.collection, list(a.set_flags), list(a.clear_flags)) for a in found]
    assert told == [("letters", [], ["restriction"]), ("people", [], ["restriction"])]
    declared = dict.fromkeys(DECLARED, "held")
    assert [(s["fields"], s["flags"]) for s in amendments.shown(found, declared)] == [(["held"], ["restriction"])] * 2
