"""What every command shares: where the platform is, who speaks, how answers and errors are shown."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from dsr.cli import output
from dsr.client import SERVICES, Platform, connect
from dsr.credentials import Credential
from dsr.downloads import Progress
from dsr.errors import DsrRpcError
from dsr.speaker import PARTNER_ISSUER

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Page = Callable[[int, str], Awaitable[tuple[list[M], str]]]
"""Gives a page of that size, from that token on, and the next page's token."""


class CommandError(Exception):
    """A command can't go on. The text says why, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass
class Terminal:
    """The common options, parsed. Commands (plugins too) find it in `typer.Context.obj`."""

    target: str = ""
    credential_path: Path | None = None
    actor: str = ""
    partner_id: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    as_role: str = ""
    as_json: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    """How the command that runs is told each field of its request: `--url`, by the field's path."""
    out: Console = field(default_factory=Console)
    err: Console = field(default_factory=lambda: Console(stderr=True))

    def credential(self) -> Credential:
        """The credential, read. CommandError when there is none or it can't be used."""
        if self.credential_path is None:
            raise CommandError("No credential was given.", "Use --credential FILE or set DSR_CREDENTIAL.")
        try:
            return Credential.load(self.credential_path)
        except ValueError as error:
            raise CommandError(f"{error}.", "The platform's operator issues credentials.") from None

    def partner(self) -> str:
        """`partners/{partner}`: as given, or as the credential's issuer says."""
        partner = self.partner_id
        if not partner:
            issuer = self.credential().issuer
            if not issuer.startswith(PARTNER_ISSUER):
                raise CommandError(
                    "It isn't clear which partner this is about.", "Use --partner ID or set DSR_PARTNER."
                )
            partner = issuer.removeprefix(PARTNER_ISSUER)
        return f"partners/{partner.removeprefix('partners/')}"

    def name(self, collection: str, text: str) -> str:
        """The full name of a resource, given in full or by its last part."""
        return text if "/" in text else f"{self.partner()}/{collection}/{text}"

    def targets(self) -> str | Mapping[str, str]:
        """`host:port`, or one for each service: `access=host:port,portability=…`."""
        if not self.target:
            raise CommandError("No target was given.", "Use --target HOST:PORT or set DSR_TARGET.")
        if "=" not in self.target:
            return self.target
        pairs = dict(part.strip().partition("=")[::2] for part in self.target.split(","))
        if set(pairs) != set(SERVICES):
            raise CommandError("The target doesn't name each service once.", f"They are {', '.join(SERVICES)}.")
        return pairs

    def run(self, work: Callable[[Platform], Awaitable[T]]) -> T:
        """Connects and does the work."""
        if not self.actor and not self.credential().subject:
            raise CommandError(
                "The credential names no subject.", "Say who acts, by an opaque id: --actor ID or DSR_ACTOR."
            )

        if bool(self.certificate) != bool(self.key):
            raise CommandError(
                "A certificate and its key belong together.", "Give --certificate and --key, or neither."
            )
        pair = (self.certificate.read_bytes(), self.key.read_bytes()) if self.certificate and self.key else None

        async def connected() -> T:
            arguments: dict[str, Any] = {
                "credential": self.credential(),
                "actor": self.actor,
                "role": f"ROLE_{self.as_role.upper().replace('-', '_').removeprefix('ROLE_')}" if self.as_role else "",
                "root_certificates": self.ca.read_bytes() if self.ca else None,
                "certificate": pair,
            }
            async with connect(self.targets(), **arguments) as platform:
                return await work(platform)

        return asyncio.run(connected())

    def receive(self, work: Callable[[Platform, Progress], Awaitable[Path]]) -> None:
        """Connects, shows how far a download is, and says where it is in the end."""
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Bar(*columns, console=self.err, disable=self.as_json, transient=True) as bar:
            task = bar.add_task("downloading", total=None)

            def tell(received: int, size: int) -> None:
                bar.update(task, completed=received, total=size)

            path = self.run(lambda platform: work(platform, tell))
        if self.as_json:
            self.print_json({"path": str(path), "sizeBytes": path.stat().st_size})
        else:
            self.out.print(str(path), markup=False, highlight=False)

    @property
    def is_attended(self) -> bool:
        """Whether a person sits there who can be asked for something."""
        return sys.stdin.isatty() and not self.as_json

    def agree(self, question: str, about: Callable[[], Message | None]) -> None:
        """Shows what it is about and asks. CommandError where nobody can be asked."""
        if self.as_json or not self.err.is_terminal:
            raise CommandError(f"{question} Nobody can be asked here.", "Say --yes to agree.")
        if (subject := about()) is not None:
            self.err.print(output.render(subject))
        typer.confirm(question, abort=True, err=True)

    def show(self, message: Message) -> None:
        """Writes an answer: as JSON, or for reading."""
        if self.as_json:
            self.print_json(json_format.MessageToDict(message))
        else:
            self.out.print(output.render(message))

    def show_all(self, messages: Sequence[Message], columns: Sequence[str] = ()) -> None:
        """Writes a list of answers: as a JSON array, or as a table of these columns (see `output.table_of`)."""
        if self.as_json:
            self.print_json([json_format.MessageToDict(message) for message in messages])
        elif messages:
            self.out.print(output.table_of(messages, columns))
        else:
            self.note("There are none.")

    def show_pages(
        self,
        limit: int,
        page: Callable[[Platform, int, str], Awaitable[tuple[list[Any], str]]],
        columns: Sequence[str] = (),
    ) -> None:
        """Connects, reads as many pages as `limit` asks for, and shows them; says when there are more."""

        async def work(platform: Platform) -> list[Any]:
            return await pages(limit + 1, lambda size, token: page(platform, size, token))

        found = self.run(work)
        self.show_all(found[:limit], columns)
        if len(found) > limit:
            self.note("There are more; --limit says how many are shown.")

    def print_line(self, value: Any) -> None:
        """Writes a value as one line of JSON, at once."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def print_json(self, value: Any) -> None:
        """Writes a value as JSON to standard output."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def note(self, text: str) -> None:
        """Says something to a person, beside the answer."""
        if not self.as_json:
            self.tell(text, "dim")

    def tell(self, text: str, style: str = "") -> None:
        """Writes a line to standard error, unbroken, so that what stands in it can be copied."""
        self.err.print(Text(output.clean(text), style), soft_wrap=True)

    def fail(self, error: Exception) -> NoReturn:
        """Says what went wrong and what to do, never with a stack trace, and ends with status 1."""
        match error:
            case DsrRpcError():
                reason = error.reason or error.code().name
                content = {"reason": reason, "detail": error.details() or "", "metadata": dict(error.metadata)}
                how = self._given_by(error.metadata.get("field", ""))
                hint = f"{error.next_step} It is given by {how}." if how else error.next_step
            case CommandError():
                content, hint = {"reason": "COMMAND", "detail": str(error), "metadata": {}}, error.hint
            case ValueError() | OSError():
                content, hint = {"reason": "COMMAND", "detail": _sentence(error), "metadata": {}}, ""
            case _:
                # The text of an unforeseen exception may quote what must not be shown; its kind and place may not.
                content = {
                    "reason": "DEFECT",
                    "detail": f"A defect of this command: {type(error).__name__}.",
                    "metadata": {},
                }
                hint = "Tell support the command and its version."
        if self.as_json:
            sys.stderr.write(json.dumps({**content, "nextStep": hint}, ensure_ascii=False) + "\n")
        else:
            lead = f"{content['reason']}: " if isinstance(error, DsrRpcError) else ""
            self.err.print(Text("error", "bold red"), end=" ")
            self.tell(f"{lead}{content['detail']}")
            if hint:
                self.tell(hint, "dim")
        sys.exit(1)

    def _given_by(self, field: str) -> str:
        inside = {how for path, how in self.options.items() if field and f"{path}.".startswith(f"{field}.")}
        return ", ".join(sorted(inside))


async def pages(limit: int, page: Page[M]) -> list[M]:
    """Up to `limit` messages from as many pages as it takes."""
    found: list[M] = []
    token = ""
    while len(found) < limit:
        more, token = await page(min(limit - len(found), 500), token)
        found += more
        if not token:
            break
    return found[:limit]


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
