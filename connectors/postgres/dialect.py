"""How PostgreSQL writes what relational sources share."""

from collections.abc import Sequence

from connectors.postgres.types import as_json, quote
from connectors.relational.catalogue import Column, Table
from connectors.relational.dialect import ANCHORS, CHOICES, SUBJECTS, key_table
from connectors.relational.model import Collection, Model
from connectors.relational.sql import Sql, fill, join

_T = Sql("t")
_ROW_VERSION = Column("xmin", "xid", Sql("xid"), "other", "text", "string")
_INTEGER = "CASE WHEN {text} ~ '^(0|-?[1-9][0-9]{{0,18}})$' THEN CASE WHEN CAST({text} AS numeric)"
_INTEGER += " BETWEEN -9223372036854775808 AND 9223372036854775807 THEN CAST({text} AS bigint) END END"
_SPELLED = {
    "integer": _INTEGER,
    "number": "CASE WHEN {text} ~ '^-?[0-9]+([.][0-9]+)?$' THEN CAST({text} AS numeric) END",
    "uuid": "CASE WHEN {text} ~ '^[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}$'"
    " THEN CAST({text} AS uuid) END",
}
"""Text as a value of the family, null where it spells none: a comparison must not fail on somebody's odd value."""


class PostgresDialect:
    """PostgreSQL 12 and newer. Every name of ours is qualified; the search path is pg_catalog alone."""

    name = "postgres"
    checks_rows = False

    def placeholder(self, number: int) -> Sql:
        return Sql(f"${number}")

    def quote(self, name: str) -> Sql:
        return quote(name)

    def table(self, table: Table) -> Sql:
        own = Sql("ONLY ") if table.kind == "table" else Sql("")
        return fill("{own}{schema}.{name}", own=own, schema=quote(table.schema), name=quote(table.name))

    def temporary(self, name: str) -> Sql:
        return fill("pg_temp.{name}", name=quote(name))

    def text(self, expression: Sql) -> Sql:
        return fill("CAST({expression} AS text)", expression=expression)

    def equal(self, left: Sql, column: Column, right: Sql, other: Column, *, enforced: bool) -> Sql:
        if column.family == "text" and (other.family != "text" or column.cast != other.cast):
            right = fill("CAST({right} AS {cast})", right=right, cast=column.cast)
        elif column.family == "text":
            pass
        elif other.family == "text" and column.family in _SPELLED:
            right = fill(_SPELLED[column.family], text=self.text(right))
        elif column.cast != other.cast and not {column.family, other.family} <= {"integer", "number"}:
            left, right = self.text(left), self.text(right)
        return self._compare(left, column, right)

    def equals_text(self, left: Sql, column: Column, text: Sql) -> Sql:
        if column.kind == "enum":
            return fill("{left} = {text}", left=self.text(left), text=self.text(text))
        if column.family in _SPELLED:
            value = fill(_SPELLED[column.family], text=self.text(text))
        else:
            value = fill("CAST({text} AS {cast})", text=self.text(text), cast=column.cast)
        return self._compare(left, column, value)

    def matches(self, left: Sql, column: Column, match: str, text: Sql) -> Sql:
        exact = Sql('{left} COLLATE "C" = {text}')
        if match == "case_fold":
            folded = self._collated(text, column)
            return fill("lower({left}) = lower({text})", left=self.text(left), text=folded)
        if match == "e164":  # the tail is what an index can serve
            tail = fill("{left} = {right}", left=self.phone_tail(left), right=self.phone_tail(text))
            return fill("{tail} AND " + exact, tail=tail, left=self.text(left), text=text)
        # What isn't a number or a UUID was left out before; the cast is safe, and so is the index that serves it.
        cast = Sql("bigint") if column.family == "integer" else column.cast
        found = self._compare(left, column, fill("CAST({text} AS {cast})", text=text, cast=cast))
        if column.family == "text" and column.bytewise:
            return found
        return fill("{found} AND " + exact, found=found, left=self.text(left), text=text)

    def _compare(self, left: Sql, column: Column, right: Sql) -> Sql:
        right = self._collated(right, column) if column.family == "text" else right
        return fill("{left} {equals} {right}", left=left, equals=column.equals, right=right)

    def _collated(self, expression: Sql, column: Column) -> Sql:
        """With the column's own collation, by which its index is ordered; two in one comparison would fail."""
        if not column.collation:
            return expression
        return fill("({expression}) COLLATE {collation}", expression=expression, collation=column.collation)

    def identity_text(self, expression: Sql, column: Column) -> Sql:
        return self.text(expression)

    def moment(self, expression: Sql, column: Column) -> Sql:
        return fill("CASE WHEN isfinite({value}) THEN {value} END", value=expression)

    def zoned(self, column: Column) -> bool:
        return column.native_type.startswith("timestamptz") or "with time zone" in column.native_type

    def phone_tail(self, expression: Sql) -> Sql:
        template = "right(regexp_replace(regexp_replace({text}, '[xX#;,].*$', ''), '[^0-9]', '', 'g'), 5)"
        return fill(template, text=self.text(expression))

    def same(self, expression: Sql, other: Sql) -> Sql:
        return fill("{expression} IS NOT DISTINCT FROM {other}", expression=expression, other=other)

    def constant(self, column: Column, text: Sql) -> Sql:
        return fill("CAST({text} AS {cast})", text=self.text(text), cast=column.cast)

    def held(self, column: Column, text: Sql) -> Sql:
        return fill("CAST({text} AS {type})", text=self.text(text), type=Sql(column.native_type))

    def fits(self, column: Column, text: Sql) -> Sql:
        # A cast cuts text off and rounds numbers without a word.
        held, meant = self.held(column, text), self.constant(column, text)
        return fill("{held} {equals} {meant}", held=held, equals=column.equals, meant=meant)

    def json_array(self, values: Sequence[tuple[Sql, Column]]) -> Sql:
        native = ("integer", "boolean")
        parts = (value if column.schema_type in native else self.text(value) for value, column in values)
        return fill("CAST(jsonb_build_array({parts}) AS text)", parts=join(", ", parts))

    def json_lines(self, columns: Sequence[Column], found: Sql) -> Sql:
        parts = []
        for column in columns:
            name = quote(column.name)
            value = as_json(column, fill("t.{name}", name=name))
            parts.append(fill("{value} AS {name}", value=value, name=name))
        template = "SELECT CAST(row_to_json(r) AS text) FROM (SELECT {parts} FROM {found}) r"
        return fill(template, parts=join(", ", parts), found=found)

    def digest(self, table: Table, alias: Sql) -> Sql:
        columns = (fill("{t}.{name}", t=alias, name=quote(c.name)) for c in (*table.key, _ROW_VERSION))
        version = fill("CAST(ROW({columns}) AS text)", columns=join(", ", columns))
        template = (
            "concat(sum(CAST(hashtextextended({version}, 1) AS numeric)), ':',"
            " sum(CAST(hashtextextended({version}, 2) AS numeric)))"
        )
        return fill(template, version=version)

    def lock(self, rows: Sql, order: Sql) -> Sql:
        return fill("SELECT count(*) FROM (SELECT 1 {rows} ORDER BY {order} FOR UPDATE OF t) l", rows=rows, order=order)

    def update(self, table: Sql, assignments: Sequence[tuple[str, Sql]], keys: Sql, address: Sql) -> Sql:
        template = "UPDATE {table} t SET {parts} FROM {keys} k WHERE {address}"
        parts = (fill("{column} = {value}", column=quote(name), value=value) for name, value in assignments)
        return fill(template, table=table, parts=join(", ", parts), keys=keys, address=address)

    def delete(self, table: Sql, keys: Sql, address: Sql) -> Sql:
        return fill("DELETE FROM {table} t USING {keys} k WHERE {address}", table=table, keys=keys, address=address)

    def delete_together(self, parts: Sequence[tuple[Sql, Sql, Sql]]) -> Sql:
        # Foreign keys are checked when the whole statement ends, RESTRICT too; so rows in a circle go at once.
        deletes = (
            fill("d{n} AS ({delete} RETURNING 1)", n=n, delete=self.delete(*part)) for n, part in enumerate(parts)
        )
        counts = (fill("(SELECT count(*) FROM d{n})", n=n) for n in range(len(parts)))
        return fill("WITH {deletes} SELECT {counts}", deletes=join(", ", deletes), counts=join(", ", counts))

    def session_tables(self, model: Model) -> Sequence[Sql]:
        values = join(", ", (Sql(f"v{n} text") for n in range(1, model.widest + 1)))
        plain = {
            SUBJECTS: Sql("subject integer, slot integer, value text"),
            CHOICES: Sql("subject integer, collection integer, person text"),
            ANCHORS: fill("subject integer, slot integer, {values}", values=values),
        }
        template = "CREATE TEMPORARY TABLE {name} ({columns}) ON COMMIT DELETE ROWS"
        made = [fill(template, name=quote(name), columns=columns) for name, columns in plain.items()]
        return made + [self._key_table(collection) for collection in model.collections.values()]

    def _key_table(self, collection: Collection) -> Sql:
        """Made from the table itself: its columns keep type and collation."""
        columns = (
            fill("t.{name} AS k{n}", name=quote(column.name), n=n) for n, column in enumerate(collection.address, 1)
        )
        return fill(
            "CREATE TEMPORARY TABLE {name} ON COMMIT DELETE ROWS AS"
            " SELECT CAST(0 AS integer) AS subject, TRUE AS strong, CAST(0 AS integer) AS round, {columns}"
            " FROM {table} t WITH NO DATA",
            name=quote(key_table(collection)),
            columns=join(", ", columns),
            table=self.table(collection.table),
        )
