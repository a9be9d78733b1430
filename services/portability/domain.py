"""The right to data portability: its names, and what follows what."""

from collections.abc import Sequence

from dsr.authority.v1.authority_pb2 import RIGHT_PORTABILITY

from dsrkit.requests import copying
from dsrkit.requests.flow import Founds
from dsrkit.requests.model import Dossier, Move, Request, Right
from dsrkit.tasks import NewTask, Task

RIGHT = Right("portability", "portabilityRequests", RIGHT_PORTABILITY)
_WHOLE = {"whole": True}


def advance(request: Request, dossier: Dossier, tasks: Sequence[Task], founds: Founds) -> Move | None:
    """What follows when no task is open: pure. The return of a whole source looks for nobody."""
    if "termination" not in request.facts:
        return copying.advance(request, dossier, tasks, founds)
    if any(task.result.get("over") for task in tasks if task.state == "done"):
        return Move("CANCELLED")
    match request.state:
        case "PENDING":
            return Move("EXPORTING", [NewTask("export", request.data_sources[0], input=_WHOLE)])
        case "EXPORTING":
            return Move("PACKAGING", [NewTask("package", input=_WHOLE)])
        case _:
            return copying.advance(request, dossier, tasks, founds)


def is_whole(task: Task) -> bool:
    """Whether a task is part of a whole source's return."""
    return bool(task.input.get("whole"))
