"""Every topic of Wardstock, in one place: key, partitions, retention, cleanup, owner and readers."""

from __future__ import annotations

from typing import Final

from app.domain import records as r
from app.runtime.dead_letters import DeadLetter
from app.runtime.topics import DAY_MS, FOREVER, Cleanup, Topic


def position_key(record: object) -> str:
    """``facility|location|item``: the key of everything that concerns one inventory position."""
    return f"{record.facility}|{record.location}|{record.item}"  # type: ignore[attr-defined]


def receipt_key(receipt: r.Receipt) -> str:
    """The PO number, or supplier and delivery note where the supplier named no order."""
    return receipt.po_number or f"{receipt.supplier}/{receipt.delivery_note}"


def _event_id(record: object) -> str:
    return record.event_id  # type: ignore[attr-defined,no-any-return]


POSITION_KEY: Final = "facility|location|item"

# --- inputs ---

usage = Topic(
    "clinical.usage", r.ClinicalUsage, POSITION_KEY, position_key, owner="clinical systems", readers=("inventory",),
    id_of=_event_id,
)  # fmt: skip
movements = Topic(
    "stock.movements", r.StockMovement, POSITION_KEY, position_key, owner="warehouse systems", readers=("inventory",),
    id_of=_event_id,
)  # fmt: skip
purchase_orders = Topic(
    "procurement.purchase-orders", r.PurchaseOrder, "po_number", lambda o: o.po_number, owner="ERP",
    readers=("procurement",), id_of=_event_id,
)  # fmt: skip
receipts = Topic(
    "supply.receipts", r.Receipt, "po_number, or supplier/delivery_note", receipt_key, owner="receiving docks",
    readers=("procurement",), id_of=_event_id,
)  # fmt: skip

# --- master data: one partition each, so that a version is one offset per topic ---

items = Topic(
    "master.items", r.Item, "item", lambda m: m.item, owner="item master", readers=("inventory", "procurement"),
    partitions=1, cleanup=Cleanup.COMPACT, retention_ms=FOREVER,
)  # fmt: skip
locations = Topic(
    "master.locations", r.Location, "facility|location", lambda m: f"{m.facility}|{m.location}",
    owner="facilities management", readers=("inventory", "procurement"), partitions=1, cleanup=Cleanup.COMPACT,
    retention_ms=FOREVER,
)  # fmt: skip
item_locations = Topic(
    "master.item-locations", r.ItemLocation, POSITION_KEY, position_key, owner="supply chain",
    readers=("inventory", "procurement"), partitions=1, cleanup=Cleanup.COMPACT, retention_ms=FOREVER,
)  # fmt: skip
suppliers = Topic(
    "master.suppliers", r.Supplier, "supplier", lambda m: m.supplier, owner="procurement", readers=("procurement",),
    partitions=1, cleanup=Cleanup.COMPACT, retention_ms=FOREVER,
)  # fmt: skip
cost_centers = Topic(
    "master.cost-centers", r.CostCenter, "cost_center", lambda m: m.cost_center, owner="finance",
    readers=("inventory",), partitions=1, cleanup=Cleanup.COMPACT, retention_ms=FOREVER,
)  # fmt: skip

# --- outputs ---

triggers = Topic(
    "inventory.replenishment-triggers", r.ReplenishmentTrigger, POSITION_KEY, position_key, owner="inventory",
    readers=("ERP", "supply chain"), retention_ms=30 * DAY_MS,
)  # fmt: skip
ledger = Topic(
    "inventory.ledger", r.LedgerEntry, POSITION_KEY, position_key, owner="inventory",
    readers=("analytics", "audit", "reconcile"), retention_ms=FOREVER,
)  # fmt: skip
postings = Topic(
    "finance.consumption-postings", r.ConsumptionPosting, POSITION_KEY, position_key, owner="inventory",
    readers=("finance",), retention_ms=90 * DAY_MS,
)  # fmt: skip
notices = Topic(
    "supplier.consignment-notices", r.ConsignmentNotice, POSITION_KEY, position_key, owner="inventory",
    readers=("supplier gateway",), retention_ms=90 * DAY_MS,
)  # fmt: skip
exceptions = Topic(
    "ops.exceptions", r.ExceptionRaised, "causation_id", lambda e: e.causation_id, owner="inventory, procurement",
    readers=("exception desk", "analytics"), retention_ms=90 * DAY_MS,
)  # fmt: skip
dead_letters = Topic(
    "ops.dead-letters", DeadLetter, "source topic/partition/offset", lambda d: f"{d.topic}/{d.partition}/{d.offset}",
    owner="every pipeline", readers=("integration engineers",), retention_ms=90 * DAY_MS,
)  # fmt: skip
order_ledger = Topic(
    "procurement.ledger", r.OrderLedgerEntry, "po_number", lambda e: e.po_number, owner="procurement",
    readers=("analytics", "audit", "reconcile"), retention_ms=FOREVER,
)  # fmt: skip

# --- internal: work that continues under another key ---

inbound = Topic(
    "inventory.inbound", r.Inbound, POSITION_KEY, position_key, owner="procurement, inventory", readers=("inventory",),
    id_of=_event_id, internal=True,
)  # fmt: skip

INPUTS: Final = (usage, movements, purchase_orders, receipts)
MASTER: Final = (items, locations, item_locations, suppliers, cost_centers)
OUTPUTS: Final = (triggers, ledger, postings, notices, exceptions, dead_letters, order_ledger)
INTERNAL: Final = (inbound,)
ALL: Final = INPUTS + MASTER + OUTPUTS + INTERNAL
