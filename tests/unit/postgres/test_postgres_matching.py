"""Identities and values, before a database sees them."""

import random

import pytest

from connectors.relational.catalogue import Column
from connectors.relational.graph import components
from connectors.relational.matching import anchor_values, comparable, spellings, telephone
from connectors.relational.model import IdentityColumn
from connectors.relational.sql import Sql, Values, conjunction, fill
from dsrkit.errors import DsrError


@pytest.mark.parametrize(
    ("family", "value", "possible"),
    [
        ("text", "7", True),
        ("text", "", False),
        ("text", "a\0b", False),
        ("integer", "7", True),
        ("integer", "-7", True),
        ("integer", "007", False),
        ("integer", "7 ", False),
        ("integer", "+7", False),
        ("integer", "７", False),
        ("integer", "9223372036854775807", True),
        ("integer", "9223372036854775808", False),
        ("integer", "1e3", False),
        ("number", "7.50", True),
        ("number", "NaN", False),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", True),
        ("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11", False),
    ],
)
def test_a_value_is_compared_only_where_it_could_stand(family: str, value: str, possible: bool) -> None:
    column = Column("c", family, Sql(family), family, "text", "string")  # type: ignore[arg-type]
    assert comparable(value, IdentityColumn(column, "t", "exact", False, None, 0)) is possible


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("020 7946 0958", "GB", "+442079460958"),
        ("+44 (0)20 7946 0958", None, "+442079460958"),
        ("020 7946 0958 ext 12", "GB", "+442079460958"),
        ("020 7946 0958", None, None),
        ("12", "GB", None),
        ("ann@example.com", "GB", None),
    ],
)
def test_telephone_numbers_are_read_in_their_country(written: str, region: str | None, number: str | None) -> None:
    assert telephone(written, region) == number


def test_only_spellings_of_the_very_number_count() -> None:
    found = spellings(["+442079460958"], ["020 7946 0958", "0131 946 0958", "020 7946 0959", "junk"], "GB")
    assert found == [("+442079460958", "020 7946 0958")]


def test_anchor_elements_keep_their_digits() -> None:
    assert anchor_values('[12345678901234567890, "x", true, null, 1.10]') == [
        "12345678901234567890",
        "x",
        "true",
        None,
        "1.10",
    ]


@pytest.mark.parametrize("anchor", ["7", "{", '{"a": 1}', "[[1]]"])
def test_what_is_no_anchor_is_refused_without_being_quoted(anchor: str) -> None:
    with pytest.raises(DsrError) as caught:
        anchor_values(anchor)
    assert caught.value.reason == "FIELD_INVALID"


def test_components_come_before_those_they_lead_to() -> None:
    dice = random.Random(1)
    for _ in range(200):
        nodes = list(range(dice.randint(1, 12)))
        edges = {n: {dice.choice(nodes) for _ in range(dice.randint(0, 3))} for n in nodes}
        found = components(nodes, edges)
        assert sorted(n for c in found for n in c) == nodes
        reach = {n: _reach(n, edges) for n in nodes}
        place = {n: i for i, c in enumerate(found) for n in c}
        for a in nodes:
            for b in nodes:
                together = b in reach[a] and a in reach[b]
                assert (place[a] == place[b]) is (a == b or together)
                if b in reach[a] and not together and a != b:
                    assert place[a] < place[b]


def _reach(start: int, edges: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    ahead = [start]
    while ahead:
        for following in edges[ahead.pop()] - found:
            found.add(following)
            ahead.append(following)
    return found


def test_values_travel_beside_the_statement() -> None:
    values = Values(lambda number: Sql(f"${number}"))
    sql = fill("SELECT {a} WHERE {b}", a=values.bind("x'; DROP TABLE people"), b=conjunction([]))
    statement = values.statement(sql)
    assert statement.sql == "SELECT $1 WHERE TRUE"
    assert statement.values == ("x'; DROP TABLE people",)
