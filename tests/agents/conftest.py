"""Both pipelines on a log in memory: publish a history, run, look at what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agents import topics
from app.contracts.codec import AvroCodec
from app.contracts.evolution import register_all
from app.contracts.registry import LocalRegistry
from app.domain import records as r
from app.domain.orders import Order
from app.domain.positions import Position
from app.main import inventory, procurement
from app.runtime.driver import Driver
from app.runtime.topics import Topic
from tables.positions import positions
from tables.purchase_orders import purchase_orders
from tests.domain.hospital import NOW, SOUTH, STORE, WARD, MasterData, consigned, kept

PARK_MAX_AGE_MS = 900_000

_TOPIC_OF: dict[type[Any], Topic] = {
    topic.record: topic for topic in (*topics.INPUTS, *topics.MASTER, *topics.INTERNAL)
}


class Wardstock:
    """The driver, with the words of these tests."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def publish(self, *records: Any, at: int = NOW) -> None:
        """Append the records to their topics, each a millisecond after the one before."""
        for place, record in enumerate(records):
            self.driver.publish(_TOPIC_OF[type(record)], record, timestamp=at + place)

    def work(self, *records: Any, at: int = NOW) -> None:
        """Publish, then run until nothing is left to do."""
        self.publish(*records, at=at)
        self.driver.run()

    def restart(self) -> None:
        """Stop the workers, start them anew, and let them restore their tables."""
        self.driver.restart()
        self.driver.run()

    def wait_out(self) -> None:
        """Let parked events become too old."""
        self.driver.advance(PARK_MAX_AGE_MS + 1)
        self.driver.run()

    def position(self, at: r.Location = WARD, item: str = "SUTURE") -> Position:
        return self.driver.table(positions)[f"{at.facility}|{at.location}|{item}"]

    def balances(self, at: r.Location = WARD, item: str = "SUTURE") -> dict[str, int]:
        return {lot.lot: lot.balance for lot in self.position(at, item).lots.values() if lot.balance}

    def order(self, po_number: str = "PO-1") -> Order:
        return self.driver.table(purchase_orders)[po_number]

    def ledger(self) -> list[r.LedgerEntry]:
        return self.driver.records(topics.ledger)

    def triggers(self) -> list[r.ReplenishmentTrigger]:
        return self.driver.records(topics.triggers)

    def postings(self) -> list[r.ConsumptionPosting]:
        return self.driver.records(topics.postings)

    def notices(self) -> list[r.ConsignmentNotice]:
        return self.driver.records(topics.notices)

    def exceptions(self) -> list[r.ExceptionRaised]:
        return self.driver.records(topics.exceptions)

    def kinds(self) -> list[str]:
        return [raised.kind.value for raised in self.exceptions()]

    def dead_letters(self) -> list[Any]:
        return self.driver.records(topics.dead_letters)


@pytest.fixture(scope="session")
def codec() -> AvroCodec:
    registry = LocalRegistry()
    register_all(registry, topics.ALL)
    return AvroCodec(registry, topics.ALL)


@pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
def empty(codec: AvroCodec, request: pytest.FixtureRequest) -> Iterator[Wardstock]:
    """Without any master data."""
    pipelines = (inventory, procurement)
    with Driver(*pipelines, codec=codec, partitions=request.param, park_max_age_ms=PARK_MAX_AGE_MS) as driver:
        yield Wardstock(driver)


@pytest.fixture
def stocked(empty: Wardstock) -> Callable[..., Wardstock]:
    """With the master data of the small hospital, and these item-locations."""

    def keeping(*rows: r.ItemLocation) -> Wardstock:
        data = MasterData.keeping(*rows)
        empty.work(
            *data.items.values(), *data.locations.values(), *data.kept.values(), *data.cost_centers.values(),
            *data.suppliers.values(),
        )  # fmt: skip
        return empty

    return keeping


@pytest.fixture
def wardstock(stocked: Callable[..., Wardstock]) -> Wardstock:
    """Sutures are kept at three places, and ordered between 10 and 40; stents are consigned to the operating room."""
    return stocked(kept(), kept(STORE), kept(SOUTH), consigned(SOUTH, consignment_par=2))
