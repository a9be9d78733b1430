"""The last checkpoint, kept where nothing is ever set back: with the keys, outside of the database and its backups.

A database that is restored from an older backup has fewer entries than were signed for. Going on from there would sign
a second history, so nothing is signed until an operator has decided (docs/operating.md).
"""

from dataclasses import dataclass
from pathlib import Path

from dsr.ledger import Checkpoint, SigningKey

from dsrkit.files import locked, replace, sync_folder


@dataclass(frozen=True)
class Witness:
    """One file per ledger key. Blocking."""

    folder: Path
    key: SigningKey

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.key.verifier.id.hex()}.checkpoint"

    def seen(self) -> Checkpoint | None:
        """The last checkpoint that was signed; None before the first. ValueError when the file was damaged."""
        try:
            note = self._path.read_text()
        except FileNotFoundError:
            return None
        return Checkpoint.verify(note, self.key.verifier)

    def see(self, note: str, after: Checkpoint | None) -> bool:
        """Keeps a checkpoint in the place of `after`; False when another one is kept there by now.

        On disk when this returns.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock")):
            before = self.seen()
            if before == Checkpoint.verify(note, self.key.verifier):
                return True
            if before != after:
                return False
            replace(self._path, note, 0o644)
            sync_folder(self.folder.parent)
        return True
