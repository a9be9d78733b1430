"""Makes, rotates and revokes the platform's own keys.

    python -m deploy.keys FOLDER                        makes what isn't there yet
    python -m deploy.keys FOLDER --rotate NAME          adds a second key; the first is believed until it is revoked
    python -m deploy.keys FOLDER --revoke NAME KEY_ID   ends a key

    python -m deploy.keys FOLDER --list NAME            the keys that are believed, oldest first

NAME is access, portability, erasure, operator, or grants. FOLDER/trust.json is for every process,
FOLDER/grant_keys.json for the connector hosts, FOLDER/credentials/NAME.json for its owner alone. Partners' keys:
`dsr partner`. FOLDER/ledger.vkey is for whoever checks a certificate: publish it. Its key,
FOLDER/credentials/ledger.json, is governance's and is never rotated.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dsrkit.issuer import TrustFile, grant_keys, make_grant_key, make_ledger_key, revoke_grant_key

SERVICES = ("access", "portability", "erasure")
NAMES = (*SERVICES, "operator", "grants")


def command(arguments: Sequence[str]) -> list[str]:
    """The command: what it says. SystemExit says what is wrong and what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.keys", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    todo = parser.add_mutually_exclusive_group()
    todo.add_argument("--rotate", choices=NAMES)
    todo.add_argument("--revoke", nargs=2, metavar=("NAME", "KEY_ID"))
    todo.add_argument("--list", choices=NAMES)
    given = parser.parse_args(arguments)
    try:
        if given.rotate:
            return rotate(given.folder, given.rotate)
        if given.revoke:
            return revoke(given.folder, *given.revoke)
        return _keys(given.folder, given.list) if given.list else make(given.folder)
    except (ValueError, OSError) as error:
        sys.exit(f"deploy.keys: {error}")


def make(folder: Path) -> list[str]:
    """Every key that has no credential file yet."""
    trust = TrustFile(folder / "trust.json")
    said = []
    for name in NAMES:
        path = _credential(folder, name)
        if path.exists():
            continue
        if name == "grants":
            key_id = make_grant_key(path, folder / "grant_keys.json")
        else:
            key_id = trust.add_operator(path) if name == "operator" else trust.add_service(name, path)
        said.append(f"{path}: key {key_id}")
    ledger = _credential(folder, "ledger")
    if not ledger.exists():
        said.append(f"{ledger}: key {make_ledger_key(ledger, folder / 'ledger.vkey')}")
    return said or ["nothing to do"]


def rotate(folder: Path, name: str) -> list[str]:
    """A second key of that name; both are believed."""
    before = _keys(folder, name)
    path = _credential(folder, name)
    if name == "grants":
        key_id = make_grant_key(path, folder / "grant_keys.json")
    else:
        key_id = TrustFile(folder / "trust.json").rotate(_issuer(name), path)
    said = [f"{path}: key {key_id}. Still believed: {', '.join(before)}. When the new one is in use:"]
    return said + [f"  python -m deploy.keys {folder} --revoke {name} {old}" for old in before]


def revoke(folder: Path, name: str, key_id: str) -> list[str]:
    """Ends a key, which mustn't be the only one."""
    if name not in NAMES:
        raise ValueError(f"there is no {name}; there are {', '.join(NAMES)}")
    if _keys(folder, name) == [key_id]:
        raise ValueError(f"{key_id} is the only key of {name}; rotate it first")
    if name == "grants":
        revoke_grant_key(folder / "grant_keys.json", key_id)
    else:
        TrustFile(folder / "trust.json").revoke(_issuer(name), key_id)
    return [f"Key {key_id} of {name} is refused wherever this folder's files have arrived."]


def _keys(folder: Path, name: str) -> list[str]:
    if name == "grants":
        return grant_keys(folder / "grant_keys.json")
    return TrustFile(folder / "trust.json").keys(_issuer(name))


def _issuer(name: str) -> str:
    return "urn:dsr:operator" if name == "operator" else f"urn:dsr:service:{name}"


def _credential(folder: Path, name: str) -> Path:
    return folder / "credentials" / f"{name}.json"


if __name__ == "__main__":
    for line in command(sys.argv[1:]):
        print(line)  # noqa: T201 - a command's output
