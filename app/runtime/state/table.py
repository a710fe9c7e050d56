"""Tables as agents see them, and the views that stand behind them while a batch is worked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from app.runtime.state.store import Column

V = TypeVar("V")

ABSENT: Final = object()
_CACHE_ENTRIES = 100_000

# One undo step: the overlay written to, the key, and what it held before.
Undo = tuple[dict[str, Any], str, Any]


class TableView(Generic[V]):
    """One partition of a table during a transaction: overlay over decoded cache over RocksDB.

    Nothing below the overlay changes until ``settle``; ``drop`` forgets all that was not committed.
    """

    __slots__ = ("_cache", "_column", "_dump", "_load", "journal", "overlay")

    def __init__(
        self, column: Column, load: Callable[[bytes], V], dump: Callable[[V], bytes], journal: list[Undo]
    ) -> None:
        self._column = column
        self._load = load
        self._dump = dump
        self._cache: dict[str, V | None] = {}
        self.overlay: dict[str, V | None] = {}
        self.journal = journal

    def get(self, key: str) -> V | None:
        value: Any = self.overlay.get(key, ABSENT)
        if value is ABSENT:
            value = self._cache.get(key, ABSENT)
        return self._fetch(key) if value is ABSENT else value

    def _fetch(self, key: str) -> V | None:
        raw = self._column.get(key.encode())
        value = None if raw is None else self._load(raw)
        self._cache[key] = value
        return value

    def put(self, key: str, value: V | None) -> None:
        overlay = self.overlay
        self.journal.append((overlay, key, overlay.get(key, ABSENT)))
        overlay[key] = value

    def scan(self, prefix: str) -> Iterator[tuple[str, V]]:
        stored = {key.decode(): raw for key, raw in self._column.scan(prefix.encode())}
        written = {key: value for key, value in self.overlay.items() if key.startswith(prefix)}
        for key in sorted(stored.keys() | written.keys()):
            value = written[key] if key in written else self._load(stored[key])
            if value is not None:
                yield key, value

    def dumped(self) -> list[tuple[bytes, bytes | None]]:
        """What the transaction changed, each key once with its last value, as changelog records."""
        dump = self._dump
        return [(key.encode(), None if value is None else dump(value)) for key, value in self.overlay.items()]

    def settle(self) -> None:
        """The overlay is committed and in RocksDB: let reads find it in the cache."""
        if len(self._cache) > _CACHE_ENTRIES:
            self._cache.clear()
        self._cache.update(self.overlay)
        self.overlay.clear()

    def drop(self) -> None:
        self.overlay.clear()
        self._cache.clear()


class Table(Generic[V]):
    """A keyed table, owned by one agent, kept per partition with a compacted changelog.

    ``dump`` and ``load`` turn a value into JSON bytes and back; values must be immutable, since readers share them.
    Keys are strings. An agent reads and writes only the partition of the event that it stands on. ``get(key)`` is the
    value with all that earlier events of the batch did to it, or None; it raises ``NotInABatch`` outside of one.
    """

    def __init__(self, name: str, *, dump: Callable[[V], bytes], load: Callable[[bytes], V]) -> None:
        self.name = name
        self.dump = dump
        self.load = load
        self.bind(None)

    def bind(self, view: TableView[V] | None) -> None:
        """Point the table at the partition of the next event; the batch's iterator calls this."""
        self._view = view
        # The hot path: bound once per partition and batch, so that a read costs one call.
        self.get: Callable[[str], V | None] = self._refuse if view is None else view.get

    def _refuse(self, _key: str) -> V | None:
        raise NotInABatch(self.name)

    def view(self, column: Column, journal: list[Undo]) -> TableView[V]:
        return TableView(column, self.load, self.dump, journal)

    def put(self, key: str, value: V) -> None:
        """Takes effect when the batch commits. Raises ``NotInABatch``."""
        if self._view is None:
            raise NotInABatch(self.name)
        self._view.put(key, value)

    def delete(self, key: str) -> None:
        """Takes effect when the batch commits. Raises ``NotInABatch``."""
        if self._view is None:
            raise NotInABatch(self.name)
        self._view.put(key, None)

    def scan(self, prefix: str) -> Iterator[tuple[str, V]]:
        """All pairs whose key begins with ``prefix``, in key order. Reads the disk. Raises ``NotInABatch``."""
        if self._view is None:
            raise NotInABatch(self.name)
        return self._view.scan(prefix)


class NotInABatch(Exception):
    """A table was used outside the loop over a batch's events, where no partition is current."""

    def __init__(self, table: str) -> None:
        super().__init__(f"table {table!r} can only be used inside `for event in batch`, by the agent that owns it")
