"""Repeats: which event ids of a partition were seen within the horizon, and with which body.

An id is remembered as a 16-byte digest of topic and id with an 8-byte digest of the body. Digests live in one RocksDB
column family per time bucket (half a horizon), so that old ids go a whole bucket at once; a transaction's ids are one
segment record in the changelog.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b

from app.runtime.state.store import Column, Store, StoreBatch

COLUMN_PREFIX = "dedup-"
FORGOTTEN = bytes(8)
_BUCKET = struct.Struct(">q")
_ID_BYTES, BODY_BYTES = 16, 8
_ROW_BYTES = _ID_BYTES + BODY_BYTES
_SEGMENT_ROWS = 20_000


def id_digest(topic: str, event_id: str) -> bytes:
    return blake2b(f"{topic}\0{event_id}".encode(), digest_size=_ID_BYTES).digest()


def id_hasher(topic: str) -> Callable[[str], bytes]:
    """``id_digest`` for one topic, its name hashed once."""
    begun = blake2b(f"{topic}\0".encode(), digest_size=_ID_BYTES)

    def digest(event_id: str) -> bytes:
        hasher = begun.copy()
        hasher.update(event_id.encode())
        return hasher.digest()

    return digest


def body_digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=BODY_BYTES).digest()


def pack_segment(bucket: int, rows: Mapping[bytes, bytes]) -> bytes:
    """``rows``: id digest -> body digest. Layout: bucket (8 bytes), then 24 bytes a row."""
    return _BUCKET.pack(bucket) + b"".join([key + body for key, body in rows.items()])


def unpack_segment(segment: bytes) -> tuple[int, Iterator[tuple[bytes, bytes]]]:
    (bucket,) = _BUCKET.unpack_from(segment)
    rows = (
        (segment[at : at + _ID_BYTES], segment[at + _ID_BYTES : at + _ROW_BYTES])
        for at in range(_BUCKET.size, len(segment), _ROW_BYTES)
    )
    return bucket, rows


class Dedup:
    """The ids of one partition. ``horizon_ms``: how long an id is remembered, at least."""

    def __init__(self, store: Store, horizon_ms: int) -> None:
        self._store = store
        self._horizon_ms = horizon_ms
        self._bucket_ms = max(1, horizon_ms // 2)
        self.fresh: dict[bytes, bytes] = {}
        self._columns = self._live_columns()

    def _live_columns(self) -> list[Column]:
        """Newest first: a repeat is most often a recent one."""
        buckets = sorted((n for n in map(bucket_of, self._store.columns()) if n is not None), reverse=True)
        return [self._store.column(f"{COLUMN_PREFIX}{n}") for n in buckets]

    def seen(self, digest: bytes) -> bytes | None:
        """The body digest under which this id was seen, or None."""
        body = self.fresh.get(digest)
        if body is None:
            for column in self._columns:
                body = column.get(digest)
                if body is not None:
                    break
        return None if body == FORGOTTEN else body

    def forget(self, digest: bytes) -> None:
        """The event ended in the dead letters: its id may come again."""
        self.fresh[digest] = FORGOTTEN

    def rotate(self, now_ms: int) -> None:
        """Make the current bucket, drop those past the horizon. Creates and drops column families: not in a batch."""
        self._store.add_column(f"{COLUMN_PREFIX}{self._bucket(now_ms)}")
        oldest = self._bucket(now_ms - self._horizon_ms)
        for name in self._store.columns():
            number = bucket_of(name)
            if number is not None and number < oldest:
                self._store.drop_column(name)
        self._columns = self._live_columns()

    def _bucket(self, now_ms: int) -> int:
        return now_ms // self._bucket_ms

    def current_bucket(self, now_ms: int) -> int:
        """The bucket for new ids; makes it when time has moved on."""
        bucket = self._bucket(now_ms)
        if f"{COLUMN_PREFIX}{bucket}" not in self._store.columns():
            self.rotate(now_ms)
        return bucket

    def segments(self, now_ms: int) -> list[bytes]:
        """The transaction's ids as changelog records, none larger than a broker takes."""
        bucket, rows = self.current_bucket(now_ms), list(self.fresh.items())
        parts = (rows[at : at + _SEGMENT_ROWS] for at in range(0, len(rows), _SEGMENT_ROWS))
        return [pack_segment(bucket, dict(part)) for part in parts]

    def write(self, batch: StoreBatch, now_ms: int) -> None:
        """The same rows as in ``segments`` of the same time."""
        batch.put_all(f"{COLUMN_PREFIX}{self.current_bucket(now_ms)}", self.fresh.items())

    def settle(self) -> None:
        self.fresh.clear()

    drop = settle


def bucket_of(column: str) -> int | None:
    """The bucket number of a dedup column family; None for any other."""
    return int(column.removeprefix(COLUMN_PREFIX)) if column.startswith(COLUMN_PREFIX) else None
