"""Wires the service: `python -m services.access`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dsr.v1.access_pb2_grpc import add_AccessServiceServicer_to_server

from dsrkit.requests.runtime import Config, main, open_toolbox, serving
from dsrkit.server import RunningServer
from services.access.counts import Counts
from services.access.domain import RIGHT, advance
from services.access.servicer import AccessServicer
from services.access.steps import steps

COUNT_SECONDS = 2.0
"""How often orders to count people are asked for."""


@asynccontextmanager
async def open_service(config: Config) -> AsyncIterator[RunningServer]:
    """Opens everything in order, closes it in reverse."""
    async with open_toolbox(config, RIGHT, advance, with_anchors=False) as tools:
        servicer = AccessServicer(tools.parts, tools.bundles)
        authority = tools.parts.authority
        async with serving(
            config,
            tools,
            "dsr.v1.AccessService",
            lambda server: add_AccessServiceServicer_to_server(servicer, server),
            steps(tools),
            [
                (2.0, tools.bundles.sweep),
                (1.0, lambda: tools.bundles.fulfil(authority)),
                (COUNT_SECONDS, Counts(tools).pull),
            ],
        ) as running:
            yield running


if __name__ == "__main__":
    main(RIGHT.noun, open_service, Config)
