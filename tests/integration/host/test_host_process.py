"""The process as it is run: started, checked by the suite's own command, drained."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conformance.harness import Keys
from tests.conformance.test_conformance_filesystem import COLLECTIONS, DOWN, MATERIAL, SOURCE, make_files


def prepare(folder: Path) -> Keys:
    """An installation in a folder: files, keys, configuration, material."""
    make_files(folder / "files")
    keys = Keys.make(folder)
    options = {"root": str(folder / "files"), "collections": COLLECTIONS}
    down = {**options, "root": str(folder / "unmounted")}
    keys.write_config(
        {SOURCE: {"kind": "filesystem", "options": options}, DOWN: {"kind": "filesystem", "options": down}}
    )
    (folder / "material.yaml").write_text(yaml.safe_dump(MATERIAL))
    return keys


def environment(folder: Path, **more: str) -> Mapping[str, str]:
    ours = {
        "DSR_TRUST": str(folder / "trust.json"),
        "DSR_STATE_DIR": str(folder / "state"),
        "DSR_LISTEN": "127.0.0.1:0",
    }
    return {**os.environ, **ours, **more}


@contextmanager
def host(folder: Path, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port, which its log names. The log is a file: a full pipe would stop the process."""
    command = [sys.executable, "-m", "connectors", "--config", str(folder / "sources.yaml")]
    log = folder / "host.log"
    with log.open("wb") as file, subprocess.Popen(command, env=environment(folder, **more), stderr=file) as process:
        try:
            yield process, _port(log, process)
        finally:
            process.kill()


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise AssertionError(f"the host does not listen: {log.read_text()}")


def suite(folder: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dsr.conformance", "--target", f"127.0.0.1:{port}", "--source", SOURCE]
    command += ["--credential", str(folder / "erasure.json"), "--material", str(folder / "material.yaml"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"})


def test_the_process_keeps_the_contract_and_drains(tmp_path: Path) -> None:
    prepare(tmp_path)
    with host(tmp_path) as (process, port):
        key = ("--grant-key", str(tmp_path / "grant-key.json"))
        run = suite(tmp_path, port, *key, "--json")
        results = json.loads(run.stdout)
        assert [r for r in results if r["verdict"] not in ("HOLDS", "NOT_APPLICABLE")] == []
        assert run.returncode == 0
        # The disposable person is gone now: the second run says so, and how to mend it.
        again = suite(tmp_path, port, *key)
        assert again.returncode == 1
        assert "erase.erased" in again.stdout
        assert "To mend it:" in again.stdout
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert time.monotonic() - start < 12


@pytest.mark.long
def test_the_suite_says_what_it_could_not_check(tmp_path: Path) -> None:
    prepare(tmp_path)
    with host(tmp_path) as (_, port):
        run = suite(tmp_path, port, "--only", "grant.", "--only", "describe.")
        assert run.returncode == 3
        assert "no --grant-key" in run.stdout
        assert suite(tmp_path, port, "--only", "describe.").returncode == 0
        assert suite(tmp_path, port, "--only", "nothing").returncode == 2
        assert suite(tmp_path, port, "--grant-key", str(tmp_path / "none.json")).returncode == 2


@pytest.mark.policy("P5", "a connector's log holds no personal data, at any level")
def test_logs_hold_no_personal_data(tmp_path: Path) -> None:
    prepare(tmp_path)
    with host(tmp_path) as (process, port):
        suite(tmp_path, port, "--grant-key", str(tmp_path / "grant-key.json"))
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    logged = (tmp_path / "host.log").read_text()
    assert '"rpc"' in logged
    for value in ("C-12", "C-404", "letters/C-1", "two.txt"):
        assert value not in logged


def certificate(folder: Path) -> None:
    """A self-signed certificate for localhost, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "host.pem").write_bytes(signed.public_bytes(pem))
    (folder / "host.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))


@pytest.mark.policy("P9", "connector hosts offer 256-bit suites of TLS 1.2 and 1.3 only")
def test_over_tls_with_256_bits_only(tmp_path: Path) -> None:
    prepare(tmp_path)
    certificate(tmp_path)
    pem = str(tmp_path / "host.pem")
    with host(tmp_path, DSR_TLS_CERTIFICATE=pem, DSR_TLS_KEY=str(tmp_path / "host.key")) as (_, port):
        run = suite(tmp_path, port, "--only", "describe.", "--ca", pem, "--target", f"localhost:{port}")
        assert run.returncode == 0, run.stdout + run.stderr
        assert suite(tmp_path, port, "--only", "describe.", "--timeout", "2").returncode == 1
        for cipher, accepted in (("ECDHE-ECDSA-AES128-GCM-SHA256", False), ("ECDHE-ECDSA-AES256-GCM-SHA384", True)):
            context = ssl.create_default_context(cafile=pem)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(cipher)
            context.set_alpn_protocols(["h2"])
            assert shakes_hands(context, port) is accepted


def shakes_hands(context: ssl.SSLContext, port: int) -> bool:
    """Whether a TLS connection comes about."""
    try:
        with (
            socket.create_connection(("localhost", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except ssl.SSLError:
        return False


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"DSR_LISTN": "x"}, "unknown variable DSR_LISTN"),
        ({"DSR_LISTEN": "0.0.0.0:0"}, "plaintext is refused"),
        ({"DSR_TLS_CERTIFICATE": "/nothing.pem"}, "DSR_TLS_KEY is not set"),
        ({"DSR_TLS_CERTIFICATE": "/nothing.pem", "DSR_TLS_KEY": "/nothing.key"}, "/nothing"),
    ],
)
def test_a_process_that_cannot_serve_says_why(tmp_path: Path, more: Mapping[str, str], complaint: str) -> None:
    prepare(tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "connectors", "--config", str(tmp_path / "sources.yaml")],
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 2
    assert complaint in run.stderr
    assert "Traceback" not in run.stderr
