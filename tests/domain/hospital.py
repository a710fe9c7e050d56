"""A small hospital for the tests of the rules: master data, events with defaults, and tables in memory."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

from app.domain import inventory, purchasing
from app.domain import records as r
from app.domain.decisions import Source
from app.domain.inventory import Decision
from app.domain.order_draft import OrderDecision
from app.domain.orders import Order
from app.domain.outputs import Output
from app.domain.positions import Change, LotKey, Position

NOW = 1_790_000_000_000  # 2026-09-21
HOUR_MS = 60 * 60 * 1000
SOON = date(2026, 10, 1)
LATER = date(2027, 3, 1)
YESTERDAY = date(2026, 9, 20)

ITEM = r.Item(
    "SUTURE",
    "suture 3-0",
    "EA",
    (r.UnitConversion("BX", 12), r.UnitConversion("HALF", 1, 2)),
    Decimal("2.50"),
    "EUR",
    r.Criticality.ESSENTIAL,
    True,
    supplier="MEDCO",
)
IMPLANT = r.Item("STENT", "stent 12 mm", "EA", (), Decimal("800"), "EUR", r.Criticality.VITAL, True, supplier="CARDIO")
WARD = r.Location("NORTH", "WARD-1", r.LocationKind.WARD, "CC-WARD", True)
STORE = r.Location("NORTH", "STORE", r.LocationKind.WAREHOUSE, "CC-STORE", True)
SOUTH = r.Location("SOUTH", "OR-1", r.LocationKind.OPERATING_ROOM, "CC-SOUTH", True)


def kept(location: r.Location = WARD, item: str = "SUTURE", **what: Any) -> r.ItemLocation:
    """An item-location; ordered between 10 and 40 unless told otherwise."""
    base: dict[str, Any] = {
        "policy": r.ReplenishmentPolicy.MIN_MAX,
        "on_formulary": True,
        "ownership": r.Ownership.OWNED,
        "min_quantity": 10,
        "max_quantity": 40,
    }
    return r.ItemLocation(location.facility, location.location, item, **(base | what))


def consigned(location: r.Location = WARD, item: str = "STENT", **what: Any) -> r.ItemLocation:
    base: dict[str, Any] = {"ownership": r.Ownership.CONSIGNED, "consignment_supplier": "CARDIO"}
    return kept(location, item, **(base | what))


@dataclass
class MasterData:
    """The domain's Reference, from dictionaries that a test may change."""

    items: dict[str, r.Item] = field(default_factory=lambda: {i.item: i for i in (ITEM, IMPLANT)})
    locations: dict[tuple[str, str], r.Location] = field(
        default_factory=lambda: {(at.facility, at.location): at for at in (WARD, STORE, SOUTH)}
    )
    kept: dict[tuple[str, str, str], r.ItemLocation] = field(default_factory=dict)
    cost_centers: dict[str, r.CostCenter] = field(
        default_factory=lambda: {c: r.CostCenter(c, c, "NORTH", True) for c in ("CC-WARD", "CC-OR")}
    )
    suppliers: dict[str, r.Supplier] = field(
        default_factory=lambda: {s: r.Supplier(s, s, True, 2) for s in ("MEDCO", "CARDIO")}
    )
    version: str = "items@2,locations@3,item-locations@1,suppliers@2,cost-centers@2"

    @classmethod
    def keeping(cls, *rows: r.ItemLocation) -> MasterData:
        return cls(kept={(row.facility, row.location, row.item): row for row in rows})

    def item(self, item: str) -> r.Item | None:
        return self.items.get(item)

    def location(self, facility: str, location: str) -> r.Location | None:
        return self.locations.get((facility, location))

    def item_location(self, facility: str, location: str, item: str) -> r.ItemLocation | None:
        return self.kept.get((facility, location, item))

    def cost_center(self, cost_center: str) -> r.CostCenter | None:
        return self.cost_centers.get(cost_center)

    def supplier(self, supplier: str) -> r.Supplier | None:
        return self.suppliers.get(supplier)


# --- events with defaults --------------------------------------------------------------------------------------------

_ids = count(1)


def _envelope(at: int, what: Mapping[str, Any]) -> dict[str, Any]:
    event_id = what.get("event_id") or f"E{next(_ids):06d}"
    return {
        "event_id": event_id,
        "occurred_at": at,
        "recorded_at": at,
        "source_system": "test",
        "correlation_id": f"corr-{event_id}",
    }


