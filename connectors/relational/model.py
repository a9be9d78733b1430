"""The catalogue and the declaration, resolved into one thing: which rows can be found, how, and what is undecided."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from connectors.relational.catalogue import Column, ForeignKey, Table
from connectors.relational.declaration import Ownership


@dataclass(frozen=True)
class IdentityColumn:
    """A column by which a person is known. Columns that share a `slot` are searched for the same values."""

    column: Column
    type: str
    match: str
    unique: bool
    region: str | None
    slot: int


@dataclass(frozen=True)
class Reference:
    """How rows of `child` refer to rows of `target`. `declared` is false where the ownership is only proposed."""

    name: str
    child: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    ownership: Ownership
    declared: bool
    reason: str
    when: tuple[tuple[str, str], ...] = ()
    key: ForeignKey | None = None

    @property
    def followed(self) -> bool:
        return self.ownership != "LOOKUP"

    @property
    def enforced(self) -> bool:
        return self.key is not None and self.key.enforced

    def to_one(self, target: Table) -> bool:
        """Whether a row refers to one row of `target` at most."""
        return self.enforced or target.unique(frozenset(self.target_columns))

    @property
    def on_delete(self) -> str:
        return self.key.on_delete if self.key is not None and self.key.enforced else ""


@dataclass(frozen=True)
class Flag:
    """A column that keeps a row from being processed. `set` and `clear`: its values, as text that CAST understands."""

    name: str
    column: Column
    set: str
    clear: str


@dataclass(frozen=True)
class Finding:
    """Something wrong or undecided. `concerns`: the collections whose erasure it blocks, if it blocks."""

    code: str
    collection: str
    detail: str
    blocks: bool = False
    concerns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Collection:
    """A table that is searched. `number` names its key table; `address` is its key and, where it has them, the scope
    columns, so that a row is never addressed without its scope."""

    number: int
    table: Table
    people: bool
    identities: tuple[IdentityColumn, ...]
    references: tuple[Reference, ...]
    scope: tuple[tuple[str, str], ...]
    scope_via: Reference | None
    amendable: frozenset[str] = frozenset()
    """Columns that Amend may set."""
    flags: tuple[Flag, ...] = ()

    @property
    def name(self) -> str:
        return self.table.full_name

    @cached_property
    def address(self) -> tuple[Column, ...]:
        known = {column.name for column in self.table.key}
        return self.table.key + tuple(self.table.column[name] for name, _ in self.scope if name not in known)

    @property
    def scoped(self) -> bool:
        """Whether rows that refer to a person's rows can be out of scope."""
        return bool(self.scope) or self.scope_via is not None


@dataclass(frozen=True)
class Inbound:
    """What refers to rows of a collection, from wherever: an enforced foreign key, or a declared reference."""

    name: str
    table: Table
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str
    when: tuple[tuple[str, str], ...]
    reference: Reference | None

    @property
    def enforced(self) -> bool:
        return self.on_delete != ""


@dataclass(frozen=True)
class Model:
    """One data source."""

    collections: Mapping[str, Collection]
    """What is searched, by name."""
    tables: Mapping[str, Table]
    """Every table of the source's schemas, the unsearched ones too."""
    unpersonal: frozenset[str]
    """Tables declared to hold no personal data."""
    references: Mapping[str, tuple[Reference, ...]]
    """References of every table of the source."""
    inbound: Mapping[str, tuple[Inbound, ...]]
    """By collection referred to."""
    findings: tuple[Finding, ...]
    slots: tuple[IdentityColumn, ...]
    """One representative per slot."""

    @cached_property
    def widest(self) -> int:
        """Most columns that a reference or an identity compares at once."""
        widths = [len(r.columns) for c in self.collections.values() for r in c.references]
        return max([1, *widths])

    def targets(self, collection: str) -> list[tuple[str, ...]]:
        """The column sets of a collection that something followed refers to."""
        found: dict[tuple[str, ...], None] = {}
        for inbound in self.inbound.get(collection, ()):
            if (
                inbound.reference is not None
                and inbound.reference.followed
                and inbound.table.full_name in self.collections
            ):
                found[inbound.target_columns] = None
        return list(found)
