"""Commands made from RPCs: `dsr NOUN VERB [NAME] [FILE] [--option …]`.

An RPC is a command by itself. Its noun is the resource in its address (`google.api.http`), its verb the address's own
or the first word of the RPC; its options are the fields of its request, its help what the proto says.
`dsr.cli.commands` adds what no proto says: an example, what to ask before, which columns a list has, other names.
"""

import functools
import inspect
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from dsr.cli import documents, manual, options, subjects, waiting
from dsr.cli.commands import BY_HAND, COMMANDS, NOUNS, Command
from dsr.cli.terminal import Terminal
from dsr.client import Platform, receive
from dsr.services import descriptors

_ADDRESS = re.compile(r"/v1/(?:\{\w+=(?P<name>[^}]+)\}|(?P<plain>\w+))(?:/(?P<inner>\w+))?(?::(?P<verb>\w+))?")
RIGHTS = ("AccessService", "PortabilityService", "ErasureService")
"""Their commands are written by hand: they wait, show plans, and are alike."""


def methods() -> Iterator[MethodDescriptor]:
    """The RPCs that become commands by themselves."""
    for service in (one for found in descriptors().values() for one in found):
        yield from (() if service.name in RIGHTS else service.methods)


@functools.cache
def words_of(method: MethodDescriptor) -> tuple[str, str]:
    """Noun and verb."""
    command = COMMANDS.get(method.name, Command())
    if command.words:
        noun, verb = command.words.split()
        return noun, verb
    found = _address(method)
    collection = found["inner"] or found["plain"] or ([part for part in found["name"].split("/") if part != "*"][-1])
    noun = next((noun for noun, about in NOUNS.items() if collection in about.collections), "")
    if not noun:
        raise ValueError(f"no noun of dsr.cli.commands is about {collection}")
    return noun, _kebab(found["verb"] or re.findall("[A-Z][a-z]+", method.name)[0])


def add_to(groups: Mapping[str, typer.Typer]) -> None:
    """Adds to these groups a command for every RPC that hasn't one of its name yet."""
    for method in methods():
        noun, verb = words_of(method)
        group = groups.get(noun)
        if group is not None and verb not in {command.name for command in group.registered_commands}:
            command = COMMANDS.get(method.name, Command())
            call = Call(method, command)
            group.command(verb, help=manual.of_method(method), epilog=_example(noun, verb, command))(call.function())


def add_examples(noun: str, group: typer.Typer) -> None:
    """Gives their examples to a group's commands that were written by hand."""
    for made in group.registered_commands:
        if made.epilog is None and made.name is not None:
            example = BY_HAND.get(f"{noun} {made.name}", BY_HAND.get(made.name, ""))
            made.epilog = f"For example: dsr {noun} {made.name} {example}"


def _example(noun: str, verb: str, command: Command) -> str:
    line = f"For example: dsr {noun} {verb} {command.shown()}".rstrip()
    if not command.file:
        return line
    return "\n\n".join((line, "FILE holds, as JSON or YAML:", *(f"│ {text}" for text in command.file.splitlines())))


