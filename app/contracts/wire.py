"""Confluent wire format: a zero byte, the schema's id (4 bytes, big-endian), then the Avro bytes."""

from __future__ import annotations

from typing import Final

from app.runtime.dead_letters import Reason
from app.runtime.errors import Undecodable

HEADER_SIZE: Final = 5


def header(schema_id: int) -> bytes:
    """The 5 bytes before a record of that schema. Raises OverflowError beyond 32 bits."""
    return b"\x00" + schema_id.to_bytes(4, "big")


def schema_id(message: bytes) -> int:
    """The id of the schema a message was written with. Raises Undecodable (BAD_FRAMING)."""
    if len(message) < HEADER_SIZE:
        raise Undecodable(Reason.BAD_FRAMING, f"value: got {len(message)} bytes, expected at least {HEADER_SIZE}")
    if message[0] != 0:
        raise Undecodable(Reason.BAD_FRAMING, f"first byte: got 0x{message[0]:02x}, expected 0x00 before a schema id")
    return int.from_bytes(message[1:HEADER_SIZE], "big")
