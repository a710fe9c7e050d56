"""What the engine promises, whatever log it runs on: every test here runs in memory and on a real Kafka."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from app.runtime.dead_letters import Header, Reason
from app.runtime.errors import AgentsKeepFailing
from app.runtime.partitioner import partition_for
from tests.engine.conftest import MakeRig
from tests.engine.rigs import PARTITIONS, Rig, fold, publish, records, table
from tests.engine.tally import Account, Balance, Deposit, JsonCodec, Receipt

DAY_MS = 86_400_000
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def deposit(rig: Rig, event_id: str, amount: int, note: str = "", *, account: str = "A", **where: Any) -> None:
    publish(rig, rig.tally.deposits, Deposit(event_id, account, amount, note=note), **where)


def transfer(rig: Rig, event_id: str, amount: int, *, account: str = "A", **where: Any) -> None:
    publish(rig, rig.tally.transfers, Deposit(event_id, account, amount), **where)


def receipts(rig: Rig, account: str = "A") -> list[tuple[str, int]]:
    """(id of the receipt, balance) of one account, in the order written."""
    return [(r.event_id, r.balance) for r in records(rig, rig.tally.receipts) if r.account == account]


def balance(rig: Rig, account: str = "A") -> int | None:
    row = table(rig, rig.tally.balances).get(account)
    return None if row is None else row.amount


def dead_ids(rig: Rig) -> list[str]:
    """Ids of the deposits among the dead letters, sorted: these lie on one partition or another."""
    decode = JsonCodec().decoder(rig.tally.deposits)
    return sorted(decode(letter.value).record.event_id for letter in records(rig, rig.tally.dead_letters))


# --- one event, and again ---


def test_an_event_changes_its_table_and_tells_of_it(rig: Rig) -> None:
    deposit(rig, "1", 5)
    deposit(rig, "2", 7)
    rig.run()
    assert receipts(rig) == [("1#0", 5), ("2#0", 12)]
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == {"A": Balance(12, 2)}


def test_a_repeat_leaves_no_trace_even_when_recorded_at_another_time(rig: Rig) -> None:
    publish(rig, rig.tally.deposits, Deposit("1", "A", 5, recorded_at=1))
    publish(rig, rig.tally.deposits, Deposit("1", "A", 5, recorded_at=2))
    rig.run()
    publish(rig, rig.tally.deposits, Deposit("1", "A", 5, recorded_at=3))
    rig.run()
    assert receipts(rig) == [("1#0", 5)]
    assert balance(rig) == 5


def test_the_same_id_with_another_body_is_told_as_a_conflict_each_time(rig: Rig) -> None:
    deposit(rig, "1", 5)
    deposit(rig, "1", 6)
    rig.run()
    deposit(rig, "1", 7)
    rig.run()
    assert sorted(receipts(rig)) == [("1#0", 5), ("1#conflict", -1), ("1#conflict", -1)]
    assert balance(rig) == 5


def test_the_same_id_on_another_topic_is_another_event(rig: Rig) -> None:
    deposit(rig, "1", 5)
    transfer(rig, "1", 5)
    rig.run()
    assert balance(rig) == 10


def test_a_repeat_is_known_after_a_restart(rig: Rig) -> None:
    deposit(rig, "1", 5)
    rig.run()
    rig.stop()
    rig.start()
    deposit(rig, "1", 5)
    deposit(rig, "2", 1)
    rig.run()
    assert receipts(rig) == [("1#0", 5), ("2#0", 6)]


def test_ids_go_a_whole_bucket_at_once_after_the_horizon(rig: Rig) -> None:
    deposit(rig, "old", 5)
    rig.run()
    rig.advance(7 * DAY_MS)
    deposit(rig, "young", 1)
    rig.run()
    rig.advance(7 * DAY_MS)
    deposit(rig, "old", 5)  # exactly the horizon later: still known
    rig.run()
    assert balance(rig) == 6
    rig.advance(7 * DAY_MS)
    deposit(rig, "other", 1)
    rig.run()
    deposit(rig, "old", 5)
    deposit(rig, "young", 1)
    rig.run()
    assert receipts(rig)[-2:] == [("other#0", 7), ("old#0", 12)]


# --- dead letters ---


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x00\xff not a deposit", Reason.UNDECODABLE),
        (b'{"event_id": "1"}', Reason.UNDECODABLE),
        (b"", Reason.EMPTY_VALUE),
        (None, Reason.EMPTY_VALUE),
    ],
)
def test_what_cannot_be_worked_becomes_a_dead_letter_byte_for_byte(
    rig: Rig, value: bytes | None, reason: Reason
) -> None:
    headers = [TRACE, ("source", b"\x00\xfe"), ("empty", None), ("source", b"again")]
    topic = rig.tally.deposits.name
    deposit(rig, "1", 5)
    offset = sum(1 for message in rig.messages(topic) if message.partition() == 1)
    rig.publish_raw(topic, value, key=b"\xff\x00key", headers=headers, timestamp=1_234_567, partition=1)
    deposit(rig, "2", 7)
    rig.run()
    (letter,) = records(rig, rig.tally.dead_letters)
    assert (letter.reason, letter.pipeline) == (reason, rig.tally.pipeline.name)
    assert (letter.topic, letter.partition, letter.offset, letter.timestamp) == (topic, 1, offset, 1_234_567)
    assert (letter.key, letter.value) == (b"\xff\x00key", value)
    assert letter.headers == tuple(Header(name, data) for name, data in headers)
    assert letter.detail
    (message,) = rig.messages(rig.tally.dead_letters.name)
    assert message.headers() == [TRACE]
    assert balance(rig) == 12


def test_a_message_without_key_or_headers_is_a_dead_letter_without_them(rig: Rig) -> None:
    rig.publish_raw(rig.tally.deposits.name, b"junk", partition=0)
    rig.run()
    (letter,) = records(rig, rig.tally.dead_letters)
    assert (letter.key, letter.headers) == (None, ())


def test_an_agent_that_raises_costs_that_event_alone(rig: Rig) -> None:
    deposit(rig, "1", 5)
    deposit(rig, "2", 100, "raise")
    deposit(rig, "3", 7)
    rig.run()
    (letter,) = records(rig, rig.tally.dead_letters)
    assert letter.reason is Reason.AGENT_ERROR
    assert "asked to raise by 2" in letter.detail
    assert letter.offset == 1
    assert dead_ids(rig) == ["2"]
    assert receipts(rig) == [("1#0", 5), ("3#0", 12)]
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == {"A": Balance(12, 2)}


def test_the_first_event_of_a_batch_may_be_the_one_that_raises(rig: Rig) -> None:
    deposit(rig, "1", 100, "raise")
    deposit(rig, "2", 7)
    rig.run()
    assert dead_ids(rig) == ["1"]
    assert receipts(rig) == [("2#0", 7)]


@pytest.mark.parametrize("word", ["leave", "break"])
def test_leaving_the_loop_over_events_counts_as_raising(rig: Rig, word: str) -> None:
    deposit(rig, "1", 5)
    deposit(rig, "2", 100, word)
    deposit(rig, "3", 7)
    deposit(rig, "4", 100, word)
    rig.run()
    assert dead_ids(rig) == ["2", "4"]
    assert "loop over every event" in records(rig, rig.tally.dead_letters)[0].detail
    assert receipts(rig) == [("1#0", 5), ("3#0", 12)]


def test_a_raise_outside_the_loop_halves_the_batch_down_to_the_event_that_does_it(rig: Rig) -> None:
    for number in range(7):
        deposit(rig, f"{number}", 1, "spoil" if number == 4 else "")
    rig.run()
    assert dead_ids(rig) == ["4"]
    assert receipts(rig) == [(f"{number}#0", place + 1) for place, number in enumerate([0, 1, 2, 3, 5, 6])]
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == {"A": Balance(6, 6)}


def test_events_that_raise_in_and_outside_the_loop_of_one_batch_are_each_told_once(rig: Rig) -> None:
    notes = ["", "raise", "spoil", "", "leave", "spoil", ""]
    for number, note in enumerate(notes):
        deposit(rig, f"{number}", 1, note)
    rig.run()
    assert dead_ids(rig) == ["1", "2", "4", "5"]
    assert receipts(rig) == [("0#0", 1), ("3#0", 2), ("6#0", 3)]


def test_an_id_among_the_dead_letters_can_be_replayed(rig: Rig) -> None:
    deposit(rig, "1", 5, "raise")
    rig.run()
    assert dead_ids(rig) == ["1"]
    deposit(rig, "1", 5)  # mended
    rig.run()
    deposit(rig, "1", 5)
    rig.run()
    assert receipts(rig) == [("1#0", 5)]


def test_an_id_among_the_dead_letters_can_be_replayed_after_a_restart_on_an_empty_disk(rig: Rig) -> None:
    deposit(rig, "1", 5, "raise")
    rig.run()
    rig.stop()
    shutil.rmtree(rig.engine.settings.state_dir)
    rig.start()
    deposit(rig, "1", 5)
    rig.run()
    assert receipts(rig) == [("1#0", 5)]


def test_failures_in_a_row_stop_the_worker_and_nothing_of_them_is_committed(make_rig: MakeRig) -> None:
    rig = make_rig(max_failures=5)
    deposit(rig, "good", 1)
    rig.run()
    for number in range(5):
        deposit(rig, f"{number}", 1, "raise")
    deposit(rig, "after", 1)
    with pytest.raises(AgentsKeepFailing, match=f"(?s){rig.tally.pipeline.name}: 5 events in a row.*asked to raise"):
        rig.run()
    assert records(rig, rig.tally.dead_letters) == []
    assert receipts(rig) == [("good#0", 1)]


def test_failures_are_counted_over_batches(make_rig: MakeRig) -> None:
    rig = make_rig(max_failures=3)
    for number in range(2):
        deposit(rig, f"{number}", 1, "raise")
        rig.run()
    deposit(rig, "2", 1, "raise")
    with pytest.raises(AgentsKeepFailing):
        rig.run()
    assert dead_ids(rig) == ["0", "1"]


def test_failures_with_successes_between_them_do_not_stop_the_worker(make_rig: MakeRig) -> None:
    rig = make_rig(max_failures=3)
    for number in range(12):
        deposit(rig, f"{number}", 1, "" if number % 3 == 2 else "raise")
    rig.run()
    assert len(dead_ids(rig)) == 8
    assert balance(rig) == 4


# --- parked events ---


def test_an_event_waits_for_its_master_record_and_is_taken_up_by_itself(rig: Rig) -> None:
    deposit(rig, "1", 5, "wait account:A")
    deposit(rig, "2", 7)
    rig.run()
    assert receipts(rig) == [("2#0", 7)]
    publish(rig, rig.tally.accounts.topic, Account("A", True))
    rig.run()
    assert receipts(rig) == [("2#0", 7), ("1#0", 12)]
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == {"A": Balance(12, 2)}
    assert len(rig.engine.homes[home_of("A")].parking) == 0


def home_of(account: str) -> int:
    return partition_for(account.encode(), PARTITIONS)


def test_events_that_wait_for_one_name_come_back_in_the_order_they_were_lived(rig: Rig) -> None:
    for number in range(12):
        deposit(rig, f"{number}", 1, "wait account:A", timestamp=1_000 + number)
        rig.run()
    publish(rig, rig.tally.accounts.topic, Account("A", True))
    rig.run()
    assert receipts(rig) == [(f"{number}#0", number + 1) for number in range(12)]


def test_an_event_releases_another_in_the_same_batch_or_in_a_later_one(rig: Rig) -> None:
    deposit(rig, "1", 5, "wait event:a")
    deposit(rig, "2", 7, "provides event:a")
    rig.run()
    deposit(rig, "3", 9, "wait event:b")
    rig.run()
    deposit(rig, "4", 11, "provides event:b")
    rig.run()
    assert receipts(rig) == [("2#0", 7), ("1#0", 12), ("4#0", 23), ("3#0", 32)]
    assert fold(rig, rig.tally.balances) == {"A": Balance(32, 4)}


def test_events_that_wait_for_each_other_in_a_chain_are_released_one_by_one(rig: Rig) -> None:
    deposit(rig, "1", 1, "wait event:x")
    deposit(rig, "2", 10, "wait account:A")
    rig.run()
    assert receipts(rig) == []
    publish(rig, rig.tally.accounts.topic, Account("A", True))
    deposit(rig, "3", 100, "provides event:x")
    rig.run()
    assert sorted(receipts(rig), key=lambda receipt: receipt[0])[0][0] == "1#0"
    assert balance(rig) == 111


def test_an_event_that_waits_too_long_comes_back_overdue(make_rig: MakeRig) -> None:
    rig = make_rig(park_max_age_ms=60_000)
    deposit(rig, "1", 5, "wait account:A")
    rig.run()
    rig.advance(50_000)
    rig.run()
    assert receipts(rig) == []
    rig.advance(11_000)
    rig.run()
    assert receipts(rig) == [("1#0", 5)]


def test_an_event_that_is_parked_again_keeps_its_age(make_rig: MakeRig) -> None:
    rig = make_rig(park_max_age_ms=60_000)
    deposit(rig, "1", 5, "wait account:A")
    rig.run()
    rig.advance(40_000)
    rig.stop()
    rig.start()  # all parked events are tried again
    rig.run()
    assert receipts(rig) == []
    rig.advance(25_000)
    rig.run()
    assert receipts(rig) == [("1#0", 5)]


def test_a_parked_event_is_remembered_and_its_repeat_dropped(rig: Rig) -> None:
    deposit(rig, "1", 5, "wait account:A")
    rig.run()
    deposit(rig, "1", 5, "wait account:A")
    rig.run()
    publish(rig, rig.tally.accounts.topic, Account("A", True))
    rig.run()
    assert receipts(rig) == [("1#0", 5)]


def test_parked_events_survive_an_empty_disk(rig: Rig) -> None:
    deposit(rig, "1", 5, "wait account:A")
    deposit(rig, "2", 6, "wait account:B", account="B")
    rig.run()
    rig.stop()
    shutil.rmtree(rig.engine.settings.state_dir)
    rig.start()
    rig.run()
    publish(rig, rig.tally.accounts.topic, Account("A", True))
    rig.run()
    assert receipts(rig) == [("1#0", 5)]
    assert receipts(rig, "B") == []


def test_a_parked_event_that_makes_the_agent_raise_later_is_a_dead_letter_with_its_own_coordinates(rig: Rig) -> None:
    headers = [TRACE, ("h", b"1")]
    deposit(rig, "0", 5)
    deposit(rig, "1", 5, "wait account:A", headers=headers)
    rig.run()
    rig.publish_raw(rig.tally.accounts.topic.name, b'{"account": "A", "open": true}', key=b"A")
    rig.run()
    assert receipts(rig) == [("0#0", 5), ("1#0", 10)]


# --- partitions and order ---


def test_a_message_on_another_partition_than_its_keys_is_sent_to_where_it_belongs(rig: Rig) -> None:
    stranger = 1 - home_of("A")
    value = b'{"event_id": "1", "account": "A", "amount": 5}'
    deposit(rig, "0", 5)
    rig.publish_raw(rig.tally.deposits.name, value, key=b"?", partition=stranger, headers=[TRACE, ("h", b"1")])
    rig.run()
    assert receipts(rig) == [("0#0", 5), ("1#0", 10)]
    assert set(rig.engine.homes) == {0, 1}
    moved = rig.messages(rig.tally.pipeline.rekeyed)
    assert [(m.key(), m.partition(), m.value()) for m in moved] == [(b"A", home_of("A"), value)]
    told = [m for m in rig.messages(rig.tally.receipts.name) if m.headers()]
    assert [m.headers() for m in told] == [[TRACE]]


def test_a_message_sent_on_keeps_the_coordinates_where_it_was_first_read(rig: Rig) -> None:
    stranger = 1 - home_of("A")
    value = b'{"event_id": "1", "account": "A", "amount": 5, "note": "raise"}'
    lived = rig.now_ms() - 3 * DAY_MS
    rig.publish_raw(rig.tally.deposits.name, b"junk", partition=stranger)
    rig.publish_raw(
        rig.tally.deposits.name, value, key=b"?", partition=stranger, headers=[("h", b"1")], timestamp=lived
    )
    rig.run()
    (letter,) = (letter for letter in records(rig, rig.tally.dead_letters) if letter.offset == 1)
    assert (letter.topic, letter.partition, letter.offset) == (rig.tally.deposits.name, stranger, 1)
    assert (letter.timestamp, letter.value, letter.headers) == (lived, value, (Header("h", b"1"),))


def test_a_repeat_is_known_whichever_partition_it_comes_on(rig: Rig) -> None:
    value = b'{"event_id": "1", "account": "A", "amount": 5}'
    for partition in (0, 1, 0, 1):
        rig.publish_raw(rig.tally.deposits.name, value, key=b"?", partition=partition)
    rig.run()
    assert receipts(rig) == [("1#0", 5)]


def test_a_backlog_of_two_topics_is_worked_in_the_order_in_which_it_was_lived(rig: Rig) -> None:
    rig.run()
    rig.stop()
    for number in range(0, 20, 2):
        deposit(rig, f"{number:02}", 1, timestamp=1_000 + number)
    for number in range(1, 20, 2):
        transfer(rig, f"{number:02}", 1, timestamp=1_000 + number)
    rig.start()
    rig.run()
    assert receipts(rig) == [(f"{number:02}#0", number + 1) for number in range(20)]


def test_an_older_message_never_overtakes_an_earlier_one_of_its_own_topic(rig: Rig) -> None:
    for number, timestamp in enumerate([5_000, 3_000, 4_000, 1_000]):
        deposit(rig, f"{number}", 1, timestamp=timestamp)
    rig.run()
    assert [event_id for event_id, _ in receipts(rig)] == ["0#0", "1#0", "2#0", "3#0"]


def test_trace_headers_go_from_an_event_to_all_it_causes_and_nothing_else_does(rig: Rig) -> None:
    state = ("tracestate", b"vendor=1")
    deposit(rig, "1", 5, headers=[("other", b"x"), TRACE, state])
    deposit(rig, "1", 6, headers=[TRACE])
    deposit(rig, "2", 7)
    deposit(rig, "3", 7, "wait event:x", headers=[TRACE, ("other", b"x")])
    deposit(rig, "4", 7, "provides event:x", headers=[state])
    rig.run()
    told = {
        record.event_id: message.headers()
        for record, message in zip(records(rig, rig.tally.receipts), rig.messages(rig.tally.receipts.name), strict=True)
    }
    assert told == {"1#0": [TRACE, state], "1#conflict": [TRACE], "2#0": None, "4#0": [state], "3#0": [TRACE]}


# --- tables and restore ---


def test_a_deleted_row_is_gone_from_the_table_and_from_its_changelog(rig: Rig) -> None:
    deposit(rig, "1", 5)
    rig.run()
    deposit(rig, "2", 7, "delete")
    rig.run()
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == {}
    deposit(rig, "3", 9)
    rig.run()
    assert receipts(rig)[-1] == ("3#0", 9)


def test_a_changed_row_is_written_to_the_changelog_once_a_transaction(rig: Rig) -> None:
    for number in range(50):
        deposit(rig, f"{number}", 1)
    rig.run()
    changes = rig.messages(rig.tally.pipeline.changelog("balances"))
    assert len(changes) < 50
    assert fold(rig, rig.tally.balances) == {"A": Balance(50, 50)}


def test_a_scan_sees_what_this_batch_wrote_over_what_is_stored(rig: Rig) -> None:
    ours = [name for name in (f"p{number}" for number in range(40)) if home_of(name) == home_of("A")][:4]
    for name, amount in zip(ours, (1, 2, 3, 4), strict=True):
        deposit(rig, name, amount, account=name)
    rig.run()
    deposit(rig, "more", 10, account=ours[1])
    deposit(rig, "gone", 0, "delete", account=ours[2])
    deposit(rig, "undone", 90, "raise", account=ours[3])
    deposit(rig, "look", 5, "scan p", account="A")
    rig.run()
    seen = [(r.account, r.balance) for r in records(rig, rig.tally.receipts) if r.event_id == "look#scan"]
    assert seen == sorted([(ours[0], 1), (ours[1], 12), (ours[3], 4)])


def test_state_is_the_same_after_the_disk_was_lost(rig: Rig) -> None:
    for number in range(60):
        deposit(rig, f"{number}", number, "delete" if number == 33 else "", account=f"a{number % 7}")
        if number % 20 == 0:
            rig.run()
    rig.run()
    before = contents(rig)
    rig.stop()
    shutil.rmtree(rig.engine.settings.state_dir)
    rig.start()
    rig.run()
    assert contents(rig) == before
    for number in range(60):
        deposit(rig, f"{number}", number, "delete" if number == 33 else "", account=f"a{number % 7}")
    rig.run()
    assert contents(rig) == before
    assert len(records(rig, rig.tally.receipts)) == 60


def contents(rig: Rig) -> dict[tuple[int, str], dict[bytes, bytes]]:
    """All rows of all stores: tables, ids, changelog offsets."""
    return {
        (number, column): dict(home.store.column(column).scan(b""))
        for number, home in rig.engine.homes.items()
        for column in home.store.columns()
    }


def test_a_stored_offset_beyond_the_log_means_another_log_and_a_store_built_anew(rig: Rig) -> None:
    deposit(rig, "1", 5)
    rig.run()
    before = contents(rig)
    store = rig.engine.homes[home_of("A")].store
    batch = store.batch()
    batch.put_all("balances", [(b"ghost", b"[1, 1]")])
    batch.reach(rig.tally.pipeline.changelog("balances"), 10_000)
    batch.write()
    rig.stop()
    rig.start()
    deposit(rig, "2", 7, account="A")
    rig.run()
    assert receipts(rig) == [("1#0", 5), ("2#0", 12)]
    assert table(rig, rig.tally.balances) == fold(rig, rig.tally.balances) == {"A": Balance(12, 2)}
    assert before.keys() == contents(rig).keys()


def test_a_store_that_cannot_be_opened_is_built_anew(rig: Rig) -> None:
    deposit(rig, "1", 5)
    rig.run()
    rig.stop()
    (rig.engine.settings.state_dir / str(home_of("A")) / "CURRENT").write_bytes(b"torn")
    rig.start()
    deposit(rig, "2", 7)
    rig.run()
    assert receipts(rig) == [("1#0", 5), ("2#0", 12)]


# --- master data ---


def test_master_data_are_complete_before_the_first_event(rig: Rig) -> None:
    rig.stop()
    deposit(rig, "1", 5, "version")
    for number in range(25):
        publish(rig, rig.tally.accounts.topic, Account(f"{number}", True))
    rig.start()
    rig.run()
    assert receipts(rig) == [("1#0", 5), ("1#version", 25)]


def test_a_batch_sees_one_version_of_the_master_data_and_the_next_batch_the_next(rig: Rig) -> None:
    for version in (1, 2):
        publish(rig, rig.tally.accounts.topic, Account(f"{version}", True))
        rig.run()
        for number in range(3):
            deposit(rig, f"{version}-{number}", 1, "version")
        rig.run()
    seen = [r.balance for r in records(rig, rig.tally.receipts) if r.event_id.endswith("#version")]
    assert seen == [1, 1, 1, 2, 2, 2]


def test_a_master_record_that_cannot_be_decoded_leaves_the_row_before_it(rig: Rig) -> None:
    publish(rig, rig.tally.accounts.topic, Account("A", True))
    rig.run()
    rig.publish_raw(rig.tally.accounts.topic.name, b"junk", key=b"A")
    rig.run()
    assert rig.tally.accounts.get("A") == Account("A", True)
    assert rig.tally.accounts.version == 2
    rig.publish_raw(rig.tally.accounts.topic.name, None, key=b"A")
    rig.run()
    assert rig.tally.accounts.get("A") is None


# --- lag ---


def test_lag_is_zero_once_all_is_worked(rig: Rig) -> None:
    for number in range(10):
        deposit(rig, f"{number}", 1, account=f"{number}")
    rig.run()
    assert set(rig.engine.lag().values()) == {0}
    assert len(rig.engine.lag()) == 3 * PARTITIONS


def test_small_batches_give_what_one_large_batch_gives(make_rig: MakeRig) -> None:
    rig = make_rig(batch_max_events=3)
    for number in range(40):
        note = {7: "raise", 11: "wait event:x", 23: "provides event:x", 29: "spoil"}.get(number, "")
        deposit(rig, f"{number}", 1, note)
    rig.run()
    assert dead_ids(rig) == ["29", "7"]
    order = [number for number in range(40) if number not in {7, 11, 29}]
    told = [event_id for event_id, _ in receipts(rig)]
    assert [event_id for event_id in told if event_id != "11#0"] == [f"{number}#0" for number in order]
    assert told.count("11#0") == 1
    assert told.index("11#0") > told.index("23#0")
    assert [amount for _, amount in receipts(rig)] == list(range(1, 39))


def test_the_receipts_topic_decodes_to_what_was_emitted(rig: Rig) -> None:
    deposit(rig, "1", 5)
    rig.run()
    assert records(rig, rig.tally.receipts) == [Receipt("1#0", "A", 5)]
    (message,) = rig.messages(rig.tally.receipts.name)
    assert message.key() == b"A"
    assert message.partition() == home_of("A")


# --- timers ---


def reminders(rig: Rig) -> dict[str, list[int]]:
    """The timer's receipts by account."""
    told: dict[str, list[int]] = {}
    for receipt in records(rig, rig.tally.receipts):
        if receipt.event_id.endswith("#timer"):
            told.setdefault(receipt.account, []).append(receipt.balance)
    return told


