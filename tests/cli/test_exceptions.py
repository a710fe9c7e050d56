"""Exceptions are found by kind, role, facility and time, and shown with all that they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.cli.records import parse_time
from app.domain.records import ExceptionKind, ExceptionRaised, OwnerRole, Severity
from tests.cli.conftest import OwnTopics, Run, Send

RAISED = ExceptionRaised(
    event_id="clinical.usage/U-1#1",
    occurred_at=1_000,
    decided_at=1_000,
    correlation_id="c-1",
    causation_id="U-1",
    master_version="items@1",
    kind=ExceptionKind.EXPIRED_LOT,
    severity=Severity.CRITICAL,
    owner_role=OwnerRole.WARD,
    applied=True,
    message="lot is L-1, expired 2026-01-01; expected a lot that is usable",
    facility="H1",
    location="ICU",
    item="ITM-1",
    source_topic="clinical.usage",
    source_partition=0,
    source_offset=7,
    payload='{"event_id":"U-1"}',
)


@pytest.fixture(autouse=True)
def raised(own_topics: OwnTopics, send: Send) -> None:
    """Three exceptions, decided one second after another; the last one's record is a day old."""
    encode = own_topics.codec.encoder(own_topics.exceptions)
    others = (
        replace(RAISED, decided_at=3_000, facility="H2", kind=ExceptionKind.OVER_RECEIPT),
        replace(RAISED, decided_at=2_000, owner_role=OwnerRole.PROCUREMENT, event_id="e#2"),
    )
    send(own_topics.exceptions.name, (b"U-1", encode(RAISED)), (b"U-2", encode(others[0])))
    yesterday = parse_time("1d")
    send(own_topics.exceptions.name, (b"U-3", encode(others[1])), timestamp=yesterday)


def decided(run: Run, *arguments: str) -> list[int]:
    return [row["decided_at"] for row in run("exceptions", "ls", "--json", *arguments).json]


def test_all_are_listed_the_newest_last(run: Run) -> None:
    assert decided(run) == [1_000, 2_000, 3_000]


def test_they_are_chosen_by_what_they_are_and_whose_work(run: Run) -> None:
    assert decided(run, "--kind", "EXPIRED_LOT") == [1_000, 2_000]
    assert decided(run, "--owner", "PROCUREMENT") == [2_000]
    assert decided(run, "--facility", "H2") == [3_000]
    assert decided(run, "--kind", "EXPIRED_LOT", "--owner", "WARD", "--facility", "H1") == [1_000]
    assert decided(run, "--since", "1h") == [1_000, 3_000]


def test_a_limit_keeps_the_newest_and_says_so(run: Run) -> None:
    said = run("exceptions", "ls", "--limit", "1", "--json")
    assert [row["decided_at"] for row in said.json] == [3_000]
    assert "the newest 1 of 3" in said.err


def test_json_has_every_field_and_the_table_names_place_and_message(run: Run) -> None:
    (row,) = run("exceptions", "ls", "--facility", "H1", "--owner", "WARD", "--json").json
    assert row["payload"] == RAISED.payload
    told = run("exceptions", "ls").out
    assert "clinical.usage/0/7" in told
    assert RAISED.message in told


def test_an_unknown_kind_is_refused_with_those_there_are(run: Run) -> None:
    said = run("exceptions", "ls", "--kind", "LATE")
    assert said.code == 2
    assert "EXPIRED_LOT" in said.err


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("90s", 910_000),
        ("1m", 940_000),
        ("1970-01-01T00:00:02", 2_000),
        ("1970-01-01T01:00:02+01:00", 2_000),
        ("1970-01-02", 86_400_000),
    ],
)
def test_a_time_is_a_span_before_now_or_a_date(text: str, milliseconds: int) -> None:
    assert parse_time(text, lambda: 1_000.0) == milliseconds


def test_what_is_no_time_is_refused_with_what_was_expected(run: Run) -> None:
    said = run("exceptions", "ls", "--since", "yesterday")
    assert said.code == 2
    assert "'yesterday' is no time" in said.err
