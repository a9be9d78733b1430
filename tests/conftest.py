"""What every test may use: a PostgreSQL of its own, and an environment without settings of the developer's."""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from deploy.local.postgres import Cluster
from tests.support.contract import CONTRACT, Told
from tests.support.left_out import left_out
from tests.support.scratch import scratch

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_configure() -> None:
    """Processes refuse unknown DSR_* variables, and tests mustn't depend on a developer's shell."""
    for name in [name for name in os.environ if name.startswith("DSR_")]:
        del os.environ[name]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
    if line := left_out(whole=whole, marks=config.option.markexpr):
        terminalreporter.write_line(line, yellow=True)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return _ByFile(config, log)


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # it comes without types
    """A file is run by one process, and so are all that share one running platform."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in ("tests/chaos/", "tests/e2e/test_") if file.startswith(folder)), file)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL 18 for the session, without durability. It ends with the test run, however that ends."""
    with scratch("dsr-test-") as folder, Cluster.start(folder / "postgres", fsync=False) as cluster:
        yield cluster


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """The DSN of a fresh, empty database, for the superuser."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    """Tells the table of the contract what came of a rule."""
    return lambda kind, result: record_property(CONTRACT, (kind, result.check.rule, result.verdict.value))