def usage(quantity: int = 1, lot: str | None = None, *, at: int = NOW, **what: Any) -> r.ClinicalUsage:
    base: dict[str, Any] = {
        "facility": "NORTH",
        "location": "WARD-1",
        "item": "SUTURE",
        "quantity": quantity,
        "uom": "EA",
        "cost_center": "CC-WARD",
        "lot": lot,
    }
    return r.ClinicalUsage(**(base | _envelope(at, what) | what))


def movement(
    kind: r.MovementKind, quantity: int = 0, lot: str | None = None, *, at: int = NOW, **what: Any
) -> r.StockMovement:
    base: dict[str, Any] = {
        "kind": kind,
        "facility": "NORTH",
        "location": "WARD-1",
        "item": "SUTURE",
        "quantity": quantity,
        "uom": "EA",
        "lot": lot,
    }
    return r.StockMovement(**(base | _envelope(at, what) | what))


def counted(*lots: tuple[str, int], at: int = NOW, full: bool = False, **what: Any) -> r.StockMovement:
    rows = tuple(r.CountedLot(lot, quantity) for lot, quantity in lots)
    return movement(r.MovementKind.COUNT, at=at, counted=rows, full_count=full, **what)


def transfer_out(quantity: int, to: r.Location = SOUTH, transfer: str = "T1", **what: Any) -> r.StockMovement:
    where = {"transfer_id": transfer, "other_facility": to.facility, "other_location": to.location}
    return movement(r.MovementKind.TRANSFER_OUT, quantity, **(where | what))


def transfer_in(
    quantity: int, lot: str, to: r.Location = SOUTH, origin: r.Location = WARD, transfer: str = "T1", **what: Any
) -> r.StockMovement:
    where = {
        "facility": to.facility,
        "location": to.location,
        "transfer_id": transfer,
        "other_facility": origin.facility,
        "other_location": origin.location,
    }
    return movement(r.MovementKind.TRANSFER_IN, quantity, lot, **(where | what))


def inbound(kind: r.InboundKind, quantity: int, *, at: int = NOW, **what: Any) -> r.Inbound:
    base: dict[str, Any] = {
        "kind": kind,
        "facility": "NORTH",
        "location": "WARD-1",
        "item": "SUTURE",
        "quantity": quantity,
        "causation_id": "cause",
    }
    return r.Inbound(**(base | _envelope(at, what) | what))


def put_away(quantity: int, lot: str | None = "A", cost: str | None = "2.50", **what: Any) -> r.Inbound:
    """``cost`` is per base unit; None for a receipt whose price is not known."""
    amount = None if cost is None else Decimal(cost) * quantity
    return inbound(r.InboundKind.PUT_AWAY, quantity, lot=lot, amount=amount, currency="EUR", **what)


def order_line(line: int = 1, quantity: int = 10, **what: Any) -> r.PurchaseOrderLine:
    base: dict[str, Any] = {
        "item": "SUTURE",
        "facility": "NORTH",
        "location": "WARD-1",
        "uom": "EA",
        "unit_price": Decimal("2.50"),
    }
    return r.PurchaseOrderLine(line=line, quantity=quantity, **(base | what))


def order(*lines: r.PurchaseOrderLine, revision: int = 1, at: int = NOW, **what: Any) -> r.PurchaseOrder:
    base: dict[str, Any] = {
        "po_number": "PO-1",
        "revision": revision,
        "status": r.OrderStatus.OPEN,
        "order_type": r.OrderType.STOCK,
        "supplier": "MEDCO",
        "currency": "EUR",
        "lines": lines,
    }
    return r.PurchaseOrder(**(base | _envelope(at, what) | what))


def receipt_line(line: int = 1, quantity: int = 10, po_line: int | None = 1, **what: Any) -> r.ReceiptLine:
    base: dict[str, Any] = {
        "item": "SUTURE",
        "facility": "NORTH",
        "location": "WARD-1",
        "uom": "EA",
        "lot": "A",
        "expiry_date": LATER,
    }
    return r.ReceiptLine(line=line, quantity=quantity, po_line=po_line, **(base | what))


def receipt(*lines: r.ReceiptLine, note: str = "DN-1", at: int = NOW, **what: Any) -> r.Receipt:
    base: dict[str, Any] = {"supplier": "MEDCO", "delivery_note": note, "po_number": "PO-1", "lines": lines}
    return r.Receipt(**(base | _envelope(at, what) | what))


# --- tables in memory ------------------------------------------------------------------------------------------------

O = TypeVar("O")  # noqa: E741  the type of an output

