"""Every record of an object, for counting: whoever it names."""

from collections.abc import Iterator, Sequence
from typing import Any

from connectors.lake import archive, codec
from connectors.lake.csvrows import Csv
from connectors.lake.identity import Rule, Wanted
from connectors.lake.jsonl import JsonLines
from connectors.lake.parquet import Parquet
from connectors.lake.record import Source
from connectors.lake.search import Format


def records(form: Format, rules: Sequence[Rule], source: Source, *, delimiter: str = ",") -> Iterator[Any]:
    """What these rules need of each record, None where one can't be read. Unreadable if the object as a whole can't."""
    nobody = Wanted(rules, [])
    if form == "parquet":
        return Parquet(nobody).records(source)
    packing = codec.detect(source)
    chunks = archive.text(codec.blocks(source, packing), within=packing != "none")
    return JsonLines(nobody).records(chunks) if form == "jsonl" else Csv(nobody, delimiter).records(chunks)
