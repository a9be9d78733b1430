"""What is wrong with a source that only this kind of database can have wrong."""

from collections.abc import Iterator

from connectors.mysql.catalogue import MysqlCatalogue, MysqlTable
from connectors.relational.model import Finding, Model


def find(model: Model, catalogue: MysqlCatalogue) -> Iterator[Finding]:
    """The findings, in the order of the collections."""
    for name, collection in model.collections.items():
        table = collection.table
        if isinstance(table, MysqlTable):
            yield from _of_table(table)
        if catalogue.hidden_children is not None and name in catalogue.hidden_children:
            detail = (
                "Tables that the connector's user can't see refer here by foreign keys: deleting may change or be "
                "refused by them. Grant SELECT on them."
            )
            yield _blocking("REFERENCE_UNREADABLE", name, detail)
    if catalogue.hidden_children is None and model.collections:
        detail = (
            "Foreign keys of databases that the connector's user can't see aren't known. Grant PROCESS, by which they "
            "can be counted, or make sure that no other database refers to this one."
        )
        yield Finding("FOREIGN_KEYS_UNSEEN", "", detail)


def _of_table(table: MysqlTable) -> Iterator[Finding]:
    name = table.full_name
    if not table.transactional:
        detail = (
            f"The table's engine {table.engine} has no transactions: an erasure could stop half way, and a copy isn't "
            "of one instant. ALTER TABLE … ENGINE=InnoDB."
        )
        yield _blocking("NOT_TRANSACTIONAL", name, detail)
    if table.versioned:
        detail = (
            "The table keeps its history (WITH SYSTEM VERSIONING): what is deleted stays in it. Drop the versioning, "
            "or have the history deleted by its owner and this table retained."
        )
        yield _blocking("SYSTEM_VERSIONED", name, detail)
    if not table.triggers_shown:
        detail = (
            "The connector's user can't see whether the table has triggers. Grant TRIGGER on it to the user itself."
        )
        yield _blocking("TRIGGERS_UNSEEN", name, detail)


def _blocking(code: str, collection: str, detail: str) -> Finding:
    return Finding(code, collection, detail, True, frozenset({collection}))
