"""`--until STATE`: waits until a resource is there, and says meanwhile where it stands."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any

import typer
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from dsr.cli import manual, output
from dsr.cli.terminal import Terminal

POLL_SECONDS = 2.0


def field_of(resource: Descriptor) -> FieldDescriptor | None:
    """The field that says where a resource stands, if it has one."""
    fields = resource.fields_by_name
    found = fields.get("state") or fields.get("phase")
    return found if found is not None and found.enum_type is not None else None


def parameter(field: FieldDescriptor) -> inspect.Parameter:
    """The option."""
    words: Any = manual.choices("until", field.enum_type)  # type: ignore[arg-type]
    about = f"Wait until its {field.name} is this; may be repeated: {', '.join(word.value for word in words)}."
    info = typer.Option("--until", help=about, metavar="<word>", show_default=False, case_sensitive=False)
    return inspect.Parameter(
        "until",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[list[words] | None, info],
    )


async def wait(
    terminal: Terminal, read: Callable[[], Awaitable[Any]], field: FieldDescriptor, wanted: Collection[int]
) -> Any:
    """Reads again and again until the field has one of these values."""
    shown, seen = contextlib.ExitStack(), None
    with shown:
        while True:
            found = await read()
            value = getattr(found, field.name)
            if value in wanted:
                return found
            if value != seen:
                seen = value
                shown.close()
                text = f"{field.name} {output.cell(field, value).plain}"
                if terminal.err.is_terminal and not terminal.as_json:
                    shown.enter_context(terminal.err.status(text))
                else:
                    terminal.note(text)
            await asyncio.sleep(POLL_SECONDS)
