"""``wardstock dlq``: messages that could not be worked: which, why, and back to where they came from.

A dead letter's id is where its message was first read: ``topic/partition/offset``. A replay publishes the message
again and closes the letter, in one transaction, so that it happens once. The closing record is a null value under the
letter's key; it is what makes a letter that was replayed known as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import ExitCode, JsonOption, console, emit, fail, print_json, settings_of, table_of
from app.cli.records import codec_of, iso, parse_time, plain, read_since, timestamp_of
from app.runtime.dead_letters import DeadLetter, Header, Reason

if TYPE_CHECKING:
    from app.config import Settings
    from app.kafka_admin import Cluster

REPLAYED_FROM = "wardstock-replayed-from"
ATTEMPT = "wardstock-replay-attempt"

dlq_app = typer.Typer(help="Dead letters: messages that could not be worked.", no_args_is_help=True)

ReasonOption = Annotated[list[Reason] | None, typer.Option("--reason", help="Only for this reason; may be repeated.")]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Only messages of this topic.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Dead since: 30s, 90m, 2h, 7d, or an ISO time in UTC.")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Dead until; written like --since.")]

_COLUMNS = ("dead since", "id", "reason", "attempt", "pipeline", "bytes", "detail")
_DETAIL_WIDTH = 100
_PER_TRANSACTION = 1_000
_WAIT_S = 30.0
_MAX_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Filed:
    """A dead letter and when it was written (ms)."""

    letter: DeadLetter
    at: int

    @property
    def id(self) -> str:
        return f"{self.letter.topic}/{self.letter.partition}/{self.letter.offset}"

    @property
    def attempt(self) -> int:
        """How often the message was replayed before it died again."""
        return attempt_of(self.letter.headers)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters; what is empty or None does not choose."""

    reasons: tuple[Reason, ...] = ()
    topic: str | None = None
    ids: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, filed: Filed) -> bool:
        return (
            (not self.reasons or filed.letter.reason in self.reasons)
            and self.topic in (None, filed.letter.topic)
            and (not self.ids or filed.id in self.ids)
            and (self.since_ms is None or filed.at >= self.since_ms)
            and (self.until_ms is None or filed.at <= self.until_ms)
        )


def register(app: typer.Typer) -> None:
    app.add_typer(dlq_app, name="dlq")


@dlq_app.command("ls", epilog="Example: wardstock dlq ls --reason INVALID --since 24h")
def list_letters(
    ctx: typer.Context,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Print the newest this many; 0 prints all.")] = 50,
    json: JsonOption = False,
) -> None:
    """Print the dead letters that are open, that is not replayed yet, the newest last."""
    from app.kafka_admin import Cluster

    settings = settings_of(ctx)
    found = open_letters(Cluster(settings), settings, _wanted(reason, topic, None, since, until))
    shown = found[-limit:] if limit else found
    emit([_summary(filed) for filed in shown], json=json, table=lambda: table_of(_COLUMNS, map(_row, shown)))
    if len(shown) < len(found):
        console().print(f"the newest {len(shown)} of {len(found)}; --limit 0 prints all")


@dlq_app.command(epilog="Example: wardstock dlq show clinical.usage/2/1841")
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As `dlq ls` prints it.")],
    json: JsonOption = False,
) -> None:
    """Print one open dead letter: why it died, its headers, and the message decoded, else as a hex dump."""
    from app.kafka_admin import Cluster

    settings = settings_of(ctx)
    found = open_letters(Cluster(settings), settings, Wanted(ids=frozenset([letter_id])))
    if not found:
        raise fail(f"no open dead letter has the id {letter_id}", ExitCode.FOUND, "`wardstock dlq ls` prints the ids")
    data = _summary(found[0]) | _contents(settings, found[0].letter)
    if json:
        print_json(data)
    else:
        typer.echo(_told(data))


@dlq_app.command(epilog="Example: wardstock dlq replay --reason AGENT_ERROR --topic clinical.usage --yes")
def replay(
    ctx: typer.Context,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    letter_id: Annotated[
        list[str] | None, typer.Option("--id", metavar="TOPIC/PARTITION/OFFSET", help="Only this one; may be repeated.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only say what would be replayed.")] = False,
    json: JsonOption = False,
) -> None:
    """Publish dead letters to where they came from again, with their key, value and headers, and close them.

    Choose at least by one option. Exactly once: message and closing record are one transaction. Where the message was
    not the trouble (AGENT_ERROR, UNKNOWN_SCHEMA), put that right first, or it dies again.
    """
    from app.kafka_admin import Cluster

    wanted = _wanted(reason, topic, letter_id, since, until)
    if wanted == Wanted():
        raise typer.BadParameter("nothing chosen; expected --reason, --topic, --id, --since or --until")
    settings = settings_of(ctx)
    found = open_letters(Cluster(settings), settings, wanted)
    if yes:
        publish_again(settings, found)
    data = {"dry_run": not yes, "replayed": len(found) if yes else 0, "letters": [_summary(filed) for filed in found]}
    emit(data, json=json, table=lambda: table_of(_COLUMNS, map(_row, found)))
    console().print(f"{len(found)} replayed" if yes else f"{len(found)} would be replayed; --yes replays them")


def open_letters(cluster: Cluster, settings: Settings, wanted: Wanted) -> list[Filed]:
    """The dead letters that are wanted and not replayed, in the order in which they died."""
    found: dict[bytes, Filed] = {}
    for key, filed in _filed(cluster, settings, wanted.since_ms):
        if filed is None:
            found.pop(key, None)
        elif wanted.takes(filed):
            found[key] = filed
    return sorted(found.values(), key=lambda filed: (filed.at, filed.id))


