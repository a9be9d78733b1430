"""What a connector host is told: its environment, and the YAML file that names its sources."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors import registry
from connectors.backend import Backend, SourceConfig
from dsrkit.config import ConfigError
from dsrkit.errors import DsrError

_SOURCE_NAME = re.compile(r"partners/[A-Za-z0-9][A-Za-z0-9_-]{0,62}/dataSources/[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_MIN_KEY_BYTES = 32


@dataclass(frozen=True)
class HostConfig:
    """The host's environment: `DSR_LISTEN` and so on."""

    trust: Path
    """Trust file: whose tokens are believed."""
    connectors_config: Path
    """The YAML file with the sources."""
    state_dir: Path
    """Journals and generated fingerprint keys. Must survive a restart."""
    listen: str = "127.0.0.1:7300"
    """`host:port`; plaintext on loopback only."""
    tls_certificate: str = ""
    """PEM chain of the server; with `tls_key`, and `tls_client_ca` for mutual TLS."""
    tls_key: str = ""
    tls_client_ca: str = ""
    otlp_endpoint: str = ""
    """`host:port` of an OpenTelemetry collector, over TLS with `tls_certificate`, checked against `tls_client_ca`;
    empty: none. Plaintext on loopback only."""
    otlp_interval_seconds: float = 15.0
    """Between two exports of metrics."""
    health_listen: str = ""
    """`host:port` that answers health checks in plaintext, for probes; empty: none."""
    drain_notice_seconds: float = 0.0
    """After SIGTERM, how long health says no before calls are refused."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceEntry(_Strict):
    """One source in the file."""

    kind: str
    fingerprint_key: Path | None = None
    """File with at least 32 secret random bytes. Without one the host makes one in its state folder."""
    options: dict[str, Any] = Field(default_factory=dict)


class SourcesFile(_Strict):
    """The whole file."""

    grant_keys: Path
    """JWK set (RFC 7517) with the public Ed25519 keys by which governance signs grants. Read again when it changes."""
    sources: dict[str, SourceEntry] = Field(min_length=1)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win in silence; here the second is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: the key {key} stands twice; remove one")
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path) -> SourcesFile:
    """Reads the file. ConfigError names the file and the YAML path, never a value."""
    try:
        data = yaml.load(path.read_text(), Loader=_UniqueKeyLoader)  # noqa: S506, a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: it can't be read ({error.strerror}); give the file by --config") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"{path}: line {line} is not YAML: {error.problem}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        file = SourcesFile.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from None
    for name, entry in file.sources.items():
        if not _SOURCE_NAME.fullmatch(name):
            raise ConfigError(f"{path}: sources.{name}: a source is called partners/{{partner}}/dataSources/{{source}}")
        if entry.kind not in registry.KINDS:
            known = ", ".join(sorted(registry.KINDS))
            raise ConfigError(f"{path}: sources.{name}.kind: there is no kind {entry.kind}; there are {known}")
    made_up = sandboxes(file)
    for name in file.sources:
        mixed = next((other for other in made_up if _partner(other) == _partner(name)), None)
        if mixed is not None and name not in made_up:
            raise ConfigError(
                f"{path}: sources.{name}: its partner is a sandbox, as {mixed} says, and this kind is live"
            )
    return file


def sandboxes(file: SourcesFile) -> Set[str]:
    """Names of the sources that are sandboxes."""
    return {name for name, entry in file.sources.items() if entry.kind in registry.SANDBOXES}


def _partner(source: str) -> str:
    return source.split("/")[1]


def explain(error: ValidationError, prefix: Sequence[str] = ()) -> str:
    """Each mistake as `path: what`, without the values, which may be secrets."""
    details = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join([*prefix, *(str(part) for part in d['loc'])])}: {d['msg']}" for d in details)


def open_backends(path: Path, file: SourcesFile, state_dir: Path) -> dict[str, Backend]:
    """Every source's backend, its options checked and nothing connected. ConfigError names the YAML path."""
    backends = {}
    for name, entry in file.sources.items():
        source_state = state_dir / name
        key_file = path.parent / entry.fingerprint_key if entry.fingerprint_key else source_state / "fingerprint.key"
        if entry.fingerprint_key is None:
            _make_key(key_file)
        config = SourceConfig(
            source=name,
            kind=entry.kind,
            options=entry.options,
            fingerprint_key=_read_key(key_file),
            state_dir=source_state,
        )
        where = f"sources.{name}.options"
        try:
            backends[name] = registry.factory(entry.kind)(config)
        except ValidationError as error:
            raise ConfigError(f"{path}: {explain(error, [where])}") from None
        except (DsrError, ValueError) as error:
            raise ConfigError(f"{path}: {where}: {error}") from None
    return backends


def _make_key(path: Path) -> None:
    """A new fingerprint key, unless there is one. It belongs to the journals beside it: keep, lose and restore both."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_MIN_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the fingerprint key can't be read ({error.strerror})") from None
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigError(f"{path}: a fingerprint key has at least {_MIN_KEY_BYTES} random bytes")
    return key


@dataclass
class GrantKeys(Mapping[str, bytes]):
    """Governance's public keys by id, from a JWK set. Read again when the file changes, so that keys can rotate."""

    path: Path
    _stamp: tuple[int, int] = (0, 0)
    _keys: Mapping[str, bytes] = field(default_factory=dict)

    def __getitem__(self, key_id: str) -> bytes:
        return self._current()[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def _current(self) -> Mapping[str, bytes]:
        stat = os.stat(self.path)
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp != self._stamp:
            self._keys = _parse_keys(self.path)
            self._stamp = stamp
        return self._keys


def _parse_keys(path: Path) -> Mapping[str, bytes]:
    try:
        entries = json.loads(path.read_text())["keys"]
        keys = {entry["kid"]: jwt.PyJWK(entry, algorithm="EdDSA").key for entry in entries}
    except (ValueError, KeyError, TypeError, jwt.PyJWTError):
        raise ConfigError(f"{path}: it is not a JWK set of Ed25519 keys") from None
    if not keys or not all(isinstance(key, Ed25519PublicKey) for key in keys.values()):
        raise ConfigError(f"{path}: it must hold at least one key, and Ed25519 public keys only")
    return {key_id: key.public_bytes_raw() for key_id, key in keys.items()}
