"""The processes of a local platform before they run: databases, keys, folders, addresses and environments."""

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.database import SCHEMAS, migrate_all
from deploy.local.postgres import Cluster, free_port
from dsrkit.issuer import TrustFile, make_grant_key, make_ledger_key

RIGHTS = ("access", "portability", "erasure")
DPO_CONTACT = "dpo@operator.example.com"
OPERATOR = "Example Agency Ltd"
OPERATORS = "urn:dsr:operator#operator-1,urn:dsr:operator#operator-2"
BUNDLE_LOCATION = "Amazon Web Services/Dublin/IE"
_OWNER = "dsr_owner"
_THIS_MACHINE = "127.0.0.0/8"
"""Connectors and webhooks of a demonstration are on this machine; elsewhere that is refused."""


@dataclass(frozen=True)
class Program:
    """How one process is started and asked whether it is ready."""

    name: str
    module: str
    env: Mapping[str, str]
    address: str
    """`host:port` that it listens on."""
    speaks_http: bool = False


def make_programs(
    folder: Path,
    urls: Mapping[str, str],
    configs: Mapping[str, Path],
    gateway_port: int,
    extra_env: Mapping[str, Mapping[str, str]],
) -> list[Program]:
    """Every process, in the order of who is called before who calls. `configs`: of the connector hosts, by name."""
    address = {name: f"127.0.0.1:{free_port()}" for name in ("governance", *RIGHTS, *configs)}
    trust = str(folder / "trust.json")

    def program(name: str, module: str, env: Mapping[str, str], at: str, speaks_http: bool = False) -> Program:
        return Program(name, module, {"DSR_LISTEN": at, **env, **extra_env.get(name, {})}, at, speaks_http)

    def own(name: str) -> dict[str, str]:
        return {
            "DSR_DATABASE_URL": urls[name],
            "DSR_TRUST": trust,
            "DSR_KEYS_DIR": _folder(folder / "keys" / name),
        }

    found = [
        program(
            "governance",
            "services.governance",
            {
                **own("governance"),
                "DSR_SIGNING_KEY": str(credential_path(folder, "grants")),
                "DSR_LEDGER_KEY": str(credential_path(folder, "ledger")),
                "DSR_DPO_CONTACT": DPO_CONTACT,
                "DSR_OPERATOR": OPERATOR,
                "DSR_OPERATORS": OPERATORS,
                "DSR_PRIVATE_EGRESS": _THIS_MACHINE,
            },
            address["governance"],
        )
    ]
    for name in RIGHTS:
        env = {
            **own(name),
            "DSR_CREDENTIAL": str(credential_path(folder, name)),
            "DSR_GOVERNANCE_ADDRESS": address["governance"],
            "DSR_STATE_DIR": _folder(folder / "state" / name),
            "DSR_BUNDLE_LOCATION": BUNDLE_LOCATION,
            "DSR_PRIVATE_EGRESS": _THIS_MACHINE,
        }
        found.append(program(name, f"services.{name}", env, address[name]))
    for name, config in configs.items():
        env = {
            "DSR_TRUST": trust,
            "DSR_CONNECTORS_CONFIG": str(config),
            "DSR_STATE_DIR": _folder(folder / "state" / f"connectors-{name}"),
        }
        found.append(program(name, "connectors", env, address[name]))
    upstreams = {f"DSR_{name.upper()}_ADDRESS": address[name] for name in ("governance", *RIGHTS)}
    listen = f"127.0.0.1:{gateway_port or free_port()}"
    return [*found, program("gateway", "gateway", {"DSR_TRUST": trust, **upstreams}, listen, speaks_http=True)]


def credential_path(folder: Path, name: str) -> Path:
    """Where the credential of an issuer is."""
    return folder / "credentials" / f"{name}.json"


def make_empty(folder: Path) -> None:
    """Makes the folder, without what was in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


def _folder(path: Path) -> str:
    path.mkdir(parents=True, mode=0o700)
    return str(path)


def make_keys(folder: Path, partners: tuple[str, ...]) -> Path:
    """Credentials and trust for everybody; returns the file with the public keys that connectors believe."""
    trust = TrustFile(folder / "trust.json")
    for name in RIGHTS:
        trust.add_service(name, credential_path(folder, name))
    trust.add_operator(credential_path(folder, "operator"), development=True)
    for name in partners:
        trust.add_partner(name, credential_path(folder, name), development=True)
    public = folder / "grant_keys.json"
    make_grant_key(credential_path(folder, "grants"), public)
    make_ledger_key(credential_path(folder, "ledger"), folder / "ledger.vkey")
    return public


async def make_database(cluster: Cluster, name: str) -> Mapping[str, str]:
    """An empty, migrated database; returns the URL for each schema's own role."""
    passwords = _passwords(cluster.home / "roles.json")
    if not cluster.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{_OWNER}'"):  # noqa: S608 - a constant
        cluster.execute(f"CREATE ROLE {_OWNER} LOGIN CREATEROLE PASSWORD '{passwords[_OWNER]}'")
    cluster.drop_database(name)
    cluster.create_database(name, owner=_OWNER)
    await migrate_all(cluster.dsn(name, _OWNER, passwords[_OWNER]), {schema: passwords[schema] for schema in SCHEMAS})
    return {schema: cluster.dsn(name, f"dsr_{schema}", passwords[schema]) for schema in SCHEMAS}


def _passwords(path: Path) -> dict[str, str]:
    """Roles belong to the cluster, not to a database: platforms in one cluster share them and their passwords."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps({name: secrets.token_urlsafe(24) for name in (_OWNER, *SCHEMAS)}))
    known: dict[str, str] = json.loads(path.read_text())
    return known
