"""One object of any format: search it, or write it anew without some records."""

from collections.abc import Iterator
from typing import Literal

from connectors.lake import archive, codec
from connectors.lake.csvrows import Csv
from connectors.lake.identity import Wanted
from connectors.lake.jsonl import JsonLines
from connectors.lake.parquet import Parquet
from connectors.lake.record import Broken, Drop, Fixed, Hit, Sink, Source

Format = Literal["jsonl", "csv", "parquet"]


class Search:
    """For one set of people in objects of one format. Holds no state of a search: threads may share it."""

    def __init__(self, form: Format, wanted: Wanted, *, delimiter: str = ",") -> None:
        self._parquet = Parquet(wanted) if form == "parquet" else None
        self._lines = JsonLines(wanted) if form == "jsonl" else Csv(wanted, delimiter)

    def scan(self, source: Source) -> Iterator[Hit | Broken | Fixed]:
        """Their records, and records that can't be read. Unreadable if the object as a whole can't."""
        if self._parquet is not None:
            return self._parquet.scan(source)
        packing = codec.detect(source)
        return self._lines.scan(archive.text(codec.blocks(source, packing), within=packing != "none"))

    def rewrite(self, source: Source, sink: Sink, drop: Drop) -> None:
        """The same object without the records for which `drop` says so."""
        if self._parquet is not None:
            self._parquet.rewrite(source, sink, drop)
            return
        packing = codec.detect(source)
        with codec.writer(sink, packing) as write:
            self._lines.rewrite(codec.blocks(source, packing), write, drop)
