"""The durable steps of the right, beside those that all rights share."""

from collections.abc import Iterator, Mapping, Sequence

from dsrkit.parts import Part, Report
from dsrkit.requests.copying import Package
from dsrkit.requests.model import Request
from dsrkit.requests.runtime import Toolbox
from dsrkit.tasks.worker import Step
from services.portability import package
from services.portability.domain import is_whole
from services.portability.returns import Whole


def steps(tools: Toolbox) -> Mapping[str, Step]:
    """Step name to function."""

    def build(request: Request, report: Report, parts: Sequence[Part]) -> Iterator[bytes]:
        return package.build(report, parts, request.facts["formats"])

    person, whole = Package(tools, build), Whole(tools)
    return {
        "export": lambda task: whole.export(task) if is_whole(task) else tools.export.export(task),
        "package": lambda task: whole.package(task) if is_whole(task) else person.package(task),
    }
