"""`dsr discover`: a draft for a database never seen."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from connectors.postgres.discover import draft
from dsrkit.errors import DsrError


def discover(
    dsn: Annotated[
        str,
        typer.Argument(
            help="postgresql://user@host/database, or a file that holds it (keeps the password out of the history)."
        ),
    ],
    schema: Annotated[list[str] | None, typer.Option(help="Only this schema; may be repeated.")] = None,
) -> None:
    """Prints a draft of a connector declaration and data map, with reasons and doubts. Reads no row."""
    try:
        address = dsn if "://" in dsn else Path(dsn).read_text().strip()
        typer.echo(asyncio.run(draft(address, tuple(schema or ()))), nl=False)
    except OSError as error:
        typer.echo(f"{dsn} can't be read: {error.strerror}.", err=True)
        raise typer.Exit(2) from None
    except DsrError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from None
