"""Which partition a key belongs to: Kafka's default for keyed records, the same in Java and in librdkafka.

librdkafka calls it ``murmur2_random`` (its own default is another one); Java's producer uses it unasked.
"""

from __future__ import annotations

from struct import unpack_from

PARTITIONER = "murmur2_random"

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit unsigned hash of ``org.apache.kafka.common.utils.Utils.murmur2`` (Java returns it signed)."""
    length = len(data)
    words = length >> 2
    h = _SEED ^ length
    for word in unpack_from(f"<{words}I", data):
        k = (word * _M) & _MASK
        h = ((h * _M) & _MASK) ^ (((k ^ (k >> 24)) * _M) & _MASK)
    if length & 3:
        h = ((h ^ int.from_bytes(data[words << 2 :], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


def partition_for(key: bytes, partitions: int) -> int:
    """The partition, 0 to ``partitions`` - 1, of a record with ``key``: ``toPositive(murmur2(key)) % partitions``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
