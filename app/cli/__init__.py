"""The command line: ``wardstock``. Each module of this package is one group of commands, mounted here by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.cli import (
    config,
    demo,
    dlq,
    doctor,
    exceptions,
    lag,
    reconcile,
    schemas,
    simulate,
    stack,
    tables,
    topics,
    worker,
)
from app.cli.output import ExitCode, Invocation, code_of, fail
from app.errors import Fault
from app.runtime.errors import RegistryUnavailable

app = typer.Typer(
    name="wardstock",
    help="Keeps hospital stock, purchasing and finance in step, exactly once, on Apache Kafka.",
    epilog="Exit codes: 0 ok, 1 a check failed or differences were found, 2 usage or settings, 3 broker or registry"
    " unreachable, 4 state conflict.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
demo.register(app)
stack.register(app)
topics.register(app)
schemas.register(app)
worker.register(app)
simulate.register(app)
lag.register(app)
tables.register(app)
exceptions.register(app)
dlq.register(app)
reconcile.register(app)
doctor.register(app)
config.register(app)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"wardstock {version('wardstock')}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="TOML file with settings (else WARDSTOCK_CONFIG, wardstock.toml)."
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    ctx.obj = Invocation(config_file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line (this process's own) and exits.

    The only place where a :class:`app.errors.Fault` becomes a message and an exit code.
    """
    try:
        app(args=arguments)
    except Fault as fault:
        raise SystemExit(fail(fault.message, code_of(fault), fault.way_out).exit_code) from None
    except RegistryUnavailable as silent:
        way_out = "check WARDSTOCK_REGISTRY_URL and WARDSTOCK_REGISTRY_AUTH; `wardstock doctor` checks everything"
        raise SystemExit(fail(f"schema registry: {silent}", ExitCode.UNREACHABLE, way_out).exit_code) from None
