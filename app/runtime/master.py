"""Read-only tables of master data, complete on every worker, fed from compacted topics apart from the transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from app.runtime.topics import Topic

R = TypeVar("R")


class MasterTable(Generic[R]):
    """The last record of each key of ``topic``.

    ``name`` gives the name under which events may be parked until a record arrives ("item:ITM-1").
    ``version`` is the offset up to which the topic was applied (the next one to read); 0 where it is empty.
    Only changed between batches, so one batch sees one version.
    """

    def __init__(self, topic: Topic, name: Callable[[R], str]) -> None:
        self.topic = topic
        self.version = 0
        self._name = name
        self._rows: dict[str, R] = {}

    def get(self, key: str) -> R | None:
        return self._rows.get(key)

    def __len__(self) -> int:
        return len(self._rows)

    def apply(self, key: str, record: R | None, next_offset: int) -> str | None:
        """Take one record of the topic in (None removes the key); returns the name it releases."""
        self.version = next_offset
        if record is None:
            self._rows.pop(key, None)
            return None
        self._rows[key] = record
        return self._name(record)

    def clear(self) -> None:
        self.version = 0
        self._rows.clear()


AnyMasterTable = MasterTable[Any]
