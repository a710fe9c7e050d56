"""Tables, ids and parked events of one partition, over a real RocksDB: what is seen, undone, remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.runtime.batch import Work
from app.runtime.dedup import Dedup, body_digest, id_digest, id_hasher, pack_segment, unpack_segment
from app.runtime.parking import PARKED, Parked, Parking, parked_table
from app.runtime.state.store import Store, StoreLocked, StoreResources
from app.runtime.state.table import NotInABatch, Table, TableView, Undo

KEYS = ["", "a", "a|b", "a|c", "ab", "b", "ä"]
same_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

keys = st.sampled_from(KEYS)
values = st.none() | st.integers(0, 9)
writes = st.lists(st.tuples(keys, values), max_size=8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "0", ["numbers", PARKED], StoreResources(1 << 20, 1 << 20))
    yield opened
    opened.close()


def numbers(store: Store, journal: list[Undo]) -> TableView[int]:
    return Table[int]("numbers", dump=orjson.dumps, load=orjson.loads).view(store.column("numbers"), journal)


def clear(store: Store) -> None:
    batch = store.batch()
    batch.put_all("numbers", [(key, None) for key, _ in store.column("numbers").scan(b"")])
    batch.write()


def commit(store: Store, view: TableView[int]) -> None:
    batch = store.batch()
    batch.put_all("numbers", view.dumped())
    batch.write()
    view.settle()


def seen(view: TableView[int]) -> dict[str, int]:
    """The table by its scan; what ``get`` says must agree."""
    rows = dict(view.scan(""))
    assert {key: view.get(key) for key in KEYS} == {key: rows.get(key) for key in KEYS}
    return rows


def after(rows: dict[str, int], changes: list[tuple[str, int | None]]) -> dict[str, int]:
    merged: dict[str, int | None] = {**rows, **dict(changes)}
    return {key: value for key, value in merged.items() if value is not None}


@same_store
@given(st.lists(st.tuples(writes, st.sampled_from(["commit", "drop", "undo"])), max_size=5))
def test_a_table_shows_what_was_committed_and_written_since_and_nothing_undone(
    store: Store, steps: list[tuple[list[tuple[str, int | None]], str]]
) -> None:
    clear(store)
    journal: list[Undo] = []
    view = numbers(store, journal)
    work = Work("p", 0, lambda _topic: orjson.dumps, journal)
    rows: dict[str, int] = {}
    for changes, ending in steps:
        mark = work.mark()
        for key, value in changes:
            view.put(key, value)
        assert seen(view) == after(rows, changes)
        if ending == "commit":
            rows = after(rows, changes)
            commit(store, view)
            journal.clear()
        elif ending == "drop":
            view.drop()
            journal.clear()
        else:
            work.roll_back(mark)
            assert view.overlay == {}
        assert seen(view) == rows
    assert {key.decode(): orjson.loads(raw) for key, raw in store.column("numbers").scan(b"")} == rows


@same_store
@given(writes, writes, keys)
def test_a_scan_is_in_key_order_within_its_prefix(
    store: Store, stored: list[tuple[str, int | None]], written: list[tuple[str, int | None]], prefix: str
) -> None:
    clear(store)
    view = numbers(store, [])
    for key, value in stored:
        view.put(key, value)
    commit(store, view)
    for key, value in written:
        view.put(key, value)
    rows = after(after({}, stored), written)
    assert list(view.scan(prefix)) == sorted((key, value) for key, value in rows.items() if key.startswith(prefix))


@same_store
@given(writes, writes)
def test_a_savepoint_inside_a_transaction_undoes_only_what_came_after(
    store: Store, before: list[tuple[str, int | None]], later: list[tuple[str, int | None]]
) -> None:
    clear(store)
    journal: list[Undo] = []
    view = numbers(store, journal)
    work = Work("p", 0, lambda _topic: orjson.dumps, journal)
    for key, value in before:
        view.put(key, value)
    overlay, mark = dict(view.overlay), work.mark()
    for key, value in later:
        view.put(key, value)
    work.roll_back(mark)
    assert view.overlay == overlay
    assert seen(view) == after({}, before)


def test_a_table_outside_a_batch_says_so() -> None:
    table = Table[int]("numbers", dump=orjson.dumps, load=orjson.loads)
    uses: list[Any] = [
        lambda: table.get("a"),
        lambda: table.put("a", 1),
        lambda: table.delete("a"),
        lambda: table.scan(""),
    ]
    for use in uses:
        with pytest.raises(NotInABatch, match="'numbers' can only be used inside"):
            use()


def test_a_store_that_another_has_open_says_how_to_part_them(store: Store) -> None:
    with pytest.raises(StoreLocked, match="WARDSTOCK_SLOT"):
        Store(store.path, ["numbers", PARKED], StoreResources(1 << 20, 1 << 20))


def test_a_batch_is_written_with_the_offset_it_reaches_or_not_at_all(store: Store, tmp_path: Path) -> None:
    batch = store.batch()
    batch.put_all("numbers", [(b"a", b"1"), (b"a", b"2"), (b"b", b"3"), (b"b", None)])
    batch.reach("log", 42)
    assert store.offset("log") is None
    assert dict(store.column("numbers").scan(b"")) == {}
    batch.write()
    store.close()
    again = Store(tmp_path / "0", ["numbers", PARKED], StoreResources(1 << 20, 1 << 20))
    assert again.offset("log") == 42
    assert dict(again.column("numbers").scan(b"")) == {b"a": b"2"}
    again.close()


# --- ids ---

HORIZON_MS = 1_000
digests = st.binary(min_size=16, max_size=16)
bodies = st.binary(min_size=8, max_size=8)


@given(st.integers(0, 1 << 60), st.dictionaries(digests, bodies, max_size=50))
def test_a_segment_unpacks_to_what_was_packed(bucket: int, rows: dict[bytes, bytes]) -> None:
    found, unpacked = unpack_segment(pack_segment(bucket, rows))
    assert found == bucket
    assert list(unpacked) == list(rows.items())


@given(st.text(), st.text(), st.text(), st.text())
def test_ids_of_different_topics_differ(topic: str, event_id: str, other_topic: str, other_id: str) -> None:
    assert id_hasher(topic)(event_id) == id_digest(topic, event_id)
    if "\0" not in topic + other_topic and (topic, event_id) != (other_topic, other_id):
        assert id_digest(topic, event_id) != id_digest(other_topic, other_id)


def remember(store: Store, dedup: Dedup, now_ms: int, *ids: bytes, body: bytes = b"x") -> None:
    for key in ids:
        dedup.fresh[key] = body_digest(body)
    batch = store.batch()
    dedup.segments(now_ms)
    dedup.write(batch, now_ms)
    batch.write()
    dedup.settle()


@same_store
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20)), max_size=30))
def test_an_id_is_known_for_its_horizon_and_gone_a_bucket_later(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    store = Store(tmp_path_factory.mktemp("ids") / "0", [], StoreResources(1 << 20, 1 << 20))
    now, seen_at = 10_000, dict[bytes, int]()
    dedup = Dedup(store, HORIZON_MS)
    dedup.rotate(now)
    for wait, number in steps:
        now += wait
        dedup.rotate(now)
        key = id_digest("t", f"{number}")
        for known, at in seen_at.items():
            if now - at <= HORIZON_MS:
                assert dedup.seen(known) is not None
            if now - at > HORIZON_MS + HORIZON_MS // 2:
                assert dedup.seen(known) is None
        if dedup.seen(key) is None:
            remember(store, dedup, now, key)
            seen_at[key] = now
    store.close()


def test_a_forgotten_id_may_come_again_and_is_then_known_anew(store: Store) -> None:
    dedup = Dedup(store, HORIZON_MS)
    dedup.rotate(10_000)
    key = id_digest("t", "1")
    remember(store, dedup, 10_000, key)
    dedup.forget(key)
    assert dedup.seen(key) is None
    remember(store, dedup, 10_600)
    dedup.forget(key)
    batch = store.batch()
    dedup.write(batch, 10_600)
    batch.write()
    dedup.settle()
    assert Dedup(store, HORIZON_MS).seen(key) is None
    remember(store, dedup, 10_600, key, body=b"y")
    assert Dedup(store, HORIZON_MS).seen(key) == body_digest(b"y")


def test_what_was_not_committed_is_not_remembered(store: Store) -> None:
    dedup = Dedup(store, HORIZON_MS)
    dedup.rotate(10_000)
    dedup.fresh[id_digest("t", "1")] = body_digest(b"x")
    assert dedup.seen(id_digest("t", "1")) is not None
    dedup.drop()
    assert dedup.seen(id_digest("t", "1")) is None


def test_a_large_transactions_ids_are_more_than_one_record(store: Store) -> None:
    dedup = Dedup(store, HORIZON_MS)
    dedup.rotate(10_000)
    for number in range(45_000):
        dedup.fresh[id_digest("t", f"{number}")] = body_digest(b"x")
    segments = dedup.segments(10_000)
    assert len(segments) > 1
    assert max(map(len, segments)) < 1_000_000
    assert dict(row for segment in segments for row in unpack_segment(segment)[1]) == dedup.fresh


# --- parked events ---


def parked(missing: str, timestamp: int, offset: int, parked_at: int = 0) -> Parked:
    return Parked(
        missing, "t", 0, offset, timestamp, f"e{offset}", b"\xff", b"\x00v", (("h", None), ("i", b"\x01")), parked_at
    )


names = st.sampled_from(["item:1", "item:10", "event:1", "event:"])
rows = st.lists(st.tuples(names, st.integers(0, 99)), max_size=12)


@same_store
@given(rows, names, st.booleans())
def test_what_waits_for_a_name_is_taken_once_in_the_order_lived(
    tmp_path_factory: pytest.TempPathFactory, waiting: list[tuple[str, int]], name: str, committed: bool
) -> None:
    store = Store(tmp_path_factory.mktemp("parked") / "0", [PARKED], StoreResources(1 << 20, 1 << 20))
    view = parked_table.view(store.column(PARKED), [])
    parking = Parking(view)
    all_rows = [parked(missing, stamp, offset) for offset, (missing, stamp) in enumerate(waiting)]
    for row in all_rows:
        parking.park(row)
    if committed:
        settle(store, view, parking)
    mine = sorted((row for row in all_rows if row.missing == name), key=lambda row: (row.timestamp, row.offset))
    assert parking.take(name) == mine
    assert parking.take(name) == []
    settle(store, view, parking)
    assert len(parking) == len(all_rows) - len(mine)
    assert len(Parking(parked_table.view(store.column(PARKED), []))) == len(parking)
    store.close()


def settle(store: Store, view: TableView[Parked], parking: Parking) -> None:
    batch = store.batch()
    batch.put_all(PARKED, view.dumped())
    batch.write()
    parking.settle()
    view.settle()


def test_what_was_parked_too_long_ago_is_taken_whatever_it_waits_for(store: Store) -> None:
    view = parked_table.view(store.column(PARKED), [])
    parking = Parking(view)
    for offset, parked_at in enumerate([100, 300, 200]):
        parking.park(parked(f"item:{offset}", 0, offset, parked_at))
    settle(store, view, parking)
    assert [row.parked_at for row in parking.take_parked_before(250)] == [100, 200]
    settle(store, view, parking)
    assert len(parking) == 1
