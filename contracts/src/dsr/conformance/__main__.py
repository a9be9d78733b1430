"""`python -m dsr.conformance --target host:port --source … --credential … --material …`."""

import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dsr.conformance import report
from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check, Result
from dsr.conformance.checks import ALL, SECTIONS
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.runner import exit_code, run
from dsr.conformance.tls import channel_credentials
from dsr.credentials import Credential

_SOURCE = re.compile(r"partners/[^/]+/dataSources/[^/]+")
_TIMEOUTS = (0.1, 3600.0)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    target: Annotated[str, typer.Option(help="host:port of the connector")] = "",
    source: Annotated[str, typer.Option(help="partners/{partner}/dataSources/{source}")] = "",
    credential: Annotated[
        Path | None, typer.Option(help="Credential file of a service that the connector trusts")
    ] = None,
    material: Annotated[
        Path | None, typer.Option(help="YAML: whom the source knows; see dsr/conformance/material.py")
    ] = None,
    grant_key: Annotated[Path | None, typer.Option(help="Test key whose grants the connector believes")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a call may take")] = 30.0,
    ca: Annotated[Path | None, typer.Option(help="PEM file: TLS, verified by this authority")] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file: shown to a connector that asks for a certificate (mutual TLS)")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file: the key of --certificate")] = None,
    server_name: Annotated[
        str, typer.Option(help="DNS name in the connector's certificate, if it isn't that of --target")
    ] = "",
    only: Annotated[list[str] | None, typer.Option(help="Rule, or section as in `erase.`; may be repeated")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table")] = False,
    spec: Annotated[bool, typer.Option("--spec", help="Print the tables of the specification, then end")] = False,
) -> None:
    """Checks a connector against docs/connector-spec.md. ERASES the disposable person of the material.

    Ends with 0 if every rule holds, 1 if one fails, 2 if the call is wrong, 3 if none fails and some could not be run.
    """
    if spec:
        for heading, table in report.as_markdown(SECTIONS).items():
            typer.echo(f"## {heading}\n\n{table}\n")
        return
    if not (target and source and credential and material):
        raise typer.BadParameter("--target, --source, --credential and --material are needed")
    if ":" not in target:
        raise typer.BadParameter("--target must be host:port")
    if not _SOURCE.fullmatch(source):
        raise typer.BadParameter("--source must be partners/{partner}/dataSources/{source}")
    if not _TIMEOUTS[0] <= timeout <= _TIMEOUTS[1]:
        raise typer.BadParameter("--timeout must be {:g} to {:g} seconds".format(*_TIMEOUTS))
    try:
        who, what = Credential.load(credential), Material.load(material)
        signing = GrantKey.load(grant_key) if grant_key else None
        tls = channel_credentials(ca, certificate, key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if server_name and tls is None:
        raise typer.BadParameter("--server-name is about TLS: give --ca, or --certificate and --key, too")
    checks = [c for c in ALL if not only or any(c.rule.startswith(prefix) for prefix in only)]
    if not checks:
        raise typer.BadParameter("--only names no rule; `--spec` lists them")
    logging.getLogger("grpc").setLevel(logging.CRITICAL)  # what it would say is in the report
    opening = open_bench(target, source, who, what, signing, timeout, tls, server_name)
    results = asyncio.run(_run(checks, opening))
    if as_json:
        typer.echo(report.as_json(results))
    else:
        report.show(Console(), results)
    sys.exit(exit_code(results))


async def _run(checks: Sequence[Check], opening: AbstractAsyncContextManager[Bench]) -> list[Result]:
    async with opening as bench:
        return [result async for result in run(bench, checks)]


if __name__ == "__main__":
    app()
