"""How MySQL and MariaDB write what relational sources share."""

import re
from collections.abc import Mapping, Sequence

from connectors.mysql.flavour import Flavour
from connectors.mysql.types import as_bytes, as_json, literal, quote
from connectors.relational.catalogue import Column, Table
from connectors.relational.dialect import ANCHORS, CHOICES, SUBJECTS, key_table
from connectors.relational.model import Collection, Model
from connectors.relational.sql import FALSE, TRUE, Sql, conjunction, fill, join

_INTEGER = (
    "CASE WHEN {text} REGEXP '^(0|-?[1-9][0-9]{{0,18}})$' THEN"
    " CASE WHEN CAST({text} AS DECIMAL(20)) BETWEEN {low} AND {high} THEN CAST({text} AS {cast}) END END"
)
_NUMBER = "CASE WHEN {text} REGEXP '^-?[0-9]{{1,35}}([.][0-9]{{1,30}})?$' THEN CAST({text} AS DECIMAL(65, 30)) END"
_UUID = "CASE WHEN {text} REGEXP '^[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}$'"
_UUID += " THEN CAST({text} AS UUID) END"
_SIZE = re.compile(r"^(?:var)?char\((\d+)\)")
_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?"
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_ROW = Sql("dsr_row bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY")
"""Some servers want every table to have a primary key, temporary ones too."""


