"""What a worker answers over HTTP: a real worker on a real Kafka, asked from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.embedded import Addresses
from app.runtime.worker import free_port
from tests.engine.topics import Broker
from tests.faults.stage import ACCOUNTS, Stage

WITHIN_S = 40.0
HOST = "127.0.0.1"
ROWS = [f"/tables/balances/{quote(f'a{number}')}" for number in range(ACCOUNTS)]


class Answer(NamedTuple):
    status: int
    body: str
    retry_after: str | None


class Site:
    """The HTTP side of one worker."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> Answer:
        connection = HTTPConnection(HOST, self._port, timeout=5)
        try:
            connection.request("GET", path)
            response: HTTPResponse = connection.getresponse()
            return Answer(response.status, response.read().decode(), response.getheader("Retry-After"))
        finally:
            connection.close()

    def until(self, path: str, holds: Callable[[Answer], bool]) -> Answer:
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            try:
                answer = self.get(path)
            except OSError:  # not up yet
                time.sleep(0.1)
                continue
            if holds(answer):
                return answer
            time.sleep(0.1)
        pytest.fail(f"{path} did not answer as expected within {WITHIN_S:.0f} s")


@pytest.fixture
def stage(cluster: Addresses, tmp_path: Path, unique: str) -> Iterator[Stage]:
    opened = Stage(Broker(cluster.bootstrap_servers), tmp_path, unique, 1, [])
    yield opened
    opened.close()


def holds_all(answer: Answer) -> bool:
    body: dict[str, Any] = json.loads(answer.body)
    return answer.status == 200 and body["ready"] and all(len(held) == 4 for held in body["partitions"].values())


def test_a_worker_tells_health_metrics_and_the_rows_that_it_owns(stage: Stage) -> None:
    port = free_port(HOST)
    site = Site(port)
    stage.start(0, http_port=port)
    ready = site.until("/readyz", holds_all)
    assert json.loads(ready.body)["restoring"] == []
    stage.feed(40)
    stage.drain()

    live = site.get("/livez")
    assert (live.status, json.loads(live.body)) == (200, {"live": True, "stuck": []})

    families = {family.name: family for family in text_string_to_metric_families(site.get("/metrics").body)}
    consumed = sum(sample.value for sample in families["records_consumed"].samples)
    assert consumed >= 40
    assert {sample.value for sample in families["consumer_lag_records"].samples} == {0.0}
    state = {sample.labels["state"]: sample.value for sample in families["worker_state"].samples}
    assert state == {"starting": 0.0, "restoring": 0.0, "running": 1.0}

    rows = [row for row in map(site.get, ROWS) if row.status == 200]
    assert rows
    assert all(len(json.loads(row.body)) == 2 for row in rows)

    missing = site.get("/tables/balances/nobody")
    assert missing.status == 404
    assert "nobody" in missing.body
    unknown = site.get("/tables/nothing/a")
    assert unknown.status == 404
    assert "balances" in unknown.body


def test_a_worker_without_the_partition_says_so_and_when_to_ask_again(stage: Stage) -> None:
    first, second = free_port(HOST), free_port(HOST)
    stage.start(0, http_port=first)
    Site(first).until("/readyz", holds_all)
    stage.feed(40)
    stage.drain()
    stage.start(1, http_port=second)

    def shares(answer: Answer) -> bool:
        return any(0 < len(held) < 4 for held in json.loads(answer.body)["partitions"].values())

    Site(second).until("/readyz", lambda answer: shares(answer) and json.loads(answer.body)["ready"])
    answers = [Site(second).get(row) for row in ROWS]
    assert {200, 503} <= {answer.status for answer in answers}
    assert {answer.retry_after for answer in answers if answer.status == 503} == {"2"}
