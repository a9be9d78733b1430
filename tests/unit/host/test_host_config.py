"""A mistake in the configuration names its path and its remedy, and never repeats a value."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors import config
from connectors.process import main
from dsrkit.config import ConfigError

SOURCE = "partners/acme/dataSources/files"
OPTIONS = {"root": "/srv/files", "collections": {"a": {"pattern": "a/{n}", "identity": {"n": {}}}}}

MIXED = {
    "grant_keys": "k.json",
    "sources": {SOURCE: {"kind": "filesystem"}, "partners/acme/dataSources/toys": {"kind": "sandbox"}},
}


def write(folder: Path, data: Any) -> Path:
    path = folder / "sources.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return path


def sources(**entry: Any) -> Mapping[str, Any]:
    return {"grant_keys": "k.json", "sources": {SOURCE: {"kind": "filesystem", "options": OPTIONS, **entry}}}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("sources: [", "line 1 is not YAML"),
        ("a: 1\na: 2", "line 2: the key a stands twice"),
        ("grant_keys: k\nsources: {}", "sources: "),
        ({"grant_keys": "k", "source": {}}, "source: "),
        ({"grant_keys": "k", "sources": {"acme": {"kind": "filesystem"}}}, "sources.acme: a source is called"),
        ({"grant_keys": "k", "sources": {"partners/../dataSources/x": {"kind": "filesystem"}}}, "is called"),
        (sources(kind="tape"), f"sources.{SOURCE}.kind: there is no kind tape; there are filesystem"),
        (sources(option={}), f"sources.{SOURCE}.option: Extra inputs"),
        (MIXED, f"sources.{SOURCE}: its partner is a sandbox"),
    ],
)
def test_a_bad_file_is_refused_with_the_path(tmp_path: Path, data: Any, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(write(tmp_path, data))
    assert str(tmp_path / "sources.yaml") in str(raised.value)
    assert complaint in str(raised.value)


def test_a_missing_file_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        config.load(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({**OPTIONS, "root": "secret-relative"}, "options.root: "),
        ({**OPTIONS, "collections": {"a": {"pattern": "secret/{n}"}}}, "options.collections.a.files: "),
        ({**OPTIONS, "password": "secret"}, "options.password: Extra"),
    ],
)
def test_bad_options_are_refused_with_the_path_and_without_values(
    tmp_path: Path, options: Mapping[str, Any], complaint: str
) -> None:
    path = write(tmp_path, sources(options=options))
    with pytest.raises(ConfigError) as raised:
        config.open_backends(path, config.load(path), tmp_path / "state")
    assert f"sources.{SOURCE}.{complaint}" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_state_folder_below_the_root_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, sources(options={**OPTIONS, "root": str(tmp_path)}))
    with pytest.raises(ConfigError, match="move one of them"):
        config.open_backends(path, config.load(path), tmp_path / "state")


def test_fingerprint_keys_are_read_or_made_once(tmp_path: Path) -> None:
    path = write(tmp_path, sources())
    config.open_backends(path, config.load(path), tmp_path / "state")
    made = tmp_path / "state" / SOURCE / "fingerprint.key"
    first = made.read_bytes()
    assert len(first) == 32
    assert made.stat().st_mode & 0o777 == 0o600
    config.open_backends(path, config.load(path), tmp_path / "state")
    assert made.read_bytes() == first
    (tmp_path / "short.key").write_bytes(b"short")
    for name, complaint in (("short.key", "at least 32"), ("missing.key", "can't be read")):
        path = write(tmp_path, sources(fingerprint_key=name))
        with pytest.raises(ConfigError, match=complaint):
            config.open_backends(path, config.load(path), tmp_path / "state")


def jwks(path: Path, *key_ids: str) -> None:
    keys = []
    for key_id in key_ids:
        raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        keys.append({"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": x})
    path.with_suffix(".new").write_text(json.dumps({"keys": keys}))
    path.with_suffix(".new").rename(path)


def test_grant_keys_rotate_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "grants.json"
    jwks(path, "old")
    keys = config.GrantKeys(path)
    assert set(keys) == {"old"}
    assert len(keys["old"]) == 32
    jwks(path, "old", "new")
    assert set(keys) == {"old", "new"}
    jwks(path, "new")
    assert keys.get("old") is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"keys": []}', '{"keys": [{"kid": "a", "kty": "oct", "k": "c2VjcmV0"}]}', '{"keys": [{"kty": "OKP"}]}'],
)
def test_grant_keys_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "grants.json").write_text(text)
    with pytest.raises(ConfigError, match=r"grants\.json"):
        len(config.GrantKeys(tmp_path / "grants.json"))


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({}, "DSR_TRUST is not set"),
        ({"DSR_TRUST": "t", "DSR_STATE_DIR": "s"}, "DSR_CONNECTORS_CONFIG is not set"),
        ({"DSR_TRUST": "t", "DSR_STATE_DIR": "s", "DSR_LISTN": "x"}, "unknown variable DSR_LISTN"),
    ],
)
def test_a_bad_environment_ends_the_process_with_2(
    env: Mapping[str, str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], env) == 2
    assert complaint in capsys.readouterr().err


def test_check_only_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jwks(tmp_path / "k.json", "a")
    path = write(tmp_path, sources())
    env = {"DSR_TRUST": str(tmp_path / "trust.json"), "DSR_STATE_DIR": str(tmp_path / "state")}
    assert main(["--config", str(path), "--check"], env) == 0
    assert "1 sources can be served" in capsys.readouterr().out
