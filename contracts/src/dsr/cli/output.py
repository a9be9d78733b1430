"""Messages of the contract as text for people: set fields, with repeated messages as tables."""

import re
from collections.abc import Sequence
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_TIME = timestamp_pb2.Timestamp.DESCRIPTOR.full_name
_DURATION = duration_pb2.Duration.DESCRIPTOR.full_name
_SHORT = 20
"""What is no longer stays on one line: a date with its time, a state."""
_NAME = re.compile(r"partners/[^/\s]+(/[^/\s]+/[^/\s]+)?|(staffGrants|policyVersions)/[^/\s]+")


def clean(text: str) -> str:
    """Text that can't steer a terminal: whatever isn't printable is replaced."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def render(message: Message) -> RenderableType:
    """A message for reading."""
    facts: list[tuple[str, Text]] = []
    tables: list[RenderableType] = []
    _collect(message, "", facts, tables)
    return Group(_Facts(facts), *tables)


def _collect(message: Message, prefix: str, facts: list[tuple[str, Text]], tables: list[RenderableType]) -> None:
    for field, value in message.ListFields():
        label = f"{prefix}{field.name}".replace("_", " ")
        if field.is_repeated and _is_object(field):
            tables += [Text(f"\n{label}", style="bold"), table_of(list(value))]
        elif not field.is_repeated and _is_object(field):
            _collect(value, f"{prefix}{field.name} ", facts, tables)
        else:
            facts.append((label, cell(field, value)))


def table_of(messages: Sequence[Any], columns: Sequence[str] = ()) -> RenderableType:
    """Messages of one type, one a row.

    `columns` are paths of fields such as `clock.due_time`, also into lists; without, those that any of the messages
    has. Names of resources are cut to their last part, times to the minute; `--json` has them whole. Where the terminal
    is too narrow for a row, its fields stand below each other.
    """
    if not columns:
        present = {field.name for message in messages for field, _ in message.ListFields()}
        columns = [field.name for field in messages[0].DESCRIPTOR.fields if field.name in present]
    headers = [_header(column.rsplit(".", 1)[-1]) for column in columns]
    return _Rows(headers, [[_at(message, column.split(".")) for column in columns] for message in messages])


def _header(field: str) -> str:
    return re.sub("_time$", " (UTC)", field).replace("_", " ")


class _Facts:
    """Labels and values beside each other; below each other where an id would be broken in two."""

    def __init__(self, facts: Sequence[tuple[str, Text]]) -> None:
        self._facts = facts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max((len(label) for label, _ in self._facts), default=0) + 2
        for label, text in self._facts:
            grid = Table.grid()
            if width + max(map(len, text.plain.split()), default=0) <= options.max_width:
                grid.add_column(style="dim", width=width)
                grid.add_column(overflow="fold")
                grid.add_row(label, text)
            else:
                grid.add_column(overflow="fold")
                grid.add_row(Text(label, style="dim"))
                grid.add_row(Padding(text, (0, 0, 0, 2)))
            yield grid


class _Rows:
    """A table where no id, date or word is broken in two; else each row as a block of its own."""

    def __init__(self, headers: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
        self._headers = headers
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for index, header in enumerate(self._headers):
            # Only what has words to break between gives way: an id would be folded as readily.
            whole = all(len(row[index]) <= _SHORT or " " not in row[index].plain for row in self._rows)
            table.add_column(header, no_wrap=whole, overflow="fold")
        for row in self._rows:
            table.add_row(*row)
        if Measurement.get(console, options.update(max_width=10_000), table).minimum <= options.max_width:
            yield table
            return
        for number, row in enumerate(self._rows):
            yield from ([Text("")] if number else [])
            yield _Facts([(header, text) for header, text in zip(self._headers, row, strict=True) if text.plain])


def _at(message: Any, path: list[str]) -> Text:
    first, *inner = path
    field = message.DESCRIPTOR.fields_by_name[first]
    value = getattr(message, first)
    if inner:
        found = [_at(one, inner).plain for one in (value if field.is_repeated else [value])]
        return Text(", ".join(found))
    if field.has_presence and not message.HasField(first):
        return Text("")
    if not field.is_repeated and not field.has_presence and value == field.default_value:
        return Text("")
    if field.message_type is not None and field.message_type.full_name == _TIME:
        return Text(value.ToJsonString()[:16].replace("T", " "))
    text = cell(field, value)
    return Text(text.plain.rsplit("/", 1)[-1]) if _NAME.fullmatch(text.plain) else text


def cell(field: FieldDescriptor, value: Any) -> Text:
    """One value."""
    if not field.is_repeated:
        return Text(clean(_text(field, value)))
    if _is_object(field):
        return Text(f"{len(value)} …")
    return Text(clean(", ".join(_text(field, one) for one in value)))


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.message_type is not None:
        if field.message_type.full_name == _TIME:
            return str(value.ToJsonString()).replace("T", " ")
        if field.message_type.full_name == _DURATION:
            return str(value.ToTimedelta())
        return ", ".join(_text(inner, one) for inner, one in value.ListFields() if not inner.is_repeated)
    if field.enum_type is not None:
        found = field.enum_type.values_by_number.get(value)
        return str(found.name).removeprefix(_prefix(field.enum_type)) if found is not None else str(value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "yes" if value else "no"
    return str(value)


def _prefix(enum: Any) -> str:
    """What all of an enumeration's values begin with: `REQUEST_STATE_`."""
    return str(enum.values[0].name).removesuffix("UNSPECIFIED")


def _is_object(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name not in (_TIME, _DURATION)


def short(enum: Any, value: int) -> str:
    """The name of an enumeration's value without its prefix."""
    name: str = enum.Name(value) if value in enum.values() else str(value)
    return name.removeprefix(_prefix(enum.DESCRIPTOR))
