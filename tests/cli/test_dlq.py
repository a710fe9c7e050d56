"""Dead letters: shown as they are, replayed once, and never lost or altered on the way."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, cast

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from app.cli.dlq import ATTEMPT, REPLAYED_FROM, attempt_of, hexdump
from app.config import Settings
from app.domain.records import ClinicalUsage
from app.kafka_admin import Cluster
from app.runtime.dead_letters import DeadLetter, Header, Reason
from tests.cli.conftest import OwnTopics, Run, Send

USAGE = ClinicalUsage(
    event_id="U-1",
    occurred_at=1_000,
    recorded_at=2_000,
    source_system="ward",
    correlation_id="c-1",
    facility="H1",
    location="ICU",
    item="ITM-1",
    quantity=3,
    uom="EA",
    cost_center="CC-1",
)


@pytest.fixture
def bury(own_topics: OwnTopics, send: Send) -> Any:
    """``bury(offset, …)`` makes a dead letter of the message at that offset of the usage topic's partition 0."""
    encode_usage = own_topics.codec.encoder(own_topics.usage)
    encode = own_topics.codec.encoder(own_topics.dead_letters)
    plain = DeadLetter(
        Reason.AGENT_ERROR,
        "Traceback\nZeroDivisionError",
        "inventory",
        own_topics.usage.name,
        0,
        0,
        1_000,
        b"H1|ICU|ITM-1",
        encode_usage(USAGE),
        (Header("traceparent", b"00-aa-bb-01"), Header("bare", None)),
    )

    def bury(offset: int, **changes: Any) -> DeadLetter:
        letter = replace(plain, offset=offset, **changes)
        send(own_topics.dead_letters.name, (own_topics.dead_letters.key_of(letter).encode(), encode(letter)))
        return letter

    return bury


def ids(listed: list[dict[str, Any]]) -> list[int]:
    return sorted(row["offset"] for row in listed)


def headers_of(message: Message) -> dict[str, bytes | None]:
    return dict(cast(list[tuple[str, bytes | None]], message.headers()))


def test_letters_are_listed_by_reason_topic_and_time(run: Run, bury: Any, own_topics: OwnTopics) -> None:
    bury(1)
    bury(2, reason=Reason.UNDECODABLE, value=b"\x00junk")
    bury(3, topic="elsewhere")

    assert ids(run("dlq", "ls", "--json").json) == [1, 2, 3]
    assert ids(run("dlq", "ls", "--reason", "UNDECODABLE", "--json").json) == [2]
    assert ids(run("dlq", "ls", "--topic", own_topics.usage.name, "--json").json) == [1, 2]
    assert ids(run("dlq", "ls", "--since", "1h", "--json").json) == [1, 2, 3]
    assert ids(run("dlq", "ls", "--until", "1h", "--json").json) == []
    assert "ZeroDivisionError" in run("dlq", "ls").out


def test_a_letter_is_shown_decoded_with_its_headers_and_its_reason(run: Run, bury: Any, own_topics: OwnTopics) -> None:
    bury(1)
    shown = run("dlq", "show", f"{own_topics.usage.name}/0/1", "--json").json
    assert shown["record"] == asdict(USAGE)
    assert shown["headers"] == {"traceparent": "00-aa-bb-01", "bare": None}
    assert shown["detail"].endswith("ZeroDivisionError")
    assert '"ITM-1"' in run("dlq", "show", f"{own_topics.usage.name}/0/1").out


def test_an_invalid_letter_is_shown_decoded_though_no_worker_would_take_it(
    run: Run, bury: Any, own_topics: OwnTopics
) -> None:
    invalid = replace(USAGE, quantity=-3)
    bury(1, reason=Reason.INVALID, value=own_topics.codec.encoder(own_topics.usage)(invalid))
    assert run("dlq", "show", f"{own_topics.usage.name}/0/1", "--json").json["record"]["quantity"] == -3


def test_a_letter_that_cannot_be_decoded_is_shown_as_a_hex_dump(run: Run, bury: Any, own_topics: OwnTopics) -> None:
    bury(1, reason=Reason.BAD_FRAMING, value=b"\x07ward")
    said = run("dlq", "show", f"{own_topics.usage.name}/0/1")
    assert "07 77 61 72 64" in said.out
    assert ".ward" in said.out


