"""Reads master topics from Kafka on a thread of its own, without a group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from app.runtime.errors import RegistryUnavailable

log = structlog.get_logger(__name__)

_CHUNK = 5_000
_FETCH_WAIT_MS = 50  # also how long the end of an empty topic takes to be told
_POLL_S = 0.2
_RETRY_S = 1.0


class MasterReader:
    """Follows ``topics`` (one partition each) from the beginning, under read_committed."""

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str]) -> None:
        self._client = client
        self._topics = topics
        self._stop_asked = threading.Event()

    def start(
        self,
        take: Callable[[Sequence[Any]], None],
        complete: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """``take`` gets messages in order; ``complete`` is called once, when every topic was read to an end.

        ``take`` may raise ``RegistryUnavailable``: it gets the same messages again. Anything else ends the reader, and
        ``failed`` is told. All are called on the reader's thread.
        """
        if not self._topics:
            complete()
            return
        threading.Thread(target=self._guarded, args=(take, complete, failed), name="master-data", daemon=True).start()

    def _guarded(
        self,
        take: Callable[[Sequence[Any]], None],
        complete: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        try:
            self._run(take, complete)
        except BaseException as error:  # noqa: BLE001 without master data the worker would decide on old facts
            failed(error)

    def ask_to_stop(self) -> None:
        self._stop_asked.set()

    def _run(self, take: Callable[[Sequence[Any]], None], complete: Callable[[], None]) -> None:
        consumer = Consumer(
            {
                **self._client,
                "group.id": "master-data",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": _FETCH_WAIT_MS,
            }
        )
        try:
            with suppress(KafkaException):  # the broker known before it is needed: half a second less
                consumer.list_topics(timeout=_RETRY_S)
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in self._topics])
            self._follow(consumer, take, complete)
        finally:
            consumer.close()

    def _follow(self, consumer: Consumer, take: Callable[[Sequence[Any]], None], complete: Callable[[], None]) -> None:
        unread = set(self._topics)
        while not self._stop_asked.is_set():
            polled = consumer.consume(_CHUNK, _POLL_S)
            messages = [message for message in polled if message.error() is None]
            if messages:
                self._hand_over(messages, take)
            ended = {message.topic() or "" for message in polled if _is_end(message.error())}
            if unread and not unread - ended:
                complete()
            unread -= ended

    def _hand_over(self, messages: Sequence[Any], take: Callable[[Sequence[Any]], None]) -> None:
        while not self._stop_asked.is_set():
            try:
                take(messages)
                return
            except RegistryUnavailable as error:
                log.warning("master.waiting", why=str(error))
                self._stop_asked.wait(_RETRY_S)


def _is_end(error: KafkaError | None) -> bool:
    """Raises what librdkafka holds fatal; logs what it retries itself."""
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    if error.fatal():
        raise KafkaException(error)
    log.warning("master.error", error=error.str(), code=error.name())
    return False
