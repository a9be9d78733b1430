"""What searches, copies and cleans a folder's lake files: the same that does so in object stores."""

from dataclasses import dataclass

from connectors.filesystem.journal import Journal
from connectors.filesystem.lake import FolderStore
from connectors.filesystem.options import Options
from connectors.filesystem.threads import Threads
from connectors.objects.erase import Eraser
from connectors.objects.export import Exporter
from connectors.objects.find import Finder
from connectors.objects.found import Digests
from connectors.objects.turns import Turns


@dataclass(frozen=True)
class Lakes:
    """Of one source."""

    finder: Finder
    exporter: Exporter
    eraser: Eraser

    @classmethod
    def open(
        cls, source: str, options: Options, digests: Digests, journal: Journal, threads: Threads
    ) -> "Lakes | None":
        """None if the source declares none."""
        lakes = options.lakes
        if lakes is None:
            return None
        store = FolderStore(source, options.root, lakes, threads)
        return cls(
            Finder(store, lakes, digests, threads, source),
            Exporter(store, lakes, digests, threads, source),
            Eraser(store, lakes, digests, journal, threads, source, Turns(source)),
        )
