"""What is wrong or undecided about a source, as far as catalogue and declaration alone can tell."""

from collections.abc import Iterator

from connectors.relational.catalogue import Table
from connectors.relational.declaration import CollectionDeclaration, RelationalOptions
from connectors.relational.model import Collection, Finding, IdentityColumn, Model, Reference


def find(model: Model, options: RelationalOptions) -> Iterator[Finding]:
    """The findings, in the order of the collections."""
    reached = _reached(model)
    for name, table in model.tables.items():
        collection = model.collections.get(name)
        if collection is not None:
            yield from _of_collection(model, collection, options.collections[name], name in reached)
        elif name not in model.unpersonal:
            what = "table" if table.searchable else table.kind
            detail = f"The {what} isn't declared, so it is never searched. Declare it; no_personal_data if it has none."
            yield _blocking("UNDECLARED_COLLECTION", name, detail)


def _of_collection(
    model: Model, collection: Collection, declaration: CollectionDeclaration, reached: bool
) -> Iterator[Finding]:
    name, table = collection.name, collection.table
    for privilege in sorted({"SELECT"} - table.privileges):
        yield _blocking("PRIVILEGE_MISSING", name, f"The connector's role may not {privilege}. Grant it.")
    if not reached:
        detail = "No identity is declared and no followed reference leads here, so nothing is ever found. Declare one."
        yield _blocking("NO_IDENTITY", name, detail)
    yield from _effects(table, declaration)
    if not table.keyed:
        detail = "The table has no key: its rows are addressed by their place, within one transaction."
        yield Finding("NO_KEY", name, detail)
    if declaration.soft_delete is not None:
        detail = (
            f"Rows with {declaration.soft_delete} set are still there: they are found, exported and erased like others."
        )
        yield Finding("SOFT_DELETE", name, detail)
    for identity in collection.identities:
        if not _identity_indexed(collection, identity):
            detail = f"No index serves {identity.match} on {identity.column.name}: every search reads the whole table."
            yield Finding("IDENTITY_NOT_INDEXED", name, detail)
    for reference in collection.references:
        yield from _of_reference(model, reference)
    for inbound in model.inbound.get(name, ()):
        if "SELECT" not in inbound.table.privileges:
            detail = f"{inbound.table.full_name} refers here ({inbound.name}) and can't be read. Grant SELECT on it."
            yield _blocking("REFERENCE_UNREADABLE", name, detail)


def _effects(table: Table, declaration: CollectionDeclaration) -> Iterator[Finding]:
    name = table.full_name
    for trigger in table.triggers:
        if trigger.name not in declaration.acknowledged:
            events = " and ".join(trigger.events)
            detail = (
                f"The {trigger.kind} {trigger.name} runs on {events}. See what it does; list it under acknowledged."
            )
            yield _blocking("TRIGGER" if trigger.kind == "trigger" else "RULE", name, detail)
    if table.row_security and "row_security" not in declaration.acknowledged:
        detail = (
            "Row-level security applies to the connector's role: rows may be hidden from it. Use a role that sees the "
            "whole slice, then list row_security under acknowledged."
        )
        yield _blocking("ROW_SECURITY", name, detail)


def _of_reference(model: Model, reference: Reference) -> Iterator[Finding]:
    if not reference.declared:
        detail = (
            f"Who owns rows by {reference.name} is undecided ({reference.reason}). Declare it OWNED, SHARED or LOOKUP."
        )
        concerns = frozenset({reference.child, reference.target})
        yield Finding("UNDECIDED_REFERENCE", reference.child, detail, True, concerns)
        if reference.target != reference.child:
            there = f"{reference.child} refers here by {reference.name}. {detail}"
            yield Finding("UNDECIDED_REFERENCE", reference.target, there, True, concerns)
    collection = model.collections.get(reference.child)
    if collection is None or reference.target not in model.collections:
        return
    given = {name for name, _ in (*collection.scope, *reference.when)}
    if (reference.followed or reference.enforced) and not collection.table.indexed(reference.columns, given):
        columns = ", ".join(reference.columns)
        detail = (
            f"No index begins with {columns} ({reference.name}): finding or deleting what is referred to reads the "
            "whole table."
        )
        yield Finding("REFERENCE_NOT_INDEXED", reference.child, detail)


def _identity_indexed(collection: Collection, identity: IdentityColumn) -> bool:
    table, column = collection.table, identity.column.name
    if identity.match == "exact":
        return table.indexed((column,), {name for name, _ in collection.scope})
    return table.indexed_by("lower" if identity.match == "case_fold" else "regexp_replace", column)


def _reached(model: Model) -> set[str]:
    reached = {name for name, collection in model.collections.items() if collection.identities}
    grown = True
    while grown:
        more = {
            name
            for name, collection in model.collections.items()
            if name not in reached and any(r.followed and r.target in reached for r in collection.references)
        }
        reached |= more
        grown = bool(more)
    return reached


def _blocking(code: str, collection: str, detail: str) -> Finding:
    return Finding(code, collection, detail, True, frozenset({collection}))
