"""The durable steps of the right, beside those that all rights share."""

from collections.abc import Iterator, Mapping, Sequence

from dsrkit.parts import Part, Report
from dsrkit.requests.copying import Package
from dsrkit.requests.model import Request
from dsrkit.requests.runtime import Toolbox
from dsrkit.tasks.worker import Step
from services.portability import package


def steps(tools: Toolbox) -> Mapping[str, Step]:
    """Step name to function."""

    def build(request: Request, report: Report, parts: Sequence[Part]) -> Iterator[bytes]:
        return package.build(report, parts, request.facts["formats"])

    return {"export": tools.export.export, "package": Package(tools, build).package}
