"""A grant's instructions, checked against the model before anything is touched."""

from collections.abc import Iterable, Mapping

from dsr.connector.v1.grant_pb2 import CollectionInstruction

from connectors.relational.catalogue import Column
from connectors.relational.matching import anchor_values
from connectors.relational.model import Collection, Model
from dsrkit.errors import DsrError, invalid

Action = CollectionInstruction.Action


def by_collection(
    model: Model, instructions: Iterable[CollectionInstruction], path: str = "grant.instructions"
) -> dict[str, CollectionInstruction]:
    """Instructions by collection. FIELD_INVALID where one can't be meant for this database."""
    found = {}
    for number, instruction in enumerate(instructions):
        where = f"{path}[{number}]"
        if instruction.collection not in model.tables:
            raise invalid(f"{where}.collection", "the source has no such collection")
        found[instruction.collection] = instruction
        collection = model.collections.get(instruction.collection)
        if collection is not None:
            _check(model, collection, instruction, where)
    return found


def constants(instruction: CollectionInstruction) -> dict[str, str | None]:
    """What becomes of each field under ANONYMISE: text that CAST understands, or None for null."""
    found: dict[str, str | None] = {}
    for field in instruction.anonymise:
        found[field.field] = _text(field.constant) if field.HasField("constant") else None
    return found


def exported(collection: Collection, instruction: CollectionInstruction) -> tuple[list[Column], list[str]]:
    """(columns to copy, names of columns withheld)."""
    included = set(instruction.include_fields) or set(collection.table.column)
    redacted = set(instruction.redact_fields)
    columns = [c for c in collection.table.columns if c.name in included and c.name not in redacted]
    return columns, [c.name for c in collection.table.columns if c.name in redacted]


def _check(model: Model, collection: Collection, instruction: CollectionInstruction, where: str) -> None:
    columns = collection.table.column
    for kind in ("redact_fields", "include_fields"):
        for number, name in enumerate(getattr(instruction, kind)):
            if name not in columns:
                raise invalid(f"{where}.{kind}[{number}]", f"{collection.name} has no such field")
    if instruction.action != CollectionInstruction.ACTION_ANONYMISE:
        return
    if not instruction.anonymise:
        raise invalid(f"{where}.anonymise", "ANONYMISE needs the fields that hold personal data")
    pointed = _pointed_at(model, collection)
    for number, field in enumerate(instruction.anonymise):
        path, column = f"{where}.anonymise[{number}].field", columns.get(field.field)
        if column is None:
            raise invalid(path, f"{collection.name} has no such field")
        if column.generated:
            raise invalid(path, "the database computes it; anonymise what it is computed from")
        if column.name in {c.name for c in collection.table.key} or column.name in dict(collection.scope):
            raise invalid(path, "it is part of the key or of the scope; delete the record or leave the field out")
        if column.name in pointed:
            raise invalid(path, f"other rows refer to it ({pointed[column.name]}); anonymise those fields instead")
        if not field.HasField("constant") and not column.nullable:
            raise invalid(path, "it may not be null; give a constant")


def _pointed_at(model: Model, collection: Collection) -> Mapping[str, str]:
    return {
        column: inbound.name
        for inbound in model.inbound.get(collection.name, ())
        if inbound.enforced
        for column in inbound.target_columns
    }


def _text(constant: str) -> str:
    """A scalar's own text; an object or array as it is written, for columns that hold JSON."""
    try:
        values = anchor_values(f"[{constant}]")
    except DsrError:
        return constant
    return constant if len(values) != 1 or values[0] is None else values[0]
