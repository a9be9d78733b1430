"""The embedded PostgreSQL: where it may live, and that it never outlives the one that started it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from deploy.local.postgres import Cluster
from deploy.local.process import Process, ProcessEnded

REPOSITORY = Path(__file__).parents[3]


async def _scalar(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_databases_are_cloned_from_a_template(postgres: Cluster) -> None:
    source = postgres.create_database("clone_source")
    connection = await asyncpg.connect(source)
    await connection.execute("CREATE TABLE t AS SELECT 7 AS seven")
    await connection.close()
    clone = postgres.create_database("clone_copy", template="clone_source")
    assert await _scalar(clone, "SELECT seven FROM t") == 7
    for name in ("clone_source", "clone_copy"):
        postgres.drop_database(name)
        assert not postgres.has_database(name)


async def test_text_is_compared_alike_on_every_system(database: str) -> None:
    assert await _scalar(database, "SELECT lower('ÄÖŞ')") == "äöş"


async def test_a_wrong_password_is_refused(postgres: Cluster) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn(user="postgres", password="wrong"))


async def test_what_failed_is_not_in_the_log(postgres: Cluster, database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE person (email text PRIMARY KEY)")
    await connection.execute("INSERT INTO person VALUES ('someone.secret@example.com')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO person VALUES ('someone.secret@example.com')")
    await connection.close()
    log = (postgres.home / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "someone.secret" not in log


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dsr-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_data_survives_a_crash_of_the_server(folder: Path) -> None:
    with Cluster.start(folder / "postgres") as cluster:
        connection = await asyncpg.connect(cluster.dsn())
        await connection.execute("CREATE TABLE t AS SELECT 7 AS seven")
        cluster.kill()
        connection.terminate()
        cluster.restart()
        assert await _scalar(cluster.dsn(), "SELECT seven FROM t") == 7
    with Cluster.start(folder / "postgres") as cluster:
        assert await _scalar(cluster.dsn(), "SELECT seven FROM t") == 7


async def test_root_may_keep_data_where_nobody_may_go(folder: Path) -> None:
    """For other users there is nothing to arrange: the folder is simply their own."""
    private = folder / "private"
    private.mkdir(mode=0o700)
    with Cluster.start(private / "platform" / "postgres", fsync=False) as cluster:
        assert await _scalar(cluster.dsn(), "SELECT 7") == 7
        home = cluster.home
        assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700
    assert (private / "platform" / "postgres").resolve() == home
    with Cluster.start(private / "platform" / "postgres", fsync=False) as cluster:
        assert cluster.home == home
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.long
def test_the_server_ends_when_its_parent_is_killed(folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from deploy.local.postgres import Cluster\n"
        "with Cluster.start(Path(sys.argv[1]), fsync=False) as cluster:\n"
        "    print(cluster.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(folder / "postgres")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as parent:
        assert parent.stdout
        server = psutil.Process(int(parent.stdout.readline()))
        family = [server, *server.children(recursive=True), *psutil.Process(parent.pid).children()]
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


@pytest.mark.long
def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with Cluster.start(folder / "one", fsync=False) as one:
        with pytest.raises(ProcessEnded, match="could not bind"):
            with Cluster.start(folder / "two", port=one.port, fsync=False):
                pass


def test_a_process_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    log = tmp_path / "log"
    process = Process.start("deaf", [sys.executable, "-c", program], log=log, grace=0.2)
    while not log.read_text():
        process.require_running()
        time.sleep(0.01)
    assert process.stop() == 128 + signal.SIGKILL
    with pytest.raises(ProcessEnded, match="deaf ended with code 137"):
        process.require_running()
