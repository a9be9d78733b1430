"""Runs one command and ends it when this process's standard input closes. Used through `deploy.local.process`.

The parent holds the other end of that pipe, so that the pipe closes when the parent ends, be it by `kill -9`. A parent
that wants the command ended in order writes how many seconds that may take, and closes the pipe. Works on every POSIX
system, and knows nothing of this project: it is run with `python -I -S` to start fast.

    guard.py SIGNAL UID GID command argument…     (UID and GID -1: as now)

Writes the command's process id and a newline to its standard output, which closes when the command has ended. The
command's own output goes to the guard's standard error. Exits as the command does; with 128 + the number if a signal
ended it.
"""

import os
import signal
import subprocess
import sys
import threading

_ORPHANS_GRACE = 1.0
"""Nobody waits for what an orphan still does in order, and what it needs may be gone already."""


def main(arguments: list[str]) -> int:
    number, uid, gid = (int(argument) for argument in arguments[:3])
    user, group, others = (None, None, None) if uid < 0 else (uid, gid, ())
    # A session of its own: Ctrl-C in a terminal reaches the parent alone, which then ends things in order.
    child = subprocess.Popen(
        arguments[3:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        user=user,
        group=group,
        extra_groups=others,
    )

    def end_when_lifeline_closes() -> None:
        with os.fdopen(0, "rb", closefd=False) as lifeline:
            grace = lifeline.read()
        child.send_signal(number)
        try:
            child.wait(float(grace or _ORPHANS_GRACE))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)

    for ended_by in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ended_by, lambda *_: child.send_signal(number))
    os.write(1, f"{child.pid}\n".encode())
    threading.Thread(target=end_when_lifeline_closes, daemon=True).start()
    code: int = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