def test_a_timer_works_on_every_partition_once_each_time_it_is_due(make_rig: MakeRig) -> None:
    rig = make_rig(timer_every_s=1_000.0)
    accounts = [f"a{number}" for number in range(6)]
    for number, account in enumerate(accounts):
        deposit(rig, f"{number}", number, account=account)
    rig.run()
    assert reminders(rig) == {}
    for times in (1, 2):
        rig.advance(1_000_000)
        rig.run()
        assert reminders(rig) == {account: [number] * times for number, account in enumerate(accounts)}
    assert {home_of(account) for account in accounts} == {0, 1}
    assert table(rig, rig.tally.marks) == fold(rig, rig.tally.marks) == {f"reminded {a}": True for a in accounts}


def test_a_timer_that_raises_has_no_effect_and_stops_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(timer_every_s=1_000.0)
    deposit(rig, "1", 5, account="broken")
    other = next(name for name in "ABCDEFGH" if home_of(name) != home_of("broken"))
    deposit(rig, "2", 6, account=other)
    rig.run()
    rig.advance(1_000_000)
    deposit(rig, "3", 7, account="broken")
    rig.run()
    assert reminders(rig) == {other: [6]}
    assert receipts(rig, "broken") == [("1#0", 5), ("3#0", 12)]
    assert fold(rig, rig.tally.marks) == {f"reminded {other}": True}
