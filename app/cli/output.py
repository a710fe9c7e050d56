"""How every command speaks: results on stdout, progress and errors on stderr, exit codes with a meaning.

Nothing here imports anything heavy, so that ``wardstock --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from app.errors import ConfigError, Fault, Unreachable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from app.config import Settings

# Off a terminal nothing may be cut or folded: the reader is a program.
_UNBOUNDED = 10_000


class ExitCode(IntEnum):
    OK = 0
    FOUND = 1  # a check failed, or differences were found
    USAGE = 2  # the command line or the settings cannot be used
    UNREACHABLE = 3  # no answer from a broker or a registry
    CONFLICT = 4  # the state of things forbids it: already running, in use


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the options before the command said."""

    config_file: Path | None = None


def settings_of(ctx: typer.Context, **overrides: Any) -> Settings:
    """The settings of this invocation; ``overrides`` are the command's own flags, None where not given.

    Reads file and environment. Raises :class:`app.errors.ConfigError`.
    """
    from app.config import Settings

    invocation = ctx.find_root().obj
    return Settings.load(invocation.config_file if isinstance(invocation, Invocation) else None, **overrides)


def console(stream: TextIO | None = None) -> Console:
    """A rich console on ``stream`` (stderr): for progress and remarks; plain and unfolded off a terminal."""
    from rich.console import Console

    out = stream or sys.stderr
    return Console(file=out, highlight=False, soft_wrap=not out.isatty(), width=None if out.isatty() else _UNBOUNDED)


def emit(data: Any, *, json: bool, table: Callable[[], RenderableType]) -> None:
    """Prints a command's result on stdout: ``data`` as one JSON document, or what ``table`` returns."""
    if json:
        print_json(data)
    else:
        console(sys.stdout).print(table())


def print_json(data: Any) -> None:
    """Prints ``data`` as indented JSON on stdout: dataclasses, dates, decimals, paths and bytes included."""
    import orjson

    typer.echo(orjson.dumps(data, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table of text; numbers align right, None is shown as a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[place], int | float) for row in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def fail(message: str, code: ExitCode, way_out: str | None = None) -> typer.Exit:
    """Prints the error on stderr and returns the exit to raise: ``raise fail(...)``."""
    out = console()
    out.print(f"error: {message}", style="bold red", markup=False)
    if way_out:
        out.print(way_out, markup=False)
    return typer.Exit(code)


def code_of(fault: Fault) -> ExitCode:
    """The exit code for a fault that ended a command."""
    if isinstance(fault, ConfigError):
        return ExitCode.USAGE
    return ExitCode.UNREACHABLE if isinstance(fault, Unreachable) else ExitCode.CONFLICT


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, frozenset | set):
        return sorted(value, key=str)
    return str(value)
