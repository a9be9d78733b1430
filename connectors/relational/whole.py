"""The whole source, whoever it is about: every declared collection, and which of its rows are within the scope.

A source without scope has its tables to itself. Where it is a slice, a row without scope columns belongs to whom
the row belongs that owns it; a table of which nobody can tell that isn't touched, and a personal one is refused.
"""

from collections.abc import Mapping
from dataclasses import replace

from connectors.relational.catalogue import Catalogue
from connectors.relational.declaration import RelationalOptions
from connectors.relational.model import Collection, Finding, Model
from dsrkit.errors import DsrError

BLOCKING = frozenset(
    {
        *("TRIGGER", "RULE", "ROW_SECURITY", "PRIVILEGE_MISSING", "REFERENCE_UNREADABLE"),
        *("NOT_TRANSACTIONAL", "SYSTEM_VERSIONED", "TRIGGERS_UNSEEN"),
    }
)
"""Findings on a declared collection that keep it from being destroyed. Who owns whom doesn't matter when all goes."""
STAYS = frozenset({"UNDECLARED_COLLECTION", "NOT_IN_SCOPE"})
"""Findings on what stays."""


def declared_whole(catalogue: Catalogue, options: RelationalOptions) -> RelationalOptions:
    """The declaration with collections without personal data among the others, where their rows can be told apart."""
    tables = catalogue.tables
    changed = {
        name: declaration.model_copy(update={"no_personal_data": False})
        if declaration.no_personal_data and name in tables and tables[name].searchable and tables[name].key
        else declaration
        for name, declaration in options.collections.items()
    }
    return options.model_copy(update={"collections": changed})


def scoped(model: Model, options: RelationalOptions, source: str) -> Model:
    """The model with a way to the scope for every collection; those without any are left out, with a finding.

    SOURCE_REJECTED where one with personal data has none.
    """
    if not options.scope:
        return replace(model, collections={n: replace(c, scope_via=None) for n, c in model.collections.items()})
    columns, all_ = set(options.scope), model.collections
    ways = {name: c for name, c in all_.items() if {column for column, _ in c.scope} == columns}
    # From what has the columns outwards, so that no way leads in a circle.
    while more := {name: way for name, c in all_.items() if name not in ways and (way := _way(c, ways)) is not None}:
        ways |= more
    stays = []
    for name in all_.keys() - ways.keys():
        if not options.collections[name].no_personal_data:
            why = f"nothing says which rows of {name} are within the scope; name a reference in scope_via that does"
            raise DsrError("SOURCE_REJECTED", f"The source can't be told apart: {why}.", source=source, why=why)
        detail = "The table holds no personal data and nothing says which rows are the partner's, so it stays."
        stays.append(Finding("NOT_IN_SCOPE", name, detail))
    return replace(model, collections={n: ways[n] for n in all_ if n in ways}, findings=(*model.findings, *stays))


def _way(collection: Collection, known: Mapping[str, Collection]) -> Collection | None:
    """The collection with a reference to one whose scope is known; None where there is none that tells of every row."""
    owners = [r for r in collection.references if r.declared and r.ownership == "OWNED"]
    if collection.scope_via is not None:
        owners = [collection.scope_via]
    tells = [r for r in owners if r.target in known and not r.when and r.to_one(known[r.target].table)]
    if len(owners) > 1:
        # What is null in one may be set in another; nobody said which of them tells.
        tells = [r for r in tells if not any(collection.table.column[name].nullable for name in r.columns)]
    return next((replace(collection, scope_via=r) for r in tells), None)
