"""The kind `swift`."""

from connectors.backend import Backend, SourceConfig
from connectors.objects.backend import ObjectsBackend
from connectors.swift.options import SwiftOptions
from connectors.swift.store import SwiftStore


def open_backend(config: SourceConfig) -> Backend:
    """A backend for one container. Checks the options; connects to nothing."""
    options = SwiftOptions.model_validate(config.options)
    return ObjectsBackend(config, options, SwiftStore(config.source, options))
