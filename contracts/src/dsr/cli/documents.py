"""What people hand to a command, turned into messages: documents, times, words for enumerations."""

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from dsr.cli.terminal import CommandError

M = TypeVar("M", bound=Message)
MAX_BYTES = 4 * 1024 * 1024
_FAILED = re.compile(r"Failed to parse (\w+) field: ")
_UNKNOWN = re.compile(r'has no field named "([^"]{1,100})"')


def read(path: str, kind: type[M]) -> M:
    """A message from a file of JSON or YAML; `-` is standard input. CommandError that names file and field."""
    value = _load(path)
    place = "standard input" if path == "-" else path
    if not isinstance(value, dict):
        raise CommandError(
            f"{place} is not a JSON or YAML object.", f"It should have the fields of {kind.DESCRIPTOR.name}."
        )
    message = kind()
    try:
        json_format.ParseDict(value, message)
    except json_format.ParseError as error:
        raise CommandError(f"{place} doesn't fit {kind.DESCRIPTOR.name}: {_reason(error)}") from None
    return message


def _load(path: str) -> Any:
    shown = "standard input" if path == "-" else path
    try:
        text = sys.stdin.read(MAX_BYTES) if path == "-" else Path(path).read_text()
    except UnicodeDecodeError:
        raise CommandError(f"{shown} is not text in UTF-8.") from None
    except OSError as error:
        raise CommandError(f"{shown}: {error.strerror}.") from None
    if path.endswith(".json"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise CommandError(f"{shown} is not JSON: {error.msg} at line {error.lineno}.") from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise CommandError(f"{shown} is neither JSON nor YAML{place}.") from None


class _Loader(yaml.SafeLoader):
    """Without YAML's own times, which the JSON mapping has as strings, and without aliases, which can be bombs."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _reason(error: json_format.ParseError) -> str:
    # The parser quotes values in its text. Only the names of fields are taken from it, from the outermost inwards.
    text, path = str(error), []
    while found := _FAILED.match(text):
        path.append(found[1])
        text = text[found.end() :]
    unknown = _UNKNOWN.search(text.partition("\n")[0]) if text.startswith("Message type") else None
    if unknown:
        return f"there is no field {'.'.join([*path, unknown[1]])}."
    return f"{'.'.join(path)} can't have that value." if path else "its fields can't be read."


def time(text: str, option: str) -> Timestamp:
    """A time, ISO 8601; without a zone it is this machine's. `now` is now."""
    stamp = Timestamp()
    if text == "now":
        stamp.FromDatetime(datetime.now(UTC))
        return stamp
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} is not a time.", "Write it as 2026-01-31T12:00+01:00, or `now`.") from None
    stamp.FromDatetime(parsed.astimezone(UTC))
    return stamp


def duration(text: str, option: str) -> Duration:
    """A duration in seconds, as the JSON of the contract has it: `86400s`."""
    found = Duration()
    try:
        found.FromJsonString(text)
    except ValueError:
        raise CommandError(f"{option} is not a duration.", "Write it in seconds, as 86400s.") from None
    return found


def choice(enum: Any, text: str, option: str) -> Any:
    """A value of an enumeration by its name, with or without prefix, in any case, `-` for `_`."""
    prefix = enum.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")
    word = text.upper().replace("-", "_").removeprefix(prefix)
    names = [name for name, number in enum.items() if number]
    if prefix + word in names:
        return enum.Value(prefix + word)
    known = [name.removeprefix(prefix).lower().replace("_", "-") for name in names]
    raise CommandError(f"{option} doesn't know that word.", f"It is one of: {', '.join(known)}.")
