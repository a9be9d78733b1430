"""What PostgreSQL's types are to us: how they compare, and how they become JSON without loss.

| kind | JSON |
|---|---|
| native | as `to_json` writes it: numbers, booleans, ISO 8601 dates and times in UTC |
| text | a string, PostgreSQL's own spelling of the value |
| enum | the same |
| float | a number; NaN, INF and -INF are strings, as Table Schema has it |
| numeric | a string, all digits and the scale kept; NaN, INF, -INF |
| money | a string, as numeric |
| bytea | a string in base64 |
| json, jsonb | itself; but a JSON string or a JSON null is written as a string of JSON, for null is SQL's NULL |
| array | an array; one whose bounds don't start at 1 is a string, PostgreSQL's own spelling |
| text_array | the same with each element as a string |
"""

from connectors.relational.catalogue import Column, Family
from connectors.relational.sql import Sql, fill

_TYPES: dict[str, tuple[Family, str, str]] = {
    "bool": ("other", "native", "boolean"),
    "int2": ("integer", "native", "integer"),
    "int4": ("integer", "native", "integer"),
    "int8": ("integer", "native", "integer"),
    "float4": ("other", "float", "number"),
    "float8": ("other", "float", "number"),
    "numeric": ("number", "numeric", "number"),
    "money": ("other", "money", "number"),
    "text": ("text", "text", "string"),
    "varchar": ("text", "text", "string"),
    "bpchar": ("text", "text", "string"),
    "name": ("text", "text", "string"),
    "uuid": ("uuid", "text", "string"),
    "bytea": ("other", "bytea", "string"),
    "json": ("other", "json", "any"),
    "jsonb": ("other", "jsonb", "any"),
    "date": ("other", "native", "date"),
    "timestamp": ("other", "native", "datetime"),
    "timestamptz": ("other", "native", "datetime"),
    "time": ("other", "text", "time"),
    "timetz": ("other", "text", "string"),
    "interval": ("other", "text", "duration"),
}
_NATIVE_ELEMENTS = frozenset(
    [
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "text",
        "varchar",
        "bpchar",
        "name",
        "uuid",
        "date",
        "timestamp",
        "timestamptz",
    ]
)

_JSON = {
    "native": "{c}",
    "text": "CAST({c} AS text)",
    "enum": "CAST({c} AS text)",
    "float": "CASE WHEN {c} = 'Infinity' THEN to_json('INF'::text) WHEN {c} = '-Infinity' THEN to_json('-INF'::text)"
    " ELSE to_json({c}) END",
    "numeric": "CASE CAST({c} AS text) WHEN 'Infinity' THEN 'INF' WHEN '-Infinity' THEN '-INF'"
    " ELSE CAST({c} AS text) END",
    "money": "CAST(CAST({c} AS numeric) AS text)",
    "bytea": "replace(encode({c}, 'base64'), chr(10), '')",
    "jsonb": "CASE WHEN jsonb_typeof({c}) IN ('string', 'null') THEN to_jsonb(CAST({c} AS text)) ELSE {c} END",
    # White space between tokens may hold line breaks, which would break JSON Lines; within strings they are escaped.
    "json": "CASE WHEN json_typeof({c}) IN ('string', 'null') THEN to_json(CAST({c} AS text))"
    " ELSE CAST(translate(CAST({c} AS text), chr(10) || chr(13), '  ') AS json) END",
    "array": "CASE WHEN coalesce(array_dims({c}) ~ '^(\\[1:[0-9]+\\])+$', true) THEN to_json({c})"
    " ELSE to_json(CAST({c} AS text)) END",
    "text_array": "CASE WHEN coalesce(array_dims({c}) ~ '^(\\[1:[0-9]+\\])+$', true) THEN to_json(CAST({c} AS text[]))"
    " ELSE to_json(CAST({c} AS text)) END",
}


def quote(name: str) -> Sql:
    """A quoted identifier."""
    return Sql('"' + name.replace('"', '""') + '"')


def classify(name: str, typtype: str, category: str, element: str) -> tuple[Family, str, str, bool]:
    """(family, kind, Table Schema type, bytewise) of a base type. `name` is empty for types outside pg_catalog."""
    if category == "A":
        return "other", "array" if element in _NATIVE_ELEMENTS else "text_array", "array", True
    if name in _TYPES:
        return (*_TYPES[name], name != "bpchar")
    if typtype == "e":
        return "other", "enum", "string", True
    if category == "S" and not name:  # citext and its like: text with an equality of its own
        return "text", "text", "string", False
    return "other", "text", "string", True


def as_json(column: Column, expression: Sql) -> Sql:
    """The expression's value, in the form that `row_to_json` writes without loss."""
    return fill(_JSON[column.kind], c=expression)
