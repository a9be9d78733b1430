"""The kind `redis`."""

from connectors.backend import Backend, SourceConfig
from connectors.redis.backend import RedisBackend


def open_backend(config: SourceConfig) -> Backend:
    """A backend for one database of one server. Checks the options; connects to nothing."""
    return RedisBackend(config)
