"""A small, slow bookkeeper that writes consistent histories: inputs, ledgers, outputs and tables, as plain records.

It is told what happens and writes down what a right engine would: by replaying all that it knows of a lot each time,
where the checker goes forward once. Tests then spoil what it wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zlib import crc32

import orjson

Record = dict[str, Any]
LotKey = tuple[str, str | None]
Mark = tuple[int, str]

PARTITIONS = 2
START = int(datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp() * 1000)
MINUTE = 60_000
VERSION = "items@2,locations@3,item-locations@5,suppliers@1,cost-centers@1"
CURRENCY = "EUR"
BOX = 10

USAGE, MOVEMENTS = "clinical.usage", "stock.movements"
ORDERS, RECEIPTS = "procurement.purchase-orders", "supply.receipts"
INBOUND, LEDGER, ORDER_LEDGER = "inventory.inbound", "inventory.ledger", "procurement.ledger"
POSTINGS, NOTICES = "finance.consumption-postings", "supplier.consignment-notices"
TRIGGERS, EXCEPTIONS, DEAD_LETTERS = "inventory.replenishment-triggers", "ops.exceptions", "ops.dead-letters"
ITEMS, ITEM_LOCATIONS = "master.items", "master.item-locations"
POSITION_ROWS, ORDER_ROWS = "inventory.positions-changelog", "procurement.purchase-orders-changelog"
PARKED_ROWS = "inventory.parked-changelog"

WARD, THEATRE, STORE = "H1|WARD-1", "H1|OR-1", "H1|STORE"
GLOVE, STENT = "GLOVE", "STENT"
SUPPLIER = "SUP-1"


@dataclass(slots=True)
class Row:
    """One message to be: ``record`` is to be encoded, ``raw`` is the value as it is."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    record: Record | None = None
    raw: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Log:
    """All messages by topic, in the order in which they were written."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def append(self, topic: str, key: str | None, timestamp: int, partition: int | None = None, **value: Any) -> Row:
        place = crc32((key or "").encode()) % PARTITIONS if partition is None else partition
        row = Row(topic, place, self.ends[topic, place], timestamp, None if key is None else key.encode(), **value)
        self.ends[topic, place] += 1
        self.rows[topic].append(row)
        return row

    def __iter__(self) -> Iterator[Row]:
        return (row for rows in self.rows.values() for row in rows)

    def records(self, topic: str) -> list[Record]:
        return [row.record for row in self.rows[topic] if row.record is not None]


def position_key(record: Record) -> str:
    return f"{record['facility']}|{record['location']}|{record['item']}"


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


@dataclass(slots=True)
class Position:
    """A position, with all that was ever said about its lots."""

    key: str
    number: int = 0
    changes: list[tuple[Mark, LotKey, int]] = field(default_factory=list)
    counts: list[tuple[Mark, LotKey | None, int]] = field(default_factory=list)  # None: all lots
    expiries: dict[LotKey, date | None] = field(default_factory=dict)
    requested: int = 0
    episode: int = 0
    on_order: int = 0
    transits: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    value: Decimal = Decimal(0)

    def last_count(self, lot: LotKey) -> tuple[Mark, int]:
        covering = [(mark, quantity) for mark, counted, quantity in self.counts if counted in (lot, None)]
        return max(covering, default=((-1, ""), 0))

    def balance(self, lot: LotKey) -> int:
        since, quantity = self.last_count(lot)
        return quantity + sum(change for mark, of, change in self.changes if of == lot and mark > since)

    def balances(self) -> dict[LotKey, int]:
        return {lot: self.balance(lot) for lot in self.expiries}

    def on_hand(self) -> int:
        return sum(balance for (_, owner), balance in self.balances().items() if owner is None)

    def usable(self, time: int) -> int:
        today = datetime.fromtimestamp(time / 1000, UTC).date()
        return sum(
            balance
            for lot, balance in self.balances().items()
            if lot[1] is None and (self.expiries[lot] or date.max) >= today
        )

    def in_transit(self) -> int:
        return sum(quantity for quantity, _ in self.transits.values())


@dataclass(slots=True)
class Effect:
    """What an event does to a position: what to change, what to count, and what to tell."""

    changes: dict[LotKey, int] = field(default_factory=dict)
    counts: dict[LotKey | None, int] = field(default_factory=dict)
    expiry: date | None = None
    on_order: int = 0
    ordered_trigger: str | None = None
    value_in: Decimal = Decimal(0)
    use: int | None = None  # what is posted as consumption; negative gives back
    use_amount: Decimal | None = None
    mark: Mark | None = None
    reverses: str | None = None
    sends: Record | None = None


LEVELS: dict[str, Record] = {
    f"{WARD}|{GLOVE}": {"policy": "MIN_MAX", "min_quantity": 20, "max_quantity": 60},
    f"{THEATRE}|{GLOVE}": {"policy": "PAR", "par_quantity": 30},
    f"{STORE}|{GLOVE}": {
        "policy": "REORDER_POINT",
        "daily_demand": Decimal("10.5000"),
        "lead_time_days": 3,
        "safety_stock": 8,
        "max_quantity": 200,
        "minimum_order": 100,
        "order_multiple": 25,
    },
    f"{THEATRE}|{STENT}": {"policy": "PAR", "par_quantity": 4, "ownership": "CONSIGNED"},
    f"{WARD}|{STENT}": {"policy": "MIN_MAX", "min_quantity": 1, "max_quantity": 3},
}
COST = {GLOVE: Decimal("0.3300"), STENT: Decimal("750.0000")}


class Bookkeeper:
    """Takes events one after the other and keeps the log of what must come of each."""

    def __init__(self) -> None:
        self.log = Log()
        self.positions: dict[str, Position] = {}
        self.orders: dict[str, Record] = {}
        self.applied: dict[tuple[str, str], Effect] = {}
        self._events = 0
        self._masters()

    # --- events ---

    def usage(self, key: str, quantity: int, lot: str | None = "L1", owner: str | None = None, **more: Any) -> Row:
        """Without a lot, what expires first is taken first."""
        record = self._event(key, quantity=quantity, uom="EA", cost_center="CC-1", lot=lot, **more)
        row = self._publish(USAGE, record)
        taken = self._first_out(key, quantity) if lot is None else {(lot, owner): quantity}
        self._apply(row, "USAGE", Effect({key: -part for key, part in taken.items()}, use=quantity))
        return row

    def _first_out(self, key: str, quantity: int) -> dict[LotKey, int]:
        position, today = self._position(key), datetime.fromtimestamp(self._now() / 1000, UTC).date()
        usable = [(position.expiries[lot] or date.max, lot[0], balance) for lot, balance in position.balances().items()]
        taken: dict[LotKey, int] = {}
        for _, lot, balance in sorted(one for one in usable if one[0] >= today and one[2] > 0):
            if quantity:
                taken[lot, None] = min(quantity, balance)
                quantity -= taken[lot, None]
        if quantity:
            taken["UNKNOWN", None] = taken.get(("UNKNOWN", None), 0) + quantity
        return taken

    def reverse_usage(self, original: Row) -> Row:
        usage = _record(original)
        more = {name: usage[name] for name in ("quantity", "uom", "cost_center", "lot")}
        row = self._publish(USAGE, self._event(position_key(usage), reverses=usage["event_id"], **more))
        did = self.applied[USAGE, usage["event_id"]]
        back = {lot: -change for lot, change in did.changes.items()}
        amount = None if did.use_amount is None else -did.use_amount
        mark = did.mark or (usage["occurred_at"], usage["event_id"])
        effect = Effect(back, use=-(did.use or 0), use_amount=amount, mark=mark, reverses=usage["event_id"])
        self._apply(row, "USAGE_REVERSAL", effect)
        return row

    def move(self, kind: str, key: str, quantity: int, lot: str = "L1", **more: Any) -> Row:
        """ISSUE, RETURN or ADJUSTMENT (signed) of owned stock."""
        record = self._event(key, kind=kind, quantity=quantity, uom=more.pop("uom", "EA"), lot=lot, **more)
        row = self._publish(MOVEMENTS, record)
        change = self._base(record) * (-1 if kind == "ISSUE" else 1)
        use = None if kind == "ADJUSTMENT" else -change
        self._apply(row, kind, Effect({(lot, None): change}, use=use))
        return row

    def count(self, key: str, lots: dict[str, int], full: bool = False, ago: int = 0) -> Row:
        counted = [{"lot": lot, "quantity": quantity, "owner": None} for lot, quantity in lots.items()]
        record = self._event(key, kind="COUNT", quantity=0, uom="EA", counted=counted, full_count=full, ago=ago)
        row = self._publish(MOVEMENTS, record)
        counts: dict[LotKey | None, int] = {(lot, None): quantity for lot, quantity in lots.items()}
        if full:
            rest = [lot for lot in self._position(key).expiries if lot[0] not in lots]
            counts |= dict.fromkeys(rest, 0) | {None: 0}
        self._apply(row, "COUNT", Effect(counts=counts))
        return row

    def transfer(self, here: str, there: str, quantity: int, transfer_id: str, lot: str = "L1") -> None:
        """Out of one position; on its way to the other."""
        facility, location, _ = there.split("|")
        other: Record = {"other_facility": facility, "other_location": location, "transfer_id": transfer_id}
        record = self._event(here, kind="TRANSFER_OUT", quantity=quantity, uom="EA", lot=lot, **other)
        row = self._publish(MOVEMENTS, record)
        position = self._position(here)
        amount = self._cost(position, quantity)
        sends = self._step("TRANSFER_SENT", there, quantity, record, amount=amount, transfer_id=transfer_id)
        effect = Effect({(lot, None): -quantity}, value_in=-amount, sends=sends)
        self._apply(row, "TRANSFER_OUT", effect)

    def arrive(self, here: str, there: str, quantity: int, transfer_id: str, lot: str = "L1") -> None:
        """The other end of ``transfer``, all of it or a part."""
        facility, location, _ = there.split("|")
        other: Record = {"other_facility": facility, "other_location": location, "transfer_id": transfer_id}
        record = self._event(here, kind="TRANSFER_IN", quantity=quantity, uom="EA", lot=lot, **other)
        row = self._publish(MOVEMENTS, record)
        position = self._position(here)
        left, worth = position.transits[transfer_id]
        part = worth if quantity == left else cents(worth * quantity / left)
        position.transits[transfer_id] = left - quantity, worth - part
        self._apply(row, "TRANSFER_IN", Effect({(lot, None): quantity}, value_in=part), in_transit=-quantity)

    def order(self, po_number: str, key: str, boxes: int, revision: int = 1, trigger_id: str | None = None) -> Row:
        """The one line of a purchase order, in boxes; an older revision than the last one changes nothing."""
        facility, location, item = key.split("|")
        line = {"line": 1, "item": item, "facility": facility, "location": location, "quantity": boxes, "uom": "BX"}
        lines = [{**line, "unit_price": Decimal("4.0000"), "trigger_id": trigger_id, "due_date": None}]
        more = {"status": "OPEN", "order_type": "STOCK", "supplier": SUPPLIER, "currency": CURRENCY}
        record = {**self._envelope(), "po_number": po_number, "revision": revision, **more, "lines": lines}
        row = self.log.append(ORDERS, po_number, self._now(), record=record)
        order = self.orders.setdefault(po_number, {"number": 0, "key": key, "ordered": 0, "received": 0, "revision": 0})
        if revision <= order["revision"]:
            self._order_entry(row, "ORDER", po_number, 0, 0, [])
            return row
        was, change = max(order["ordered"] - order["received"], 0), boxes * BOX - order["ordered"]
        order["ordered"], order["revision"] = boxes * BOX, revision
        told_change = max(order["ordered"] - order["received"], 0) - was
        answers = {"trigger_id": trigger_id, "po_number": po_number}
        told = self._told(row, [self._step("ORDERED", key, told_change, record, **answers)])
        self._order_entry(row, "ORDER", po_number, change, 0, told)
        self._deliver(told)
        return row

    def receive(self, po_number: str, boxes: int, lot: str, expiry: date | None = None) -> Row:
        order = self.orders[po_number]
        facility, location, item = order["key"].split("|")
        line = {"line": 1, "item": item, "facility": facility, "location": location, "quantity": boxes, "uom": "BX"}
        lines = [{**line, "po_line": 1, "lot": lot, "serial": None, "expiry_date": expiry}]
        envelope = self._envelope()
        more = {"supplier": SUPPLIER, "delivery_note": f"DN-{envelope['event_id']}", "lines": lines}
        row = self.log.append(RECEIPTS, po_number, self._now(), record={**envelope, **more, "po_number": po_number})
        quantity, amount = boxes * BOX, boxes * Decimal("4.0000")
        cleared = min(quantity, max(order["ordered"] - order["received"], 0))
        order["received"] += quantity
        what = {
            "lot": lot,
            "expiry_date": expiry,
            "amount": amount,
            "po_number": po_number,
            "on_order_cleared": cleared,
        }
        told = self._told(row, [self._step("PUT_AWAY", order["key"], quantity, envelope, **what)])
        self._order_entry(row, "RECEIPT", po_number, 0, quantity, told)
        self._deliver(told)
        return row

    # --- what is not applied ---

    def repeat(self, original: Row, **differences: Any) -> Row:
        """The same event again; with ``differences`` it has another body, and an exception says so."""
        record = {**_record(original), "recorded_at": self._now(), **differences}
        row = self._publish(original.topic, record)
        if differences:
            self._raise(row, "ID_CONFLICT", applied=False, name=f"{record['event_id']}@{row.partition}/{row.offset}")
        return row

    def refuse(self, key: str, kind: str = "INEXACT_QUANTITY") -> Row:
        row = self._publish(USAGE, self._event(key, quantity=1, uom="CRATE", cost_center="CC-1", lot="L1"))
        self._raise(row, kind, applied=False, name=row.record["event_id"] if row.record else "")
        return row

    def park(self, facility: str = "H9") -> Row:
        key = f"{facility}|NEW|{GLOVE}"
        row = self._publish(USAGE, self._event(key, quantity=1, uom="EA", cost_center="CC-1", lot="L1"))
        parked = {"missing": f"location:{facility}|NEW", "topic": row.topic, "partition": row.partition}
        self.table(PARKED_ROWS, f"{facility}\0{row.offset}", {**parked, "offset": row.offset, "parked_at": self._now()})
        return row

    def garbage(self, raw: bytes | None = b"\x07oops", reason: str = "BAD_FRAMING") -> Row:
        row = self.log.append(USAGE, f"{WARD}|{GLOVE}", self._now(), raw=raw, headers=[("trace", b"\x01")])
        self.bury(row, reason)
        return row

    def invalid(self) -> Row:
        """Readable, with a quantity that is not allowed."""
        event = self._event(f"{WARD}|{GLOVE}", quantity=-1, uom="EA", cost_center="CC-1", lot="L1")
        row = self._publish(USAGE, event)
        self.bury(row, "INVALID")
        return row

    def bury(self, row: Row, reason: str) -> Row:
        """A dead letter of ``row``; its value is what ``row`` is encoded to in the end."""
        headers = [{"name": name, "value": content} for name, content in row.headers]
        place = {"topic": row.topic, "partition": row.partition, "offset": row.offset, "timestamp": row.timestamp}
        what = {"reason": reason, "detail": "as it came", "pipeline": "inventory", **place}
        record = {**what, "key": row.key, "value": row, "headers": headers}
        return self.log.append(DEAD_LETTERS, f"{row.topic}/{row.partition}/{row.offset}", self._now(), record=record)

    # --- tables ---

    def settle(self) -> Log:
        """Write the tables as they stand; the log is complete then."""
        for key, position in self.positions.items():
            lots = [{"lot": lot, "owner": owner, "balance": n} for (lot, owner), n in position.balances().items()]
            row = {"number": position.number, "lots": lots, "requested": position.requested, "currency": CURRENCY}
            quantities = {"on_order": position.on_order, "in_transit": position.in_transit()}
            self.table(POSITION_ROWS, key, {**row, **quantities, "value": str(position.value)})
        for po_number, order in self.orders.items():
            opened = max(order["ordered"] - order["received"], 0)
            line = {"line": 1, "ordered": order["ordered"], "received": order["received"], "open": opened}
            row = {"number": order["number"], "po_number": po_number, "status": order["status"], "lines": [line]}
            self.table(ORDER_ROWS, po_number, row)
        return self.log

    def table(self, topic: str, key: str, row: Record) -> None:
        self.log.append(topic, key, self._now(), raw=orjson.dumps(row))

    # --- how ---

    def _now(self) -> int:
        return START + self._events * MINUTE

    def _envelope(self, ago: int = 0) -> Record:
        self._events += 1
        at = {"occurred_at": self._now() - ago * MINUTE, "recorded_at": self._now()}
        return {"event_id": f"E{self._events}", **at, "source_system": "test", "correlation_id": f"C{self._events}"}

    def _event(self, key: str, ago: int = 0, **more: Any) -> Record:
        facility, location, item = key.split("|")
        return {**self._envelope(ago), "facility": facility, "location": location, "item": item, **more}

    def _publish(self, topic: str, record: Record) -> Row:
        return self.log.append(topic, position_key(record), self._now(), record={**_DEFAULTS[topic], **record})

    def _step(self, kind: str, key: str, quantity: int, cause: Record, **more: Any) -> Record:
        facility, location, item = key.split("|")
        at = {"occurred_at": cause["occurred_at"], "recorded_at": self._now(), "source_system": "wardstock"}
        ids = {"correlation_id": cause["correlation_id"], "causation_id": cause["event_id"], "currency": CURRENCY}
        if "po_number" in more:
            more["po_line"] = 1
        where = {"facility": facility, "location": location, "item": item, "kind": kind, "quantity": quantity}
        return {**_DEFAULTS[INBOUND], **at, **ids, **where, **more}

    def _told(self, row: Row, steps: list[Record]) -> list[Record]:
        return [{**step, "event_id": _output_id(row, place)} for place, step in enumerate(steps, 1)]

    def _deliver(self, steps: list[Record]) -> None:
        for step in steps:
            row = self.log.append(INBOUND, position_key(step), self._now(), record=step)
            kind, quantity, owner = step["kind"], step["quantity"], step["owner"]
            if kind == "ORDERED":
                self._apply(row, kind, Effect(on_order=quantity, ordered_trigger=step["trigger_id"]))
            elif kind == "PUT_AWAY":
                lots = {(step["lot"], owner): quantity}
                worth = step["amount"] if owner is None else Decimal(0)
                cleared = step["on_order_cleared"]
                effect = Effect(lots, expiry=step["expiry_date"], on_order=-cleared, value_in=worth)
                self._apply(row, kind, effect)
            else:
                self._position(position_key(step)).transits[step["transfer_id"]] = quantity, step["amount"]
                self._apply(row, kind, Effect(), in_transit=quantity)

    def consign(self, key: str, lot: str, quantity: int) -> None:
        """A supplier puts its own stock here: told by procurement, as any put-away."""
        receipt = {**self._envelope(), "supplier": SUPPLIER, "delivery_note": f"CN-{lot}", "po_number": None}
        facility, location, item = key.split("|")
        line = {"line": 1, "item": item, "facility": facility, "location": location, "quantity": quantity, "uom": "EA"}
        lines = [{**line, "po_line": None, "lot": lot, "serial": None, "expiry_date": None}]
        row = self.log.append(RECEIPTS, f"{SUPPLIER}/CN-{lot}", self._now(), record={**receipt, "lines": lines})
        told = self._told(row, [self._step("PUT_AWAY", key, quantity, receipt, lot=lot, owner=SUPPLIER)])
        self.orders[f"{SUPPLIER}/CN-{lot}"] = {"number": 0, "key": key, "ordered": 0, "received": 0}
        self._order_entry(row, "RECEIPT", f"{SUPPLIER}/CN-{lot}", 0, 0, told)
        self._deliver(told)

    def _position(self, key: str) -> Position:
        return self.positions.setdefault(key, Position(key))

    def _base(self, record: Record) -> int:
        return int(record["quantity"]) * (BOX if record["uom"] == "BX" else 1)

    def _cost(self, position: Position, quantity: int) -> Decimal:
        """What ``quantity`` is worth now: moving average while stock covers it, else the standard cost."""
        on_hand = position.on_hand()
        if on_hand > 0 and position.value >= 0:
            return cents(position.value * quantity / on_hand)
        return cents(COST[position.key.split("|")[2]] * quantity)

    def _apply(self, row: Row, kind: str, effect: Effect, in_transit: int = 0) -> None:
        record = _record(row)
        position = self._position(position_key(record))
        mark = effect.mark or (record["occurred_at"], record["event_id"])
        before, hand, value = position.balances(), position.on_hand(), position.value
        requested, position.number = position.requested, position.number + 1
        outputs: list[tuple[str, Record]] = []
        cost = self._cost(position, abs(effect.use or 0))
        for lot, change in effect.changes.items():
            position.expiries.setdefault(lot, effect.expiry)
            position.changes.append((mark, lot, change))
        for counted, quantity in effect.counts.items():
            if counted is not None:
                position.expiries.setdefault(counted, None)
            position.counts.append((mark, counted, quantity))
        touched = [*effect.changes, *(lot for lot in effect.counts if lot is not None)]
        lots = [self._lot(position, lot, before.get(lot, 0)) for lot in touched]
        moved = position.on_hand() - hand
        position.value += effect.value_in
        if effect.use is not None:
            self._post_use(row, position, effect, cost, moved, outputs)
        elif kind in ("ADJUSTMENT", "COUNT", "PUT_AWAY") and all(lot["owner"] is None for lot in lots):
            self._post_variance(row, position, effect, moved, hand, value, outputs)
        position.on_order += effect.on_order
        if effect.ordered_trigger == f"{position.key}#{position.episode}":
            position.requested = 0
        if effect.sends is not None:
            outputs.append((INBOUND, effect.sends))
        self._replenish(row, position, outputs)
        named = [(topic, {**output, "event_id": _output_id(row, n)}) for n, (topic, output) in enumerate(outputs, 1)]
        changed = any(lot["change"] for lot in lots) or not lots
        self.log.append(
            LEDGER,
            position.key,
            self._now(),
            record={
                **self._caused(row, 0),
                **_where(position.key),
                "number": position.number,
                "kind": kind,
                "effect": self._effect_of_count(position, mark) if kind == "COUNT" else _effect(changed),
                **_source(row),
                "lots": lots,
                "requested_change": position.requested - requested,
                "on_order_change": effect.on_order,
                "in_transit_change": in_transit,
                "value_change": position.value - value,
                "on_hand": position.on_hand(),
                "requested": position.requested,
                "on_order": position.on_order,
                "in_transit": position.in_transit(),
                "value": position.value,
                "currency": CURRENCY,
                "caused": [f"{topic}:{output['event_id']}" for topic, output in named],
                "reverses": effect.reverses,
            },
        )
        self.applied[row.topic, record["event_id"]] = effect
        for topic, output in named:
            if topic != INBOUND:
                self.log.append(topic, position.key, self._now(), record=output)
        self._deliver([output for topic, output in named if topic == INBOUND])

    def _effect_of_count(self, position: Position, mark: Mark) -> str:
        """A count with a later one of each of its lots says nothing new."""
        own = [lot for of, lot, _ in position.counts if of == mark]
        later = [
            any(of > mark and covered in (lot, None) for of, covered, _ in position.counts if of != mark) for lot in own
        ]
        return "SUPERSEDED" if all(later) else "APPLIED"

    def _lot(self, position: Position, lot: LotKey, before: int) -> Record:
        balance = position.balance(lot)
        what = {"lot": lot[0], "owner": lot[1], "expiry_date": position.expiries[lot]}
        return {**what, "change": balance - before, "balance": balance}

    def _post_use(
        self, row: Row, position: Position, effect: Effect, cost: Decimal, moved: int, outputs: list[Any]
    ) -> None:
        used = effect.use or 0
        owner = next(iter(effect.changes))[1]
        amount = effect.use_amount if effect.use_amount is not None else cost if used >= 0 else -cost
        if owner is not None:
            amount = cents(COST[position.key.split("|")[2]] * used)
            outputs.append((POSTINGS, self._posting(row, position, "BILL_ONLY", used, amount, effect.reverses)))
            outputs.append((NOTICES, self._notice(row, position, next(iter(effect.changes)), used)))
        else:
            outputs.append((POSTINGS, self._posting(row, position, "CONSUMPTION", used, amount, effect.reverses)))
            position.value -= amount
            seen = -used - moved  # by a count, before it was told
            if seen:
                offset = cents(amount * seen / used)
                outputs.append((POSTINGS, self._posting(row, position, "ADJUSTMENT", seen, offset, effect.reverses)))
                position.value -= offset
        effect.use_amount = amount

    def _post_variance(
        self, row: Row, position: Position, effect: Effect, moved: int, hand: int, value: Decimal, outputs: list[Any]
    ) -> None:
        came = sum(effect.changes.values()) if effect.value_in else 0
        quantity = came - moved
        if not quantity:
            return
        unit = Decimal(COST[position.key.split("|")[2]])
        covered = hand > 0 and value >= 0
        amount = effect.value_in if came else cents(value * quantity / hand if covered else unit * quantity)
        outputs.append((POSTINGS, self._posting(row, position, "ADJUSTMENT", quantity, amount, None)))
        position.value -= amount

    def _posting(
        self, row: Row, position: Position, kind: str, n: int, amount: Decimal, reverses: str | None
    ) -> Record:
        what = {"posting_type": kind, "cost_center": "CC-1", "quantity": n, "uom": "EA", "amount": amount}
        more = {"currency": CURRENCY, "lot": None, "supplier": None, "reverses": reverses}
        return {**self._caused(row, 0), **_where(position.key), **what, **more}

    def _notice(self, row: Row, position: Position, lot: LotKey, used: int) -> Record:
        balance = sum(n for (_, owner), n in position.balances().items() if owner == lot[1])
        what = {"notice_type": "USED" if used > 0 else "REVERSED", "supplier": lot[1], "lot": lot[0]}
        figures = {"quantity": abs(used), "uom": "EA", "balance": balance, "replenish_quantity": max(used, 0)}
        return {**self._caused(row, 0), **_where(position.key), **what, **figures, "serial": None, "reverses": None}

    def _replenish(self, row: Row, position: Position, outputs: list[Any]) -> None:
        levels = LEVELS.get(position.key)
        if levels is None or levels.get("ownership") == "CONSIGNED":
            return
        low, high = _levels(levels)
        supply = position.usable(row.timestamp) + position.on_order + position.in_transit()
        what = {"inventory_position": supply, "reorder_point": low, "order_up_to": high, "policy": levels["policy"]}
        if position.requested and supply > low:
            trigger = {"status": "CANCELLED", "quantity": position.requested}
            position.requested = 0
        elif not position.requested and supply <= low:
            multiple = levels.get("order_multiple", 1)
            short = max(high - supply, levels.get("minimum_order", 1))
            position.requested = -(-short // multiple) * multiple
            position.episode += 1
            trigger = {"status": "OPEN", "quantity": position.requested}
        else:
            return
        ids = {**self._caused(row, 0), **_where(position.key), "trigger_id": f"{position.key}#{position.episode}"}
        more = {"uom": "EA", "criticality": "ESSENTIAL", "supplier": SUPPLIER}
        outputs.append((TRIGGERS, {**ids, **what, **more, **trigger}))

    def _order_entry(self, row: Row, kind: str, key: str, ordered: int, received: int, told: list[Record]) -> None:
        order = self.orders[key]
        order["number"] += 1
        left = max(order["ordered"] - order["received"], 0)
        order["status"] = "PARTIALLY_RECEIVED" if left else "RECEIVED"
        if not order["received"]:
            order["status"] = "OPEN" if order["ordered"] else "UNANNOUNCED"
        change = {"line": 1, "ordered_change": ordered, "received_change": received, "open_quantity": left}
        effect = "APPLIED" if told else "SUPERSEDED"
        what = {"po_number": key, "number": order["number"], "kind": kind, "effect": effect, **_source(row)}
        caused = [f"{INBOUND}:{step['event_id']}" for step in told]
        more = {"lines": [change] if told else [], "status": order["status"], "caused": caused}
        self.log.append(ORDER_LEDGER, key, self._now(), record={**self._caused(row, 0), **what, **more})

    def _raise(self, row: Row, kind: str, *, applied: bool, name: str) -> None:
        record = {
            **self._caused(row, 0),
            "event_id": f"{row.topic}/{name}#0",
            "kind": kind,
            "severity": "NORMAL",
            "owner_role": "INTEGRATION",
            "applied": applied,
            "message": "as it came",
            "facility": None,
            "location": None,
            "item": None,
            "payload": "{}",
            **_source(row),
        }
        self.log.append(EXCEPTIONS, record["causation_id"], self._now(), record=record)

    def _caused(self, row: Row, place: int) -> Record:
        cause = _record(row)
        ids = {"event_id": _output_id(row, place), "causation_id": cause["event_id"]}
        at = {"occurred_at": cause["occurred_at"], "decided_at": row.timestamp}
        return {**ids, **at, "correlation_id": cause["correlation_id"], "master_version": VERSION}

    def _masters(self) -> None:
        for item, cost in COST.items():
            box = {"uom": "BX", "numerator": BOX, "denominator": 1}
            what = {"item": item, "description": item, "base_uom": "EA", "conversions": [box], "standard_cost": cost}
            more = {"currency": CURRENCY, "criticality": "ESSENTIAL", "active": True, "gtin": None, "supplier": None}
            self.log.append(ITEMS, item, START, 0, record={**what, **more})
        for key, levels in LEVELS.items():
            record = {**_DEFAULTS[ITEM_LOCATIONS], **_where(key), **levels}
            self.log.append(ITEM_LOCATIONS, key, START, 0, record=record)


def _effect(changed: bool) -> str:
    return "APPLIED" if changed else "BEFORE_COUNT"


def _record(row: Row) -> Record:
    assert row.record is not None
    return row.record


def _output_id(row: Row, place: int) -> str:
    return f"{row.topic}/{_record(row)['event_id']}#{place}"


def _where(key: str) -> Record:
    return dict(zip(("facility", "location", "item"), key.split("|"), strict=True))


def _source(row: Row) -> Record:
    return {"source_topic": row.topic, "source_partition": row.partition, "source_offset": row.offset}


def _levels(levels: Record) -> tuple[int, int]:
    if levels["policy"] == "PAR":
        return levels["par_quantity"] - 1, levels["par_quantity"]
    if levels["policy"] == "MIN_MAX":
        return levels["min_quantity"], levels["max_quantity"]
    return 40, levels["max_quantity"]  # ceil(10.5 * 3) + 8


_NONE: Callable[..., Record] = lambda *names: dict.fromkeys(names)  # noqa: E731
_DEFAULTS: dict[str, Record] = {
    USAGE: _NONE("lot", "serial", "expiry_date", "procedure_ref", "reverses"),
    MOVEMENTS: {
        **_NONE("lot", "serial", "expiry_date", "owner", "cost_center", "transfer_id", "other_facility"),
        **_NONE("other_location", "reason", "reverses"),
        "counted": [],
        "full_count": False,
    },
    INBOUND: {
        **_NONE("owner", "lot", "expiry_date", "amount", "currency", "trigger_id", "transfer_id", "po_number"),
        "po_line": None,
        "on_order_cleared": 0,
    },
    ITEM_LOCATIONS: {
        **_NONE("min_quantity", "max_quantity", "par_quantity", "reorder_point", "daily_demand", "lead_time_days"),
        **_NONE("consignment_supplier", "consignment_par"),
        "on_formulary": True,
        "ownership": "OWNED",
        "minimum_order": 1,
        "order_multiple": 1,
        "safety_stock": 0,
    },
}
