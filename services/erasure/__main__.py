"""Wires the service: `python -m services.erasure`."""

import os

from dsr.v1.erasure_pb2_grpc import add_ErasureServiceServicer_to_server

from dsrkit import telemetry
from dsrkit.config import from_env
from dsrkit.requests.runtime import Config, main, open_toolbox, run
from services.erasure.domain import RIGHT, advance
from services.erasure.servicer import ErasureServicer
from services.erasure.steps import ErasureSteps


async def serve() -> None:
    """Opens everything in order, serves until told to end, closes in reverse."""
    config = from_env(Config, os.environ)
    telemetry.configure(RIGHT.noun, config.otlp_endpoint)
    async with open_toolbox(config, RIGHT, advance, with_anchors=True) as tools:
        servicer = ErasureServicer(tools.parts)
        await run(
            config,
            tools,
            "dsr.v1.ErasureService",
            lambda server: add_ErasureServiceServicer_to_server(servicer, server),
            ErasureSteps(tools).by_name(),
        )


if __name__ == "__main__":
    main(RIGHT.noun, serve)
