"""Sets the shop up beside a platform: a fresh database, a fresh folder of files, and their two connector hosts."""

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.postgres import Cluster
from deploy.local.shop.database import CONNECTOR_ROLE, create_connector_role, create_shop
from deploy.local.shop.files import create_files
from deploy.local.shop.sources import write_config


@dataclass(frozen=True)
class Setting:
    """A shop that is ready to be connected."""

    dsn: str
    """The superuser's, for looking at the database past the platform."""
    files: Path
    file_count: int
    hosts: Mapping[str, Callable[[Path], Path]]
    """What `open_platform` wants to know of the connector hosts `shop` and `files`."""


async def set_up_shop(folder: Path, cluster: Cluster, database: str = "shop") -> Setting:
    """Makes the shop in `folder`, which is emptied, and in the database `database`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)  # noqa: ASYNC240 - a moment, while nothing else runs yet
    dsn = await create_shop(cluster, database)
    password = secrets.token_urlsafe(24)
    await create_connector_role(dsn, password)
    files, dsn_file = folder / "files", folder / "shop.dsn"
    dsn_file.touch(mode=0o600)
    dsn_file.write_text(cluster.dsn(database, CONNECTOR_ROLE, password))
    count = create_files(files)

    def host(name: str, place: str, path: Path) -> Callable[[Path], Path]:
        def configure(grant_keys: Path) -> Path:
            target = folder / f"{name}.yaml"
            write_config(name, target, {"grant_keys": grant_keys, place: path})
            return target

        return configure

    hosts = {"shop": host("shop", "dsn_file", dsn_file), "files": host("files", "root", files)}
    return Setting(dsn, files, count, hosts)
