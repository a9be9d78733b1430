"""Wires the service: `python -m services.access`."""

import os

from dsr.v1.access_pb2_grpc import add_AccessServiceServicer_to_server

from dsrkit import telemetry
from dsrkit.config import from_env
from dsrkit.requests.runtime import Config, main, open_toolbox, run
from services.access.domain import RIGHT, advance
from services.access.servicer import AccessServicer
from services.access.steps import steps


async def serve() -> None:
    """Opens everything in order, serves until told to end, closes in reverse."""
    config = from_env(Config, os.environ)
    telemetry.configure(RIGHT.noun, config.otlp_endpoint)
    async with open_toolbox(config, RIGHT, advance, with_anchors=False) as tools:
        servicer = AccessServicer(tools.parts, tools.bundles)
        authority = tools.parts.authority
        await run(
            config,
            tools,
            "dsr.v1.AccessService",
            lambda server: add_AccessServiceServicer_to_server(servicer, server),
            steps(tools),
            [(2.0, tools.bundles.sweep), (1.0, lambda: tools.bundles.fulfil(authority))],
        )


if __name__ == "__main__":
    main(RIGHT.noun, serve)