_TOPICS: dict[type[Any], str] = {
    r.ClinicalUsage: "clinical.usage",
    r.StockMovement: "stock.movements",
    r.Inbound: "inventory.inbound",
    r.PurchaseOrder: "procurement.purchase-orders",
    r.Receipt: "supply.receipts",
}


@dataclass
class Remembered:
    """The domain's History of one position."""

    changes: dict[str, Change]

    def find(self, topic: str, event_id: str) -> Change | None:
        return self.changes.get(f"{topic}/{event_id}")

    def all(self) -> Iterator[Change]:
        return iter(self.changes.values())


class Hospital:
    """Applies events one after the other as the agents do: parks, releases, and carries inbound steps on."""

    def __init__(self, reference: MasterData | None = None) -> None:
        self.reference = reference or MasterData.keeping(kept(), kept(STORE), kept(SOUTH))
        self.positions: dict[str, Position] = {}
        self.orders: dict[str, Order] = {}
        self.changes: defaultdict[str, dict[str, Change]] = defaultdict(dict)
        self.outputs: list[Output] = []
        self.parked: list[tuple[str, Any, int]] = []
        self._offsets = count()
        self._on_the_way: deque[tuple[r.Inbound, int]] = deque()

    def apply(self, *events: Any, decided_at: int = NOW, overdue: bool = False) -> Decision:
        """Apply the events and all inbound steps that follow from them; returns the last event's own decision."""
        for event in events:
            decision = self.tell(event, decided_at=decided_at, overdue=overdue)
            self.deliver()
        return decision

    def tell(self, event: Any, *, decided_at: int = NOW, overdue: bool = False) -> Decision:
        """Apply one event of a position and nothing that follows from it elsewhere."""
        key = f"{event.facility}|{event.location}|{event.item}"
        source = self.source(event, decided_at, overdue)
        history = Remembered(self.changes[key])
        decision = inventory.decide(event, source, self.positions.get(key), history, self.reference)
        if decision.missing is not None:
            self.parked.append((decision.missing, event, decided_at))
            return decision
        if decision.position is not None:
            self.positions[key] = decision.position
        for name in decision.forgotten:
            self.changes[key].pop(name)
        self.changes[key].update((change.name, change) for change in decision.changes)
        self._publish(decision.outputs, decided_at)
        for name in decision.released:
            self._release(name)
        return decision

    def procure(
        self, *events: r.PurchaseOrder | r.Receipt, decided_at: int = NOW, overdue: bool = False
    ) -> OrderDecision:
        """Apply events of orders, and the steps they tell to positions."""
        for event in events:
            key = event.po_number or f"{event.supplier}/{event.delivery_note}"  # type: ignore[union-attr]
            source = self.source(event, decided_at, overdue)
            decision = purchasing.decide(event, source, self.orders.get(key), key, self.reference)
            if decision.order is not None:
                self.orders[key] = decision.order
            self._publish(decision.outputs, decided_at)
            self.deliver()
        return decision

    def source(self, event: Any, decided_at: int = NOW, overdue: bool = False) -> Source:
        return Source(_TOPICS[type(event)], 0, next(self._offsets), decided_at, overdue)

    def deliver(self) -> None:
        """Let the inbound steps arrive at their positions."""
        while self._on_the_way:
            step, decided_at = self._on_the_way.popleft()
            self.tell(step, decided_at=decided_at)

    def _publish(self, outputs: tuple[Output, ...], decided_at: int) -> None:
        self.outputs.extend(outputs)
        self._on_the_way.extend((output, decided_at) for output in outputs if isinstance(output, r.Inbound))

    def _release(self, name: str) -> None:
        waiting = [row for row in self.parked if row[0] == name]
        self.parked = [row for row in self.parked if row[0] != name]
        for _, event, decided_at in waiting:
            self.tell(event, decided_at=decided_at)

    # --- what there is ---

    def position(self, location: r.Location = WARD, item: str = "SUTURE") -> Position:
        return self.positions[f"{location.facility}|{location.location}|{item}"]

    def balances(self, location: r.Location = WARD, item: str = "SUTURE") -> dict[LotKey, int]:
        """The lots that have a balance."""
        return {key: lot.balance for key, lot in self.position(location, item).lots.items() if lot.balance}

    def of(self, record: type[O]) -> list[O]:
        return [output for output in self.outputs if isinstance(output, record)]

    def exceptions(self) -> list[r.ExceptionKind]:
        return [raised.kind for raised in self.of(r.ExceptionRaised)]


def inactive(record: Any) -> Any:
    """The same master record, no longer active."""
    return replace(record, active=False)
