"""What the connector's operator brings to a conformance run: whom the source knows, and what may be erased.

A YAML file:

    present:                                  # exists, and stays
      identities: {customer_number: C-1042}   # type to value, or to a list of values
      records: {avatars: 1, letters: 3}       # what is known to be there, collection by collection
    absent:                                   # nowhere in the source
      identities: {customer_number: C-9999}
    disposable:                               # exists, and will be ERASED by the run
      identities: {customer_number: C-1043}
      records: {avatars: 1, letters: 2}
      instructions:                           # optional; every other collection is deleted
        letters: RETAIN                       # or {anonymise: {field: constant or null}}
      amend:                                  # optional; set in every record of the person, before the erasure
        letters: {salutation: Dr}
    unreachable: partners/acme/dataSources/x  # optional: a source of this connector whose backend is down
    people: 30                                # needed where COUNT is declared: how many there are, before the run
    destroyable: true                         # optional: the run may DESTROY the whole source at its end
    inactive:                                 # needed where INACTIVE is declared: three people of one collection
      collection: customers
      field: last_seen                        # says when a record was last used
      identity_type: customer_number          # by which people are known there; unique
      before: 2026-01-01T00:00:00Z
      unused: C-20                            # every record was last used before
      used: C-1                               # some record was used since
      unknown: C-21                           # some record doesn't say; optional
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from dsr.connector.v1.connector_pb2 import Subject
from dsr.connector.v1.grant_pb2 import Anonymisation, CollectionInstruction
from dsr.v1.subject_pb2 import Identity


class MaterialError(ValueError):
    """The file can't be used; the text names the field."""


@dataclass(frozen=True)
class Person:
    """Somebody, and what the source is known to hold of them."""

    identities: Sequence[tuple[str, str]]
    records: Mapping[str, int] = field(default_factory=dict)
    instructions: Mapping[str, CollectionInstruction] = field(default_factory=dict)
    amend: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def subject(self, reference: str) -> Subject:
        """The person as a call names them."""
        identities = [Identity(type=kind, value=value) for kind, value in self.identities]
        return Subject(subject_ref=reference, identities=identities)


@dataclass(frozen=True)
class Unused:
    """Three people by their last use, as one collection tells it."""

    collection: str
    field: str
    identity_type: str
    before: datetime
    unused: str
    used: str
    unknown: str = ""


@dataclass(frozen=True)
class Material:
    """The whole file."""

    present: Person
    absent: Person
    disposable: Person | None = None
    unreachable: str = ""
    inactive: Unused | None = None
    people: int = 0
    destroyable: bool = False

    @classmethod
    def load(cls, path: Path) -> "Material":
        """Reads the file. MaterialError names the field that is missing or wrong."""
        try:
            data = yaml.safe_load(path.read_text())
        except OSError as error:
            raise MaterialError(f"{path} can't be read: {error.strerror}") from None
        except yaml.YAMLError:
            raise MaterialError(f"{path} is not YAML") from None
        return cls.parse(data)

    @classmethod
    def parse(cls, data: Any) -> "Material":
        """Parses the file's content."""
        known = {"present", "absent", "disposable", "unreachable", "inactive", "people", "destroyable"}
        _known(data, "material", known)
        for name in ("present", "absent"):
            if name not in data:
                raise MaterialError(f"{name} is missing: the run needs a person who is {name}")
        material = cls(
            present=_person(data["present"], "present"),
            absent=_person(data["absent"], "absent"),
            disposable=_person(data["disposable"], "disposable") if "disposable" in data else None,
            unreachable=str(data.get("unreachable", "")),
            people=int(data.get("people", 0)),
            destroyable=data.get("destroyable") is True,
            inactive=_unused(data["inactive"]) if "inactive" in data else None,
        )
        for name, person in (("present", material.present), ("disposable", material.disposable)):
            if person is not None and not any(person.records.values()):
                raise MaterialError(f"{name}.records: at least one record, or nothing can be compared")
        return material


def _person(data: Any, path: str) -> Person:
    _known(data, path, {"identities", "records", "instructions", "amend"})
    identities = []
    for kind, values in _mapping(data.get("identities"), f"{path}.identities").items():
        identities += [(str(kind), str(value)) for value in (values if isinstance(values, list) else [values])]
    if not identities:
        raise MaterialError(f"{path}.identities is empty")
    records = _mapping(data.get("records", {}), f"{path}.records")
    instructions = _mapping(data.get("instructions", {}), f"{path}.instructions")
    return Person(
        identities,
        {str(name): int(number) for name, number in records.items()},
        {
            str(name): _instruction(str(name), what, f"{path}.instructions.{name}")
            for name, what in instructions.items()
        },
        {
            str(name): {str(f): str(v) for f, v in _mapping(fields, f"{path}.amend.{name}").items()}
            for name, fields in _mapping(data.get("amend", {}), f"{path}.amend").items()
        },
    )


def _unused(data: Any) -> Unused:
    needed = ("collection", "field", "identity_type", "unused", "used")
    _known(data, "inactive", {*needed, "before", "unknown"})
    for name in needed:
        if not data.get(name):
            raise MaterialError(f"inactive.{name} is missing")
    before = data.get("before")
    if isinstance(before, str):
        try:
            before = datetime.fromisoformat(before)
        except ValueError:
            before = None
    if not isinstance(before, datetime):
        raise MaterialError("inactive.before must be a time, as in 2026-01-01T00:00:00Z")
    before = before if before.tzinfo else before.replace(tzinfo=UTC)
    collection, field, identity_type = (str(data[name]) for name in needed[:3])
    unknown = str(data.get("unknown", ""))
    return Unused(collection, field, identity_type, before, str(data["unused"]), str(data["used"]), unknown)


def _instruction(collection: str, what: Any, path: str) -> CollectionInstruction:
    if what in ("DELETE", "RETAIN"):
        action = CollectionInstruction.Action.Value(f"ACTION_{what}")
        return CollectionInstruction(collection=collection, action=action, reason="conformance")
    _known(what, path, {"anonymise"})
    fields = [
        Anonymisation(field=str(name), constant=None if constant is None else json.dumps(constant))
        for name, constant in _mapping(what.get("anonymise"), path).items()
    ]
    return CollectionInstruction(collection=collection, action=CollectionInstruction.ACTION_ANONYMISE, anonymise=fields)


def _mapping(data: Any, path: str) -> Mapping[Any, Any]:
    if not isinstance(data, Mapping):
        raise MaterialError(f"{path} must be a mapping")
    return data


def _known(data: Any, path: str, names: set[str]) -> None:
    unknown = sorted(map(str, set(_mapping(data, path)) - names))
    if unknown:
        raise MaterialError(f"{path}.{unknown[0]} is not known; known are {', '.join(sorted(names))}")
