"""Servers that tests share, one of each kind for the session."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers.programs import MariaDb, RedisServer, mariadb, redis
from tests.support.scratch import scratch

_DATA = Path(__file__).parents[2] / ".data" / "servers"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "servers: needs servers that scripts/servers.sh starts")


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    with scratch("dsr-mariadb-") as folder, mariadb(folder) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with scratch("dsr-redis-") as folder, redis(folder) as server:
        yield server


def _running(folder: Path) -> bool:
    try:
        pids = [int(line) for line in (folder / "pids").read_text().split()]
        for pid in pids:
            os.kill(pid, 0)
    except (OSError, ValueError):
        return False
    return bool(pids)


@pytest.fixture(scope="session")
def server() -> Callable[[str], Mapping[str, str]]:
    """What a client needs to reach a server of scripts/servers.sh. Missing: skipped by name, a failure in CI."""

    def find(name: str) -> Mapping[str, str]:
        address = _DATA / name / "address"
        if not address.exists() or not _running(address.parent):
            why = f"{name} isn't running: scripts/servers.sh start {name}"
            if os.environ.get("CI") == "true":
                pytest.fail(why)
            pytest.skip(why)
        return dict(line.split("=", 1) for line in address.read_text().splitlines())

    return find


@pytest.fixture(scope="session")
def radosgw(server: Callable[[str], Mapping[str, str]]) -> Mapping[str, str]:
    """Ceph's S3."""
    return server("radosgw")


@pytest.fixture(scope="session")
def swift(server: Callable[[str], Mapping[str, str]]) -> Mapping[str, str]:
    """OpenStack Swift, sign-in version 1."""
    return server("swift")


@pytest.fixture(scope="session")
def moto(server: Callable[[str], Mapping[str, str]]) -> Mapping[str, str]:
    """A mock of S3, for what radosgw lacks."""
    return server("moto")
