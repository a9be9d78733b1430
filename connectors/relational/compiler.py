"""The graph as SQL: one set-based statement per collection, all columns of a key compared together.

Aliases: `t` the table searched, `k` keys already found (columns subject, strong, round, k1 …), `p` the table that the
keys belong to, joined only where a reference points at other columns than its key.
"""

from collections.abc import Sequence

from connectors.relational.catalogue import Table
from connectors.relational.dialect import CHOICES, SUBJECTS, Dialect, key_table
from connectors.relational.model import Collection, IdentityColumn, Inbound, Model, Reference
from connectors.relational.sql import NOTHING, TRUE, Sql, Values, conjunction, fill, join

_T, _K, _P = Sql("t"), Sql("k"), Sql("p")


class Compiler:
    """Writes the statements of one model. Every method that takes `values` binds its parameters there."""

    def __init__(self, model: Model, dialect: Dialect) -> None:
        self.model = model
        self.dialect = dialect

    def values(self) -> Values:
        return Values(self.dialect.placeholder)

    def table(self, collection: Collection) -> Sql:
        return self.dialect.table(collection.table)

    def key_table(self, collection: Collection) -> Sql:
        return self.dialect.temporary(key_table(collection))

    def column(self, alias: Sql, name: str) -> Sql:
        return fill("{alias}.{name}", alias=alias, name=self.dialect.quote(name))

    def keys(self, collection: Collection, limit: Sql, where: Sql = TRUE) -> Sql:
        """The keys of a collection as a FROM item.

        LIMIT is their known number: it changes nothing but the planner's mind, which else takes a fresh temporary table
        for thousands of rows and reads whole tables for one person.
        """
        template = "(SELECT * FROM {keys} WHERE {where} LIMIT {limit})"
        return fill(template, keys=self.key_table(collection), where=where, limit=limit)

    def key_columns(self, collection: Collection, alias: Sql | None = None) -> Sql:
        prefix = "" if alias is None else f"{alias}."
        return join(", ", (Sql(f"{prefix}k{n}") for n in range(1, len(collection.address) + 1)))

    def address_columns(self, collection: Collection) -> Sql:
        """Named k1, k2 …: not every database can name the columns of a subquery from outside."""
        columns = (self.column(_T, column.name) for column in collection.address)
        return join(", ", (fill("{column} AS k{n}", column=column, n=n) for n, column in enumerate(columns, 1)))

    def addressed(self, collection: Collection, alias: Sql = _T, keys: Sql = _K) -> Sql:
        """The row of `alias` is the one that `keys` names. The scope columns are among what is compared."""
        pairs = enumerate(collection.address, 1)
        return conjunction(
            fill("{left} {equals} {keys}.k{n}", left=self.column(alias, c.name), equals=c.equals, keys=keys, n=n)
            for n, c in pairs
        )

    def found(self, collection: Collection, limit: Sql, where: Sql = TRUE) -> Sql:
        """FROM clause: keys `k` and their rows `t`."""
        template = "{keys} k JOIN {table} t ON {address}"
        keys, table = self.keys(collection, limit, where), self.table(collection)
        return fill(template, keys=keys, table=table, address=self.addressed(collection))

    # Conditions on the table searched

    def conditions(self, collection: Collection, values: Values, *, chosen: bool, subject: Sql) -> Sql:
        """The row of `t` is in scope, and is not a person whom the controller said is somebody else."""
        found = [*self.scope(collection, _T, values)]
        if chosen:
            found.append(self._choice(collection, subject))
        return conjunction(found)

    def scope(self, collection: Collection, alias: Sql, values: Values, depth: int = 1) -> list[Sql]:
        columns = collection.table.column
        found = [
            self.dialect.equals_text(self.column(alias, name), columns[name], values.bind(text))
            for name, text in collection.scope
        ]
        via = collection.scope_via
        if via is not None and via.target in self.model.collections:
            target, there = self.model.collections[via.target], Sql(f"s{depth}")
            conditions = [self._pair(via, alias, collection.table, there, target.table)]
            conditions += [
                self.dialect.equals_text(self.column(alias, name), columns[name], values.bind(text))
                for name, text in via.when
            ]
            conditions += self.scope(target, there, values, depth + 1)
            template = "EXISTS (SELECT 1 FROM {table} {there} WHERE {conditions})"
            found.append(fill(template, table=self.table(target), there=there, conditions=conjunction(conditions)))
        return found

    def when(self, table: Table, when: Sequence[tuple[str, str]], values: Values) -> list[Sql]:
        return [
            self.dialect.equals_text(self.column(_T, name), table.column[name], values.bind(text))
            for name, text in when
        ]

    def _choice(self, collection: Collection, subject: Sql) -> Sql:
        template = (
            "(NOT EXISTS (SELECT 1 FROM {choices} c WHERE c.subject = {subject} AND c.collection = {number})"
            " OR EXISTS (SELECT 1 FROM {choices} c WHERE c.subject = {subject} AND c.collection = {number}"
            " AND c.person = {person}))"
        )
        choices = self.dialect.temporary(CHOICES)
        return fill(
            template, choices=choices, subject=subject, number=collection.number, person=self.person(collection)
        )

    def person(self, collection: Collection, alias: Sql = _T) -> Sql:
        """`Person.person` of a row."""
        return self.dialect.json_array([(self.column(alias, c.name), c) for c in collection.table.key])

    # Searches: each yields subject and address columns k1 …

    def seed(
        self,
        collection: Collection,
        identity: IdentityColumn,
        number: int,
        chosen: bool,
        values: Values,
        also: Sql = NOTHING,
    ) -> Sql:
        """Rows in which an identity of a subject stands.

        `number`: how many identities are loaded for the slot. `also`: one more column, with its name.
        """
        template = (
            "SELECT s.subject, {address}{also}"
            " FROM (SELECT subject, value FROM {subjects} WHERE slot = {slot} LIMIT {limit}) s"
            " JOIN {table} t ON {match} WHERE {conditions}"
        )
        left = self.column(_T, identity.column.name)
        return fill(
            template,
            address=self.address_columns(collection),
            also=fill(", {also}", also=also) if also else NOTHING,
            subjects=self.dialect.temporary(SUBJECTS),
            slot=identity.slot,
            limit=values.bind(number),
            table=self.table(collection),
            match=self.dialect.matches(left, identity.column, identity.match, Sql("s.value")),
            conditions=self.conditions(collection, values, chosen=chosen, subject=Sql("s.subject")),
        )

    def referring(self, collection: Collection, reference: Reference, keys: Sql, chosen: bool, values: Values) -> Sql:
        """Rows that refer to the rows named by `keys`, a FROM item."""
        target = self.model.collections[reference.target]
        template = "SELECT k.subject, {address} FROM {source} JOIN {table} t ON {pairs} WHERE {conditions}"
        conditions = [*self.when(collection.table, reference.when, values)]
        conditions.append(self.conditions(collection, values, chosen=chosen, subject=Sql("k.subject")))
        return fill(
            template,
            address=self.address_columns(collection),
            source=self._with_parent(target, keys, reference.target_columns),
            table=self.table(collection),
            pairs=self._refers(target, collection.table, reference),
            conditions=conjunction(conditions),
        )

    def outside(
        self, inbound: Inbound, limit: Sql, covered: Collection | None, inside: bool, where: Sql, values: Values
    ) -> Sql:
        """Subjects to whose rows (those of `where`) some row refers that is not among their own rows of `covered`; with
        `inside`, that is. On purpose without scope: a constraint knows none."""
        target = self.model.collections[inbound.target]
        template = "SELECT DISTINCT k.subject FROM {source} JOIN {table} t ON {pairs} WHERE {conditions}"
        conditions = [*self.when(inbound.table, inbound.when, values)]
        if covered is not None:
            negation = Sql("" if inside else "NOT ")
            among = "{negation}EXISTS (SELECT 1 FROM {keys} x WHERE x.subject = k.subject AND {address})"
            address = self.addressed(covered, keys=Sql("x"))
            conditions.append(fill(among, negation=negation, keys=self.key_table(covered), address=address))
        return fill(
            template,
            source=self._with_parent(target, self.keys(target, limit, where), inbound.target_columns),
            table=self.dialect.table(inbound.table),
            pairs=self._refers(target, inbound.table, inbound),
            conditions=conjunction(conditions),
        )

    def strangers(self, inbound: Inbound, covered: Collection | None, values: Values) -> Sql:
        """Rows outside of the scope that refer to rows of `inbound.target` within it.

        `covered`: the referring collection, if it is in the source; its rows within the scope are no strangers.
        """
        target, parent = self.model.collections[inbound.target], Sql("p")
        conditions = [self._pair(inbound, _T, inbound.table, parent, target.table), *self.scope(target, parent, values)]
        if covered is not None:
            conditions.append(fill("({mine}) IS NOT TRUE", mine=conjunction(self.scope(covered, _T, values))))
        return fill(
            "SELECT 1 FROM {target} p JOIN {table} t ON {conditions} LIMIT 1",
            target=self.table(target),
            table=self.dialect.table(inbound.table),
            conditions=conjunction(conditions),
        )

    def _with_parent(self, target: Collection, keys: Sql, columns: Sequence[str]) -> Sql:
        known = {column.name for column in target.address}
        if known.issuperset(columns):
            return fill("{keys} k", keys=keys)
        template = "{keys} k JOIN {table} p ON {address}"
        return fill(template, keys=keys, table=self.table(target), address=self.addressed(target, _P))

    def _refers(self, target: Collection, table: Table, reference: Reference | Inbound) -> Sql:
        place = {column.name: n for n, column in enumerate(target.address, 1)}
        direct = place.keys() >= set(reference.target_columns)
        found = []
        for mine, their in zip(reference.columns, reference.target_columns, strict=True):
            right = Sql(f"k.k{place[their]}") if direct else self.column(_P, their)
            left, column, other = self.column(_T, mine), table.column[mine], target.table.column[their]
            found.append(self.dialect.equal(left, column, right, other, enforced=reference.enforced))
        return conjunction(found)

    def _pair(self, reference: Reference | Inbound, child: Sql, table: Table, parent: Sql, target: Table) -> Sql:
        return conjunction(
            self.dialect.equal(
                self.column(parent, theirs),
                target.column[theirs],
                self.column(child, mine),
                table.column[mine],
                enforced=reference.enforced,
            )
            for mine, theirs in zip(reference.columns, reference.target_columns, strict=True)
        )
