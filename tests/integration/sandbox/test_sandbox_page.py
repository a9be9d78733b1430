"""The commands of docs/sandbox.md do what the page says, as printed."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.sandbox.conftest import Setting

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()
COMMANDS = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S))


@pytest.mark.long
@pytest.mark.timeout(600)  # some sixty commands, each of which is a process that begins with its imports
async def test_every_command_does_what_the_page_says(setting: Setting, tmp_path: Path) -> None:
    world = setting.world
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DSR_TARGET": ",".join(f"{name}=127.0.0.1:{port}" for name, port in world.ports.items()),
        "DSR_CREDENTIAL": str(world.folder / "acme-sandbox.json"),
        "DSR_ACTOR": "clerk-7",
    }
    command = ["bash", "-eu", "-o", "pipefail", "-c", COMMANDS]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=540
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"access-\S+\.zip breach\.html return-\S+\.zip", " ".join(sorted(os.listdir(tmp_path))))
    assert re.search(r"^state +CERTIFIED$", done.stdout, re.M)
