"""The fake services, for the client and the command."""

from collections.abc import AsyncIterator

import pytest
from dsr.client import Platform as Client
from dsr.client import connect
from dsr.credentials import Credential

from tests.gateway_fake import Platform, open_platform


@pytest.fixture(scope="session")
async def contracts_platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path_factory.mktemp("contracts")) as platform:
        yield platform


@pytest.fixture
def platform(contracts_platform: Platform) -> Platform:
    contracts_platform.reset()
    return contracts_platform


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    credential = Credential.load(platform.credential_file)
    async with connect(platform.target, credential=credential, actor="clerk-7") as opened:
        yield opened
