"""The kind `s3`."""

from connectors.backend import Backend, SourceConfig
from connectors.objects.backend import ObjectsBackend
from connectors.s3.options import S3Options
from connectors.s3.store import S3Store


def open_backend(config: SourceConfig) -> Backend:
    """A backend for one bucket. Checks the options; connects to nothing."""
    options = S3Options.model_validate(config.options)
    return ObjectsBackend(config, options, S3Store(config.source, options))
