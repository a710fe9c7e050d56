"""``wardstock up``, ``down`` and ``status``: the embedded Kafka and registry."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import ExitCode, JsonOption, console, emit, settings_of, table_of
from app.errors import ConfigError

if TYPE_CHECKING:
    from app.config import Settings
    from app.embedded.stack import Member, Stack, StackStatus

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--stack-dir", metavar="DIR", help="Data, logs and pids (else WARDSTOCK_STACK_DIR, .wardstock/stack)."
    ),
]
PortOption = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Port to listen on; else the last one, or any free one.")
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: wardstock up --kafka-port 9092 --registry-port 8081")(up)
    app.command(epilog="Example: wardstock down --erase")(down)
    app.command(epilog="Example: wardstock status --json")(status)


def up(
    ctx: typer.Context,
    stack_dir: DirectoryOption = None,
    kafka_port: PortOption = None,
    registry_port: PortOption = None,
    repository: Annotated[
        str | None, typer.Option(metavar="URL", help="Maven repository to download from; else Maven Central.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Start a real Kafka and schema registry on this machine, for development and tests.

    Downloads them at the first time (about 190 MB), from then on works offline. They run until `wardstock down`.
    """
    from app.embedded.progress import shown_on

    settings = settings_of(ctx, stack_dir=stack_dir)
    stack = _stack(settings, repository)
    already, began = stack.status().up, time.monotonic()
    with shown_on(console()) as reporter:
        stack.start(reporter, kafka_port=kafka_port, registry_port=registry_port)
    console().print("already up" if already else f"up after {time.monotonic() - began:.1f} s", style="bold green")
    _remark_other_cluster(settings)
    _show(stack.status(), json)


def down(
    ctx: typer.Context,
    stack_dir: DirectoryOption = None,
    erase: Annotated[bool, typer.Option("--erase", help="Delete topics, schemas and logs as well.")] = False,
    json: JsonOption = False,
) -> None:
    """Stop the embedded Kafka and registry; what they keep stays for the next `wardstock up`."""
    from app.embedded.progress import shown_on

    stack = _stack(settings_of(ctx, stack_dir=stack_dir))
    with shown_on(console()) as reporter:
        ended = stack.stop(reporter)
    if erase:
        stack.erase()
    emit(
        {"stopped": ended, "erased": erase, "directory": stack.directory},
        json=json,
        table=lambda: f"stopped pid {', '.join(map(str, ended))}" if ended else f"nothing ran in {stack.directory}",
    )


def status(ctx: typer.Context, stack_dir: DirectoryOption = None, json: JsonOption = False) -> None:
    """Show what runs, where it listens, and where its data and logs are. Exit code 1 unless all of it is up."""
    found = _stack(settings_of(ctx, stack_dir=stack_dir)).status()
    _show(found, json)
    if found.stale:
        console().print(f"stale pid file: no process of this stack is {' or '.join(found.stale)}", style="yellow")
    if not found.up:
        console().print("start it with `wardstock up`")
        raise typer.Exit(ExitCode.FOUND)


def _stack(settings: Settings, repository: str | None = None) -> Stack:
    try:
        from app.embedded.artifacts import CENTRAL, ArtifactCache
        from app.embedded.stack import Stack
    except ImportError as missing:
        message = f"the embedded stack is not installed ({missing})"
        raise ConfigError(message, "pip install 'wardstock[embedded]'") from missing
    return Stack(settings.stack_dir, ArtifactCache(repository=repository or CENTRAL))


def _remark_other_cluster(settings: Settings) -> None:
    other = {"WARDSTOCK_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "WARDSTOCK_REGISTRY_URL": settings.registry_url}
    for name, value in other.items():
        if value:
            console().print(f"{name} is set: commands use {value} and not this stack", style="yellow", markup=False)


def _show(found: StackStatus, json: bool) -> None:
    columns = ("program", "version", "pid", "address", "memory MB")
    emit(
        {"up": found.up, **asdict(found)},
        json=json,
        table=lambda: table_of(columns, map(_row, found.members), title=f"data and logs: {found.directory}"),
    )


def _row(member: Member) -> tuple[object, ...]:
    pid = None if member.pid is None else str(member.pid)  # an id, not a quantity: no thousands separator
    return member.name, member.version, pid, member.address, member.memory_mb
