"""``wardstock demo``: see the whole system work, and its books balance although a worker was killed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import ExitCode, JsonOption, console, emit, settings_of, table_of

if TYPE_CHECKING:
    from rich.console import Group

    from app.cli.demo_run import Outcome
    from app.config import Settings

_DIRECTORY = Path(".wardstock/demo")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock demo --seed 3 --json")(demo)


def demo(
    ctx: typer.Context,
    events: Annotated[
        int, typer.Option(min=1000, help="Messages that the simulated health system publishes.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same hospitals and happenings.")] = 7,
    keep: Annotated[bool, typer.Option("--keep", help="Leave Kafka and the registry running, to look around.")] = False,
    json: JsonOption = False,
) -> None:
    """Run everything on this machine: a real Kafka and registry, a simulated health system, two workers.

    One worker is killed with SIGKILL half-way. At the end, code that shares nothing with the engine checks that every
    event was applied exactly once. Exits 1 unless nothing was lost, doubled or wrong.
    """
    from app.embedded.progress import shown_on
    from app.embedded.stack import Stack

    directory = _DIRECTORY.resolve()
    stack = Stack(directory / "stack")
    stack.erase()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with shown_on(console()) as reporter:
        addresses = stack.start(reporter)
    settings = settings_of(
        ctx, bootstrap_servers=addresses.bootstrap_servers, registry_url=addresses.registry_url,
        stack_dir=stack.directory, state_dir=directory / "state",
    )  # fmt: skip
    try:
        outcome = _run(settings, directory, events, seed)
    finally:
        if not keep:
            stack.stop()
    if keep:
        console().print(f"left running: see `wardstock status --stack-dir {stack.directory}`", markup=False)
    data = summary(outcome)
    emit(data, json=json, table=lambda: _page(outcome, data))
    if not outcome.report.ok:
        raise typer.Exit(ExitCode.FOUND)


def _run(settings: Settings, directory: Path, events: int, seed: int) -> Outcome:
    from app.cli.demo_run import Demo
    from app.cli.simulate import progress

    out = console()
    with progress(events) as on_progress:
        return Demo(settings, directory, events, seed, lambda text: out.print(text, markup=False)).run(on_progress)


def summary(outcome: Outcome) -> dict[str, Any]:
    """The figures of a run, as ``--json`` prints them. Times in seconds."""
    report, published = outcome.report, outcome.summary
    return {
        "seed": outcome.seed,
        "events": report.events,
        "distinct": report.distinct,
        "repeats": published.repeats,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "wrong": report.wrong,
        "wrong_positions": report.wrong_positions,
        "positions": report.positions,
        "positions_below": report.positions_below,
        "orders": report.orders,
        "triggers": report.triggers,
        "triggers_cancelled": report.triggers_cancelled,
        "postings": report.postings,
        "notices": report.notices,
        "exceptions": sum(report.exceptions.values()),
        "exceptions_by_kind": dict(report.exceptions),
        "dead_letters": sum(report.dead_letters.values()),
        "dead_letters_by_reason": dict(report.dead_letters),
        "parked": report.parked,
        "ledger_entries": report.ledger_entries,
        "unverifiable": dict(report.unverifiable),
        "kills": outcome.kills,
        "published_per_s": round(published.events_per_s),
        "worked_per_s": round(report.events / (published.seconds + outcome.drain_s)),
        "seconds": round(outcome.total_s, 1),
        "differences": list(report.differences),
    }


def _page(outcome: Outcome, data: dict[str, Any]) -> Group:
    from rich.console import Group
    from rich.panel import Panel

    report = outcome.report
    supply = [
        ("inventory positions", data["positions"]),
        ("at or below their reorder level", data["positions_below"]),
        ("replenishment triggers", data["triggers"]),
        ("withdrawn again", data["triggers_cancelled"]),
        ("purchase orders", data["orders"]),
        ("consumption postings", data["postings"]),
        ("consignment notices", data["notices"]),
        ("ledger entries", data["ledger_entries"]),
    ]
    run = [
        ("messages on the input topics", data["events"]),
        ("distinct valid events", data["distinct"]),
        ("repeats", data["repeats"]),
        ("still parked", data["parked"]),
        ("workers killed (SIGKILL)", data["kills"]),
        ("events worked per second", data["worked_per_s"]),
        ("seconds in all", data["seconds"]),
    ]
    return Group(
        table_of(("the run", ""), run),
        table_of(("supply", ""), supply),
        table_of(("exceptions, by kind", ""), sorted(report.exceptions.items())),
        table_of(("dead letters, by reason", ""), sorted(report.dead_letters.items())),
        Panel(_verdict(data), title="the books", expand=False, border_style="green" if report.ok else "red"),
    )


def _verdict(data: dict[str, Any]) -> str:
    figures = f"lost {data['lost']}   doubled {data['duplicated']}   wrong {data['wrong']}"
    found = [f"  {each}" for each in data["differences"][:10]]
    balanced = not (data["lost"] or data["duplicated"] or data["wrong"])
    told = "every event was applied exactly once" if balanced else "the first differences:"
    return "\n".join([figures, told, *found])
