"""Wires the service: `python -m services.erasure`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dsr.v1.erasure_pb2_grpc import add_ErasureServiceServicer_to_server

from dsrkit.requests.runtime import Config, main, open_toolbox, serving
from dsrkit.server import RunningServer
from services.erasure.amendments import Amendments
from services.erasure.destructions import Destructions
from services.erasure.domain import RIGHT, advance
from services.erasure.servicer import ErasureServicer
from services.erasure.steps import ErasureSteps
from services.erasure.sweeps import Sweeps

SWEEP_SECONDS = 2.0
"""How often retention sweeps are asked for."""
ORDER_SECONDS = 5.0
"""How often sources to destroy, and corrections, are asked for."""


@asynccontextmanager
async def open_service(config: Config) -> AsyncIterator[RunningServer]:
    """Opens everything in order, closes it in reverse."""
    async with open_toolbox(config, RIGHT, advance, with_anchors=True) as tools:
        servicer = ErasureServicer(tools.parts)
        async with serving(
            config,
            tools,
            "dsr.v1.ErasureService",
            lambda server: add_ErasureServiceServicer_to_server(servicer, server),
            ErasureSteps(tools).by_name(),
            [
                (SWEEP_SECONDS, Sweeps(tools).pull),
                (ORDER_SECONDS, Amendments(tools).pull),
                (ORDER_SECONDS, Destructions(tools).pull),
            ],
        ) as running:
            yield running


if __name__ == "__main__":
    main(RIGHT.noun, open_service, Config)
