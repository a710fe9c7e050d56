"""The partition of a key is the one that Java's and librdkafka's producers choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.partitioner import murmur2, partition_for


@pytest.mark.parametrize(
    ("data", "signed"),
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_agrees_with_java(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0xFFFFFFFF


@given(st.binary(max_size=64), st.integers(1, 500))
def test_a_key_has_one_partition_within_the_topic(key: bytes, partitions: int) -> None:
    assert partition_for(key, partitions) in range(partitions)
    assert partition_for(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
