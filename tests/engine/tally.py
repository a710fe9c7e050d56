"""A small pipeline for the engine's tests: deposits to accounts, their running balance, one receipt for each.

Some words in a note make the agent do something: "raise", "hang", "wait for X", "provides X".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import orjson

from app.runtime.agents import agent
from app.runtime.batch import Batches, Event
from app.runtime.codec import Decode, Decoded, Encode
from app.runtime.dead_letters import DeadLetter, Reason
from app.runtime.errors import Undecodable
from app.runtime.master import MasterTable
from app.runtime.pipeline import Pipeline
from app.runtime.state.table import Table
from app.runtime.topics import Topic


@dataclass(frozen=True, slots=True)
class Deposit:
    event_id: str
    account: str
    amount: int
    recorded_at: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    event_id: str
    account: str
    balance: int


@dataclass(frozen=True, slots=True)
class Balance:
    amount: int
    deposits: int


@dataclass(frozen=True, slots=True)
class Account:
    account: str
    open: bool


class JsonCodec:
    """Records as JSON; enough for tests that are not about contracts."""

    def decoder(self, topic: Topic) -> Decode:
        def decode(data: bytes) -> Decoded:
            try:
                fields: dict[str, Any] = orjson.loads(data)
                record = topic.record(**fields)
            except (ValueError, TypeError) as error:
                raise Undecodable(Reason.UNDECODABLE, f"value: {error}") from error
            body = {name: value for name, value in fields.items() if name not in topic.unlike}
            return Decoded(record, orjson.dumps(body))

        return decode

    def encoder(self, topic: Topic) -> Encode:  # noqa: ARG002 one way for all
        return lambda record: orjson.dumps(record, default=lambda raw: raw.decode("latin-1"))


@dataclass(frozen=True)
class Tally:
    """The pipeline and its parts; topic names begin with ``prefix``."""

    pipeline: Pipeline
    deposits: Topic
    transfers: Topic
    accounts: MasterTable[Account]
    receipts: Topic
    dead_letters: Topic
    balances: Table[Balance]

    @property
    def topic_names(self) -> list[str]:
        outputs = [self.receipts.name, self.dead_letters.name]
        return [*self.pipeline.inputs, *self.pipeline.changelogs, *outputs]


def tally(prefix: str) -> Tally:
    def account_of(record: Any) -> str:
        return str(record.account)

    def id_of(record: Any) -> str:
        return str(record.event_id)

    deposits = Topic(f"{prefix}.deposits", Deposit, "account", account_of, "tests", (), id_of=id_of)
    transfers = Topic(f"{prefix}.transfers", Deposit, "account", account_of, "tests", (), id_of=id_of)
    receipts = Topic(f"{prefix}.receipts", Receipt, "account", account_of, "tests", ())
    letters = Topic(
        f"{prefix}.dead-letters", DeadLetter, "source", lambda d: f"{d.topic}/{d.partition}/{d.offset}", "tests", ()
    )
    accounts = MasterTable(Topic(f"{prefix}.accounts", Account, "account", account_of, "tests", (), partitions=1),
                           lambda a: f"account:{a.account}")
    balances: Table[Balance] = Table(
        "balances",
        dump=lambda b: orjson.dumps([b.amount, b.deposits]),
        load=lambda raw: Balance(*orjson.loads(raw)),
    )

    def conflict(event: Event) -> tuple[Topic, Any]:
        return receipts, Receipt(f"{event.value.event_id}#conflict", event.key, -1)

    @agent(deposits, transfers, owns=(balances,), conflict=conflict)
    async def keep_balances(batches: Batches) -> None:
        async for batch in batches:
            for event in batch:
                deposit: Deposit = event.value
                word, _, name = deposit.note.partition(" ")
                if word == "wait" and not event.overdue:
                    batch.park(event, name)
                    continue
                old = balances.get(event.key) or Balance(0, 0)
                new = Balance(old.amount + deposit.amount, old.deposits + 1)
                balances.put(event.key, new)
                batch.emit(receipts, Receipt(f"{deposit.event_id}#0", event.key, new.amount))
                if word == "raise":
                    raise RuntimeError(f"asked to raise by {deposit.event_id}")
                if word == "hang":
                    time.sleep(float(name))
                if word == "provides":
                    batch.release(name)

    pipeline = Pipeline(prefix, (keep_balances,), letters, (accounts,))
    return Tally(pipeline, deposits, transfers, accounts, receipts, letters, balances)
