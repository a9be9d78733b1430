"""Puts a file in another's place only if nobody else is at it: Linux's leases and its exchange of two names.

A read lease is granted while nobody has the file open for writing, and holds up whoever opens it so from then on. Two
names are exchanged in one step, so that what stood in the place is at hand afterwards: if it isn't what was read, it
is put back.
"""

import ctypes
import errno
import fcntl
import os
import signal

_AT_PLACE = 2  # RENAME_EXCHANGE
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.ENOLCK})
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


class InUse(Exception):
    """Somebody has the file open for writing."""


class Unsupported(Exception):
    """The system, the file system or the process's rights don't give leases, or the exchange."""


def take(descriptor: int) -> None:
    """A read lease, until the descriptor is closed. InUse or Unsupported if it isn't given."""
    if not hasattr(fcntl, "F_SETLEASE") or _renameat2 is None:
        raise Unsupported
    try:
        # The signal that somebody waits; left as it is, it would end this process. This one is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise InUse from None
        if error.errno in _UNSUPPORTED:
            raise Unsupported from None
        raise


def given(descriptor: int) -> bool:
    """Whether the file could be leased, now or when nobody writes to it."""
    try:
        take(descriptor)
    except InUse:
        return True
    except Unsupported:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def undisturbed(descriptor: int) -> bool:
    """Whether the lease lasts and nobody waits to write."""
    return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def exchange(folder: int, one: str, other: str) -> None:
    """Each name leads to what the other led to. OSError, or Unsupported."""
    if _renameat2 is None:
        raise Unsupported
    if _renameat2(folder, os.fsencode(one), folder, os.fsencode(other), _AT_PLACE):
        code = ctypes.get_errno()
        if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise Unsupported
        raise OSError(code, os.strerror(code))
