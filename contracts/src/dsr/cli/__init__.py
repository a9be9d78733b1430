"""The `dsr` command."""

import importlib.metadata
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from dsr.cli import calls, connectors, corrections, governance, ledger, panels, requests, snapshots
from dsr.cli.commands import NOUNS
from dsr.cli.terminal import CommandError, Terminal
from dsr.credentials import PLATFORM_AUDIENCE

PLUGINS = "dsr.commands"
"""Entry points through which other packages add commands: each is a `typer.Typer` (a group) or a function."""

_COMPLETION = "_DSR_COMPLETE"
"""Set by a shell that asks how a word might go on."""

_COMMON = {
    **dict.fromkeys(
        ("--target", "--credential", "--actor", "--partner", "--ca", "--certificate", "--key", "--as-role"), 1
    ),
    "--json": 0,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point. Ends with 0, 1 for an error, 2 for a wrong command line, or as the command says."""
    terminal = Terminal()
    words = hoist(list(sys.argv[1:] if arguments is None else arguments))
    terminal.as_json = "--json" in words
    try:
        wanted = None if _COMPLETION in os.environ else set(words)
        build(terminal, wanted)(words, obj=terminal, prog_name="dsr")
    except Exception as error:
        terminal.fail(error)


def build(terminal: Terminal, wanted: Collection[str] | None = None) -> typer.Typer:
    """The command with its plugins. `wanted`: only these groups need their commands, which takes less time."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Access, portability and erasure of personal data, across every place it lives.",
        epilog="The options above may stand anywhere in the command.",
    )
    app.callback()(_common)
    groups = {noun: typer.Typer(no_args_is_help=True, help=about.about) for noun, about in NOUNS.items()}
    groups["datamap"].command("put")(governance.put_data_map)
    groups["datamap"].command("get")(governance.get_data_map)
    groups["connector"].command("propose")(connectors.propose)
    groups["hold"].command("place")(governance.place_hold)
    groups["correction"].command("resolve")(requests.resolving("correctionRequests", corrections.resolve))
    groups["snapshot"].command("scan")(snapshots.scan)
    ledger.add_to(groups["ledger"])
    calls.add_to({noun: group for noun, group in groups.items() if wanted is None or noun in wanted})
    for right in requests.RIGHTS:
        group = requests.group(right, empty=wanted is not None and right.name not in wanted)
        calls.add_examples(right.name, group)
        app.add_typer(group, name=right.name, rich_help_panel=panels.REQUESTS)
    for noun, group in groups.items():
        calls.add_examples(noun, group)
        app.add_typer(group, name=noun, rich_help_panel=NOUNS[noun].panel)
    app.command()(token)
    taken = {*(right.name for right in requests.RIGHTS), *groups, "token"}
    for entry in sorted(importlib.metadata.entry_points(group=PLUGINS), key=lambda entry: entry.name):
        if entry.name in taken:
            terminal.err.print(
                f"the plugin command {entry.name} of {entry.value} is left out: there is one of that name"
            )
            continue
        taken.add(entry.name)
        _add_plugin(app, terminal, entry)
    return app


def _add_plugin(app: typer.Typer, terminal: Terminal, entry: importlib.metadata.EntryPoint) -> None:
    try:
        plugin = entry.load()
    except Exception as error:
        terminal.err.print(f"the plugin command {entry.name} can't be loaded: {type(error).__name__}")
        return
    if isinstance(plugin, typer.Typer):
        app.add_typer(plugin, name=entry.name)
    else:
        app.command(name=entry.name)(plugin)


def hoist(arguments: list[str]) -> list[str]:
    """Common options may stand anywhere; the parser wants them first."""
    common: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--":
            rest += arguments[position:]
            break
        name = argument.partition("=")[0]
        length = 1 + (_COMMON[name] if name in _COMMON and "=" not in argument else 0)
        (common if name in _COMMON else rest).extend(arguments[position : position + length])
        position += length
    return common + rest


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dsr {importlib.metadata.version('dsr-contracts')}")
        raise typer.Exit


def _common(
    context: typer.Context,
    target: Annotated[
        str, typer.Option(envvar="DSR_TARGET", help="host:port, or access=host:port,portability=… for each service.")
    ] = "",
    credential: Annotated[
        Path | None, typer.Option(envvar="DSR_CREDENTIAL", help="Credential file, as the operator issued it.")
    ] = None,
    actor: Annotated[
        str, typer.Option(envvar="DSR_ACTOR", help="Opaque id of who acts, where the credential names nobody.")
    ] = "",
    partner: Annotated[
        str, typer.Option(envvar="DSR_PARTNER", help="The partner, where the credential doesn't say.")
    ] = "",
    ca: Annotated[
        Path | None, typer.Option(envvar="DSR_CA", help="PEM certificates to check the platform's against.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(envvar="DSR_CERTIFICATE", help="Your own PEM certificate chain, for mutual TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(envvar="DSR_KEY", help="The certificate's PEM key.")] = None,
    as_role: Annotated[
        str, typer.Option(envvar="DSR_AS_ROLE", help="As which role, where several may do it, such as dpo.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Answers and errors as JSON.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    terminal: Terminal = context.obj
    terminal.target, terminal.credential_path, terminal.actor = target, credential, actor
    terminal.partner_id, terminal.ca, terminal.as_json = partner, ca, json
    terminal.certificate, terminal.key, terminal.as_role = certificate, key, as_role


def token(
    context: typer.Context,
    role: Annotated[
        list[str] | None,
        typer.Option(help="Such as ROLE_REQUESTER; may be repeated. The credential's own, or ROLE_READER."),
    ] = None,
    audience: Annotated[str, typer.Option(help="Whom the token is for.")] = PLATFORM_AUDIENCE,
    person: Annotated[bool, typer.Option(help="A person who signed in just now, as you vouch for.")] = False,
) -> None:
    """Makes a token from the credential, valid for five minutes, and writes it to standard output.

    For instance: curl -H "Authorization: Bearer $(dsr token --actor clerk-7 --role ROLE_READER)" …
    """
    terminal: Terminal = context.obj
    credential = terminal.credential()
    subject = terminal.actor or credential.subject
    if not subject:
        raise CommandError("The credential names no subject.", "Say who acts: --actor ID.")
    roles = role or list(credential.roles) or ["ROLE_READER"]
    made = credential.token(audience, subject=subject, roles=roles, actor_type="person" if person else None)
    sys.stdout.write(made + "\n")
