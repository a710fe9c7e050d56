"""``wardstock schemas``: the topics' Avro schemas, registered and checked against what the registry has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from app.cli.output import ExitCode, JsonOption, console, emit, print_json, settings_of, table_of
from app.errors import Unreachable

if TYPE_CHECKING:
    from app.contracts.evolution import Checked
    from app.contracts.registry import HttpRegistry, Objection

schemas_app = typer.Typer(help="The Avro schemas of the topics, in the registry.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(schemas_app, name="schemas")


@schemas_app.command("register", epilog="Example: wardstock schemas register --json")
def register_schemas(ctx: typer.Context, json: JsonOption = False) -> None:
    """Register every topic's schema, at compatibility level BACKWARD_TRANSITIVE.

    A repeat changes nothing. Where one schema could not read older records, none is registered: exit code 1.
    """
    from agents import topics
    from app.contracts.evolution import register_all
    from app.contracts.registry import NotCompatible

    with _registry(ctx) as registry:
        try:
            made = register_all(registry, topics.ALL)
        except NotCompatible as refused:
            _refuse(refused.objections, json)
            raise typer.Exit(ExitCode.FOUND) from None
    rows = [{"subject": one.subject, "version": one.version, "id": one.id} for one in made]
    columns = ("subject", "version", "id")
    emit(rows, json=json, table=lambda: table_of(columns, ([row[name] for name in columns] for row in rows)))


@schemas_app.command("check", epilog="Example: wardstock schemas check && wardstock schemas register")
def check_schemas(ctx: typer.Context, json: JsonOption = False) -> None:
    """Compare every topic's schema with all versions in the registry; change nothing.

    Exit code 1 where a schema could not read what an older version wrote, naming subject, field and reason.
    """
    from agents import topics
    from app.contracts.evolution import check_all

    with _registry(ctx) as registry:
        found = check_all(registry, topics.ALL)
    columns = ("subject", "standing", "versions", "compatible")
    emit(
        [_row(one) for one in found],
        json=json,
        table=lambda: table_of(columns, ([_row(one)[name] for name in columns] for one in found)),
    )
    objections = [why for one in found for why in one.objections]
    for why in objections:
        console().print(str(why), style="red", markup=False)
    if objections:
        raise typer.Exit(ExitCode.FOUND)


@contextmanager
def _registry(ctx: typer.Context) -> Iterator[HttpRegistry]:
    from app.contracts.registry import HttpRegistry
    from app.runtime.errors import RegistryUnavailable

    with HttpRegistry.of(settings_of(ctx)) as registry:
        try:
            yield registry
        except RegistryUnavailable as error:
            raise Unreachable(
                f"schema registry: {error}",
                "is it up, and are WARDSTOCK_REGISTRY_URL and WARDSTOCK_REGISTRY_AUTH right?",
            ) from None


def _refuse(objections: tuple[Objection, ...], json: bool) -> None:
    if json:
        print_json({"registered": [], "objections": [_plain(why) for why in objections]})
    for why in objections:
        console().print(str(why), style="red", markup=False)


def _row(one: Checked) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "standing": one.standing,
        "versions": one.versions,
        "compatible": not one.objections,
        "objections": [_plain(why) for why in one.objections],
    }


def _plain(why: Objection) -> dict[str, Any]:
    return {"subject": why.subject, "version": why.version, "field": why.field, "reason": why.reason}
