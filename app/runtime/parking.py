"""Parked events: those whose reference is not there yet, kept whole until it comes or they are too old."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import asdict, dataclass

import orjson

from app.runtime.state.table import Table, TableView

PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Parked:
    """A message as it was first read, what it waits for, and since when (``parked_at``, ms)."""

    missing: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    event_id: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]
    parked_at: int

    def row_key(self) -> str:
        """Rows of one missing name sort in the order in which the events were lived."""
        return f"{self.missing}\0{self.timestamp:015d}\0{self.topic}\0{self.partition:06d}\0{self.offset:019d}"


def _dump(parked: Parked) -> bytes:
    row = asdict(parked)
    row["key"] = _text(parked.key)
    row["value"] = _text(parked.value)
    row["headers"] = [[name, _text(value)] for name, value in parked.headers]
    return orjson.dumps(row)


def _load(raw: bytes) -> Parked:
    row = orjson.loads(raw)
    row["key"] = _bytes(row["key"])
    row["value"] = _bytes(row["value"])
    row["headers"] = tuple((name, _bytes(value)) for name, value in row["headers"])
    return Parked(**row)


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)


parked_table: Table[Parked] = Table(PARKED, dump=_dump, load=_load)


class Parking:
    """The parked events of one partition, with the names they wait for in memory."""

    def __init__(self, view: TableView[Parked]) -> None:
        self._view = view
        self._keys = {key for key, _ in view.scan("")}
        self._names = Counter(map(_name_of, self._keys))
        self._parked_now: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def park(self, row: Parked) -> None:
        self._parked_now.add(row.missing)
        self._view.put(row.row_key(), row)

    def take(self, name: str) -> list[Parked]:
        """The events that wait for ``name``, in the order they were lived; they are parked no longer."""
        if name not in self._names and name not in self._parked_now:
            return []
        return self._take(list(self._view.scan(f"{name}\0")))

    def take_parked_before(self, time_ms: int) -> list[Parked]:
        """The events parked before that time; they are parked no longer. Reads all parked rows."""
        if not self._keys:
            return []
        return self._take([(key, row) for key, row in self._view.scan("") if row.parked_at < time_ms])

    def _take(self, rows: list[tuple[str, Parked]]) -> list[Parked]:
        for key, _ in rows:
            self._view.put(key, None)
        return [row for _, row in rows]

    def settle(self) -> None:
        """The overlay is committed; call before the view itself settles."""
        for key, row in self._view.overlay.items():
            if row is None and key in self._keys:
                self._keys.remove(key)
                self._names[_name_of(key)] -= 1
            elif row is not None and key not in self._keys:
                self._keys.add(key)
                self._names[_name_of(key)] += 1
        self._names += Counter()  # drops names that nothing waits for any more
        self._parked_now.clear()

    def drop(self) -> None:
        self._parked_now.clear()


def _name_of(row_key: str) -> str:
    return row_key.split("\0", 1)[0]
