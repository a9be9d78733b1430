"""The end of the story: what happened, where things are, and what to try next."""

from collections.abc import Mapping
from pathlib import Path

from deploy.local.platform import Platform
from deploy.local.programs import RIGHTS
from deploy.local.stage import Stage


def farewell(stage: Stage, platform: Platform, data: Path, *, staying: bool) -> None:
    """Shows the summary. With `staying` also where to go on."""
    stage.finished = True
    with stage.chapter("Summary"):
        stage.table(("", "outcome", "seconds"), [(c.title, c.outcome, f"{c.seconds:.1f}") for c in stage.chapters[:-1]])
    for archive in sorted((data / "packages").glob("*/*.zip")):
        stage.say(f"{archive.parent.name:18} {_near(archive)}")
    if staying:
        _directions(stage, platform, data)
    broken = len(stage.broken)
    if broken:
        stage.console.print(f"\n[bold red]{broken} of {stage.held + broken} expectations did not hold:")
        for text in stage.broken:
            stage.console.print(f"  [red]✗ {text}")
    else:
        stage.console.print(f"\n[bold green]All {stage.held} expectations held.")
    if staying:
        stage.console.print("Everything stays up until Ctrl-C.")


def _directions(stage: Stage, platform: Platform, data: Path) -> None:
    target = ",".join(f"{name}={platform.address(name)}" for name in ("governance", *RIGHTS))
    settings = {
        "DSR_TARGET": target,
        "DSR_CREDENTIAL": platform.credential("acme"),
        "DSR_ACTOR": "clerk-7",
        "GATEWAY": platform.url,
    }
    _write(data / "env", settings)
    _write(data / "sandbox.env", {**settings, "DSR_CREDENTIAL": platform.credential("acme-sandbox")})
    stage.say(f"{'the API':18} {platform.url}/docs")
    stage.say(f"{'its description':18} {platform.url}/openapi.json")
    stage.say(f"{'logs':18} {_near(data / 'logs')}")
    stage.console.print("\n  Try next, in another terminal:", style="bold")
    for command in (
        f". {_near(data / 'env')}; .venv/bin/dsr erasure list",
        ".venv/bin/dsr access create --help",
        f". {_near(data / 'sandbox.env')}; .venv/bin/dsr sandbox get  # and on with docs/sandbox.md",
        f'curl -H "authorization: Bearer $(.venv/bin/dsr token)" {platform.url}/v1/partners/acme/dataMaps/current',
    ):
        stage.console.print(f"    {command}", soft_wrap=True)


def _write(path: Path, settings: Mapping[str, object]) -> None:
    path.write_text("".join(f"export {name}='{value}'\n" for name, value in settings.items()))


def _near(path: Path) -> str:
    """The path as somebody in this folder types it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
