"""Walks one pattern for several people at once. Where the identity alone decides a name it is looked up, not listed."""

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsr.connector.v1 import connector_pb2 as pb

from connectors.filesystem import tree
from connectors.filesystem.found import Found, Record
from connectors.filesystem.options import Collection
from connectors.filesystem.pattern import Segment
from dsrkit.errors import DsrError


class SearchCancelled(Exception):
    """Nobody waits for the search any more."""


@dataclass
class Watch:
    """Between a search in its thread and whoever waits for it."""

    source: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    seen: int = 0
    """Files found so far."""

    def check(self, path: str) -> None:
        """Called for each folder: is the search still wanted, and not too deep?"""
        if self.cancelled.is_set():
            raise SearchCancelled
        if path.count("/") > tree.MAX_DEPTH:
            raise DsrError(
                "SOURCE_REJECTED",
                f"Folders are nested deeper than {tree.MAX_DEPTH}. Flatten them.",
                source=self.source,
                why="DEPTH",
            )


class Walk:
    """Looks in one collection for people by one of the names in its pattern."""

    def __init__(
        self,
        watch: Watch,
        name: str,
        collection: Collection,
        variable: str,
        subjects: Sequence[pb.Subject],
        results: Sequence[Found],
    ) -> None:
        self._watch = watch
        self._name = name
        self._segments = collection.compiled.segments
        self._pattern = collection.compiled
        self._variable = variable
        self._results = results
        self._fold = collection.identity[variable].match == "case_fold"
        self._wanted = self._index(collection, subjects)

    def _index(self, collection: Collection, subjects: Sequence[pb.Subject]) -> dict[str, list[int]]:
        """Value to the people it names."""
        segment = next(s for s in self._segments if self._variable in s.variables)
        wanted: dict[str, list[int]] = {}
        for index, subject in enumerate(subjects):
            values = {i.value for i in subject.identities if i.type == collection.type_of(self._variable)}
            for value in sorted(values):
                if segment.searchable(self._variable, value):
                    people = wanted.setdefault(self._normal(value), [])
                    if index not in people:
                        people.append(index)
                else:
                    self._results[index].note(self._name, "IDENTITY_NOT_SEARCHABLE")
        return wanted

    def _normal(self, value: str) -> str:
        return value.casefold() if self._fold else value

    def start(self, handle: int, base: str) -> None:
        """Walks from the fixed folder `base`."""
        if self._wanted:
            everybody = sorted({index for people in self._wanted.values() for index in people})
            self._step(handle, base, len(self._pattern.base), everybody, {})

    def _step(self, handle: int, path: str, index: int, people: list[int], values: Mapping[str, str]) -> None:
        self._watch.check(path)
        segment = self._segments[index]
        if segment.deep:
            self._step(handle, path, index + 1, people, values)
            for name in tree.names(handle):
                self._descend(handle, path, name, index, people, values)
            return
        for name, read, owners, looked_up in self._candidates(handle, segment, people):
            status = tree.status(handle, name)
            if status is None or (looked_up and not tree.is_literal(handle, name, status)):
                continue
            self._enter(handle, f"{path}/{name}" if path else name, index, owners, {**values, **read}, status)

    def _candidates(
        self, handle: int, segment: Segment, people: list[int]
    ) -> Iterator[tuple[str, Mapping[str, str], list[int], bool]]:
        """Names to look at: name, identities in it, whose it would be, whether it was composed from an identity."""
        if segment.fixed is not None:
            yield segment.fixed, {}, people, False
            return
        mine = self._variable in segment.variables
        if mine and not self._fold and segment.name(self._variable, "") is not None:
            for value, owners in self._wanted.items():
                yield segment.name(self._variable, value) or "", {self._variable: value}, owners, True
            return
        for name in tree.names(handle):
            read = segment.read(name)
            if read is None:
                continue
            found = self._wanted.get(self._normal(read[self._variable])) if mine else people
            if found:
                yield name, read, found, False

    def _enter(
        self, handle: int, path: str, index: int, people: list[int], values: Mapping[str, str], status: os.stat_result
    ) -> None:
        last = index == len(self._segments) - 1
        if stat.S_ISDIR(status.st_mode):
            if last:
                return
            if self._variable in self._segments[index].variables:
                for person in people:
                    self._results[person].folders.setdefault(self._name, set()).add(path)
            try:
                with tree.folder(handle, tree.split(path)[1]) as below:
                    self._step(below, path, index + 1, people, values)
            except FileNotFoundError:
                return  # removed since it was listed
        elif not stat.S_ISREG(status.st_mode):
            self._note_other(people, path, status.st_mode)
        elif last:
            record = Record(
                path=path,
                size=status.st_size,
                mtime_ns=status.st_mtime_ns,
                device=status.st_dev,
                inode=status.st_ino,
                links=status.st_nlink,
                values=tuple(sorted(values.items())),
            )
            for person in people:
                self._watch.seen += self._results[person].add(self._name, record)

    def _descend(
        self, handle: int, path: str, name: str, index: int, people: list[int], values: Mapping[str, str]
    ) -> None:
        """`**`: goes into a folder, staying at the same segment."""
        status = tree.status(handle, name)
        below = f"{path}/{name}" if path else name
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            try:
                with tree.folder(handle, name) as inner:
                    self._step(inner, below, index, people, values)
            except FileNotFoundError:
                return  # removed since it was listed
        elif stat.S_ISLNK(status.st_mode) and _leads_to_folder(handle, name):
            self._note_other(people, below, status.st_mode)

    def _note_other(self, people: Iterable[int], path: str, mode: int) -> None:
        for person in people:
            self._results[person].note_other(self._name, path, mode)


def _leads_to_folder(handle: int, name: str) -> bool:
    """Whether a link leads to a folder, which the search then misses. Only its kind is asked, nothing is opened."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=handle).st_mode)
    except OSError:
        return False
