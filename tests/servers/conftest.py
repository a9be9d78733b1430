"""Servers that tests share, one of each kind for the session."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.programs import MariaDb, mariadb


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    with tempfile.TemporaryDirectory(prefix="dsr-mariadb-") as folder, mariadb(Path(folder)) as server:
        yield server