class Call:
    """One RPC as a command."""

    def __init__(self, method: MethodDescriptor, command: Command) -> None:
        self._method = method
        self._command = command
        self._request: Any = message_factory.GetMessageClass(method.input_type)
        self._fields = set(method.input_type.fields_by_name)
        self._options = options.of(method.input_type, command.rename)
        body = method.GetOptions().Extensions[annotations_pb2.http].body
        self._body = body if body != "*" else ""
        self._pattern = _address(method)["name"] or "" if "name" in self._fields else ""
        self._pages = "page_size" in self._fields
        self._stands = waiting.field_of(method.output_type) if method.name.startswith("Get") else None

    def function(self) -> Callable[..., None]:
        """What runs when the command is called, with the parameters that it has."""

        def run(context: typer.Context, **given: Any) -> None:
            self._run(context.obj, given)

        run.__signature__ = inspect.Signature(list(self._parameters()))  # type: ignore[attr-defined]
        return run

    def _parameters(self) -> Iterator[inspect.Parameter]:
        yield _parameter("context", typer.Context)
        if "*/" in f"{self._pattern}/" and self._pattern != "partners/*":
            yield _parameter("name", Annotated[str, typer.Argument(help="Its name, or the last part of it.")])
        if self._options.in_file:
            about = "JSON or YAML, as shown below; - reads standard input. What options say wins."
            yield _parameter("file", Annotated[str, typer.Argument(help=about, show_default=False)], "")
        if self._options.has_subject:
            for key, (annotation, default) in subjects.OPTIONS.items():
                yield _parameter(key, annotation, default)
        for option in self._options.plain:
            yield option.parameter(in_file=self._options.in_file)
        if self._stands is not None:
            yield waiting.parameter(self._stands)
        if self._pages:
            yield _parameter("limit", Annotated[int, typer.Option(min=1, help="At most this many.")], 500)
        if self._method.server_streaming:
            yield _parameter("to", Annotated[Path, typer.Option(help="A file, or a folder.")], Path())
        if self._command.ask:
            yield _parameter("yes", Annotated[bool, typer.Option("--yes", help="Don't ask.")], False)
        if "request_id" in self._fields:
            about = "UUID of this call; repeat a call that may have failed under the same one."
            yield _parameter("request_id", Annotated[str, typer.Option(help=about, show_default=False)], "")

    def _run(self, terminal: Terminal, given: dict[str, Any]) -> None:
        message = self._message(terminal, given)
        if self._command.ask and not given["yes"]:
            terminal.agree(self._command.ask, lambda: self._current(terminal, message))
        if "request_id" in self._fields:
            terminal.note(f"request id {message.request_id}")
        if self._method.server_streaming:
            self._download(terminal, message, given["to"])
        elif self._pages:
            self._list(terminal, message, given["limit"])
        else:
            self._show(terminal, terminal.run(lambda platform: self._answer(terminal, platform, message, given)))

    async def _answer(self, terminal: Terminal, platform: Platform, message: Any, given: dict[str, Any]) -> Any:
        def read() -> Any:
            return platform.method(self._method)(message)

        if self._stands is None or not given["until"]:
            return await read()
        words = manual.words(self._stands.enum_type)  # type: ignore[arg-type]
        return await waiting.wait(terminal, read, self._stands, {words[word.value] for word in given["until"]})

    def _message(self, terminal: Terminal, given: dict[str, Any]) -> Any:
        message = self._request()
        body = getattr(message, self._body) if self._body else message
        if given.get("file"):
            body.MergeFrom(documents.read(given["file"], type(body)))
        for option in self._options.plain:
            option.put(message, given[option.key], terminal)
        if self._options.has_subject:
            subjects.fill(body.subject, **{key: given[key] for key in subjects.OPTIONS})
        if not given.get("file") and terminal.is_attended:
            options.ask_for(self._options, message)
        if self._pattern:
            message.name = _full(terminal, self._pattern, given.get("name", ""))
        if "parent" in self._fields:
            message.parent = terminal.partner()
        if "request_id" in self._fields:
            message.request_id = given["request_id"] or str(uuid.uuid4())
        told = {".".join(option.path): f"--{option.word}" for option in self._options.plain}
        terminal.options = {**{".".join(option.path): "FILE" for option in self._options.personal}, **told}
        return message

    def _current(self, terminal: Terminal, message: Any) -> Any:
        """What the call is about, as it stands now, where that can be read."""
        same = [one for one in self._method.containing_service.methods if one.output_type is self._method.output_type]
        reader = next((one for one in same if one.name.startswith("Get")), None)
        if reader is None or not self._pattern:
            return None
        request: Any = message_factory.GetMessageClass(reader.input_type)(name=message.name)
        return terminal.run(lambda platform: platform.method(reader)(request))

    def _download(self, terminal: Terminal, message: Any, to: Path) -> None:
        def opened(platform: Platform, offset: int) -> Any:
            message.offset = offset
            return platform.method(self._method)(message)

        terminal.receive(lambda platform, tell: receive(lambda offset: opened(platform, offset), to, tell))

    def _list(self, terminal: Terminal, message: Any, limit: int) -> None:
        field = next(one for one in self._method.output_type.fields if one.is_repeated)

        async def page(platform: Platform, size: int, token: str) -> tuple[list[Any], str]:
            message.page_size, message.page_token = size, token
            answer = await platform.method(self._method)(message)
            return list(getattr(answer, field.name)), answer.next_page_token

        terminal.show_pages(limit, page, self._command.columns)

    def _show(self, terminal: Terminal, answer: Any) -> None:
        fields = answer.DESCRIPTOR.fields
        if [field.is_repeated for field in fields] != [True]:
            terminal.show(answer)
            if not fields:
                terminal.note("Done.")
            return
        found = list(getattr(answer, fields[0].name))
        if fields[0].message_type is not None:
            terminal.show_all(found, self._command.columns)
        elif terminal.as_json:
            terminal.print_json(found)
        else:
            for one in found:
                terminal.out.print(one, markup=False, highlight=False)


def _address(method: MethodDescriptor) -> re.Match[str]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    found = _ADDRESS.fullmatch(rule.get or rule.post or rule.delete)
    if found is None:
        raise ValueError(f"{method.full_name} has an address that no command can be made of")
    return found


def _full(terminal: Terminal, pattern: str, text: str) -> str:
    if pattern == "partners/*":
        return terminal.partner()
    collection = pattern.split("/")[-2]
    if pattern.startswith("partners/"):
        return terminal.name(collection, text)
    return text if "/" in text else f"{collection}/{text}"


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _kebab(text: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", text).lower()