def publish_again(settings: Settings, letters: Sequence[Filed]) -> None:
    """Publishes each message again and closes its letter, in transactions of many; blocks until they are committed.

    Raises :class:`app.errors.Conflict` where another replay took over, :class:`app.errors.Unreachable` where the
    broker did not commit; letters that were not replayed are then still open.
    """
    from confluent_kafka import KafkaException, Producer

    from app.errors import Conflict, Unreachable
    from app.runtime.partitioner import PARTITIONER

    config = {"transactional.id": f"{settings.app_id}-dlq-replay", "partitioner": PARTITIONER}
    producer = Producer({**settings.client_config(), **config, "message.max.bytes": _MAX_BYTES})
    try:
        producer.init_transactions(_WAIT_S)
        for begin in range(0, len(letters), _PER_TRANSACTION):
            producer.begin_transaction()
            for filed in letters[begin : begin + _PER_TRANSACTION]:
                _produce(producer, filed)
            producer.commit_transaction(_WAIT_S)
    except KafkaException as refused:
        error = refused.args[0]
        if error.fatal():
            raise Conflict(f"the replay was stopped: {error.str()}", "is another replay running?") from None
        raise Unreachable(
            f"the replay was not committed: {error.str()}", "run it again; what is done is closed"
        ) from None


def _produce(producer: Any, filed: Filed) -> None:
    from agents import topics

    letter, headers = filed.letter, replay_headers(filed)
    producer.produce(letter.topic, letter.value, letter.key, headers=headers)
    closing = [(REPLAYED_FROM, filed.id.encode()), (ATTEMPT, str(filed.attempt + 1).encode())]
    producer.produce(topics.dead_letters.name, None, filed.id.encode(), headers=closing)
    producer.poll(0)


def replay_headers(filed: Filed) -> list[tuple[str, bytes | None]]:
    """The message's headers as they were, and which letter it comes from and how often it was replayed."""
    kept = [
        (header.name, header.value) for header in filed.letter.headers if header.name not in (REPLAYED_FROM, ATTEMPT)
    ]
    return [*kept, (REPLAYED_FROM, filed.id.encode()), (ATTEMPT, str(filed.attempt + 1).encode())]


def attempt_of(headers: Iterable[Header]) -> int:
    """How often a message was replayed, by its headers; 0 where they do not say."""
    found = [header.value for header in headers if header.name == ATTEMPT and header.value]
    return int(found[-1]) if found and found[-1].isdigit() else 0


def _filed(cluster: Cluster, settings: Settings, since_ms: int | None) -> Iterator[tuple[bytes, Filed | None]]:
    from agents import topics

    with codec_of(settings) as codec:
        decode = codec.decoder(topics.dead_letters)
        for message in read_since(cluster, topics.dead_letters.name, since_ms):
            key, value = message.key(), message.value()
            filed = None if value is None else Filed(decode(_bytes(value)).record, timestamp_of(message))
            yield _bytes(key), filed


def _wanted(
    reasons: list[Reason] | None, topic: str | None, ids: list[str] | None, since: str | None, until: str | None
) -> Wanted:
    return Wanted(
        tuple(reasons or ()),
        topic,
        frozenset(ids or ()),
        parse_time(since) if since else None,
        parse_time(until) if until else None,
    )


def _summary(filed: Filed) -> dict[str, Any]:
    letter = filed.letter
    return {
        "id": filed.id,
        "dead_since": iso(filed.at),
        "reason": letter.reason,
        "detail": letter.detail,
        "attempt": filed.attempt,
        "pipeline": letter.pipeline,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp,
        "key": letter.key,
        "bytes": len(letter.value or b""),
    }


def _row(filed: Filed) -> tuple[Any, ...]:
    letter = filed.letter
    detail = letter.detail.strip().splitlines()[-1] if letter.detail.strip() else ""
    size = len(letter.value or b"")
    return (iso(filed.at), filed.id, letter.reason, filed.attempt, letter.pipeline, size, detail[:_DETAIL_WIDTH])


def _contents(settings: Settings, letter: DeadLetter) -> dict[str, Any]:
    headers = {header.name: header.value for header in letter.headers}
    return {"headers": headers, "record": _record(settings, letter), "hexdump": hexdump(letter.value or b"")}


def _record(settings: Settings, letter: DeadLetter) -> Any:
    from agents import topics
    from app.runtime.errors import Undecodable

    source = next((topic for topic in topics.ALL if topic.name == letter.topic), None)
    if source is None or letter.value is None:
        return None
    # As if it were internal: those are decoded without the check that an INVALID one has failed already.
    unchecked = replace(source, internal=True)
    with codec_of(settings, unchecked) as codec:
        try:
            return plain(codec.decoder(unchecked)(letter.value).record)
        except Undecodable:
            return None


def hexdump(data: bytes) -> list[str]:
    """Lines of 16 bytes: offset, hex, and the printable ASCII among them."""
    rows = [(at, data[at : at + 16]) for at in range(0, len(data), 16)]
    return [f"{at:08x}  {row.hex(' '):<47}  {_printable(row)}" for at, row in rows]


def _printable(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)


def _told(data: dict[str, Any]) -> str:
    import orjson

    facts = [f"{name:<11}{data[name]}" for name in ("id", "dead_since", "reason", "attempt", "pipeline", "key")]
    headers = [f"  {name}: {value}" for name, value in data["headers"].items()]
    if data["record"] is None:
        body = ["message, not decodable:", *(f"  {line}" for line in data["hexdump"])]
    else:
        body = ["message:", orjson.dumps(data["record"], default=str, option=orjson.OPT_INDENT_2).decode()]
    return "\n".join([*facts, "detail:", data["detail"], *(["headers:", *headers] if headers else []), *body])


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
