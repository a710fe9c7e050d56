"""``wardstock config show``: every setting, its value and where the value came from."""

from __future__ import annotations

import typer

from app.cli.output import JsonOption, emit, settings_of, table_of

config_app = typer.Typer(help="The settings that are in force.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(config_app, name="config")


@config_app.command(epilog="Example: WARDSTOCK_PARTITIONS=8 wardstock config show")
def show(ctx: typer.Context, json: JsonOption = False) -> None:
    """Print every setting, its value and its origin; secrets are redacted."""
    from app.config import Settings, variable

    settings = settings_of(ctx)
    values, origins = settings.redacted(), settings.origins()
    rows = [
        {
            "setting": name,
            "value": values[name],
            "origin": origins[name],
            "variable": variable(name),
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    emit(
        rows,
        json=json,
        table=lambda: table_of(
            ("setting", "value", "origin", "variable"),
            ([row["setting"], _text(row["value"]), row["origin"], row["variable"]] for row in rows),
        ),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
