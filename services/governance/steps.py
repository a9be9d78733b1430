"""What follows the durable steps of governance's families: nothing, so far."""

from dsrkit.db import Connection
from dsrkit.tasks import Done, Task


async def lock(connection: Connection, task: Task) -> None:
    """Deliveries stand alone: there is nothing to lock."""


async def settle(connection: Connection, task: Task, done: Done) -> None:
    """Nothing follows a delivery."""


async def waiting(connection: Connection, task: Task, reason: str) -> None:
    """Nobody is told that a delivery waits."""
