"""Sets the shop up beside a platform: database, files, object store, all made anew, and their two connector hosts."""

import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.postgres import Cluster
from deploy.local.seaweed import Seaweed
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
    """What `open_platform` wants to know of the connector hosts `shop` and `files`; the latter serves the store and the
    sandbox as well."""


async def set_up_shop(
    folder: Path, cluster: Cluster, database: str = "shop", seaweed: Seaweed | None = None
) -> Setting:
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

    served = ["files", "sandbox"]
    places: dict[str, Path | str] = {"dsn_file": dsn_file, "root": files}
    if seaweed is not None:
        served.append("store")
        places |= {"endpoint": seaweed.endpoint, "credentials_file": _credentials(folder, seaweed)}

    def host(names: list[str]) -> Callable[[Path], Path]:
        def configure(grant_keys: Path) -> Path:
            target = folder / f"{names[0]}.yaml"
            write_config(names, target, {"grant_keys": grant_keys, **places})
            return target

        return configure

    return Setting(dsn, files, count, {"shop": host(["shop"]), "files": host(served)})


def _credentials(folder: Path, seaweed: Seaweed) -> Path:
    path = folder / "store.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({name: getattr(seaweed, name) for name in ("access_key_id", "secret_access_key")}))
    return path
