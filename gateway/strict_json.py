"""JSON as it is accepted here (RFC 7493, I-JSON): UTF-8, no duplicate keys, no NaN; bounded depth and size."""

import json
import re
from typing import Any, NoReturn

from dsrkit.errors import DsrError, invalid

MAX_DEPTH = 32
MAX_VALUES = 50_000
# A string, or what begins as one: it always matches to its end, so that no text makes the search go over it twice.
_STRING = re.compile(rb'"(?:[^"\\]|\\.?)*+"?', re.DOTALL)


def parse(body: bytes) -> dict[str, Any]:
    """The object that a JSON text is. FIELD_INVALID with field `body`, or MESSAGE_TOO_LARGE with the limit."""
    # Every comma outside of strings stands before a value: a bomb is counted for a hundredth of what building it costs.
    if body.count(b",") >= MAX_VALUES and _STRING.sub(b"", body).count(b",") >= MAX_VALUES:
        raise _too_many()
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise invalid("body", "it is not UTF-8") from None
    except json.JSONDecodeError as error:
        # `error.msg` is one of the parser's fixed phrases; it quotes nothing of the body.
        raise invalid("body", f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise invalid("body", "a number has too many digits") from None
    _measure(value)
    if not isinstance(value, dict):
        raise invalid("body", "it must be an object")
    return value


class RepeatedKey(dict[str, Any]):
    """An object in which `key` occurred twice. Whoever walks the value knows the path, and refuses it."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    marked = RepeatedKey(result)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            marked.key = key
        seen.add(key)
    return marked


def _constant(name: str) -> NoReturn:
    raise invalid("body", f"{name} is not a JSON number")


def _measure(value: Any) -> None:
    level = [value]
    count = 1
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                inner.extend(node.values())
            elif isinstance(node, list):
                inner.extend(node)
        count += len(inner)
        if count > MAX_VALUES:
            raise _too_many()
        if not inner:
            return
        level = inner
    if any(isinstance(node, dict | list) for node in level):
        raise _too_deep()


def _too_many() -> DsrError:
    return DsrError(
        "MESSAGE_TOO_LARGE", f"The body has more than {MAX_VALUES} values. Send less.", limit=str(MAX_VALUES)
    )


def _too_deep() -> DsrError:
    return DsrError(
        "MESSAGE_TOO_LARGE", f"The body is nested deeper than {MAX_DEPTH} levels. Send less.", limit=str(MAX_DEPTH)
    )


def printable(key: str) -> str:
    """A key of a client's JSON, fit to be named in an error: bounded, and without control characters or surrogates."""
    cut = key[:64] + ("…" if len(key) > 64 else "")
    return "".join(char if char.isprintable() else "\ufffd" for char in cut) or '""'
