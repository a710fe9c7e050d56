"""Where the bench runs: a broker that the settings name, or else a stack of its own, gone afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.config import Settings
from app.embedded.progress import Reporter
from app.embedded.stack import Stack
from app.kafka_admin import Cluster, TopicSpec, internal_topics, spec_of
from bench.job import Job

_ANSWER_S = 30.0
_log = logging.getLogger(__name__)


@contextmanager
def broker(reporter: Reporter, directory: Path) -> Iterator[Settings]:
    """Settings that name a running broker. Blocks while a stack starts in ``directory``, and while it stops.

    Raises what :class:`app.embedded.stack.Stack` raises, and :class:`app.errors.ConfigError`.
    """
    named = Settings.load()
    if named.bootstrap_servers:
        yield named
        return
    stack = Stack(directory)
    try:
        yield Settings.load(bootstrap_servers=stack.start(reporter).bootstrap_servers)
    finally:
        stack.stop()


def input_topics(settings: Settings, work: Job) -> list[TopicSpec]:
    return [spec_of(work.usage, settings)]


def own_topics(settings: Settings, work: Job) -> list[TopicSpec]:
    """What a run writes: its outputs, changelogs and internal topics, as the product makes them."""
    outputs = [spec_of(topic, settings) for topic in (work.postings, work.pipeline.dead_letters)]
    return outputs + internal_topics(settings, work.pipeline)


@contextmanager
def topics(settings: Settings, specs: Sequence[TopicSpec], group: str | None = None) -> Iterator[Cluster]:
    """The topics, there inside the block and deleted after it, with the offsets that ``group`` left on them."""
    cluster = Cluster(settings)
    cluster.create(specs)
    try:
        yield cluster
    finally:
        _clear_away(settings, [spec.name for spec in specs], group)


def _clear_away(settings: Settings, names: list[str], group: str | None) -> None:
    admin = AdminClient({**settings.client_config()}, logger=_log)
    futures = list(admin.delete_topics(names, request_timeout=_ANSWER_S).values())
    if group is not None:
        futures += admin.delete_consumer_groups([group], request_timeout=_ANSWER_S).values()
    for future in futures:
        failure = future.exception(_ANSWER_S)
        if failure is not None and not isinstance(failure, KafkaException):
            raise failure  # what Kafka itself refuses to delete is not there, or stays without harm
