"""A small pipeline for the engine's tests: deposits to accounts, their running balance, one receipt for each.

The first word of a deposit's note makes the agent do something, see ``_WORDS``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.runtime.agents import Timer, agent
from app.runtime.batch import Batch, Batches, Event
from app.runtime.codec import Decode, Decoded, Encode
from app.runtime.dead_letters import DeadLetter, Header, Reason
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


def _dead_letter(fields: dict[str, Any]) -> DeadLetter:
    headers = tuple(Header(header["name"], _bytes(header["value"])) for header in fields.pop("headers"))
    key, value, reason = _bytes(fields.pop("key")), _bytes(fields.pop("value")), Reason(fields.pop("reason"))
    return DeadLetter(reason=reason, key=key, value=value, headers=headers, **fields)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


class JsonCodec:
    """Records as JSON; enough for tests that are not about contracts."""

    def decoder(self, topic: Topic) -> Decode:
        make = _dead_letter if topic.record is DeadLetter else lambda fields: topic.record(**fields)

        def decode(data: bytes) -> Decoded:
            try:
                fields: dict[str, Any] = orjson.loads(data)
                body = {name: value for name, value in fields.items() if name not in topic.unlike}
                return Decoded(make(fields), orjson.dumps(body))
            except (ValueError, TypeError, AttributeError) as error:
                raise Undecodable(Reason.UNDECODABLE, f"value: {error}") from error

        return decode

    def encoder(self, topic: Topic) -> Encode:  # noqa: ARG002 one way for all
        return lambda record: orjson.dumps(record, default=lambda raw: raw.decode("latin-1"))


@dataclass(frozen=True)
class Tally:
    """The pipeline and its parts; topic names begin with ``prefix``.

    ``balances`` is kept by account; ``marks`` has the ids that a deposit "provides".
    """

    pipeline: Pipeline
    deposits: Topic
    transfers: Topic
    accounts: MasterTable[Account]
    receipts: Topic
    dead_letters: Topic
    balances: Table[Balance]
    marks: Table[bool]

    @property
    def topic_names(self) -> list[str]:
        """All but the master topic: they have as many partitions as the pipeline."""
        outputs = [self.receipts.name, self.dead_letters.name]
        return [*self.pipeline.inputs, *self.pipeline.changelogs, *outputs]


class Spoilt(Exception):
    """What the agent raises when it is asked to."""


def _is_missing(tally: Tally, name: str) -> bool:
    kind, _, key = name.partition(":")
    return tally.accounts.get(key) is None if kind == "account" else tally.marks.get(key) is None


def _raise(_tally: Tally, _batch: Batch, event: Event, _name: str) -> None:
    raise Spoilt(f"asked to raise by {event.value.event_id}")


def _hang(_tally: Tally, _batch: Batch, _event: Event, seconds: str) -> None:
    time.sleep(float(seconds))


def _provide(tally: Tally, batch: Batch, _event: Event, name: str) -> None:
    tally.marks.put(name.partition(":")[2], True)
    batch.release(name)


def _delete(tally: Tally, _batch: Batch, event: Event, _name: str) -> None:
    tally.balances.delete(event.key)


def _scan(tally: Tally, batch: Batch, event: Event, prefix: str) -> None:
    """One receipt for each balance under ``prefix``, in the scan's order."""
    for key, balance in tally.balances.scan(prefix):
        batch.emit(tally.receipts, Receipt(f"{event.value.event_id}#scan", key, balance.amount))


def _tell_version(tally: Tally, batch: Batch, event: Event, _name: str) -> None:
    batch.emit(tally.receipts, Receipt(f"{event.value.event_id}#version", event.key, tally.accounts.version))


# Done after the deposit took effect, so that it has something to undo. Besides: "wait account:X" and "wait event:X"
# park until X is there; "leave" returns, "break" breaks out; "spoil" makes the agent raise after the loop.
_WORDS: Mapping[str, Callable[[Tally, Batch, Event, str], None]] = {
    "raise": _raise,
    "hang": _hang,
    "provides": _provide,
    "delete": _delete,
    "scan": _scan,
    "version": _tell_version,
}


def _keep(tally: Tally, batch: Batch, event: Event) -> str:
    """Work one deposit; returns the word of its note."""
    deposit: Deposit = event.value
    word, _, name = deposit.note.partition(" ")
    old = tally.balances.get(event.key) or Balance(0, 0)
    new = Balance(old.amount + deposit.amount, old.deposits + 1)
    tally.balances.put(event.key, new)
    batch.emit(tally.receipts, Receipt(f"{deposit.event_id}#0", event.key, new.amount))
    if word == "wait" and not event.overdue and _is_missing(tally, name):
        batch.park(event, name)
    if word in _WORDS:
        _WORDS[word](tally, batch, event, name)
    return word


def _remind(tally: Tally, batch: Batch, now_ms: int) -> None:
    """The timer's work: one receipt for each balance, and a mark. An account "broken" makes it raise at its end."""
    for account, balance in tally.balances.scan(""):
        tally.marks.put(f"reminded {account}", True)
        batch.emit(tally.receipts, Receipt(f"{now_ms}#timer", account, balance.amount))
    if tally.balances.get("broken") is not None:
        raise Spoilt("asked to raise by an account")


def tally(prefix: str, timer_every_s: float | None = None) -> Tally:
    """A fresh pipeline named ``prefix``; with a timer where a time for it is given."""

    def account_of(record: Any) -> str:
        return str(record.account)

    def id_of(record: Any) -> str:
        return str(record.event_id)

    def source_of(letter: DeadLetter) -> str:
        return f"{letter.topic}/{letter.partition}/{letter.offset}"

    deposits = Topic(f"{prefix}.deposits", Deposit, "account", account_of, "tests", (), id_of=id_of)
    transfers = Topic(f"{prefix}.transfers", Deposit, "account", account_of, "tests", (), id_of=id_of)
    receipts = Topic(f"{prefix}.receipts", Receipt, "account", account_of, "tests", ())
    letters = Topic(f"{prefix}.dead-letters", DeadLetter, "source", source_of, "tests", ())
    master = Topic(f"{prefix}.accounts", Account, "account", account_of, "tests", (), partitions=1)
    accounts: MasterTable[Account] = MasterTable(master, lambda account: f"account:{account.account}")
    balances: Table[Balance] = Table(
        "balances",
        dump=lambda balance: orjson.dumps([balance.amount, balance.deposits]),
        load=lambda raw: Balance(*orjson.loads(raw)),
    )
    marks: Table[bool] = Table("marks", dump=orjson.dumps, load=orjson.loads)

    def conflict(event: Event) -> tuple[Topic, Any]:
        return receipts, Receipt(f"{event.value.event_id}#conflict", event.key, -1)

    def remind(batch: Batch, now_ms: int) -> None:
        _remind(made, batch, now_ms)

    timers = () if timer_every_s is None else (Timer("remind", timer_every_s, remind),)

    @agent(deposits, transfers, owns=(balances, marks), conflict=conflict, timers=timers)
    async def keep_balances(batches: Batches) -> None:
        async for batch in batches:
            spoilt = False
            for event in batch:
                word = _keep(made, batch, event)
                if word == "leave":
                    return
                if word == "break":
                    break
                spoilt |= word == "spoil"
            if spoilt:
                raise Spoilt("asked to raise after the loop")

    pipeline = Pipeline(prefix, (keep_balances,), letters, (accounts,))
    made = Tally(pipeline, deposits, transfers, accounts, receipts, letters, balances, marks)
    return made
