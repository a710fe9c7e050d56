"""``wardstock topics``: the topics that the code declares, made and compared on the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.declared import declared
from app.cli.output import ExitCode, JsonOption, console, emit, print_json, settings_of, table_of

if TYPE_CHECKING:
    from app.kafka_admin import TopicSpec
    from app.runtime.topics import Topic

topics_app = typer.Typer(help="The topics of this installation.", no_args_is_help=True)

_COLUMNS = ("topic", "key", "partitions", "cleanup", "retention", "schema", "owner", "readers")


def register(app: typer.Typer) -> None:
    app.add_typer(topics_app, name="topics")


@topics_app.command(epilog="Example: wardstock topics create --dry-run")
def create(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made and what differs.")] = False,
    json: JsonOption = False,
) -> None:
    """Make every topic that is not there, and say what differs where one is.

    Changes nothing about topics that exist. Exit code 1 where one differs from what the code declares.
    """
    from app.kafka_admin import Cluster

    specs = declared(settings_of(ctx))
    cluster = Cluster(settings_of(ctx))
    found = cluster.compare(specs)
    missing = [difference.topic for difference in found if difference.what == "topic"]
    made = missing if dry_run else cluster.create(specs)
    differences = [difference for difference in found if difference.what != "topic"]
    verb = "would make" if dry_run else "made"
    if json:
        print_json({"dry_run": dry_run, verb.replace(" ", "_"): made, "differences": differences})
    else:
        for name in made:
            typer.echo(f"{verb} {name}")
        for difference in differences:
            typer.echo(f"differs: {difference}")
        console().print(f"{len(made)} {verb}, {len(differences)} differences, {len(specs)} topics in all")
    if differences:
        raise typer.Exit(ExitCode.FOUND)


@topics_app.command("list", epilog="Example: wardstock topics list --json")
def list_topics(
    ctx: typer.Context,
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", hidden=True)] = False,
) -> None:
    """Print every declared topic: key, partitions, cleanup, retention, schema, owner and readers.

    Needs no cluster. The engine's own topics (changelogs, parked and remembered events) come last.
    """
    if markdown:
        typer.echo(f"{contracts_table()}\n\n{engine_table()}")
        return
    rows = topic_rows(declared(settings_of(ctx)))
    emit(rows, json=json, table=lambda: table_of(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows)))


def topic_rows(specs: list[TopicSpec]) -> list[dict[str, Any]]:
    """One row a topic; what only declared topics have (key, schema, readers) is None for the engine's own."""
    from agents import topics

    by_name = {topic.name: topic for topic in topics.ALL}
    return [_row(spec, by_name.get(spec.name)) for spec in specs]


def _row(spec: TopicSpec, topic: Topic | None) -> dict[str, Any]:
    return {
        "topic": spec.name,
        "key": topic.key if topic else None,
        "partitions": spec.partitions,
        "cleanup": spec.config["cleanup.policy"],
        "retention": retention(int(spec.config["retention.ms"])),
        "retention_ms": int(spec.config["retention.ms"]),
        "schema": topic.record.__name__ if topic else None,
        "owner": topic.owner if topic else spec.name.partition(".")[0],
        "readers": ", ".join(topic.readers) if topic else None,
    }


def retention(milliseconds: int) -> str:
    """A retention as people say it: ``14 days`` or ``forever``."""
    from app.runtime.topics import DAY_MS, FOREVER

    return "forever" if milliseconds == FOREVER else f"{milliseconds // DAY_MS} days"


def contracts_table() -> str:
    """The table of ``docs/contracts.md``: one line for each topic declared in ``agents/topics.py``."""
    from agents import topics

    head = ("Topic", "Key", "Partitions", "Cleanup", "Retention", "Schema", "Owner", "Readers")
    return _markdown(head, map(_contract, topics.ALL))


def engine_table() -> str:
    """The other table of ``docs/contracts.md``: what the engine keeps for each pipeline."""
    from app.cli.declared import pipelines
    from app.config import Settings
    from app.kafka_admin import internal_topics

    specs = [spec for pipeline in pipelines().values() for spec in internal_topics(Settings(), pipeline)]
    rows = ((f"`{spec.name}`", spec.config["cleanup.policy"], _retention_of(spec)) for spec in specs)
    return _markdown(("Topic", "Cleanup", "Retention"), rows)


def _retention_of(spec: TopicSpec) -> str:
    return retention(int(spec.config["retention.ms"]))


def _contract(topic: Topic) -> tuple[str, ...]:
    return (
        f"`{topic.name}`",
        topic.key.replace("|", "\\|"),
        str(topic.partitions or "`partitions`"),
        topic.cleanup.value,
        retention(topic.retention_ms),
        f"[{topic.record.__name__}](../schemas/avro/{topic.name}/{topic.record.__name__}.avsc)",
        topic.owner,
        ", ".join(topic.readers),
    )


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
