"""README.md's walk of one event, walked: its files and its commands, on a stack of its own, as a reader would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.markdown import README, blocks, files_in

STORY = "walkthrough"
PATIENCE_S = 60.0  # a worker needs some seconds to join, and this machine may be busy


@dataclass(frozen=True, slots=True)
class Step:
    """A command line, and the lines that README.md shows of what it prints."""

    command: str
    shown: tuple[str, ...]


def steps() -> list[Step]:
    """Of the blocks of the story: a line that begins with ``$`` is a command, ``…`` stands for lines left out."""
    lines = [line for block in blocks(README) if block.name == STORY for line in block.text.splitlines()]
    starts = [place for place, line in enumerate(lines) if line.startswith("$ ")]
    ends = [*starts[1:], len(lines)]
    return [
        Step(lines[start].removeprefix("$ "), tuple(line for line in lines[start + 1 : end] if line.strip(" …")))
        for start, end in zip(starts, ends, strict=True)
    ]


class Shell:
    """Runs the walk's commands in ``directory``, with this environment's programs and no settings of this machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WARDSTOCK_")}
        self._environment = {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self._behind: list[subprocess.Popen[bytes]] = []

    def walk(self, step: Step) -> None:
        if step.command == "kill %1":
            assert self.end_what_runs_behind() == [0]
        elif step.command.endswith(" &"):
            self._start(step.command.removesuffix(" &"))
        else:
            self._run_until_shown(step)

    def run(self, command: str) -> str:
        done = subprocess.run(
            command, shell=True, cwd=self._directory, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or command.startswith("wardstock tables get"), done.stderr
        return done.stdout + done.stderr

    def end_what_runs_behind(self) -> list[int]:
        """Blocks until all is ended in order; returns the exit codes."""
        ended, self._behind = self._behind, []
        for worker in ended:
            worker.terminate()
        return [worker.wait(timeout=PATIENCE_S) for worker in ended]

    def _start(self, command: str) -> None:
        worker = subprocess.Popen(f"exec {command}", shell=True, cwd=self._directory, env=self._environment)
        self._behind.append(worker)

    def _run_until_shown(self, step: Step) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (missing := not_printed(step.shown, self.run(step.command))) is not None:
            assert all(each.poll() is None for each in self._behind), (self._directory / "worker.log").read_text()
            assert time.monotonic() < deadline, f"`{step.command}` does not print {missing!r}"
            time.sleep(0.5)


def not_printed(shown: tuple[str, ...], printed: str) -> str | None:
    """The first shown line that is not among the printed ones, in this order; None where all are."""
    lines = (line.rstrip() for line in printed.splitlines())
    return next((line for line in shown if line.rstrip() not in lines), None)


@contextmanager
def shell_in(directory: Path) -> Iterator[Shell]:
    shell = Shell(directory)
    try:
        yield shell
    finally:
        try:
            shell.end_what_runs_behind()
        finally:
            shell.run("wardstock down --erase")


def test_a_reader_who_follows_the_readme_sees_what_it_shows(tmp_path: Path) -> None:
    for name in ("publish.py", "see.py"):
        (tmp_path / name).write_text(files_in(README)[name], encoding="utf-8")
    with shell_in(tmp_path) as shell:
        for step in steps():
            shell.walk(step)


def test_the_walk_shows_table_ledger_and_posting() -> None:
    shown = {step.command for step in steps() if step.shown}
    assert {
        "wardstock tables get positions 'H1|OR-2|STENT-3'",
        "python see.py inventory.ledger",
        "python see.py finance.consumption-postings",
        "wardstock reconcile",
    } <= shown


def test_a_line_that_is_not_printed_or_out_of_order_is_noticed() -> None:
    assert not_printed(("a", "c"), "a\nb\nc") is None
    assert not_printed(("a", "c"), "c\na") == "c"
    assert not_printed(("a", "c"), "") == "a"
