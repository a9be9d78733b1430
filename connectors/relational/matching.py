"""From a request's identities to values that the database can compare without failing or guessing.

A value that a column's type can't hold exactly as written never matches it: `007` is not 7, and `7 ` is neither.
"""

import json
import re
from collections.abc import Iterable, Sequence

import phonenumbers
from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational.catalogue import Family
from connectors.relational.model import IdentityColumn, Model
from dsrkit.errors import invalid

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,130})(\.[0-9]{1,130})?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LARGEST = 2**63 - 1


def comparable(value: str, identity: IdentityColumn) -> bool:
    """Whether the value could stand in the column."""
    if not value or "\0" in value:
        return False
    return identity.match != "exact" or spells(value, identity.column.family)


def spells(value: str, family: Family) -> bool:
    """Whether the text is a value of the family, written as the database writes it."""
    match family:
        case "integer":
            return _INTEGER.fullmatch(value) is not None and -_LARGEST - 1 <= int(value) <= _LARGEST
        case "number":
            return _NUMBER.fullmatch(value) is not None
        case "uuid":
            return _UUID.fullmatch(value) is not None
        case _:
            return True


def telephone(value: str, region: str | None) -> str | None:
    """The number in E.164, without its extension; None if it is none."""
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def wanted(model: Model, subjects: Sequence[pb.Subject]) -> list[tuple[int, int, str]]:
    """(subject, slot, value) of every identity that some column may hold. Telephone numbers are in E.164 here."""
    found: dict[tuple[int, int, str], None] = {}
    for number, subject in enumerate(subjects):
        for name in subject.identities:
            for identity in model.slots:
                if identity.type != name.type or not comparable(name.value, identity):
                    continue
                value = telephone(name.value, identity.region) if identity.match == "e164" else name.value
                if value is not None:
                    found[number, identity.slot, value] = None
    return list(found)


def spellings(values: Iterable[str], written: Iterable[str], region: str | None) -> list[tuple[str, str]]:
    """(E.164, spelling) for each spelling found in a column that means one of the numbers."""
    numbers = set(values)
    return [(number, raw) for raw in written if (number := telephone(raw, region)) is not None and number in numbers]


def choices(model: Model, subjects: Sequence[pb.Subject]) -> list[tuple[int, int, str | None]]:
    """(subject, collection, person) of every person record chosen; person None stands for a choice of nobody."""
    found: list[tuple[int, int, str | None]] = []
    for number, subject in enumerate(subjects):
        for choice in subject.people:
            collection = model.collections.get(choice.collection)
            if collection is None or not collection.people:
                raise invalid("subject.people.collection", "it names no collection of people of this source")
            found.append((number, collection.number, None))
            found += [(number, collection.number, _canonical(person)) for person in choice.people]
    return found


def _canonical(person: str) -> str:
    """`Person.person` as the database writes it, whatever white space it came back with."""
    try:
        key = json.loads(person, parse_int=_Literal, parse_float=_Literal)
    except ValueError:
        key = None
    if not isinstance(key, list):
        raise invalid("subject.people.people", "a person is a JSON array, as Locate gave it")
    return (
        "["
        + ", ".join(str(part) if isinstance(part, _Literal) else json.dumps(part, ensure_ascii=False) for part in key)
        + "]"
    )


class _Literal(str):
    """A number, digit by digit as it was written."""

    __slots__ = ()


def anchor_values(anchor: str) -> list[str | None]:
    """The elements of an anchor's JSON array, each as text that CAST understands."""
    try:
        elements = json.loads(anchor, parse_int=str, parse_float=str)
    except ValueError:
        elements = None
    if not isinstance(elements, list):
        raise invalid("subjects.anchors.values", "an anchor is a JSON array, as Locate gave it")
    return [_spelled(element) for element in elements]


def _spelled(element: object) -> str | None:
    if element is None or isinstance(element, str):
        return element
    if isinstance(element, bool):
        return "true" if element else "false"
    raise invalid("subjects.anchors.values", "an anchor's elements are scalars, as Locate gave them")
