"""Server programs for tests: on loopback, on free ports, their data in a temporary folder, ending with the test."""

import os
import pwd
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.process import Identity, Process
from tests.support.pki import Authority

_START_SECONDS = 60.0


def find(program: str, package: str) -> str:
    """The program's path. Without it tests are skipped, except where CI=true says that all must run."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        message = f"{program} is not installed; apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    """Below those that connections get: nobody else is given it until the server has it."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(process: Process, ready: Callable[[], bool]) -> None:
    """Waits for a server that was just started, as long as it runs."""
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        process.require_running()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.name} doesn't answer; see {process.log}")
        time.sleep(0.05)


def unprivileged() -> Identity:
    """Who a server runs as that refuses to run as root."""
    if os.geteuid() != 0:
        return Identity()
    nobody = pwd.getpwnam("nobody")
    return Identity(nobody.pw_uid, nobody.pw_gid)


@dataclass(frozen=True)
class MariaDb:
    """A running MariaDB. The user `root` has no password."""

    port: int
    process: Process

    def dsn(self, database: str, user: str = "root", password: str = "") -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, script: str, database: str = "") -> None:
        """Runs SQL by the server's own client, DELIMITER included."""
        command = [find("mariadb", "mariadb-client"), "--no-defaults", "--host=127.0.0.1", f"--port={self.port}"]
        command += ["--user=root", "--default-character-set=utf8mb4", database]
        done = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr.decode())


@contextmanager
def mariadb(folder: Path, *settings: str) -> Iterator[MariaDb]:
    """A MariaDB server without durability."""
    program, install = find("mariadbd", "mariadb-server"), find("mariadb-install-db", "mariadb-server")
    identity, data, port = unprivileged(), folder / "data", free_port()
    folder.chmod(0o755)
    # A server that starts removes what it takes for an older one's temporary tables.
    own = folder / "tmp"
    for made in (data, own):
        made.mkdir()
        if identity.uid >= 0:
            os.chown(made, identity.uid, identity.gid)
    user = [] if identity.uid < 0 else [f"--user={pwd.getpwuid(identity.uid).pw_name}"]
    command = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *user]
    environment = {**os.environ, "TMPDIR": str(own)}
    command += ["--skip-test-db", "--skip-name-resolve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    arguments = [program, "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={port}", *user]
    arguments += [
        f"--tmpdir={own}",
        f"--socket={data}/s",
        f"--pid-file={data}/pid",
        "--skip-name-resolve",
        "--innodb-buffer-pool-size=64M",
    ]
    arguments += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--performance-schema=OFF", *settings]
    process = Process.start("mariadb", arguments, log=folder / "mariadb.log", grace=5.0)
    server = MariaDb(port, process)
    try:
        wait_until(process, lambda: _answers(server))
        yield server
    finally:
        process.stop()


def _answers(server: MariaDb) -> bool:
    try:
        server.execute("SELECT 1")
    except AssertionError:
        return False
    return True


@dataclass(frozen=True)
class RedisServer:
    """A running Redis, in plaintext on `port` and over TLS on `tls_port`. Its user `default` has no password."""

    port: int
    tls_port: int
    process: Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


@contextmanager
def redis(folder: Path, *settings: str) -> Iterator[RedisServer]:
    """A Redis server without durability, with a certificate `server.pem` in the folder, signed by `server-ca.pem`."""
    program, port, tls_port = find("redis-server", "redis-server"), free_port(), free_port()
    tls = Authority().files(folder, "server", "127.0.0.1")
    arguments = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    arguments += ["--tls-port", str(tls_port), "--tls-cert-file", str(tls.certificate)]
    arguments += ["--tls-key-file", str(tls.key), "--tls-ca-cert-file", str(tls.authority)]
    arguments += ["--tls-auth-clients", "no", *settings]
    process = Process.start("redis", arguments, log=folder / "redis.log", grace=5.0)
    try:
        wait_until(process, lambda: _listens(port))
        yield RedisServer(port, tls_port, process)
    finally:
        process.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
