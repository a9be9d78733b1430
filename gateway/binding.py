"""Builds the request message from path, query and body, strictly, and says by its path what is wrong.

`json_format` alone neither names the path of a bad value nor refuses what JSON's own looseness lets through, so values
are checked against the descriptor first. Accepted names are the proto3 mapping's: `receivedTime` and `received_time`.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import duration_pb2, json_format, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dsrkit.errors import DsrError, invalid
from gateway.routes import SCALAR_MESSAGES, Route
from gateway.strict_json import RepeatedKey, printable

_F = FieldDescriptor
_INTEGERS = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), (-(2**31), 2**31)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), (-(2**63), 2**63)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), (0, 2**32)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), (0, 2**64)),
}
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_BOOLEANS = {"true": True, "false": False}


def request_message(
    route: Route, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: Any | None
) -> Message:
    """The request of `route`. `body` is the parsed JSON, or None when there was none.

    Raises FIELD_UNKNOWN or FIELD_INVALID with the path of the field, as the caller wrote it.
    """
    message = route.request()
    if body is not None:
        if route.body == "*":
            target, taken = message, {variable.field for variable in route.template.variables}
        else:
            target, taken = getattr(message, route.body), set()
            target.SetInParent()
        _check_message(target.DESCRIPTOR, body, "", taken)
        _fill(target, body)
    parameters = _query_values(route, query)
    if parameters:
        _fill(message, parameters)
    for name, value in path.items():
        setattr(message, name, value)
    return message


def _fill(message: Message, value: Any) -> None:
    try:
        json_format.ParseDict(value, message)
    except (json_format.ParseError, ValueError):
        # The check above is stricter than the parser; this is what it does not foresee. The text may quote values.
        raise invalid("body", "it does not fit the contract") from None


def _names(message: Any) -> dict[str, FieldDescriptor]:
    names = {field.json_name: field for field in message.fields}
    names.update({field.name: field for field in message.fields})
    return names


def _check_message(message: Any, value: Any, path: str, taken: set[str]) -> None:
    if not isinstance(value, dict):
        raise invalid(path or "body", "it must be an object")
    prefix = f"{path}." if path else ""
    if isinstance(value, RepeatedKey):
        raise invalid(prefix + printable(value.key), "the key occurs twice in one object")
    names = _names(message)
    seen: set[str] = set()
    for key, item in value.items():
        field = names.get(key)
        where = prefix + printable(key)
        if field is None or field.name in taken:
            why = "stands in the path already" if field is not None else "is not a field of the contract"
            raise DsrError("FIELD_UNKNOWN", f"{where} {why}. Leave it out.", field=where)
        if field.name in seen:
            raise invalid(where, "it occurs twice, under both of its names")
        seen.add(field.name)
        if item is None:
            continue  # null is absent, as the mapping says
        if field.is_repeated:
            if not isinstance(item, list):
                raise invalid(where, "it must be an array")
            for index, element in enumerate(item):
                _check_value(field, element, f"{where}[{index}]")
        else:
            _check_value(field, item, where)


def _check_value(field: FieldDescriptor, value: Any, path: str) -> None:
    if field.message_type is not None and field.message_type.full_name not in SCALAR_MESSAGES:
        _check_message(field.message_type, value, path, set())
    else:
        problem = _scalar_problem(field, value)
        if problem:
            raise invalid(path, problem)


def _scalar_problem(field: FieldDescriptor, value: Any) -> str | None:
    """What is wrong with a value, or None."""
    if field.message_type is not None:
        return _text_problem(field.message_type, value)
    if field.type in _INTEGERS:
        return _integer_problem(field, value)
    match field.type:
        case _F.TYPE_STRING:
            if not isinstance(value, str):
                return "it must be a string"
            return None if _encodable(value) else "it holds half of a surrogate pair"
        case _F.TYPE_BOOL:
            return None if isinstance(value, bool) else "it must be true or false"
        case _F.TYPE_ENUM:
            return _enum_problem(field.enum_type, value)
        case _F.TYPE_BYTES:
            return None if isinstance(value, str) and _is_base64(value) else "it must be base64"
        case _:
            return None if isinstance(value, int | float) and not isinstance(value, bool) else "it must be a number"


def _text_problem(message: Any, value: Any) -> str | None:
    if not isinstance(value, str):
        return "it must be a string"
    if message.full_name == timestamp_pb2.Timestamp.DESCRIPTOR.full_name:
        if not _TIMESTAMP.fullmatch(value):
            return "it must be a time with a zone, such as 2026-01-31T12:00:00Z"
        parse = timestamp_pb2.Timestamp().FromJsonString
    else:
        if not _DURATION.fullmatch(value):
            return "it must be a duration in seconds, such as 3600s"
        parse = duration_pb2.Duration().FromJsonString
    try:
        parse(value)
    except ValueError:
        return "it is out of range"
    return None


def _integer_problem(field: FieldDescriptor, value: Any) -> str | None:
    text = isinstance(value, str) and _DECIMAL.fullmatch(value)
    if text or (isinstance(value, float) and value.is_integer() and abs(value) < 2**53):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return "it must be a whole number"
    low, high = _INTEGERS[field.type]
    return None if low <= value < high else f"it must be at least {low} and below {high}"


def _enum_problem(enum: Any, value: Any) -> str | None:
    if isinstance(value, str) and value in enum.values_by_name:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value in enum.values_by_number:
        return None
    return f"it must be one of {', '.join(v.name for v in enum.values if v.number != 0)}"


def _encodable(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value) if not value.isascii() else True


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _query_values(route: Route, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters as the JSON object they stand for; `a.b` is field `b` of message `a`."""
    result: dict[str, Any] = {}
    for name, text in query:
        where = printable(name)
        path = _query_path(route, name)
        if path is None:
            raise DsrError("FIELD_UNKNOWN", f"{where} is not a query parameter of this method.", field=where)
        *outer, field = path
        if _is_object(field):
            raise invalid(where, "it is an object: name one of its fields")
        holder = result
        for parent in outer:
            holder = holder.setdefault(parent.name, {})
        value = _query_value(field, text)
        problem = _scalar_problem(field, value)
        if problem:
            raise invalid(where, problem)
        if field.is_repeated:
            holder.setdefault(field.name, []).append(value)
        elif field.name in holder:
            raise invalid(where, "it occurs twice")
        else:
            holder[field.name] = value
    return result


def _query_path(route: Route, name: str) -> list[FieldDescriptor] | None:
    """The fields that a dotted name leads through, or None when it names no query parameter."""
    first, *rest = name.split(".")
    names = {key: field for field in route.query_fields for key in (field.name, field.json_name)}
    path = [names.get(first)]
    for piece in rest:
        parent = path[-1]
        if parent is None or parent.is_repeated or not _is_object(parent):
            return None
        path.append(_names(parent.message_type).get(piece))
    return None if None in path else [field for field in path if field is not None]


def _is_object(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name not in SCALAR_MESSAGES


def _query_value(field: FieldDescriptor, text: str) -> Any:
    if field.type == _F.TYPE_BOOL:
        return _BOOLEANS.get(text, text)
    if field.type == _F.TYPE_ENUM and _DECIMAL.fullmatch(text):
        return int(text)
    return text
