"""How a start reports itself: bars on a terminal, plain lines elsewhere, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column

LARGE = 5_000_000  # bytes; off a terminal a smaller file gets no lines of its own
LINE_EVERY_S = 5.0

Advance = Callable[[int], None]


class Reporter(Protocol):
    """Where a start tells what it does. Methods may be called from several threads."""

    def say(self, text: str) -> None:
        """One step that begins or is done, in words."""

    def transfer(self, name: str, size: int) -> AbstractContextManager[Advance]:
        """A download of ``size`` bytes (0: not known); what it yields is called with each chunk's length in bytes."""


@contextmanager
def shown_on(console: Console) -> Iterator[Reporter]:
    """Bars where ``console`` is a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield Lines(lambda text: console.print(text, markup=False))
        return
    with Bars(console) as bars:
        yield bars


class Silent:
    """Reports nothing."""

    def say(self, text: str) -> None:
        """Drops ``text``."""

    @contextmanager
    def transfer(self, name: str, size: int) -> Iterator[Advance]:  # noqa: ARG002 the protocol's signature
        yield lambda _: None


class Lines:
    """Plain lines, for a log or a pipe: each step, and large downloads every five seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self._write = write
        self._clock = clock

    def say(self, text: str) -> None:
        self._write(text)

    @contextmanager
    def transfer(self, name: str, size: int) -> Iterator[Advance]:
        if size < LARGE:
            yield lambda _: None
            return
        self._write(f"downloading {name}, {size / 1e6:.0f} MB")
        done, told = 0, self._clock()

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            if self._clock() - told >= LINE_EVERY_S:
                told = self._clock()
                self._write(f"downloading {name}: {done / size:.0%}")

        yield advance


class Bars:
    """A bar for each download that runs; steps as lines above. Use as a context manager around the start."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", max_width=40)),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    @contextmanager
    def transfer(self, name: str, size: int) -> Iterator[Advance]:
        task = self._bars.add_task(name, total=size or None)
        try:
            yield lambda count: self._bars.advance(task, count)
            self._bars.refresh()  # a quick one is seen whole before it goes
        finally:
            self._bars.remove_task(task)