class MysqlDialect:
    """MariaDB 10.11 and MySQL 8.

    Equality is never left to the server: it takes 7 for '7x', and most collations take 'a' for 'A ' and 'á'.
    """

    name = "mysql"
    checks_rows = True

    def __init__(self, flavour: Flavour) -> None:
        self.flavour = flavour

    def placeholder(self, number: int) -> Sql:
        """Numbered, for values are bound in another order than they stand in; the session puts `?` for it."""
        return Sql(f":{number}:")

    def quote(self, name: str) -> Sql:
        return quote(name)

    def table(self, table: Table) -> Sql:
        return fill("{schema}.{name}", schema=quote(table.schema), name=quote(table.name))

    def temporary(self, name: str) -> Sql:
        return quote(name)

    def text(self, expression: Sql) -> Sql:
        template = "CAST({expression} AS CHAR CHARACTER SET utf8mb4) COLLATE {exact}"
        return fill(template, expression=expression, exact=self.flavour.exact)

    def equal(self, left: Sql, column: Column, right: Sql, other: Column, *, enforced: bool) -> Sql:
        numbers = {"integer", "number"}
        if column.family == "text":
            if enforced and column.collation == other.collation:
                return fill("{left} = {right}", left=left, right=right)
            return self._equal_text(left, column, self.text(right))
        if other.family == "text" and column.family in (*numbers, "uuid"):
            return fill("{left} = {right}", left=left, right=self._spelled(column, self.text(right)))
        if {column.family, other.family} <= numbers or (column.kind == other.kind and column.kind != "enum"):
            return fill("{left} = {right}", left=left, right=right)
        return fill("{left} = {right}", left=self.text(left), right=self.text(right))

    def equals_text(self, left: Sql, column: Column, text: Sql) -> Sql:
        text = self.text(text)
        if column.family == "text":
            return self._equal_text(left, column, text)
        if column.family in ("integer", "number", "uuid"):
            return fill("{left} = {right}", left=left, right=self._spelled(column, text))
        if column.kind == "binary":
            return fill("{left} = FROM_BASE64({text})", left=left, text=text)
        return fill("{left} = {text}", left=self._spelling(column, left), text=text)

    def matches(self, left: Sql, column: Column, match: str, text: Sql) -> Sql:
        if match == "case_fold":
            return self._equal_folded(left, column, self.text(text))
        if column.family == "text":
            return self._equal_text(left, column, self.text(text))
        if match == "e164":
            return fill("{left} = {text}", left=self.text(left), text=self.text(text))
        exact = fill("{left} = {text}", left=self._spelling(column, left), text=self.text(text))
        return fill("{found} AND {exact}", found=self.equals_text(left, column, text), exact=exact)

    def _equal_text(self, left: Sql, column: Column, text: Sql) -> Sql:
        """The column's index serves the first comparison; the second one is exact."""
        template = "{left} = {served} AND {exact} = {text}"
        return fill(template, left=left, served=self._served(column, text), exact=self.text(left), text=text)

    def _equal_folded(self, left: Sql, column: Column, text: Sql) -> Sql:
        found = fill("LOWER({left}) = LOWER({text})", left=self.text(left), text=text)
        if not folds(column):
            return found
        # Texts that differ in case alone are equal under such a collation, so that its index serves.
        return fill("{left} = {served} AND {found}", left=left, served=self._served(column, text), found=found)

    def _served(self, column: Column, text: Sql) -> Sql:
        """The text as a value of the column. Characters that it can't hold become others; the caller compares again."""
        charset = Sql(column.collation.partition("_")[0])
        return fill("CONVERT({text} USING {charset}) COLLATE {by}", text=text, charset=charset, by=column.collation)

    def _spelled(self, column: Column, text: Sql) -> Sql:
        """Text as a value of the family, null where it spells none. Never an error, and never a guess."""
        if column.kind == "integer":
            unsigned = column.cast == "UNSIGNED"
            low, high = (0, 2**64 - 1) if unsigned else (-(2**63), 2**63 - 1)
            template = _INTEGER.replace("18", "19") if unsigned else _INTEGER
            return fill(template, text=text, low=low, high=high, cast=column.cast)
        return fill(_UUID if column.family == "uuid" else _NUMBER, text=text)

    def _spelling(self, column: Column, expression: Sql) -> Sql:
        """A value as `json_array` spells it."""
        return self.text(as_bytes(column, expression))

    def identity_text(self, expression: Sql, column: Column) -> Sql:
        return self._spelling(column, expression)

    def moment(self, expression: Sql, column: Column) -> Sql:
        # 0000-00-00, and dates of which a part is zero: older servers and sql_modes let them in.
        said = (
            fill("{part}({value}) > 0", part=Sql(part), value=expression) for part in ("YEAR", "MONTH", "DAYOFMONTH")
        )
        return fill("CASE WHEN {said} THEN {value} END", said=join(" AND ", said), value=expression)

    def zoned(self, column: Column) -> bool:
        return column.kind == "timestamp"

    def phone_tail(self, expression: Sql) -> Sql:
        template = "RIGHT(REGEXP_REPLACE(REGEXP_REPLACE({text}, '(?s)[xX#;,].*$', ''), '[^0-9]', ''), 5)"
        return fill(template, text=self.text(expression))

    def same(self, expression: Sql, other: Sql) -> Sql:
        return fill("{expression} <=> {other}", expression=expression, other=other)

    def constant(self, column: Column, text: Sql) -> Sql:
        return fill("CAST({text} AS {cast})", text=text, cast=column.cast)

    def held(self, column: Column, text: Sql) -> Sql:
        size = _SIZE.search(column.native_type) if column.kind == "text" else None
        if size is None:
            return self.constant(column, self._unzoned(column, text))
        template = "CAST({text} AS CHAR({size}) CHARACTER SET utf8mb4)"
        return fill(template, text=self.text(text), size=int(size[1]))

    def fits(self, column: Column, text: Sql) -> Sql:
        text = self.text(text)
        if column.kind == "text":
            return self._fits_text(column, text)
        if column.kind == "integer":
            low, high = integers(column.native_type)
            return fill(
                "{text} REGEXP '^(0|-?[1-9][0-9]{{0,19}})$' AND CAST({text} AS DECIMAL(20)) BETWEEN {low} AND {high}",
                text=text,
                low=low,
                high=high,
            )
        if column.kind == "decimal":
            return fill("{meant} = {held}", meant=self._spelled(column, text), held=self.held(column, text))
        if column.kind == "date":
            return fill("{held} = {text}", held=self.text(self.held(column, text)), text=text)
        if column.kind in ("datetime", "timestamp"):
            plain = self._unzoned(column, text)
            exact = fill("CAST({plain} AS DATETIME(6))", plain=plain)
            template = (
                "{text} REGEXP '{form}' AND {held} = {exact}"
                " AND LEFT({shown}, 19) = LEFT({plain}, 19)"  # a day that is none becomes another, or null
            )
            form = Sql(_TIME + ("Z?$" if column.kind == "timestamp" else "$"))
            return fill(
                template,
                text=text,
                form=form,
                held=self.held(column, text),
                exact=exact,
                shown=self.text(exact),
                plain=plain,
            )
        if column.kind == "enum" and column.native_type.startswith("enum"):
            quote = Sql("CHAR(39 USING utf8mb4)")
            listed = fill("CONCAT({quote}, {text}, {quote})", text=text, quote=quote)
            return fill("INSTR({all}, {one}) > 0", all=self.text(literal(column.native_type)), one=listed)
        return fill("{spelled} IS NOT NULL", spelled=self._spelled(column, text)) if column.kind == "uuid" else FALSE

    def _fits_text(self, column: Column, text: Sql) -> Sql:
        charset = Sql(column.collation.partition("_")[0] or "utf8mb4")
        there = fill("CONVERT({text} USING {charset})", text=text, charset=charset)
        conditions = [fill("{back} = {text}", back=self.text(there), text=text)]
        if size := _SIZE.search(column.native_type):
            conditions.append(fill("CHAR_LENGTH({text}) <= {size}", text=text, size=int(size[1])))
        elif column.native_type.startswith("tinytext"):
            conditions.append(fill("OCTET_LENGTH({there}) <= 255", there=there))
        return conjunction(conditions)

    def _unzoned(self, column: Column, text: Sql) -> Sql:
        """ISO 8601 as the server reads it; sessions are in UTC."""
        if column.kind not in ("datetime", "timestamp"):
            return text
        return fill("REPLACE(REPLACE({text}, 'T', ' '), 'Z', '')", text=self.text(text))

    def json_array(self, values: Sequence[tuple[Sql, Column]]) -> Sql:
        parts = [
            as_json(column, value)
            if column.kind in ("integer", "binary")
            else fill("JSON_QUOTE({text})", text=self._spelling(column, value))
            for value, column in values
        ]
        return self.text(fill("CONCAT('[', {parts}, ']')", parts=join(", ', ', ", parts)))

    def json_lines(self, columns: Sequence[Column], found: Sql) -> Sql:
        parts = [
            fill(
                "{name}, IFNULL({value}, 'null')",
                name=fill("JSON_QUOTE({name}), ':'", name=literal(column.name)),
                value=as_json(column, fill("t.{name}", name=quote(column.name))),
            )
            for column in columns
        ]
        return fill(
            "SELECT CONCAT('{{', {parts}, '}}') FROM {found}", parts=join(", ',', ", parts) or Sql("''"), found=found
        )

    def digest(self, table: Table, alias: Sql) -> Sql:
        # Rows have no version that could be read; so it is all of the row.
        columns = (
            fill("IFNULL(SHA2({value}, 256), '-')", value=as_bytes(c, fill("{t}.{name}", t=alias, name=quote(c.name))))
            for c in table.columns
        )
        row = fill("SHA2(CONCAT_WS(',', {columns}), 256)", columns=join(", ", columns))
        return fill("CAST(SUM(CAST(CONV(LEFT({row}, 16), 16, 10) AS DECIMAL(20))) AS CHAR)", row=row)

    def lock(self, rows: Sql, order: Sql) -> Sql:
        # The server locks rows as it reads them, whatever they are ordered by afterwards.
        return fill("SELECT 1 {rows} FOR UPDATE", rows=rows)

    def update(self, table: Sql, assignments: Sequence[tuple[str, Sql]], keys: Sql, address: Sql) -> Sql:
        parts = (fill("t.{column} = {value}", column=quote(name), value=value) for name, value in assignments)
        template = "UPDATE {table} t JOIN {keys} k ON {address} SET {parts}"
        return fill(template, table=table, parts=join(", ", parts), keys=keys, address=address)

    def delete(self, table: Sql, keys: Sql, address: Sql) -> Sql:
        template = "DELETE t FROM {table} t JOIN {keys} k ON {address}"
        return fill(template, table=table, keys=keys, address=address)

    def delete_together(self, parts: Sequence[tuple[Sql, Sql, Sql]]) -> Sql:
        raise NotImplementedError("keys are checked row by row, so nothing goes together")

    def session_tables(self, model: Model) -> Sequence[Sql]:
        return list(self.temporary_tables(model).values())

    def temporary_tables(self, model: Model) -> Mapping[str, Sql]:
        """Temporary tables by name, and the statement that makes each."""
        values = join(", ", (Sql(f"v{n} longtext") for n in range(1, model.widest + 1)))
        plain = {
            SUBJECTS: Sql("subject int NOT NULL, slot int NOT NULL, value longtext NOT NULL"),
            CHOICES: Sql("subject int NOT NULL, collection int NOT NULL, person longtext"),
            ANCHORS: fill("subject int NOT NULL, slot int NOT NULL, {values}", values=values),
        }
        template = "CREATE TEMPORARY TABLE {name} ({row}, {columns}) ENGINE=InnoDB CHARSET utf8mb4 COLLATE {exact}"
        made = {
            name: fill(template, name=quote(name), row=_ROW, columns=columns, exact=self.flavour.exact)
            for name, columns in plain.items()
        }
        return made | {key_table(found): self._key_table(found) for found in model.collections.values()}

    def _key_table(self, collection: Collection) -> Sql:
        """Made from the table itself: its columns keep type and collation."""
        columns = (
            fill("t.{name} AS k{n}", name=quote(column.name), n=n) for n, column in enumerate(collection.address, 1)
        )
        return fill(
            "CREATE TEMPORARY TABLE {name} ({row}) ENGINE=InnoDB AS"
            " SELECT CAST(0 AS SIGNED) AS subject, {true} AS strong, CAST(0 AS SIGNED) AS round, {columns}"
            " FROM {table} t LIMIT 0",
            name=quote(key_table(collection)),
            row=_ROW,
            true=TRUE,
            columns=join(", ", columns),
            table=self.table(collection.table),
        )


def integers(native_type: str) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    name = re.match(r"[a-z]+", native_type)
    bits = _BITS.get(name[0]) if name else None
    if bits is None:  # year
        return 1901, 2155
    return (0, 2**bits - 1) if "unsigned" in native_type else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def folds(column: Column) -> bool:
    """Whether the column's own collation takes texts for equal that differ in case alone."""
    return column.family == "text" and column.collation.endswith("_ci")
