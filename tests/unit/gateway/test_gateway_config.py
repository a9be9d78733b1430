"""What the gateway refuses to start with."""

import pytest

from dsrkit.config import ConfigError, from_env
from gateway.config import Config

SERVICES = {f"DSR_{name}_ADDRESS": "127.0.0.1:1" for name in ("ACCESS", "PORTABILITY", "ERASURE", "GOVERNANCE")}


def test_defaults() -> None:
    config = from_env(Config, {**SERVICES, "HOME": "/"})
    assert config.socket_address() == ("127.0.0.1", 8080)
    assert config.hops() == ()
    assert from_env(Config, {**SERVICES, "DSR_LISTEN": "[::1]:0"}).socket_address() == ("::1", 0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DSR_LISTEM": "127.0.0.1:1"}, "DSR_LISTEM"),
        ({"DSR_ACCESS_ADDRESS": None}, "DSR_ACCESS_ADDRESS"),
        ({"DSR_LISTEN": "0.0.0.0:80"}, "DSR_TLS_CERTIFICATE"),
        ({"DSR_LISTEN": "127.0.0.1"}, "host:port"),
        ({"DSR_LISTEN": "127.0.0.1:99999"}, "host:port"),
        ({"DSR_ERASURE_ADDRESS": "erasure:7000"}, "DSR_UPSTREAM_CA"),
        ({"DSR_TLS_KEY": "/key"}, "DSR_TLS_CERTIFICATE"),
        ({"DSR_UPSTREAM_CERTIFICATE": "/c"}, "DSR_UPSTREAM_KEY"),
        ({"DSR_TRUSTED_HOPS": "10.0.0.1/8"}, "DSR_TRUSTED_HOPS"),
        ({"DSR_DRAIN_SECONDS": "soon"}, "DSR_DRAIN_SECONDS"),
    ],
)
def test_refused(changes: dict[str, str | None], named: str) -> None:
    env = {name: value for name, value in {**SERVICES, **changes}.items() if value is not None}
    with pytest.raises(ConfigError, match=named):
        from_env(Config, env)