def test_a_letter_that_is_not_there_is_exit_code_1(run: Run, own_topics: OwnTopics) -> None:
    said = run("dlq", "show", f"{own_topics.usage.name}/0/99")
    assert (said.code, "no open dead letter" in said.err) == (1, True)


def test_a_replay_only_says_what_it_would_do_unless_told_to_do_it(
    run: Run, bury: Any, own_topics: OwnTopics, kafka: Cluster
) -> None:
    bury(1)
    said = run("dlq", "replay", "--reason", "AGENT_ERROR", "--json").json
    assert (said["dry_run"], said["replayed"], ids(said["letters"])) == (True, 0, [1])
    assert list(kafka.read(own_topics.usage.name)) == []


def test_a_replay_keeps_key_value_and_headers_and_says_where_it_comes_from(
    run: Run, bury: Any, own_topics: OwnTopics, kafka: Cluster
) -> None:
    letter = bury(1)
    assert run("dlq", "replay", "--topic", own_topics.usage.name, "--yes").code == 0
    (message,) = kafka.read(own_topics.usage.name)
    assert (message.key(), message.value()) == (letter.key, letter.value)
    assert message.headers() == [
        ("traceparent", b"00-aa-bb-01"),
        ("bare", None),
        (REPLAYED_FROM, f"{own_topics.usage.name}/0/1".encode()),
        (ATTEMPT, b"1"),
    ]


def test_a_letter_is_replayed_once_however_often_it_is_asked_for(
    run: Run, bury: Any, own_topics: OwnTopics, kafka: Cluster
) -> None:
    bury(1)
    for expected in (1, 0, 0):
        said = run("dlq", "replay", "--id", f"{own_topics.usage.name}/0/1", "--yes", "--json")
        assert said.json["replayed"] == expected
    assert len(list(kafka.read(own_topics.usage.name))) == 1
    assert run("dlq", "ls", "--json").json == []


def test_a_message_that_dies_again_counts_its_attempts(
    run: Run, bury: Any, own_topics: OwnTopics, kafka: Cluster
) -> None:
    bury(1)
    run("dlq", "replay", "--reason", "AGENT_ERROR", "--yes")
    (message,) = kafka.read(own_topics.usage.name)
    bury(2, headers=tuple(Header(name, value) for name, value in headers_of(message).items()))

    (listed,) = run("dlq", "ls", "--json").json
    assert (listed["offset"], listed["attempt"]) == (2, 1)
    run("dlq", "replay", "--reason", "AGENT_ERROR", "--yes")
    again = [headers_of(message) for message in kafka.read(own_topics.usage.name)]
    assert {headers[ATTEMPT]: headers[REPLAYED_FROM] for headers in again} == {
        b"1": f"{own_topics.usage.name}/0/1".encode(),
        b"2": f"{own_topics.usage.name}/0/2".encode(),
    }


def test_a_letter_without_key_and_value_is_replayed_as_it_was(
    run: Run, bury: Any, own_topics: OwnTopics, kafka: Cluster
) -> None:
    bury(1, reason=Reason.EMPTY_VALUE, key=None, value=None, headers=())
    run("dlq", "replay", "--reason", "EMPTY_VALUE", "--yes")
    (message,) = kafka.read(own_topics.usage.name)
    assert (message.key(), message.value()) == (None, None)


def test_a_replay_of_everything_is_refused(run: Run, settings: Settings) -> None:
    said = run("dlq", "replay", "--yes")
    assert said.code == 2
    assert "nothing chosen" in said.err
    assert settings.app_id


@given(st.binary(max_size=200))
def test_a_hex_dump_holds_every_byte(data: bytes) -> None:
    shown = "".join(line[10:57].replace(" ", "") for line in hexdump(data))
    assert bytes.fromhex(shown) == data


@pytest.mark.parametrize(("value", "attempt"), [(b"3", 3), (b"", 0), (b"x", 0), (None, 0)])
def test_an_attempt_that_is_no_number_counts_as_none(value: bytes | None, attempt: int) -> None:
    assert attempt_of([Header(ATTEMPT, value)]) == attempt
