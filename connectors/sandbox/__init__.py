"""A shop that nobody ever bought from: made-up people for integrators, and some for whom things go wrong."""

from connectors.backend import Backend, SourceConfig
from connectors.sandbox.backend import SandboxBackend
from connectors.sandbox.options import Options


def open_backend(config: SourceConfig) -> Backend:
    """Checks the options; opens nothing."""
    Options.model_validate(config.options)
    return SandboxBackend(config)
