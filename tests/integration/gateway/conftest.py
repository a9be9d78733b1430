"""A gateway on a free port in front of the fake services."""

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.app import Limits
from gateway.config import Config
from gateway.server import RunningGateway, open_gateway
from tests.gateway_fake import Platform, open_platform
from tests.support.http import PLAINTEXT

LIMITS = Limits(body_seconds=1.0, write_seconds=2.0, heartbeat_seconds=0.2)


@pytest.fixture(scope="session")
async def running_platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


@pytest.fixture
def platform(running_platform: Platform) -> Platform:
    running_platform.reset()
    return running_platform


@pytest.fixture(scope="session")
def config(running_platform: Platform) -> Config:
    target = running_platform.target
    return Config(target, target, target, target, listen="127.0.0.1:0")


@pytest.fixture(scope="session")
async def gateway(config: Config) -> AsyncIterator[RunningGateway]:
    async with open_gateway(config, LIMITS) as running:
        yield running


@pytest.fixture
async def http(gateway: RunningGateway, platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {platform.token()}"}
    url = f"http://127.0.0.1:{gateway.port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, verify=PLAINTEXT) as client:
        yield client
