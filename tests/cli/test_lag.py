"""Lag is what a worker has left to read: committed records, no markers, no open transactions."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import app.cli.declared
from agents import topics
from app.config import Settings
from app.kafka_admin import Cluster, TopicSpec
from app.runtime.partitioner import PARTITIONER, partition_for
from app.runtime.pipeline import Pipeline
from tests.cli.conftest import Run, Send

HERE = partition_for(b"k", 2)


@pytest.fixture
def pipeline(unique: str, kafka: Cluster, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A pipeline whose one input is the topic that every pipeline has."""
    pipeline = Pipeline(unique, (), topics.dead_letters)
    monkeypatch.setattr(app.cli.declared, "pipelines", lambda: {unique: pipeline})
    kafka.create([TopicSpec(pipeline.rekeyed, 2, 1, {"cleanup.policy": "delete", "retention.ms": "-1"})])
    return pipeline


def commit(settings: Settings, pipeline: Pipeline, offset: int) -> None:
    group = f"{settings.app_id}-{pipeline.name}"
    consumer = Consumer({**settings.client_config(), "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(pipeline.rekeyed, HERE, offset)], asynchronous=False)
    consumer.close()


def here(run: Run) -> dict[str, Any]:
    return next(row for row in run("lag", "--json").json["partitions"] if row["partition"] == HERE)


def test_before_the_first_commit_everything_is_lag(run: Run, pipeline: Pipeline, send: Send) -> None:
    send(pipeline.rekeyed, (b"k", b"1"), (b"k", b"2"))
    said = run("lag", pipeline.name, "--json").json
    assert (said["total"], said["totals"]) == (2, {pipeline.name: 2})
    assert here(run) | {"committed": None, "end": 2, "records": 2} == here(run)


def test_lag_is_what_follows_the_committed_offset(run: Run, pipeline: Pipeline, send: Send, settings: Settings) -> None:
    send(pipeline.rekeyed, *[(b"k", b"v")] * 150)
    commit(settings, pipeline, 20)
    assert here(run) | {"committed": 20, "end": 150, "records": 130} == here(run)
    commit(settings, pipeline, 147)
    assert here(run)["records"] == 3


def test_a_transactions_marker_and_what_is_not_committed_are_no_lag(
    run: Run, pipeline: Pipeline, settings: Settings
) -> None:
    producer = Producer({**settings.client_config(), "transactional.id": pipeline.name, "partitioner": PARTITIONER})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(pipeline.rekeyed, b"v", b"k")
    producer.commit_transaction(10)
    commit(settings, pipeline, 1)
    producer.begin_transaction()
    producer.produce(pipeline.rekeyed, b"v", b"k")
    producer.flush(10)
    assert here(run)["records"] == 0
    producer.abort_transaction(10)


def test_an_unknown_pipeline_is_refused_with_those_there_are(run: Run, pipeline: Pipeline) -> None:
    said = run("lag", "invoicing")
    assert said.code == 2
    assert f"expected one of {pipeline.name}" in said.err
