"""Run as a process: destroys a whole source of objects, and kills itself at a moment that the caller names.

`python -m tests.servers.kill_whole <file of kind, options and state folder> <cap of assets> <batch> <moment>`
Moments: `listed` (before the intent is in place), `begun` (after), `middle` (of a batch), `gone` (before the outcome).
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from connectors.objects import destroy, listed, whole
from connectors.objects.store import Version
from tests.servers.objects import Objects


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(told: Mapping[str, Any], cap: int, batch: int, moment: str) -> None:
    source = Objects(told["kind"], told["options"], Path(told["state"]))
    store: Any = source.backend._store
    clear, batches = store.clear, 0

    async def cleared(versions: Sequence[Version]) -> None:
        nonlocal batches
        batches += 1
        if moment == "begun":
            die()
        if moment == "middle" and batches == 3:
            await clear(versions[: batch // 2])
            die()
        await clear(versions)

    store.clear = cleared
    if moment == "listed":
        setattr(listed.Draft, "commit", die)  # noqa: B010
    if moment == "gone":
        setattr(destroy.Destroyer, "_close", die)  # noqa: B010
    whole._BATCH = batch
    await source.destroy({"assets": cap})


if __name__ == "__main__":
    file, cap, batch, moment = sys.argv[1:]
    asyncio.run(main(json.loads(Path(file).read_text()), int(cap), int(batch), moment))
