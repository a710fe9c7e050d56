"""The same books on a real broker and registry: what is committed is read, all of it, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from app.embedded import Addresses
from app.errors import Conflict, Unreachable
from app.reconcile import Kind, Report, Rule, reconcile
from tests.reconcile import books as b
from tests.reconcile.books import Bookkeeper, Row
from tests.reconcile.kafka import Encoder, create_topics, delete_topics, write
from tests.reconcile.pure import report_on


@dataclass(frozen=True, slots=True)
class Stage:
    """Topics of one test on the shared cluster."""

    cluster: Addresses
    prefix: str
    encoder: Encoder

    @property
    def client_config(self) -> dict[str, str]:
        return {"bootstrap.servers": self.cluster.bootstrap_servers}

    def write(self, rows: Iterator[Row] | list[Row], **options: str) -> Producer:
        return write(self.cluster.bootstrap_servers, self.prefix, rows, self.encoder, **options)

    def report(self) -> Report:
        return reconcile(self.client_config, self.cluster.registry_url, prefix=self.prefix)


@pytest.fixture
def stage(cluster: Addresses, unique: str) -> Iterator[Stage]:
    prefix = f"{unique}."
    create_topics(cluster.bootstrap_servers, prefix)
    yield Stage(cluster, prefix, Encoder(cluster.registry_url, prefix))
    delete_topics(cluster.bootstrap_servers, prefix)


def test_books_on_kafka_are_read_as_they_were_written(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    stage.write(iter(log))
    found, expected = stage.report().as_dict(), report_on(log).as_dict()
    assert found["differences"] == []
    assert found == expected | {"positions_below": found["positions_below"]}  # lots expire while time goes by


def test_an_aborted_transaction_is_not_seen(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    stage.write(iter(log))
    doubled = [*log.rows[b.POSTINGS], *log.rows[b.LEDGER]]
    stage.write(doubled, **{"transactional.id": stage.prefix}).abort_transaction()
    assert stage.report().differences == ()


def test_a_committed_transaction_is_seen(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    stage.write(iter(log))
    stage.write(log.rows[b.POSTINGS][:1], **{"transactional.id": stage.prefix}).commit_transaction()
    report = stage.report()
    assert [(found.kind, found.rule) for found in report.differences] == [(Kind.DOUBLED, Rule.CAUSED)]


def test_an_open_transaction_is_waited_for(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    stage.write(iter(log))
    producer = stage.write(log.rows[b.POSTINGS][:1], **{"transactional.id": stage.prefix})
    threading.Timer(3, producer.commit_transaction).start()
    assert stage.report().duplicated == 1


def test_what_is_written_after_the_start_is_not_looked_at(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    stage.write(iter(log))
    late = [log.rows[b.POSTINGS][0]]

    def meanwhile(done: int, total: int) -> None:
        if late:
            stage.write([late.pop()])
        assert done <= total

    report = reconcile(stage.client_config, stage.cluster.registry_url, None, meanwhile, prefix=stage.prefix)
    assert (report.differences, late) == ((), [])


def test_a_dead_letter_whose_bytes_were_altered_is_found(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    letter = log.rows[b.DEAD_LETTERS][0].record
    assert letter is not None
    letter["value"] = b"\x07oopS"
    stage.write(iter(log))
    assert [(found.kind, found.rule) for found in stage.report().differences] == [(Kind.WRONG, Rule.DEAD_LETTER)]


def test_a_letter_that_was_replayed_and_closed_is_a_letter_all_the_same(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    letter = log.rows[b.DEAD_LETTERS][0]
    stage.write(iter(log))
    stage.write([replace(letter, record=None, raw=None)])
    report = stage.report()
    assert (report.differences, sum(report.dead_letters.values())) == ((), len(log.rows[b.DEAD_LETTERS]))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "EMPTY_VALUE"),
        (b"", "BAD_FRAMING"),
        (b"\0\0\0", "BAD_FRAMING"),
        (b"\1\0\0\0\1rest", "BAD_FRAMING"),
        (b"\0\x7f\xff\xff\xffrest", "UNKNOWN_SCHEMA"),
    ],
)
def test_what_cannot_be_decoded_must_be_a_dead_letter_with_its_reason(
    stage: Stage, books: Bookkeeper, value: bytes | None, reason: str
) -> None:
    books.garbage(value, reason)
    stage.write(iter(books.settle()))
    assert stage.report().differences == ()


def test_bytes_that_do_not_fit_their_schema_are_undecodable(stage: Stage, books: Bookkeeper) -> None:
    whole = stage.encoder.value_of(books.log.rows[b.USAGE][0])
    assert whole is not None
    books.garbage(whole[:-3], "UNDECODABLE")
    books.garbage(whole + b"\0", "UNDECODABLE")
    posting = stage.encoder.value_of(books.log.rows[b.POSTINGS][0])
    books.garbage(posting, "UNKNOWN_SCHEMA")
    stage.write(iter(books.settle()))
    assert stage.report().differences == ()


def test_inputs_that_retention_removed_are_unverifiable_and_not_wrong(stage: Stage, books: Bookkeeper) -> None:
    log = books.settle()
    stage.write(iter(log))
    admin = AdminClient({"bootstrap.servers": stage.cluster.bootstrap_servers})
    cut = [TopicPartition(stage.prefix + b.USAGE, partition, -1) for partition in range(b.PARTITIONS)]
    for deleted in admin.delete_records(cut).values():
        deleted.result()
    report = stage.report()
    assert {found.rule for found in report.differences} == set()
    assert report.unverifiable["applied-once"] > 0
    assert report.unverifiable["quantity"] > 0


def test_a_missing_topic_is_an_error_that_names_it(cluster: Addresses, unique: str) -> None:
    with pytest.raises(Conflict, match=r"clinical\.usage"):
        reconcile({"bootstrap.servers": cluster.bootstrap_servers}, cluster.registry_url, prefix=unique)


def test_a_broker_that_does_not_answer_is_unreachable(cluster: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.reconcile.log._ANSWER_S", 1.0)
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        reconcile(config, cluster.registry_url)


def test_a_registry_that_does_not_answer_is_unreachable(stage: Stage, books: Bookkeeper) -> None:
    stage.write(iter(books.settle()))
    with pytest.raises(Unreachable, match="registry"):
        reconcile(stage.client_config, "http://127.0.0.1:1", prefix=stage.prefix)
