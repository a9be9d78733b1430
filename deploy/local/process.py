"""A child process that never outlives this one, however this one ends, and whose output is in a file."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_GUARD = Path(__file__).with_name("guard.py")


class ProcessEnded(RuntimeError):
    """A child ended that should be running. The text says which, and shows its last lines."""


@dataclass(frozen=True)
class Identity:
    """The user and group that a process runs as."""

    uid: int = -1
    gid: int = -1


@dataclass
class Process:
    """A running child. `pid` is the child's own, not its guard's."""

    name: str
    log: Path
    pid: int
    grace: float
    _guard: subprocess.Popen[bytes] = field(repr=False)

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        identity: Identity = Identity(),
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 15.0,
    ) -> "Process":
        """Starts `command`; output is appended to `log`. `grace`: seconds between `stop_signal` and SIGKILL."""
        log.parent.mkdir(parents=True, exist_ok=True)
        settings = [str(int(stop_signal)), str(identity.uid), str(identity.gid)]
        with log.open("ab") as output:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), *settings, *(str(part) for part in command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=env,
                start_new_session=True,
            )
        line = _pipe(guard.stdout).readline()
        if not line:
            guard.wait()
            raise ProcessEnded(f"{name} can't be started:\n{tail(log)}")
        return cls(name, log, int(line), grace, guard)

    def exit_code(self) -> int | None:
        """The exit code, 128 + number for a signal; None while it runs."""
        return self._guard.poll()

    def require_running(self) -> None:
        """ProcessEnded, with the last lines of its log, unless it runs."""
        code = self.exit_code()
        if code is not None:
            raise ProcessEnded(f"{self.name} ended with code {code}; the end of {self.log}:\n{tail(self.log)}")

    async def ended(self) -> None:
        """Returns when it has ended, whoever ended it."""
        loop, event, answer = asyncio.get_running_loop(), asyncio.Event(), _pipe(self._guard.stdout)
        if answer.closed:
            return
        # Nothing more is ever written to this pipe: it becomes readable when the guard ends.
        descriptor = os.dup(answer.fileno())  # a loop knows one reader per descriptor, and two may be waiting
        loop.add_reader(descriptor, event.set)
        try:
            await event.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        await asyncio.to_thread(self.wait)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._guard.wait(timeout)
        _pipe(self._guard.stdout).close()
        return code

    def ask_to_stop(self) -> None:
        """Begins to end it, and doesn't wait: the stop signal now, SIGKILL after the grace."""
        lifeline = _pipe(self._guard.stdin)
        if not lifeline.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended already
                lifeline.write(str(self.grace).encode())
                lifeline.close()

    def stop(self) -> int:
        """Ends it and waits. Returns the exit code."""
        self.ask_to_stop()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL to the child itself, as a crash would; waits until it is gone."""
        if self.exit_code() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise TypeError("the guard was started without this pipe")
    return end


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a text file; empty if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
