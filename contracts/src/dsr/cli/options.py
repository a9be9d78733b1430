"""Options of a command from the fields of its RPC's request, and back."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from dsr.cli import documents, manual
from dsr.cli.terminal import CommandError, Terminal
from dsr.v1 import options_pb2

_TIME, _DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"
_CALLS_OWN = ("name", "parent", "request_id", "page_size", "page_token", "offset", "length")
"""Fields of a request that are no options: the command knows them, or has an argument for them."""
_NAMES = {
    "source": "dataSources",
    "data_sources": "dataSources",
    "snapshot": "snapshots",
    "rule": "retentionRules",
    "erasure": "erasureRequests",
    "replaces": "locationAgreements",
    "dsr.v1.DataSource.name": "dataSources",
}
"""Fields that name a resource, which may be given by its last part."""


@dataclass(frozen=True)
class Option:
    """A field that an option sets."""

    path: tuple[str, ...]
    field: FieldDescriptor
    word: str
    required: bool

    @property
    def key(self) -> str:
        """What the command's parameter is called."""
        return "_".join(self.path)

    def parameter(self, *, in_file: bool) -> inspect.Parameter:
        """The parameter. What is required and may stand in a file instead is not asked for by the parser."""
        kind, default, metavar, help_ = self._kind(), None, None, manual.of_field(self.field)
        if self.field.is_repeated:
            kind, help_ = list[kind] | None, f"{help_} May be repeated."  # type: ignore[valid-type]
        elif kind is bool:
            default = False
        else:
            kind = kind | None
        if self._is(_TIME):
            metavar, help_ = "<time>", f"{help_} ISO 8601, or now."
        if self._is(_DURATION):
            metavar, help_ = "<duration>", f"{help_} In seconds: 86400s."
        if self.field.enum_type is not None:
            metavar = "<word>"
        asked = self.required and not in_file and kind is not bool
        if self.required and in_file:
            help_ += " Required, here or in FILE."
        word = f"--{self.word}"
        info = typer.Option(word, help=help_, metavar=metavar, show_default=False, case_sensitive=False)
        return inspect.Parameter(
            self.key,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if asked else default,
            annotation=Annotated[kind, info],
        )

    def put(self, message: Any, value: Any, terminal: Terminal) -> None:
        """Sets the field. CommandError for what can't be read."""
        if value is None or value is False or value == []:
            return
        for name in self.path[:-1]:
            message = getattr(message, name)
            message.SetInParent()
        read = [self._read(one, terminal) for one in (value if self.field.is_repeated else [value])]
        if self.field.is_repeated:
            del getattr(message, self.path[-1])[:]
            getattr(message, self.path[-1]).extend(read)
        elif self.field.message_type is not None:
            getattr(message, self.path[-1]).CopyFrom(read[0])
        else:
            setattr(message, self.path[-1], read[0])

    def _kind(self) -> Any:
        if self.field.enum_type is not None:
            return manual.choices(self.key, self.field.enum_type)
        numbers = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)
        return int if self.field.type in numbers else bool if self.field.type == FieldDescriptor.TYPE_BOOL else str

    def _read(self, value: Any, terminal: Terminal) -> Any:
        if self.field.enum_type is not None:
            return manual.words(self.field.enum_type)[value.value]
        if self._is(_TIME):
            return documents.time(value, f"--{self.word}")
        if self._is(_DURATION):
            return documents.duration(value, f"--{self.word}")
        if self.field.full_name == "dsr.v1.Partner.name":
            return value if "/" in value else f"partners/{value}"
        collection = _NAMES.get(self.field.full_name) or _NAMES.get(self.field.name)
        return terminal.name(collection, value) if collection else value

    def _is(self, kind: str) -> bool:
        return self.field.message_type is not None and self.field.message_type.full_name == kind


@dataclass(frozen=True)
class Options:
    """What a request's fields become on a command line."""

    plain: tuple[Option, ...]
    personal: tuple[Option, ...]
    """Never on the command line, where other users of the machine see it: in the file, or asked for."""
    has_subject: bool
    has_lists: bool
    """Whether there are lists of messages, which only a file can say."""

    @property
    def in_file(self) -> bool:
        """Whether some of it has to be said in a file."""
        return bool(self.personal) or self.has_subject or self.has_lists


def of(request: Descriptor, rename: Mapping[str, str]) -> Options:
    """The options of a request. ValueError when two of them would be called the same."""
    found = list(_walk(request, (), True))
    plain = [
        Option(path, field, rename.get(".".join(path), _word(field)), required)
        for path, field, required in found
        if not _is_object(field) and not _is_personal(field)
    ]
    words = [option.word for option in plain]
    if len(set(words)) != len(words):
        raise ValueError(f"{request.name} has fields of one name: {sorted(words)}")
    return Options(
        plain=tuple(sorted(plain, key=lambda option: not option.required)),
        personal=tuple(
            Option(path, field, field.name, required) for path, field, required in found if _is_personal(field)
        ),
        has_subject=any(_is_object(field) and not field.is_repeated for _, field, _ in found),
        has_lists=any(_is_object(field) and field.is_repeated for _, field, _ in found),
    )


def _walk(
    message: Descriptor, outer: tuple[str, ...], required: bool
) -> Iterator[tuple[tuple[str, ...], FieldDescriptor, bool]]:
    for field in message.fields:
        behaviour = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        ours = {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER} & set(behaviour)
        if ours or (not outer and field.name in _CALLS_OWN):
            continue
        path, needed = (*outer, field.name), required and field_behavior_pb2.REQUIRED in behaviour
        inner = None if field.is_repeated else field.message_type
        if inner is not None and _is_object(field) and inner.full_name != "dsr.v1.Subject":
            yield from _walk(inner, path, needed)
        else:
            yield path, field, needed


def _is_object(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name not in (_TIME, _DURATION)


def _is_personal(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().Extensions[options_pb2.personal])


def _word(field: FieldDescriptor) -> str:
    name = str(field.name)
    if field.is_repeated:
        name = f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
    if name.endswith("_time"):
        name = name.removesuffix("_time") + ("" if name in ("after_time", "before_time") else "_at")
    return name.replace("_", "-")


def ask_for(options: Options, message: Any) -> None:
    """Asks the person at the terminal for what is required, missing, and not for the command line."""
    for option in options.personal:
        inner = message
        for name in option.path[:-1]:
            inner = getattr(inner, name)
        if option.required and not getattr(inner, option.path[-1]):
            label = option.word.replace("_", " ")
            text = typer.prompt(label, err=True).strip()
            if not text:
                raise CommandError(f"There is no {label}.")
            setattr(inner, option.path[-1], text)
