"""What the operator makes before the overlay is applied: authorities, keys, passwords, where the sources are."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.certificates import PROCESSES, STAFF, Authority, make
from deploy.database import SCHEMAS
from deploy.local.shop.database import CONNECTOR_ROLE
from deploy.local.shop.sources import write_config
from dsrkit.issuer import TrustFile, make_grant_key, make_ledger_key
from dsrkit.tls import TlsFiles

RIGHTS = ("access", "portability", "erasure")
OPERATOR, PARTNER, SANDBOX = STAFF, "urn:dsr:partner:acme", "urn:dsr:partner:acme-sandbox"
_CERTIFICATES = {OPERATOR: "staff", PARTNER: "partners/acme", SANDBOX: "partners/acme-sandbox"}


@dataclass(frozen=True)
class World:
    """In `folder`. `hosts` are addresses under which edge and database are reached from this machine."""

    folder: Path
    edge: str
    database: str

    def make(self) -> None:
        """Everything that isn't made yet."""
        make(self.folder / "pki", ["acme", "acme-sandbox"], [self.edge, self.database])
        Authority(self.folder / "pki" / "platform", "platform").issue(
            self.folder / "pki" / "postgres", "urn:dsr:service:postgres", ["postgres", self.database]
        )
        trust = TrustFile(self.folder / "trust.json")
        for name in RIGHTS:
            trust.add_service(name, self.credential(name))
        trust.add_operator(self.credential("operator"))
        for name in ("acme", "acme-sandbox"):
            trust.add_partner(name, self.credential(name))
        make_grant_key(self.credential("grants"), self.folder / "grant_keys.json")
        make_ledger_key(self.credential("ledger"), self.folder / "ledger.vkey")

    def credential(self, name: str) -> Path:
        return self.folder / "credentials" / f"{name}.json"

    def certificate(self, issuer: str) -> TlsFiles:
        """Of whom an issuer's tokens may be used by; checks the edge by the platform's authority."""
        folder = self.folder / "pki" / _CERTIFICATES[issuer]
        return TlsFiles(folder / "tls.crt", folder / "tls.key", self.authority)

    @property
    def authority(self) -> Path:
        return self.folder / "pki" / "platform" / "ca.crt"

    @cached_property
    def passwords(self) -> Mapping[str, str]:
        return {name: secrets.token_urlsafe(24) for name in (*SCHEMAS, "dsr_owner", CONNECTOR_ROLE)}

    def dsn(self, role: str, database: str, authority: str, host: str = "postgres") -> str:
        key = role.removeprefix("dsr_") if role.removeprefix("dsr_") in SCHEMAS else role
        return (
            f"postgresql://{role}:{self.passwords[key]}@{host}:5432/{database}"
            f"?sslmode=verify-full&sslrootcert={authority}"
        )

    def owner(self, database: str) -> str:
        """For this machine."""
        return self.dsn("dsr_owner", database, str(self.authority), self.database)

    def values(self) -> dict[str, dict[str, bytes]]:
        """ConfigMaps and Secrets, as docs/kubernetes.md lists them."""
        pki, authority = self.folder / "pki", self.authority.read_bytes()
        found: dict[str, dict[str, bytes]] = {
            "trust": {"trust.json": (self.folder / "trust.json").read_bytes()},
            "grant-keys": {"grant_keys.json": (self.folder / "grant_keys.json").read_bytes()},
            "partners-ca": {"ca.crt": (pki / "partners" / "ca.crt").read_bytes()},
            "governance-signing": {f"{name}.json": self.credential(name).read_bytes() for name in ("grants", "ledger")},
            "postgres-owner": {"password": self.passwords["dsr_owner"].encode()},
            "database-owner": {
                "dsn": self.dsn("dsr_owner", "dsr", "/etc/dsr/owner/ca.crt").encode(),
                "passwords.json": json.dumps({name: self.passwords[name] for name in SCHEMAS}).encode(),
                "ca.crt": authority,
            },
            "connectors-sources": {
                "sources.yaml": self._sources(),
                "shop.dsn": self.dsn(CONNECTOR_ROLE, "shop", "/etc/dsr/tls/ca.crt").encode(),
            },
        }
        for name in (*PROCESSES, "postgres"):
            found[f"{name}-tls"] = {f: (pki / name / f).read_bytes() for f in ("tls.crt", "tls.key", "ca.crt")}
        found["edge-public-tls"] = found["edge-tls"]
        for name in RIGHTS:
            found[f"{name}-credential"] = {"credential.json": self.credential(name).read_bytes()}
        for name in SCHEMAS:
            found[f"{name}-database"] = {"url": self.dsn(f"dsr_{name}", "dsr", "/etc/dsr/tls/ca.crt").encode()}
        return found

    def _sources(self) -> bytes:
        """The shop's database and files, and the sandbox, by one host."""
        places: dict[str, Path | str] = {
            "grant_keys": Path("/etc/dsr/grant-keys/grant_keys.json"),
            "dsn_file": Path("/etc/dsr/connectors/shop.dsn"),
            "root": Path("/var/lib/dsr/state/shop-files"),
        }
        target = self.folder / "sources.yaml"
        write_config(["shop", "files", "sandbox"], target, places)
        return target.read_bytes()
