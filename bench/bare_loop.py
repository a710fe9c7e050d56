"""One run without Wardstock: the same job as a loop over confluent-kafka, as one would write it by hand.

The same codec, digests, RocksDB options, client settings, collector thresholds, records and guarantee; no agents,
merging, savepoints, parking, metrics or web server. It takes what only this job allows: the message's key is the
position's, so it is used as it is, and outputs are produced while the batch is worked. It starts on empty state:
restoring is not in it.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from rocksdict import Options, Rdict, WriteBatch

from app.runtime.dedup import body_digest, id_digest
from app.runtime.state.store import StoreResources
from bench.job import NOTHING, TABLE, Position, decide, dump, load
from bench.order import Order, answer, kafka_settings
from bench.stopwatch import Stopwatch, Timing

_BATCH: Final = 10_000
_WAIT_S: Final = 0.05
_BUCKET_MS: Final = 7 * 86_400_000
_ANSWER_S: Final = 15.0


class Shard:
    """One partition's positions and seen ids: in RocksDB what is committed, in dicts what is not."""

    def __init__(self, directory: Path, options: Callable[[], Options], bucket: int) -> None:
        directory.mkdir(parents=True)
        names = (TABLE, "offsets", f"dedup-{bucket}")
        self._db = Rdict(str(directory / "db"), options(), column_families={name: options() for name in names})
        self._rows, self._offsets, self._ids = (self._db.get_column_family_handle(name) for name in names)
        self._stored = self._db.get_column_family(TABLE).get
        self._seen = self._db.get_column_family(names[2]).get
        self._cache: dict[bytes, Position] = {}
        self._bucket = bucket
        self.changed: dict[bytes, Position] = {}
        self.fresh: dict[bytes, bytes] = {}

    def is_repeat(self, digest: bytes, content: bytes) -> bool:
        known = self.fresh.get(digest) or self._seen(digest)
        if known is None:
            self.fresh[digest] = content
            return False
        if known != content:
            raise ValueError("two usages have one id; the bench makes no such events")
        return True

    def position(self, key: bytes) -> Position:
        found = self.changed.get(key) or self._cache.get(key)
        if found is None:
            raw = self._stored(key)
            found = NOTHING if raw is None else load(raw)
        return found

    def segment(self) -> bytes:
        """The batch's ids as one changelog record: bucket, then 24 bytes an id."""
        return self._bucket.to_bytes(8, "big") + b"".join([key + body for key, body in self.fresh.items()])

    def write(self, rows: list[tuple[bytes, bytes]], reached: dict[str, int]) -> None:
        """Committed: to RocksDB with it, in one batch with the changelog offsets that it reaches."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows:
            batch.put(key, value, self._rows)
        for digest, content in self.fresh.items():
            batch.put(digest, content, self._ids)
        for changelog, offset in reached.items():
            batch.put(changelog.encode(), offset.to_bytes(8, "big"), self._offsets)
        self._db.write(batch)
        self._cache.update(self.changed)
        self.changed.clear()
        self.fresh.clear()


class Loop:
    """Consumer, producer and shards of one process."""

    def __init__(self, order: Order) -> None:
        settings, job, codec = order.settings(), order.job(), order.codec()
        clients = kafka_settings(settings)
        self._usage, self._postings = job.usage.name, job.postings.name
        self._changelog, self._dedup = job.pipeline.changelog(TABLE), job.pipeline.dedup_changelog
        self._decode, self._encode = codec.decoder(job.usage), codec.encoder(job.postings)
        self._directory = settings.state_dir
        self._options = StoreResources().options
        self._shards: dict[int, Shard] = {}
        self._producer = Producer(clients.producer())
        self._producer.init_transactions(_ANSWER_S)
        self._consumer = Consumer(
            {**clients.consumer(), "auto.offset.reset": "earliest", "enable.partition.eof": False}
        )
        self._consumer.subscribe([self._usage])
        self._reached: dict[int, dict[str, int]] = {}

    def run(self, stopwatch: Stopwatch) -> Timing:
        committed = 0
        while not stopwatch.done():
            messages = self._consumer.consume(_BATCH, _WAIT_S)
            if messages:
                self._transact(messages)
                committed += len(messages)
                stopwatch.lap(committed)
                self._write()
        self._consumer.close()
        return stopwatch.timing()

    def _transact(self, messages: list[Message]) -> None:
        self._producer.begin_transaction()
        offsets = self._work(messages)
        self._rows = {number: self._log_changes(number) for number in offsets}
        positions = [TopicPartition(self._usage, number, offset) for number, offset in offsets.items()]
        self._producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata(), _ANSWER_S)
        self._producer.commit_transaction()

    def _work(self, messages: list[Message]) -> dict[int, int]:
        """Every message of the batch; returns the offset to go on from, by partition."""
        offsets: dict[int, int] = {}
        decode, encode, produce = self._decode, self._encode, self._producer.produce
        for message in messages:
            number, value, key = message.partition(), message.value(), message.key()
            if message.error() is not None or number is None or value is None or key is None:
                raise RuntimeError(f"consuming {self._usage} failed: {message.error()}")
            shard = self._shards.get(number) or self._open(number)
            usage, body = decode(value)
            offsets[number] = (message.offset() or 0) + 1
            if not shard.is_repeat(id_digest(self._usage, usage.event_id), body_digest(body)):
                shard.changed[key], posting = decide(shard.position(key), usage)
                produce(self._postings, encode(posting), key)
        return offsets

    def _open(self, number: int) -> Shard:
        bucket = int(time.time() * 1000) // _BUCKET_MS
        shard = self._shards[number] = Shard(self._directory / str(number), self._options, bucket)
        return shard

    def _log_changes(self, number: int) -> list[tuple[bytes, bytes]]:
        """To the changelogs: each changed position once, and one segment of ids. Returns the positions' rows."""
        shard, produce = self._shards[number], self._producer.produce
        rows = [(key, dump(position)) for key, position in shard.changed.items()]
        for key, value in rows[:-1]:
            produce(self._changelog, value, key, number)
        for key, value in rows[-1:]:
            produce(self._changelog, value, key, number, self._delivered)
        if shard.fresh:
            produce(self._dedup, shard.segment(), None, number, self._delivered)
        return rows

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            reached = self._reached.setdefault(message.partition() or 0, {})
            reached[message.topic() or ""] = (message.offset() or 0) + 1

    def _write(self) -> None:
        for number, rows in self._rows.items():
            self._shards[number].write(rows, self._reached.pop(number, {}))


def main() -> int:
    order = Order.read()
    # As a worker does it: a tuned collector is no part of what an engine costs.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    answer(Loop(order).run(Stopwatch(order.messages)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
