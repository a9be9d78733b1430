"""Wires the service: `python -m services.portability`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dsr.v1.portability_pb2_grpc import add_PortabilityServiceServicer_to_server

from dsrkit.requests.runtime import Config, main, open_toolbox, serving
from dsrkit.server import RunningServer
from services.portability.domain import RIGHT, advance
from services.portability.returns import Returns
from services.portability.servicer import PortabilityServicer
from services.portability.steps import steps

ORDER_SECONDS = 5.0
"""How often sources to return are asked for."""


@asynccontextmanager
async def open_service(config: Config) -> AsyncIterator[RunningServer]:
    """Opens everything in order, closes it in reverse."""
    async with open_toolbox(config, RIGHT, advance, with_anchors=False) as tools:
        servicer = PortabilityServicer(tools.parts, tools.bundles)
        authority = tools.parts.authority
        async with serving(
            config,
            tools,
            "dsr.v1.PortabilityService",
            lambda server: add_PortabilityServiceServicer_to_server(servicer, server),
            steps(tools),
            [
                (2.0, tools.bundles.sweep),
                (1.0, lambda: tools.bundles.fulfil(authority)),
                (ORDER_SECONDS, Returns(tools).pull),
            ],
        ) as running:
            yield running


if __name__ == "__main__":
    main(RIGHT.noun, open_service, Config)
