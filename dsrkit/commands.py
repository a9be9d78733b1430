"""`dsr partner`: issues, rotates and revokes credentials. For the operator, on the machine with the trust file."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from dsrkit.issuer import TrustFile

app = typer.Typer(no_args_is_help=True, help="Issue, rotate and revoke a partner's credentials.")
Trust = Annotated[Path, typer.Option("--trust", help="The trust file that every service reads.", show_default=True)]
Out = Annotated[Path, typer.Option("--out", help="Where to write the credential; hand it over like a password.")]
Name = Annotated[str, typer.Argument(help="The partner's id, such as acme.")]
_DEFAULT = Path("trust.json")
T = TypeVar("T")


@app.command()
def create(
    partner: Name,
    out: Out,
    trust: Trust = _DEFAULT,
    development: Annotated[bool, typer.Option(help="Believed by servers on loopback only.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Make the trust file: this is the first of all issuers.")] = False,
) -> None:
    """Binds a new issuer to a partner and writes its first key."""
    if new and trust.exists():
        _fail(f"{trust} exists; leave out --new to add to it.")
    if not new and not trust.exists():
        _fail(f"{trust} doesn't exist. Name the file that the services read (--trust), or make it with --new.")
    key_id = _tell(lambda: TrustFile(trust).add_partner(partner, out, development=development))
    typer.echo(f"{out}: key {key_id} of {_issuer(partner)}. Services believe it from now on.")
    typer.echo(f"Next: dsr --credential {out} --target HOST:PORT --actor YOUR-ID source list")


@app.command()
def rotate(partner: Name, out: Out, trust: Trust = _DEFAULT) -> None:
    """Adds a second key. Both are believed until the old one is revoked."""
    old = _tell(lambda: ", ".join(TrustFile(trust).keys(_issuer(partner))))
    key_id = _tell(lambda: TrustFile(trust).rotate(_issuer(partner), out))
    typer.echo(f"{out}: key {key_id}. Still believed: {old}. When it is in use everywhere:")
    typer.echo(f"  dsr partner revoke {partner} {old.split(', ')[0]} --trust {trust}")


@app.command()
def revoke(
    partner: Name,
    key_id: Annotated[str, typer.Argument(help="As `dsr partner keys` lists it.")],
    trust: Trust = _DEFAULT,
) -> None:
    """Removes a key. Its tokens are refused from the next call on."""
    _tell(lambda: TrustFile(trust).revoke(_issuer(partner), key_id))
    typer.echo(f"Key {key_id} of {_issuer(partner)} is refused from now on.")


@app.command()
def keys(partner: Name, trust: Trust = _DEFAULT) -> None:
    """Lists the keys that are believed."""
    for key_id in _tell(lambda: TrustFile(trust).keys(_issuer(partner))):
        typer.echo(key_id)


def _issuer(partner: str) -> str:
    return f"urn:dsr:partner:{partner}"


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(1)


def _tell(action: Callable[[], T]) -> T:
    try:
        return action()
    except (ValueError, OSError) as error:
        _fail(f"{error}")
