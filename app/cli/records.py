"""Reading a topic's records for people: decoded, chosen by time, told in their own words."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from confluent_kafka import Message

    from app.config import Settings
    from app.contracts.codec import AvroCodec
    from app.kafka_admin import Cluster
    from app.runtime.topics import Topic

_SPAN = re.compile(r"^(\d+)([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@contextmanager
def codec_of(settings: Settings, *more: Topic) -> Iterator[AvroCodec]:
    """Decodes and encodes every declared topic (or ``more`` in its place) by the registry of these settings.

    Raises ConfigError where none is configured; its calls raise RegistryUnavailable where it does not answer.
    """
    from agents import topics
    from app.contracts.codec import AvroCodec
    from app.contracts.registry import HttpRegistry

    with HttpRegistry.of(settings) as registry:
        yield AvroCodec(registry, [*topics.ALL, *more])


def read_since(cluster: Cluster, topic: str, since_ms: int | None) -> Iterator[Message]:
    """A topic's committed records that were written at ``since_ms`` or later; all where it is None."""
    if since_ms is None:
        yield from cluster.read(topic)
        return
    for message in cluster.read(topic, starts=cluster.offsets_at(topic, since_ms)):
        if timestamp_of(message) >= since_ms:
            yield message


def timestamp_of(message: Message) -> int:
    """Milliseconds since the epoch, UTC."""
    return int(message.timestamp()[1])


def parse_time(text: str, now: Callable[[], float] = time.time) -> int:
    """``90m``, ``2h``, ``7d`` before now, or an ISO time (UTC where it names no zone), in ms since the epoch.

    Raises a usage error for anything else.
    """
    span = _SPAN.match(text)
    if span:
        return int((now() - timedelta(**{_UNITS[span[2]]: int(span[1])}).total_seconds()) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; expected 30s, 90m, 2h, 7d or 2026-11-21T08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(milliseconds: int) -> str:
    """A time in UTC as ``2026-11-21T08:00:00Z``."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(record: Any) -> Any:
    """A record as a dict of its fields, nested ones too."""
    return asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
