"""Run as a process: destroys a whole source of objects, and kills itself with the third batch on its way.

`python -m tests.servers.kill_whole <file of kind, options and state folder> <cap of assets> <versions of a batch>`
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from connectors.objects import whole
from connectors.objects.store import Version
from tests.servers.objects import Objects


async def main(told: Mapping[str, Any], cap: int, batch: int) -> None:
    source = Objects(told["kind"], told["options"], Path(told["state"]))
    store: Any = source.backend._store
    clear, batches = store.clear, 0

    async def killed(versions: Sequence[Version]) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            await clear(versions[: batch // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        await clear(versions)

    store.clear = killed
    whole._BATCH = batch
    await source.destroy({"assets": cap})


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), *map(int, sys.argv[2:])))
