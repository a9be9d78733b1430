"""Shows a story on the terminal as it happens, and remembers which expectations held."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from deploy.local.api import Event


@dataclass
class Chapter:
    """One part of the story."""

    title: str
    seconds: float = 0.0
    outcome: str = ""


@dataclass
class Stage:
    """Where it is shown."""

    console: Console
    chapters: list[Chapter] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Expectations that did not hold."""
    held: int = 0
    finished: bool = False
    """Whether the story came to its end."""

    @contextmanager
    def chapter(self, title: str) -> Iterator[Chapter]:
        """A heading; the time of what happens below it is taken."""
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")
        chapter, begin = Chapter(title), time.monotonic()
        self.chapters.append(chapter)
        try:
            yield chapter
        finally:
            chapter.seconds = time.monotonic() - begin

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Something that takes a moment, with the time it took."""
        begin = time.monotonic()
        with self.console.status(text):
            yield
        self.console.print(f"  {text} [dim]{time.monotonic() - begin:.1f} s")

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(f"  {text}")

    def expect(self, text: str, held: bool) -> None:
        """An expectation, and whether it held."""
        if held:
            self.held += 1
        else:
            self.broken.append(text)
        self.console.print(f"  [green]✓[/] {text}" if held else f"  [bold red]✗ {text}")

    async def follow(self, events: AsyncIterator[Event], until: frozenset[str]) -> Event:
        """Shows events as they come, until a state; returns the last one."""
        last = None
        with self.console.status("waiting for what happens") as status:
            async for event in events:
                status.update(event.state.lower())
                if event.source or last is None or event.state != last.state:
                    self.console.print(_line(event))
                last = event
                if event.state in until:
                    break
        if last is None:
            raise ValueError("the stream of events was empty")
        return last

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; what is a number stands to the right. Only the last column is ever broken in two."""
        table = Table(box=None, padding=(0, 1, 0, 2), header_style="dim")
        for index, name in enumerate(columns):
            numbers = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
            whole, justify = index + 1 < len(columns), "right" if numbers else "left"
            table.add_column(name, justify=justify, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
        self.console.print(table)


def _line(event: Event) -> str:
    what = ""
    if event.source:
        what = f"{event.step:9}{event.source:7}" + (f"{event.records:>7,} records" if event.records else "")
    return f"  [dim]{event.seconds:5.1f} s[/]  [cyan]{event.state.lower():13}[/]{what}"
