"""``wardstock reconcile``: do ledgers, tables and outputs say the same as the inputs?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import ExitCode, JsonOption, console, emit, settings_of, table_of

if TYPE_CHECKING:
    from pydantic import SecretStr
    from rich.console import Group

    from app.config import Settings
    from app.reconcile import Report

_LINES_EVERY = 10  # off a terminal, a line for each tenth of the way


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock reconcile --json | jq .differences")(reconcile)


def reconcile(
    ctx: typer.Context,
    show: Annotated[int, typer.Option(min=0, help="Most differences to print; all of them are counted.")] = 20,
    json: JsonOption = False,
) -> None:
    """Check that every event was applied exactly once, and that ledgers, tables and outputs follow from the inputs.

    Reads committed records only, with code that shares nothing with the engine. Run it on a drained system
    (`wardstock lag`): what is still under way shows as lost. Exits 1 if there is any difference.
    """
    report = _reconciled(settings_of(ctx))
    emit(report.as_dict(), json=json, table=lambda: _page(report, show))
    if not report.ok:
        raise typer.Exit(ExitCode.FOUND)


def _reconciled(settings: Settings) -> Report:
    from app.reconcile import reconcile as check

    options = {
        "ssl.ca.location": settings.registry_ca,
        "ssl.certificate.location": settings.registry_certificate,
        "ssl.key.location": settings.registry_key,
        "ssl.key.password": _revealed(settings.registry_key_password),
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    with progress() as on_progress:
        return check(
            settings.client_config(),
            settings.registry(),
            _revealed(settings.registry_auth),
            on_progress,
            registry_options=given,
        )


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Offsets read, of all: a bar on a terminal, off it a line for each tenth."""
    out = console()
    if not out.is_terminal:
        yield _lines(lambda text: out.print(text, markup=False))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(TextColumn("reading"), BarColumn(), MofNCompleteColumn(), console=out, transient=True) as bars:
        task = bars.add_task("reading", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _lines(say: Callable[[str], None]) -> Callable[[int, int], None]:
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if total and done * _LINES_EVERY // total > told:
            told = done * _LINES_EVERY // total
            say(f"read {done:,} of {total:,} offsets")

    return tell


def _page(report: Report, show: int) -> Group:
    """Figures first, then what is wrong, and last the verdict, where the eye ends up."""
    from rich.console import Group
    from rich.text import Text

    figures = table_of(("figure", "value"), report.figures(), title="on the topics")
    rows = [(one.kind, one.rule, one.key, one.what, one.expected, one.found) for one in report.differences[:show]]
    columns = ("class", "rule", "key or id", "what", "expected", "found")
    differences = [table_of(columns, rows, title="differences")] if rows else []
    more = report.lost + report.duplicated + report.wrong - len(rows)
    rest = [Text(f"and {more:,} more: --show prints more of them, --json the first 1,000")] if more > 0 else []
    return Group(figures, *differences, *rest, Text(verdict(report)))


def verdict(report: Report) -> str:
    """The result in one line."""
    if report.ok:
        return f"The books balance: {report.distinct:,} distinct events, each applied exactly once."
    counts = f"lost {report.lost:,}, doubled {report.duplicated:,}, wrong {report.wrong:,}"
    return f"The books do not balance: {counts}."
