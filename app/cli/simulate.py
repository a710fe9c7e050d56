"""``wardstock simulate``: a simulated health system publishes to the input topics."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import JsonOption, console, emit, settings_of, table_of
from app.errors import Conflict, Unreachable
from app.simulate.plan import Mix, Plan, Shares, span_ms

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from app.config import Settings
    from app.simulate.simulation import Simulation

LINE_EVERY_S = 10.0
DEFAULTS = Shares()


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock simulate --events 20000 --seed 7 --repeats 0.05 --json")(simulate)


def simulate(
    ctx: typer.Context,
    events: Annotated[int, typer.Option(help="Messages on the input topics, repeats and answers included.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same hospitals and happenings.")] = 7,
    rate: Annotated[float, typer.Option(help="Messages a second; 0: as fast as possible.")] = 0.0,
    facilities: Annotated[int, typer.Option(help="Hospitals; each keeps about 150 items at six locations.")] = 4,
    mix: Annotated[Mix, typer.Option(help="all: everything that happens; usage: clinical usage only, for load.")] = (
        Mix.ALL
    ),
    repeats: Annotated[float, typer.Option(help="Share of messages that repeat an event.")] = DEFAULTS.repeats,
    late: Annotated[float, typer.Option(help="Share of events recorded hours after they occurred.")] = DEFAULTS.late,
    out_of_order: Annotated[
        float, typer.Option(help="Share of messages overtaken by later ones.")
    ] = DEFAULTS.out_of_order,
    invalid: Annotated[
        float, typer.Option(help="Share of messages with a field, reference or id that cannot be.")
    ] = DEFAULTS.invalid,
    undecodable: Annotated[float, typer.Option(help="Share of messages that nobody can read.")] = DEFAULTS.undecodable,
    misplaced: Annotated[
        float, typer.Option(help="Share of messages without their key, or under another.")
    ] = DEFAULTS.misplaced,
    patience: Annotated[
        float, typer.Option(help="Seconds without a trigger before the ERP stops waiting for more, near the end.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Publish what a seeded health system would: usages, movements, orders, deliveries, and their mishaps.

    Its master data come first. Its ERP answers replenishment triggers with orders, its suppliers deliver. Ctrl-C or
    SIGTERM ends it early, and the summary says what was published.
    """
    now = int(time.time() * 1000)
    plan = Plan(
        seed=seed,
        events=events,
        start=now - span_ms(events),
        end=now,
        rate=rate,
        facilities=facilities,
        shares=Shares(repeats, late, out_of_order, invalid, undecodable, misplaced),
        mix=mix,
        patience_s=patience,
    )
    with connected(settings_of(ctx), plan) as simulation, stop_on_signals() as stop:
        simulation.publish_master()
        with progress(events) as on_progress:
            summary = simulation.run(on_progress, stop)
    data = {**asdict(summary), "events_per_s": round(summary.events_per_s)}
    emit(data, json=json, table=lambda: _table(data))


@contextmanager
def connected(settings: Settings, plan: Plan) -> Iterator[Simulation]:
    """A simulation on the cluster and registry of the settings.

    Raises ConfigError, Unreachable, or Conflict where topics or schemas are missing.
    """
    from agents import topics
    from app.contracts.codec import AvroCodec
    from app.contracts.registry import HttpRegistry, NotRegistered
    from app.runtime.errors import RegistryUnavailable
    from app.simulate.simulation import Simulation

    with HttpRegistry.of(settings) as registry:
        try:
            yield Simulation(settings.client_config(), AvroCodec(registry, topics.ALL), plan)
        except RegistryUnavailable as error:
            raise Unreachable(f"schema registry: {error}", "see `wardstock doctor`") from None
        except NotRegistered as error:
            raise Conflict(f"schema registry: {error}", "register them with `wardstock schemas register`") from None


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, once; the second Ctrl-C interrupts. Main thread only."""
    stop = threading.Event()

    def ask(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(events: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; off it a line every ten seconds."""
    out = console()
    if not out.is_terminal:
        yield _lines(out, events)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bars:
        task = bars.add_task("publishing", total=events)
        yield lambda published: bars.update(task, completed=published)


def _lines(out: Console, events: int) -> Callable[[int], None]:
    told = time.monotonic()

    def tell(published: int) -> None:
        nonlocal told
        if time.monotonic() - told >= LINE_EVERY_S:
            told = time.monotonic()
            out.print(f"published {published} of {events} events")

    return tell


def _table(data: dict[str, Any]) -> Table:
    """The summary, a line for each figure; topics below."""
    figures = [(name.replace("_", " "), _shown(value)) for name, value in data.items() if name != "topics"]
    return table_of(("figure", "value"), [*figures, *data["topics"].items()], title="published")


def _shown(value: object) -> object:
    return f"{value:.1f}" if isinstance(value, float) else value
