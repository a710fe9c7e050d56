"""Tables are what their changelogs hold: the last committed value of every key, wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Producer

import app.cli.declared
from agents import topics
from app.cli.tables import decoded
from app.config import Settings
from app.kafka_admin import Cluster, internal_topics
from app.runtime.agents import agent
from app.runtime.batch import Batches, Event
from app.runtime.partitioner import PARTITIONER, partition_for
from app.runtime.pipeline import Pipeline
from app.runtime.state.table import Table
from app.runtime.topics import Topic
from tests.cli.conftest import Run, Send

KEYS = [f"H1|ICU|ITM-{n}" for n in range(40)]


def _conflict(_event: Event) -> tuple[Topic, object]:
    raise NotImplementedError("no event is worked here")


@pytest.fixture
def pipeline(unique: str, kafka: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    stock: Table[object] = Table("stock", dump=orjson.dumps, load=orjson.loads)

    @agent(topics.usage, owns=(stock,), conflict=_conflict)
    async def keep_stock(_batches: Batches) -> None: ...

    pipeline = Pipeline(unique, (keep_stock,), topics.dead_letters)
    monkeypatch.setattr(app.cli.declared, "pipelines", lambda: {unique: pipeline})
    kafka.create(internal_topics(settings, pipeline))
    return pipeline


@pytest.fixture
def rows(pipeline: Pipeline, send: Send) -> None:
    """40 rows, of which the first was written twice and the second was deleted."""
    changes: list[tuple[bytes, bytes | None]] = [(key.encode(), orjson.dumps({"number": 1})) for key in KEYS]
    changes += [(KEYS[0].encode(), orjson.dumps({"number": 2})), (KEYS[1].encode(), None)]
    send(pipeline.changelog("stock"), *changes)


def test_every_table_is_listed_without_a_cluster(run: Run, pipeline: Pipeline) -> None:
    listed = run("tables", "ls", "--json").json
    assert {row["changelog"] for row in listed} == {
        f"{pipeline.name}.stock-changelog",
        f"{pipeline.name}.parked-changelog",
    }


@pytest.mark.usefixtures("rows")
def test_get_gives_the_last_value_and_exit_code_1_for_a_row_that_is_not_there(run: Run) -> None:
    assert run("tables", "get", "stock", KEYS[0]).json == {"number": 2}
    assert run("tables", "get", "stock", KEYS[0], "--json").json == {"key": KEYS[0], "value": {"number": 2}}
    for absent in (KEYS[1], "H9|X|Y"):
        said = run("tables", "get", "stock", absent)
        assert (said.code, f"no row '{absent}'" in said.err) == (1, True)


def test_get_finds_a_row_that_lies_on_its_events_partition_and_not_on_its_own_keys(
    run: Run, pipeline: Pipeline, send: Send
) -> None:
    elsewhere = (partition_for(b"some|key", 4) + 1) % 4
    send(pipeline.changelog("stock"), (b"some|key", b"7"), partition=elsewhere)
    assert run("tables", "get", f"{pipeline.name}.stock", "some|key").json == 7


@pytest.mark.usefixtures("rows")
def test_scan_gives_living_rows_in_order_by_prefix_and_says_what_it_leaves_out(run: Run) -> None:
    living = sorted(set(KEYS) - {KEYS[1]})
    assert [row["key"] for row in run("tables", "scan", "stock", "--json").json] == living
    few = run("tables", "scan", "stock", "--prefix", "H1|ICU|ITM-2", "--limit", "3", "--json")
    assert [row["key"] for row in few.json] == ["H1|ICU|ITM-2", "H1|ICU|ITM-20", "H1|ICU|ITM-21"]
    assert "3 of 11 rows" in few.err


@pytest.mark.usefixtures("rows")
def test_stats_count_records_living_keys_and_their_bytes_by_partition(run: Run) -> None:
    sizes = run("tables", "stats", "stock", "--json").json
    assert [size["partition"] for size in sizes] == [0, 1, 2, 3]
    assert (sum(size["records"] for size in sizes), sum(size["keys"] for size in sizes)) == (42, 39)
    living = set(KEYS) - {KEYS[1]}
    assert sum(size["bytes"] for size in sizes) == sum(len(key) for key in living) + 39 * len(b'{"number":1}')
    for size in sizes:
        here = [key for key in living if partition_for(key.encode(), 4) == size["partition"]]
        assert size["keys"] == len(here)


@pytest.fixture
def open_transaction(pipeline: Pipeline, settings: Settings, unique: str) -> Iterator[None]:
    producer = Producer({**settings.client_config(), "transactional.id": unique, "partitioner": PARTITIONER})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(pipeline.changelog("stock"), b'{"number":99}', KEYS[0])
    producer.flush(10)
    yield
    producer.abort_transaction(10)


@pytest.mark.usefixtures("rows", "open_transaction")
def test_what_a_worker_has_not_committed_is_not_shown(run: Run) -> None:
    assert run("tables", "get", "stock", KEYS[0]).json == {"number": 2}


def test_an_unknown_table_is_refused_with_those_there_are(run: Run, pipeline: Pipeline) -> None:
    said = run("tables", "get", "stocks", "k")
    assert said.code == 2
    assert f"{pipeline.name}.stock" in said.err.replace("\n", "")


def test_a_changelog_that_was_not_made_is_a_conflict(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Pipeline(f"{settings.app_id}-absent", (), topics.dead_letters)
    monkeypatch.setattr(app.cli.declared, "pipelines", lambda: {"absent": absent})
    said = run("tables", "stats", "parked")
    assert (said.code, "wardstock topics create" in said.err) == (4, True)


def test_a_value_that_is_no_json_is_shown_as_text() -> None:
    assert decoded(b"\xffward") == "\\xffward"
