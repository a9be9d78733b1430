"""Builds the model, and says where catalogue and declaration contradict each other."""

from collections import defaultdict
from collections.abc import Iterable

from connectors.relational.amendable import barrier
from connectors.relational.catalogue import Catalogue, Column, ForeignKey, Table
from connectors.relational.declaration import CollectionDeclaration, Constant, ReferenceDeclaration, RelationalOptions
from connectors.relational.findings import find
from connectors.relational.guess import Ownerships
from connectors.relational.matching import spells
from connectors.relational.model import Collection, Flag, IdentityColumn, Inbound, Model, Reference
from dsrkit.errors import DsrError

_NOTHING = CollectionDeclaration()
_UNSEARCHED = CollectionDeclaration(no_personal_data=True)


def build(catalogue: Catalogue, options: RelationalOptions, source: str) -> Model:
    """The model, or SOURCE_REJECTED naming the YAML path that doesn't fit the database."""
    return _Builder(catalogue, options, source).model()


def constant_text(value: Constant) -> str:
    """A declared constant as text that CAST understands."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Builder:
    def __init__(self, catalogue: Catalogue, options: RelationalOptions, source: str) -> None:
        self.catalogue = catalogue
        self.options = options
        self.source = source
        hidden = {options.journal_schema}
        self.tables = {
            name: table
            for name, table in catalogue.tables.items()
            if table.schema not in hidden and (options.schemas is None or table.schema in options.schemas)
        }
        self.slots: dict[tuple[str, ...], IdentityColumn] = {}

    def model(self) -> Model:
        self._check_names()
        declared = self.options.collections
        unpersonal = frozenset(name for name in declared if declared[name].no_personal_data)
        active = [name for name in self.tables if name in declared and name not in unpersonal]
        persons = [name for name in active if declared[name].people]
        guesses = Ownerships(self.catalogue, persons)
        references = {name: self._references(name, guesses, set(active)) for name in self.tables}
        collections = {name: self._collection(number, name, references[name]) for number, name in enumerate(active)}
        model = Model(
            collections=collections,
            tables=self.tables,
            unpersonal=unpersonal,
            references=references,
            inbound=self._inbound(collections, references),
            findings=(),
            slots=tuple(self.slots.values()),
        )
        for collection in collections.values():
            self._check_amendable(model, collection)
        return Model(**{**model.__dict__, "findings": tuple(find(model, self.options))})

    def _check_names(self) -> None:
        for name in self.options.schemas or ():
            if all(table.schema != name for table in self.catalogue.tables.values()):
                raise self._wrong("schemas", f"there is no schema {name} with tables")
        for name, declaration in self.options.collections.items():
            table = self.tables.get(name)
            if table is None:
                raise self._wrong(
                    f"collections.{name}", "there is no such table; write schema.table as the catalogue has it"
                )
            if not table.searchable and not declaration.no_personal_data:
                why = f"it is a {table.kind} and can't be searched; declare no_personal_data and treat its origin"
                raise self._wrong(f"collections.{name}", why)
        for column in self.options.scope or ():
            if all(column not in table.column for table in self.tables.values()):
                raise self._wrong(f"scope.{column}", "no table has this column, so that nothing would be scoped")
        for name in self.options.collections:
            for column, value in (self.options.scope or {}).items():
                if column in self.tables[name].column:
                    self._constant(self.tables[name].column[column], value, f"scope.{column}")

    def _collection(self, number: int, name: str, references: tuple[Reference, ...]) -> Collection:
        table, declaration = self.tables[name], self.options.collections[name]
        path = f"collections.{name}"
        if declaration.soft_delete is not None:
            self._column(table, declaration.soft_delete, f"{path}.soft_delete")
        known = {trigger.name for trigger in table.triggers} | {"row_security"}
        for gone in declaration.acknowledged - known:
            raise self._wrong(f"{path}.acknowledged", f"{gone} is no trigger or rule on the table; remove it")
        if declaration.people and not table.keyed:
            raise self._wrong(f"{path}.people", "the table has no key by which to name a person; add a primary key")
        scope = tuple((c, constant_text(v)) for c, v in (self.options.scope or {}).items() if c in table.column)
        via = None
        if declaration.scope_via is not None:
            via = next((r for r in references if r.name == declaration.scope_via), None)
            if via is None or not self._leads_to_scope(via, set()):
                why = "it names no reference of this collection that leads to a collection with the scope columns"
                raise self._wrong(f"{path}.scope_via", why)
            if not via.to_one(self.tables[via.target]):
                why = (
                    f"it leads to columns of {via.target} that aren't unique, so that another partner's rows may match"
                )
                raise self._wrong(f"{path}.scope_via", why)
        if self.options.scope and len(scope) < len(self.options.scope) and declaration.identity and via is None:
            why = "the table lacks scope columns: other partners' rows would be found; name a reference in scope_via"
            raise self._wrong(f"{path}.identity", why)
        identities = tuple(self._identity(table, column, path) for column in declaration.identity)
        amendable, flags = self._amendable(table, declaration, path)
        return Collection(
            number, table, declaration.people, identities, references, scope, via, amendable, tuple(flags)
        )

    def _amendable(
        self, table: Table, declaration: CollectionDeclaration, path: str
    ) -> tuple[frozenset[str], list[Flag]]:
        names = [self._column(table, name, f"{path}.amendable").name for name in declaration.amendable]
        flags = []
        for name, flag in declaration.flags.items():
            column = self._column(table, flag.column, f"{path}.flags.{name}.column")
            if flag.set == flag.clear:
                raise self._wrong(f"{path}.flags.{name}", "set and clear are the same value")
            for value in (flag.set, flag.clear):
                self._constant(column, value, f"{path}.flags.{name}")
            flags.append(Flag(name, column, constant_text(flag.set), constant_text(flag.clear)))
        return frozenset(names), flags

    def _check_amendable(self, model: Model, collection: Collection) -> None:
        path = f"collections.{collection.name}"
        named = [(f"{path}.amendable.{name}", name) for name in sorted(collection.amendable)]
        named += [(f"{path}.flags.{flag.name}", flag.column.name) for flag in collection.flags]
        for where, name in named:
            why = barrier(model, collection, collection.table.column[name])
            if why is not None:
                raise self._wrong(where, why)

    def _leads_to_scope(self, via: Reference, seen: set[str]) -> bool:
        target = self.tables.get(via.target)
        if target is None or via.child in seen:
            return False
        if all(column in target.column for column in self.options.scope or {}):
            return True
        onward = self.options.collections.get(via.target, _NOTHING).scope_via
        return onward is not None  # its own check follows it further

    def _identity(self, table: Table, name: str, path: str) -> IdentityColumn:
        declaration = self.options.collections[table.full_name].identity[name]
        column = self._column(table, name, f"{path}.identity.{name}")
        if column.family == "other":
            kind = column.native_type
            why = f"values of type {kind} can't be compared with an identity; use text, integer, numeric or uuid"
            raise self._wrong(f"{path}.identity.{name}", why)
        match, region = declaration.match, declaration.region
        slot: tuple[str, ...] = (declaration.type, match, column.family)
        if match == "e164":  # telephone numbers are resolved to the spellings of this very column
            slot = (*slot, table.full_name, name)
        first = self.slots.get(slot)
        number = len(self.slots) if first is None else first.slot
        identity = IdentityColumn(column, declaration.type, match, declaration.unique, region, number)
        self.slots.setdefault(slot, identity)
        return identity

    def _references(self, name: str, guesses: Ownerships, active: set[str]) -> tuple[Reference, ...]:
        declared = dict(self.options.collections.get(name, _NOTHING).references)
        keys = [key for key in self.catalogue.foreign_keys if key.table == name and key.target in self.tables]
        found = [self._constrained(key, declared.pop(key.name, None), guesses, active) for key in keys]
        found += [self._unconstrained(name, label, declaration) for label, declaration in declared.items()]
        return tuple(found)

    def _constrained(
        self, key: ForeignKey, declaration: ReferenceDeclaration | None, guesses: Ownerships, active: set[str]
    ) -> Reference:
        path = f"collections.{key.table}.references.{key.name}"
        if declaration is not None and declaration.columns:
            given = (declaration.columns, declaration.target, declaration.target_columns)
            if given != (key.columns, key.target, key.target_columns):
                raise self._wrong(path, "a foreign key has this name and refers otherwise; rename the reference")
        if declaration is not None and declaration.ownership != "LOOKUP" and not {key.table, key.target} <= active:
            raise self._wrong(path, f"{key.target} is not searched, so that nothing can be followed; declare LOOKUP")
        when = self._when(self.tables[key.table], declaration, path) if declaration else ()
        if declaration is not None:
            ownership, settled, reason = declaration.ownership, True, "declared"
        elif key.table not in active or key.target not in active:
            other = key.target if key.table in active else key.table
            ownership, settled, reason = "LOOKUP", True, f"{other} is not searched"
        else:
            guess = guesses[key]
            ownership, settled, reason = guess.ownership, False, f"proposed {guess.ownership}: {guess.reason}"
        return Reference(
            key.name, key.table, key.columns, key.target, key.target_columns, ownership, settled, reason, when, key
        )

    def _unconstrained(self, name: str, label: str, declaration: ReferenceDeclaration) -> Reference:
        path = f"collections.{name}.references.{label}"
        if not declaration.columns:
            raise self._wrong(
                path, "no foreign key of the table has this name; give columns, target and target_columns"
            )
        target = self.tables.get(declaration.target)
        if target is None or self.options.collections.get(declaration.target, _UNSEARCHED).no_personal_data:
            raise self._wrong(f"{path}.target", "it is not a declared collection with personal data")
        for mine, theirs in zip(declaration.columns, declaration.target_columns, strict=True):
            self._column(self.tables[name], mine, f"{path}.columns")
            self._column(target, theirs, f"{path}.target_columns")
        when = self._when(self.tables[name], declaration, path)
        columns, theirs_all = declaration.columns, declaration.target_columns
        ownership = declaration.ownership
        return Reference(label, name, columns, declaration.target, theirs_all, ownership, True, "declared", when)

    def _when(self, table: Table, declaration: ReferenceDeclaration, path: str) -> tuple[tuple[str, str], ...]:
        for column, value in declaration.when.items():
            self._constant(self._column(table, column, f"{path}.when.{column}"), value, f"{path}.when.{column}")
        return tuple((column, constant_text(value)) for column, value in declaration.when.items())

    def _inbound(
        self, collections: dict[str, Collection], references: dict[str, tuple[Reference, ...]]
    ) -> dict[str, tuple[Inbound, ...]]:
        found: dict[str, list[Inbound]] = defaultdict(list)
        known = {(r.child, r.name): r for rs in references.values() for r in rs}
        for key in self.catalogue.foreign_keys:
            if key.target in collections and key.table in self.catalogue.tables:
                reference = known.get((key.table, key.name))
                table, rule = self.catalogue.tables[key.table], key.on_delete if key.enforced else ""
                inbound = Inbound(key.name, table, key.columns, key.target, key.target_columns, rule, (), reference)
                found[key.target].append(inbound)
        for reference in _logical(references.values()):
            if reference.target in collections and reference.child in collections:
                table, names = (
                    self.tables[reference.child],
                    (reference.columns, reference.target, reference.target_columns),
                )
                found[reference.target].append(Inbound(reference.name, table, *names, "", reference.when, reference))
        return {name: tuple(inbound) for name, inbound in found.items()}

    def _column(self, table: Table, name: str, path: str) -> Column:
        column = table.column.get(name)
        if column is None:
            raise self._wrong(path, f"{table.full_name} has no column {name}")
        return column

    def _constant(self, column: Column, value: Constant, path: str) -> None:
        if not spells(constant_text(value), column.family):
            why = f"it is no value of type {column.native_type}, so that it would match nothing"
            raise self._wrong(path, why)

    def _wrong(self, path: str, why: str) -> DsrError:
        message = f"The declaration of the source doesn't fit its database: options.{path}: {why}."
        return DsrError("SOURCE_REJECTED", message, source=self.source, why=f"options.{path}: {why}")


def _logical(references: Iterable[tuple[Reference, ...]]) -> Iterable[Reference]:
    return (r for group in references for r in group if r.key is None)
