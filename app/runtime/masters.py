"""Keeps master tables up to date: complete before anything is processed, then following their topics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from app.runtime.codec import Codec, Decoded
from app.runtime.errors import Undecodable
from app.runtime.log import Message
from app.runtime.master import AnyMasterTable

log = structlog.get_logger(__name__)


class MasterFeed:
    """Applies messages of master topics to their tables.

    ``listeners`` are told each name that arrived, after its table has it. ``apply`` must run where agents run, between
    batches: then a batch sees one version.
    """

    def __init__(self, tables: Sequence[AnyMasterTable], codec: Codec) -> None:
        self.tables = {table.topic.name: table for table in tables}
        self.listeners: list[Callable[[str], None]] = []
        self._decoders: dict[str, Callable[[bytes], Decoded]] = {
            name: codec.decoder(table.topic) for name, table in self.tables.items()
        }

    def apply(self, messages: Sequence[Message]) -> None:
        """Take messages in, in their order. One that cannot be decoded is logged and passed over: the row before it
        stays, and the events that need it stay parked."""
        for message in messages:
            name = self._apply(message)
            if name is not None:
                for listener in self.listeners:
                    listener(name)

    def _apply(self, message: Message) -> str | None:
        table = self.tables[message.topic() or ""]
        key = (message.key() or b"").decode(errors="replace")
        next_offset = (message.offset() or 0) + 1
        try:
            record: Any = self._record(message)
        except Undecodable as error:
            table.version = next_offset
            log.error(
                "master.undecodable", topic=message.topic(), offset=message.offset(), key=key, detail=error.detail
            )
            return None
        return table.apply(key, record, next_offset)

    def _record(self, message: Message) -> Any:
        value = message.value()
        return None if value is None else self._decoders[message.topic() or ""](value).record
