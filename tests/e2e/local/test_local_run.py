"""`make run`: the story is true, and however it ends nothing is left running."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parents[3]
STARTED = "seven processes, until each says it serves"


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Shared, as by somebody who runs it again and again."""
    with tempfile.TemporaryDirectory(prefix="dsr-test-") as folder:
        Path(folder).chmod(0o755)  # for root PostgreSQL runs as nobody, who must reach its data
        yield Path(folder) / "data"


@contextmanager
def running(data: Path, *arguments: str, until: str) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A run that has printed `until`, and everything that belongs to it. Asserts that none of it is left in the end."""
    command = [sys.executable, "-m", "deploy.local", "--data", str(data), *arguments]
    # Whoever runs the tests in the background may have SIGINT ignored, which children inherit.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        assert process.stdout
        printed = ""
        for line in process.stdout:
            printed += line
            if until in line:
                break
        else:
            pytest.fail(printed)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 16, "seven services and PostgreSQL, each with its guard"
        try:
            yield process, family
        finally:
            process.kill()
            _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


@pytest.mark.timeout(300)
def test_the_story_is_true(data: Path) -> None:
    command = [sys.executable, "-m", "deploy.local", "--data", str(data), "--once"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 28 expectations held." in done.stdout
    assert str(data) not in " ".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))


@pytest.mark.long
def test_ctrl_c_ends_everything(data: Path) -> None:
    with running(data, until=STARTED) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 1, "the story was not finished"


@pytest.mark.long
def test_kill_9_ends_everything(data: Path) -> None:
    with running(data, until=STARTED) as (process, _):
        process.kill()
        assert process.wait(30) == -signal.SIGKILL


@pytest.mark.long
def test_a_process_that_dies_is_named_with_its_last_lines(data: Path) -> None:
    with running(data, until=STARTED) as (process, family):
        erasure = next(p for p in family if p.cmdline()[1:] == ["-m", "services.erasure"])
        erasure.kill()
        printed = process.stdout.read() if process.stdout else ""
        assert process.wait(30) == 1
    assert "erasure ended with code 137" in printed
    assert '"service": "erasure"' in printed


@pytest.mark.long
def test_two_runs_in_one_folder_are_refused(data: Path) -> None:
    with running(data, until=STARTED):
        command = [sys.executable, "-m", "deploy.local", "--data", str(data), "--once"]
        second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "end that one first" in second.stderr
