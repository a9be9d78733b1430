"""What MySQL's types are to us: how they compare, and how they become JSON without loss.

| kind | types | JSON |
|---|---|---|
| integer | the integers, year | a number, all digits |
| decimal | decimal | a string, all digits and the scale kept |
| float | float, double | a number; a float as the double that it is |
| text | char, varchar, text, enum, set, uuid, inet | a string |
| binary | binary, varbinary, blob, vector | a string in base64 |
| bit | bit | a string of 0 and 1, as long as the type |
| date | date | a string, as the server writes it; 0000-00-00 too |
| datetime | datetime | the same with T between date and time |
| timestamp | timestamp | the same in UTC, with Z |
| time | time | a string: it may be negative, and longer than a day |
| json | json | itself; but a JSON string or a JSON null is written as a string of JSON, for null is SQL's NULL |
| geometry | geometry … | a string: `SRID=…;` and well-known text |
"""

import re

from connectors.relational.catalogue import Column, Family
from connectors.relational.sql import Sql, fill

_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"})
_GEOMETRIES = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection"}
)
_SIMPLE: dict[str, tuple[Family, str, str]] = {
    "year": ("other", "integer", "integer"),
    "decimal": ("number", "decimal", "number"),
    "float": ("other", "float", "number"),
    "double": ("other", "float", "number"),
    "bit": ("other", "bit", "string"),
    "date": ("other", "date", "date"),
    "datetime": ("other", "datetime", "datetime"),
    "timestamp": ("other", "timestamp", "datetime"),
    "time": ("other", "time", "string"),
    "json": ("other", "json", "any"),
    "enum": ("other", "enum", "string"),
    "set": ("other", "enum", "string"),
    "uuid": ("uuid", "uuid", "string"),
}
_CASTS = {"year": "UNSIGNED", "float": "DOUBLE", "double": "DOUBLE", "date": "DATE", "uuid": "UUID", "bit": "UNSIGNED"}
_TEXT = Sql("CHAR CHARACTER SET utf8mb4")
_CHARACTERS = Sql("CAST({c} AS CHAR CHARACTER SET utf8mb4)")

_JSON = {
    "integer": _CHARACTERS,
    "decimal": "CONCAT('\"', " + _CHARACTERS + ", '\"')",
    "float": "CAST(CAST({c} AS DOUBLE) AS CHAR CHARACTER SET utf8mb4)",
    "text": "JSON_QUOTE(" + _CHARACTERS + ")",
    "binary": "CONCAT('\"', REPLACE(TO_BASE64({c}), CHAR(10 USING utf8mb4), ''), '\"')",
    "bit": "CONCAT('\"', LPAD(BIN({c} + 0), {width}, '0'), '\"')",
    "date": "CONCAT('\"', " + _CHARACTERS + ", '\"')",
    "datetime": "CONCAT('\"', REPLACE(" + _CHARACTERS + ", ' ', 'T'), '\"')",
    "timestamp": "CONCAT('\"', REPLACE(" + _CHARACTERS + ", ' ', 'T'), 'Z\"')",
    # White space between tokens may hold line breaks, which would break JSON Lines; within strings they are escaped.
    "json": "CASE WHEN JSON_TYPE({c}) IN ('STRING', 'NULL') THEN JSON_QUOTE(" + _CHARACTERS + ")"
    " ELSE REPLACE(REPLACE(" + _CHARACTERS + ", CHAR(10 USING utf8mb4), ' '), CHAR(13 USING utf8mb4), ' ') END",
    "geometry": "JSON_QUOTE(CONCAT('SRID=', ST_SRID({c}), ';', CAST(ST_AsText({c}) AS CHAR CHARACTER SET utf8mb4)))",
}
_LIKE = {"time": "date", "enum": "text", "uuid": "text"}


def quote(name: str) -> Sql:
    """A quoted identifier."""
    return Sql("`" + name.replace("`", "``") + "`")


def literal(text: str) -> Sql:
    """A string constant made of a name of the catalogue: as hexadecimal digits, which no sql_mode reads otherwise."""
    return Sql(f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)")


def classify(name: str, full: str) -> tuple[Family, str, str, Sql]:
    """(family, kind, Table Schema type, cast) of a type: `bigint`, and in full `bigint(20) unsigned`."""
    unsigned = "unsigned" in full
    if name in _INTEGERS:
        # What only an unsigned bigint can hold is beyond the integers of the core.
        family: Family = "number" if unsigned and name == "bigint" else "integer"
        return family, "integer", "integer", Sql("UNSIGNED" if unsigned else "SIGNED")
    if name in _TEXTS:
        return "text", "text", "string", _TEXT
    if name in _BINARIES:
        return "other", "binary", "string", Sql("BINARY")
    if name in _GEOMETRIES:
        return "other", "geometry", "string", _TEXT
    if name not in _SIMPLE:
        return "other", "text", "string", _TEXT
    return (*_SIMPLE[name], _cast(name, full))


def _cast(name: str, full: str) -> Sql:
    if name in _CASTS:
        return Sql(_CASTS[name])
    if name in ("decimal", "datetime", "timestamp", "time"):
        size = re.search(r"\(\d+(,\d+)?\)", full)
        return Sql(name.replace("timestamp", "datetime").upper() + (size[0] if size else ""))
    return _TEXT


def as_json(column: Column, expression: Sql) -> Sql:
    """The expression's value as JSON text, null if it is null."""
    width = re.search(r"\d+", column.native_type)
    expression = _bare(column, expression)
    template = _JSON[_LIKE.get(column.kind, column.kind)]
    return fill(template, c=expression, width=int(width[0]) if width else 1)


def as_bytes(column: Column, expression: Sql) -> Sql:
    """The expression's value as a string that is equal only for equal values."""
    expression = _bare(column, expression)
    if column.kind == "float":
        return fill("CAST({c} AS DOUBLE)", c=expression)
    return fill("BIN({c} + 0)", c=expression) if column.kind == "bit" else expression


def _bare(column: Column, expression: Sql) -> Sql:
    """A number without the zeros that ZEROFILL and the year 0000 show: they are no part of the value, and no JSON."""
    padded = "zerofill" in column.native_type or column.native_type.startswith("year")
    return fill("({c} + 0)", c=expression) if padded else expression
