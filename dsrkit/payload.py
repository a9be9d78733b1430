"""What packages of every right share: the records as their connector sent them, and files as files again."""

from collections.abc import Callable, Iterator

from dsrkit import datapackage
from dsrkit.bag import File
from dsrkit.datapackage import Resource
from dsrkit.filenames import Names, safe
from dsrkit.filerecords import Extracted, extract
from dsrkit.parts import Part, verified


def folder(source: str) -> str:
    """Where a source's records are in the bag."""
    return f"data/{safe(source.rpartition('/')[2])}"


def path(names: Names, part: Part, suffix: str) -> str:
    """A path of its own for a collection in one format; `suffix` as in `.csv`."""
    return names.unique(folder(part.source), safe(part.collection) + suffix)


def copied(part: Part, path: str, title: str, resources: list[Resource]) -> Iterator[File]:
    """The JSON Lines, byte for byte and verified. Adds their resource when they have been written."""
    lines = File(path, verified(part), part.size)
    yield lines
    schema = datapackage.schema(part.fields, part.primary_key)
    resources.append(datapackage.table(lines, "application/jsonl", "jsonl", schema, title=title))


def unpacked(part: Part, names: Names, resources: list[Resource], seen: Callable[[Extracted], None]) -> Iterator[File]:
    """The files of a collection of files. `seen` is called for each record, in order, once its file is written."""
    below = f"data/files/{folder(part.source).removeprefix('data/')}/{safe(part.collection)}"
    for found in extract(part, lambda name: names.unique(below, name)):
        if found.file:
            yield found.file
            media_type = found.record.get("media_type") or "application/octet-stream"
            suffix = found.file.path.rpartition("/")[2].rpartition(".")[2].lower()
            resources.append(datapackage.resource(found.file, str(media_type), suffix))
        seen(found)
