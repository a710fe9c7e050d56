"""``wardstock worker``: run pipelines until told to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import ExitCode, console, fail, settings_of
from app.errors import Conflict, Unreachable

if TYPE_CHECKING:
    from rich.progress import TaskID

    from app.config import Settings
    from app.runtime.state.restore import Restorer
    from app.runtime.worker import Worker

_LOG_EVERY_S = 10.0
_BAR_EVERY_S = 0.2


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock worker inventory --slot 1")(worker)


def worker(
    ctx: typer.Context,
    pipelines: Annotated[
        list[str] | None, typer.Argument(metavar="[PIPELINE]…", help="Pipelines to run; all of them if none is named.")
    ] = None,
    slot: Annotated[
        int | None, typer.Option(min=0, help="Number of this worker; unique among those of a pipeline.")
    ] = None,
    http_port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port of /metrics and the rest.")] = None,
) -> None:
    """Run a worker: keep positions and orders, publish what follows. SIGTERM stops it gracefully.

    Exits 0 after a graceful stop, 1 after a failure. Its HTTP server answers /metrics, /livez, /readyz and
    /tables/{table}/{key}; the log says where.
    """
    from app import logs
    from app.main import PIPELINES

    settings = settings_of(ctx, slot=slot, http_port=http_port)
    names = pipelines or list(PIPELINES)
    unknown = [name for name in names if name not in PIPELINES]
    if unknown:
        raise fail(f"no pipeline {', '.join(unknown)}", ExitCode.USAGE, f"There are: {', '.join(PIPELINES)}.")
    logs.configure(settings.log_level, settings.log_format)
    _demand_topics(settings)
    built = _built(settings, names)
    threading.Thread(target=_show_restores, args=(built.restorer,), name="restore-progress", daemon=True).start()
    raise typer.Exit(built.run())


def _built(settings: Settings, names: list[str]) -> Worker:
    from app.contracts.registry import NotRegistered
    from app.main import build_worker
    from app.runtime.errors import RegistryUnavailable

    try:
        return build_worker(settings, names)
    except NotRegistered as error:
        raise Conflict(f"schema registry: {error}", "register them with `wardstock schemas register`") from None
    except RegistryUnavailable as error:
        raise Unreachable(f"schema registry: {error}", "see `wardstock doctor`") from None


def _demand_topics(settings: Settings) -> None:
    """All inputs of a pipeline share one partition count, fixed for life: a difference would split keys from state."""
    from app.cli.declared import declared
    from app.kafka_admin import Cluster

    specs = declared(settings)
    cluster = Cluster(settings)
    there = cluster.partitions()
    missing = [spec.name for spec in specs if spec.name not in there]
    if missing:
        raise Conflict(
            f"topics missing at {cluster.address}: {', '.join(missing)}", "make them with `wardstock topics create`"
        )
    unfit = [spec for spec in specs if there[spec.name] != spec.partitions]
    if unfit:
        found = "\n".join(
            f"{spec.name} has {there[spec.name]} partitions, expected {spec.partitions}" for spec in unfit
        )
        raise Conflict(
            found, "a partition count is for life: set WARDSTOCK_PARTITIONS to what the topics were made with"
        )


def _show_restores(restorer: Restorer) -> None:
    """Bars on a terminal, a log line every 10 s otherwise, for as long as the worker lives."""
    out = console()
    if out.is_terminal:
        _show_bars(restorer)
    else:
        _log_lines(restorer)


def _show_bars(restorer: Restorer) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    pause = threading.Event()
    columns = (TextColumn("restoring {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bars:
        tasks: dict[tuple[str, int], TaskID] = {}
        while not pause.wait(_BAR_EVERY_S):
            current = {(each.pipeline, each.partition): each for each in restorer.progress()}
            for gone in tasks.keys() - current.keys():
                bars.remove_task(tasks.pop(gone))
            for key, each in current.items():
                if key not in tasks:
                    tasks[key] = bars.add_task(f"{each.pipeline}/{each.partition}", total=each.total)
                bars.update(tasks[key], total=each.total, completed=each.done)


def _log_lines(restorer: Restorer) -> None:
    import structlog

    log = structlog.get_logger(__name__)
    pause = threading.Event()
    while not pause.wait(_LOG_EVERY_S):
        for each in restorer.progress():
            log.info(
                "partition.restoring", pipeline=each.pipeline, partition=each.partition, records_done=each.done,
                records_remaining=each.remaining,
            )  # fmt: skip
