"""`dsr ledger verify` and `dsr ledger check`: the operator's word, checked without the operator."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from dsr.cli import output
from dsr.cli.terminal import CommandError, Terminal
from dsr.client import Platform
from dsr.ledger import Certificate, Checkpoint, LedgerError, Verified, VerifierKey, verify_consistency
from dsr.v1 import erasure_pb2, ledger_pb2, termination_pb2

Key = Annotated[
    str, typer.Option("--ledger-key", help="The ledger's public key, `name+hash+key`, or a file that holds it.")
]
_KINDS: dict[str, Any] = {
    "erasureRequests": erasure_pb2.ErasureRequest,
    "terminations": termination_pb2.Termination,
}
_MOST_BYTES = 17 * 1024 * 1024


def add_to(app: typer.Typer) -> None:
    """Adds the commands that no RPC makes."""
    app.command("verify")(verify)
    app.command("check")(check)


def verify(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="The certificate; `-` reads standard input.")],
    key: Key,
) -> None:
    """Checks a certificate offline: whether the operator's ledger has this document, as it is. Fails if not."""
    terminal: Terminal = context.obj
    try:
        found = Certificate.parse(_read(file)).verify(_key(key))
    except LedgerError as error:
        raise CommandError(f"This proves nothing: {error}.") from None
    if terminal.as_json:
        terminal.print_json(
            {"document": found.document, "ledger": found.origin, "number": found.index, "size": found.size}
        )
        return
    terminal.out.print(_shown(found))
    where = f"entry {found.index} of a ledger of {found.size}, signed by {found.origin}"
    terminal.out.print(f"Certified: {where}.", markup=False, highlight=False)


def check(
    context: typer.Context,
    state: Annotated[Path, typer.Argument(help="A file that keeps the last checkpoint. It is made when absent.")],
    key: Key,
) -> None:
    """Checks that the ledger has only grown since the last time, and keeps the new checkpoint. Run it now and then."""
    terminal: Terminal = context.obj
    verifier = _key(key)
    try:
        before = Checkpoint.verify(state.read_text(), verifier) if state.exists() else None
        now, note = terminal.run(lambda p: _grown(p, before, verifier))
    except LedgerError as error:
        raise CommandError(
            f"The ledger can't be trusted: {error}.", f"Keep {state} and ask the operator and the authority."
        ) from None
    if note:
        # Whole or not at all: half a checkpoint would accuse the operator next time.
        fresh = state.with_name(f".{state.name}.new")
        fresh.write_text(note)
        fresh.replace(state)
    grown = now.size - (before.size if before else 0)
    if terminal.as_json:
        terminal.print_json({"ledger": now.origin, "size": now.size, "added": grown})
    else:
        text = f"{now.size} entries, {grown} of them new. Nothing was changed or taken back."
        terminal.out.print(text, markup=False, highlight=False)


async def _grown(platform: Platform, before: Checkpoint | None, key: VerifierKey) -> tuple[Checkpoint, str]:
    ledger = await platform.ledger.GetLedger(ledger_pb2.GetLedgerRequest())
    now = Checkpoint.verify(ledger.checkpoint, key) if ledger.checkpoint else Checkpoint(key.name, 0, b"")
    if before is None or before.size == 0:
        return now, ledger.checkpoint
    if now.size < before.size:
        raise LedgerError(f"it has {now.size} entries, and had {before.size}")
    answer = await platform.ledger.ProveLedgerConsistency(
        ledger_pb2.ProveLedgerConsistencyRequest(from_size=before.size)
    )
    now = Checkpoint.verify(answer.ledger.checkpoint, key)
    verify_consistency(before.size, before.root, now.size, now.root, answer.hashes)
    return now, answer.ledger.checkpoint


def _key(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(Path(text).read_text() if "+" not in text else text)
    except OSError:
        raise CommandError(
            "--ledger-key is neither a key nor a file that can be read.", "Ask the operator for it."
        ) from None
    except (LedgerError, UnicodeDecodeError) as error:
        why = error if isinstance(error, LedgerError) else "the file is not text"
        raise CommandError(f"--ledger-key can't be used: {why}.", "Ask the operator for it.") from None


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(_MOST_BYTES)
        with Path(file).open("rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}.") from None


def _shown(found: Verified) -> Any:
    """For reading: as the resource that the document is of."""
    pieces = str(found.document.get("name", "")).split("/")
    kind = _KINDS.get(pieces[2] if len(pieces) > 2 else "")
    if kind is None:
        raise CommandError("The document is of a kind that this command doesn't know.", "Say --json to read it.")
    # What a newer platform adds is certified all the same, and shown by --json.
    return output.render(json_format.ParseDict(found.document, kind(), ignore_unknown_fields=True))
