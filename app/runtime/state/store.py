"""One partition's RocksDB: a column family per table, one per dedup bucket, one for changelog offsets.

Kafka is the truth, this is a cache of it: written only after the transaction is committed, in one WriteBatch that also
holds the changelog offsets it reaches. Whatever is wrong with the files, wiping them and replaying is the way out.
"""

from __future__ import annotations

import gc
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog
from rocksdict import BlockBasedOptions, Cache, ColumnFamily, Options, Rdict, WriteBatch, WriteBufferManager

log = structlog.get_logger(__name__)

OFFSETS = "offsets"
_OFFSET = struct.Struct(">q")
_MEMTABLE_BYTES = 32 << 20
_BLOOM_BITS = 10


class StoreResources:
    """Block cache and write buffers that all stores of a worker share, so that memory has one bound.

    ``cache_bytes`` and ``buffer_bytes`` bound blocks read and writes not yet flushed, summed over all stores.
    """

    def __init__(self, cache_bytes: int = 256 << 20, buffer_bytes: int = 256 << 20) -> None:
        self._cache = Cache(cache_bytes)
        self._buffers = WriteBufferManager(buffer_bytes, False)

    def options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_bloom_filter(_BLOOM_BITS, False)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._buffers)
        options.set_write_buffer_size(_MEMTABLE_BYTES)
        return options


class Column:
    """Reads of one column family. Keys and values are bytes."""

    def __init__(self, rdict: Rdict, handle: ColumnFamily) -> None:
        self._rdict = rdict
        self.handle = handle
        self.get = rdict.get  # bytes -> bytes | None; bound once, this is the hot path

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All pairs whose key begins with ``prefix``, in key order, as of this call."""
        rows = self._rdict.iter()
        rows.seek(prefix)
        while rows.valid():
            key = rows.key()
            if not key.startswith(prefix):
                return
            yield key, rows.value()
            rows.next()

    def size(self) -> int:
        """Estimated number of keys."""
        return self._rdict.property_int_value("rocksdb.estimate-num-keys") or 0

    def bytes_on_disk(self) -> int:
        return self._rdict.property_int_value("rocksdb.total-sst-files-size") or 0

    def close(self) -> None:
        del self.get, self.handle
        self._rdict.close()


class StoreBatch:
    """Changes to a store that become visible together, or not at all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch = WriteBatch(raw_mode=True)

    def put_all(self, column: str, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write each row; one whose value is None deletes its key. A later row of a key wins."""
        handle = self._store.column(column).handle
        put, delete = self._batch.put, self._batch.delete
        for key, value in rows:
            if value is None:
                delete(key, handle)
            else:
                put(key, value, handle)

    def reach(self, changelog: str, next_offset: int) -> None:
        """Remember that all before ``next_offset`` of ``changelog`` is in the store."""
        self.put_all(OFFSETS, [(changelog.encode(), _OFFSET.pack(next_offset))])

    def write(self) -> None:
        """Blocks for the disk. Raises whatever RocksDB raises; then nothing was written."""
        self._store.write(self._batch)


class Store:
    """Opens (or creates) the store at ``path``; a store that cannot be opened is wiped and made anew.

    Raises ``StoreLocked`` when another process has it open.
    """

    def __init__(self, path: Path, columns: Iterable[str], resources: StoreResources) -> None:
        self.path = path
        self._resources = resources
        self._wanted = (OFFSETS, *columns)
        self._columns: dict[str, Column] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open_or_wipe()
        for name in set(self._wanted) | set(self._existing()):
            self._attach(name)

    def _open_or_wipe(self) -> Rdict:
        try:
            return self._open()
        except Exception as error:
            if "lock" in str(error).lower():
                raise StoreLocked(self.path) from error
            log.warning("store.wiped", path=str(self.path), error=str(error), why="it could not be opened")
            shutil.rmtree(self.path, ignore_errors=True)
            return self._open()

    def _open(self) -> Rdict:
        names = set(self._wanted) | set(self._existing())
        families = {name: self._resources.options() for name in names}
        return Rdict(str(self.path), self._resources.options(), column_families=families)

    def _existing(self) -> list[str]:
        if not (self.path / "CURRENT").exists():
            return []
        return [name for name in Rdict.list_cf(str(self.path)) if name != "default"]

    def _attach(self, name: str) -> None:
        self._columns[name] = Column(self._db.get_column_family(name), self._db.get_column_family_handle(name))

    def column(self, name: str) -> Column:
        return self._columns[name]

    def columns(self) -> list[str]:
        return list(self._columns)

    def add_column(self, name: str) -> None:
        if name not in self._columns:
            self._db.create_column_family(name, self._resources.options()).close()
            self._attach(name)

    def drop_column(self, name: str) -> None:
        self._columns.pop(name).close()
        self._db.drop_column_family(name)

    def offset(self, changelog: str) -> int | None:
        """The offset from which ``changelog`` is still to be read; None where nothing of it is in the store."""
        raw = self._columns[OFFSETS].get(changelog.encode())
        return None if raw is None else int(_OFFSET.unpack(raw)[0])

    def batch(self) -> StoreBatch:
        return StoreBatch(self)

    def write(self, batch: WriteBatch) -> None:
        self._db.write(batch)

    def close(self) -> None:
        """Releases the files' lock. Safe to call twice."""
        if not self._columns:
            return
        for column in self._columns.values():
            column.close()
        self._columns.clear()
        self._db.close()
        gc.collect(0)  # an iterator of a scan left early keeps the files open until it is collected

    def wipe(self) -> None:
        """Close, delete the files, open empty."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._db = self._open()
        for name in self._wanted:
            self._attach(name)


class StoreLocked(Exception):
    """Another process has this store open."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"state directory {path} is open in another process: give every worker its own slot "
            "(WARDSTOCK_SLOT) or its own directory (WARDSTOCK_STATE_DIR)"
        )
