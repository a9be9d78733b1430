"""Starts the gateway: `python -m gateway`. Configuration is in `gateway.config`."""

import asyncio
import os
import signal
import sys

import uvloop

from dsrkit import log, telemetry
from dsrkit.config import ConfigError, from_env
from gateway.config import Config
from gateway.server import open_gateway


async def serve(config: Config) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_gateway(config):
        await stop.wait()


def main() -> None:
    """The process."""
    log.configure("gateway")
    try:
        config = from_env(Config, os.environ)
        files = {"tls_certificate": config.tls_certificate, "upstream_certificate": config.upstream_certificate}
        collector = telemetry.Collector(config.otlp_endpoint, config.otlp_interval_seconds, config.upstream_tls())
        telemetry.configure("gateway", collector, {**files, "upstream_ca": config.upstream_ca})
    except ConfigError as error:
        sys.exit(f"gateway: {error}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config))


if __name__ == "__main__":
    main()
