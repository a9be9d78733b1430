"""What Amend may set, and what a grant demands, checked against the model before anything is touched."""

from collections.abc import Iterable
from dataclasses import dataclass

from dsr.connector.v1.grant_pb2 import Amendment

from connectors.relational.catalogue import Column
from connectors.relational.model import Collection, Model
from dsrkit.errors import DsrError, invalid

_TYPES = frozenset({"integer", "number", "boolean", "date", "datetime", "time"})
_STRINGS = frozenset({"text", "uuid"})
_OPAQUE = frozenset({"money", "float", "bit", "binary"})
"""Kinds that aren't read back as they were spelled."""


def barrier(model: Model, collection: Collection, column: Column) -> str | None:
    """Why Amend may not set the column; None if it may.

    What identifies, links or scopes records is out: a person whose name in one source was changed is not found there by
    what other sources call her, and neither a read-back nor a later erasure would see her.
    """
    if not collection.table.keyed:
        return "the table has no key, so that its rows could not be read back; add a primary key"
    if column.generated:
        return "the database computes it; amend what it is computed from"
    if column.name in {c.name for c in collection.address}:
        return "it is part of the key or of the scope"
    if any(column.name == identity.column.name for identity in collection.identities):
        return "people are found by it; have it changed by people, in every source at once"
    for reference in model.references[collection.name]:
        if column.name in reference.columns or column.name in dict(reference.when):
            return f"it is part of the reference {reference.name}"
    for inbound in model.inbound.get(collection.name, ()):
        if column.name in inbound.target_columns:
            return f"other rows refer to it ({inbound.name})"
    comparable = column.schema_type in _TYPES or column.family in _STRINGS or column.kind == "enum"
    if not comparable or column.kind in _OPAQUE:
        return f"values of type {column.native_type} can't be compared when they are read back"
    return None


@dataclass(frozen=True)
class Setting:
    """What becomes of a column. None: null. `current`: only where it has this value."""

    column: Column
    value: str | None
    current: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be set in one collection."""

    collection: Collection
    settings: tuple[Setting, ...]
    cap: int


def wanted(model: Model, amendments: Iterable[Amendment]) -> dict[str, Wanted]:
    """Amendments by collection. FIELD_INVALID, FIELD_NOT_AMENDABLE or VALUE_UNFIT where one can't be meant."""
    found = {}
    for number, amendment in enumerate(amendments):
        collection = model.collections.get(amendment.collection)
        if collection is None:
            why = "the source has no such collection with personal data"
            raise invalid(f"grant.amendments[{number}].collection", why)
        settings = tuple(_settings(collection, amendment))
        names = [setting.column.name for setting in settings]
        if len(set(names)) < len(names):
            raise invalid(f"grant.amendments[{number}]", "a field is set twice, once as a flag")
        found[collection.name] = Wanted(collection, settings, amendment.cap)
    return found


def _settings(collection: Collection, amendment: Amendment) -> Iterable[Setting]:
    columns, flags = collection.table.column, {flag.name: flag for flag in collection.flags}
    for field in amendment.fields:
        if field.field not in collection.amendable:
            raise _not_amendable(collection.name, field.field)
        column = columns[field.field]
        value = field.value if field.HasField("value") else None
        if value is None and not column.nullable:
            raise unfit(collection.name, field.field)
        yield Setting(column, value, field.current_value if field.HasField("current_value") else None)
    for names, cleared in ((amendment.set_flags, False), (amendment.clear_flags, True)):
        for name in names:
            if name not in flags:
                raise _not_amendable(collection.name, name)
            yield Setting(flags[name].column, flags[name].clear if cleared else flags[name].set)


def _not_amendable(collection: str, field: str) -> DsrError:
    text = f"{collection} declares no {field} that may be set; nothing was."
    return DsrError("FIELD_NOT_AMENDABLE", text, collection=collection, field=field)


def unfit(collection: str, field: str) -> DsrError:
    """VALUE_UNFIT. The value itself is never told."""
    text = f"The value for {field} of {collection} doesn't fit its type or length; nothing was set."
    return DsrError("VALUE_UNFIT", text, collection=collection, field=field)
