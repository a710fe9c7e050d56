"""The records of Wardstock's topics, as the domain sees them.

Field names and types are those of the Avro schemas, one to one (a test compares them). Times are milliseconds since
the epoch, UTC. Quantities are integers: of the unit named by ``uom`` in inputs, of the item's base unit in outputs.
Money is ``Decimal`` in the currency beside it. Ids of facilities, locations and items never contain ``|``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

# --- closed lists ----------------------------------------------------------------------------------------------------


class MovementKind(StrEnum):
    ISSUE = "ISSUE"
    RETURN = "RETURN"
    TRANSFER_OUT = "TRANSFER_OUT"
    TRANSFER_IN = "TRANSFER_IN"
    ADJUSTMENT = "ADJUSTMENT"
    COUNT = "COUNT"
    REVERSAL = "REVERSAL"


class OrderStatus(StrEnum):
    """What the ERP says of an order (input)."""

    OPEN = "OPEN"
    CANCELLED = "CANCELLED"


class OrderType(StrEnum):
    STOCK = "STOCK"
    CONSIGNMENT = "CONSIGNMENT"
    BILL_ONLY = "BILL_ONLY"


class LocationKind(StrEnum):
    WARD = "WARD"
    OPERATING_ROOM = "OPERATING_ROOM"
    PHARMACY = "PHARMACY"
    WAREHOUSE = "WAREHOUSE"


class Criticality(StrEnum):
    """VED analysis: vital, essential, desirable."""

    VITAL = "VITAL"
    ESSENTIAL = "ESSENTIAL"
    DESIRABLE = "DESIRABLE"


class ReplenishmentPolicy(StrEnum):
    MIN_MAX = "MIN_MAX"
    PAR = "PAR"
    REORDER_POINT = "REORDER_POINT"


class Ownership(StrEnum):
    OWNED = "OWNED"
    CONSIGNED = "CONSIGNED"


class TriggerStatus(StrEnum):
    OPEN = "OPEN"
    CANCELLED = "CANCELLED"


class PostingType(StrEnum):
    CONSUMPTION = "CONSUMPTION"  # owned stock used or issued; a return or reversal has a negative quantity
    BILL_ONLY = "BILL_ONLY"  # consigned stock used: the supplier bills it, no owned stock moved
    ADJUSTMENT = "ADJUSTMENT"  # count variance, adjustment, or the offset of a usage that a count had already seen


class NoticeType(StrEnum):
    USED = "USED"
    REVERSED = "REVERSED"


class InboundKind(StrEnum):
    ORDERED = "ORDERED"  # a PO line names the position (quantity may be negative: reduced or cancelled)
    PUT_AWAY = "PUT_AWAY"  # received stock is put away; clears on-order
    TRANSFER_SENT = "TRANSFER_SENT"  # another position sent stock here: in transit


class LedgerEffect(StrEnum):
    APPLIED = "APPLIED"
    BEFORE_COUNT = "BEFORE_COUNT"  # older than the lot's last count: posted, no balance changed
    SUPERSEDED = "SUPERSEDED"  # a count older than the last one, an order revision older than the last one


class ExceptionKind(StrEnum):
    EXPIRED_LOT = "EXPIRED_LOT"
    OFF_FORMULARY = "OFF_FORMULARY"
    UNKNOWN_REFERENCE = "UNKNOWN_REFERENCE"
    INACTIVE_REFERENCE = "INACTIVE_REFERENCE"
    NEGATIVE_BALANCE = "NEGATIVE_BALANCE"
    UNCOVERED_QUANTITY = "UNCOVERED_QUANTITY"
    INEXACT_QUANTITY = "INEXACT_QUANTITY"
    ID_CONFLICT = "ID_CONFLICT"
    REVERSAL_WITHOUT_ORIGINAL = "REVERSAL_WITHOUT_ORIGINAL"
    ALREADY_REVERSED = "ALREADY_REVERSED"
    BEYOND_HORIZON = "BEYOND_HORIZON"
    RECEIPT_WITHOUT_ORDER = "RECEIPT_WITHOUT_ORDER"
    OVER_RECEIPT = "OVER_RECEIPT"
    WRONG_ITEM = "WRONG_ITEM"
    REPEATED_DELIVERY_NOTE = "REPEATED_DELIVERY_NOTE"


class OwnerRole(StrEnum):
    """Whose work an exception is."""

    WARD = "WARD"
    SUPPLY_CHAIN = "SUPPLY_CHAIN"
    PROCUREMENT = "PROCUREMENT"
    FINANCE = "FINANCE"
    MASTER_DATA = "MASTER_DATA"
    INTEGRATION = "INTEGRATION"


class Severity(StrEnum):
    CRITICAL = "CRITICAL"
    NORMAL = "NORMAL"


# --- inputs ----------------------------------------------------------------------------------------------------------
# Each begins with the envelope: event_id, occurred_at, recorded_at, source_system, correlation_id.


@dataclass(frozen=True, slots=True)
class ClinicalUsage:
    """Something was used on a ward or in an operating room. With ``reverses`` it takes back that usage."""

    event_id: str
    occurred_at: int
    recorded_at: int
    source_system: str
    correlation_id: str
    facility: str
    location: str
    item: str
    quantity: int  # > 0, in uom
    uom: str
    cost_center: str
    lot: str | None = None
    serial: str | None = None
    expiry_date: date | None = None
    procedure_ref: str | None = None  # patient-adjacent: never leaves for finance, supplier or ledger
    reverses: str | None = None  # event_id of the usage taken back


@dataclass(frozen=True, slots=True)
class CountedLot:
    lot: str
    quantity: int  # >= 0, in the movement's uom
    owner: str | None = None  # supplier of consigned stock
    expiry_date: date | None = None


@dataclass(frozen=True, slots=True)
class StockMovement:
    """A movement that is not a clinical usage.

    ``quantity`` is > 0 in uom, but for ADJUSTMENT (signed, not 0), COUNT and REVERSAL (ignored; send 0). COUNT uses
    ``counted``, and with ``full_count`` every lot not in it counts as zero. TRANSFER_OUT names where to
    (``other_facility``, ``other_location``), TRANSFER_IN where from; both carry ``transfer_id``.
    REVERSAL names in ``reverses`` the movement it takes back.
    """

    event_id: str
    occurred_at: int
    recorded_at: int
    source_system: str
    correlation_id: str
    kind: MovementKind
    facility: str
    location: str
    item: str
    quantity: int
    uom: str
    lot: str | None = None
    serial: str | None = None
    expiry_date: date | None = None
    owner: str | None = None
    cost_center: str | None = None
    transfer_id: str | None = None
    other_facility: str | None = None
    other_location: str | None = None
    counted: tuple[CountedLot, ...] = ()
    full_count: bool = False
    reason: str | None = None
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class PurchaseOrderLine:
    line: int
    item: str
    facility: str
    location: str
    quantity: int  # > 0, in uom
    uom: str
    unit_price: Decimal  # per uom
    trigger_id: str | None = None
    due_date: date | None = None


@dataclass(frozen=True, slots=True)
class PurchaseOrder:
    """The whole order as of ``revision`` (1, 2, …); a line left out of a later revision is cancelled."""

    event_id: str
    occurred_at: int
    recorded_at: int
    source_system: str
    correlation_id: str
    po_number: str
    revision: int
    status: OrderStatus
    order_type: OrderType
    supplier: str
    currency: str
    lines: tuple[PurchaseOrderLine, ...]


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    line: int  # the delivery note's line
    item: str
    facility: str
    location: str
    quantity: int  # > 0, in uom
    uom: str
    po_line: int | None = None
    lot: str | None = None
    serial: str | None = None
    expiry_date: date | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A delivery note as received, for one or many facilities. Key: po_number, or ``supplier/delivery_note``."""

    event_id: str
    occurred_at: int
    recorded_at: int
    source_system: str
    correlation_id: str
    supplier: str
    delivery_note: str
    lines: tuple[ReceiptLine, ...]
    po_number: str | None = None


# --- master data (compacted; each topic has one owner) ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnitConversion:
    """``1 uom = numerator/denominator`` base units, exactly."""

    uom: str
    numerator: int
    denominator: int = 1


@dataclass(frozen=True, slots=True)
class Item:
    item: str
    description: str
    base_uom: str
    conversions: tuple[UnitConversion, ...]
    standard_cost: Decimal  # per base unit
    currency: str
    criticality: Criticality
    active: bool
    gtin: str | None = None  # UDI-DI, 14 digits
    supplier: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    facility: str
    location: str
    kind: LocationKind
    cost_center: str  # bears count variances and adjustments
    active: bool
    gln: str | None = None  # 13 digits


@dataclass(frozen=True, slots=True)
class ItemLocation:
    """How an item is kept at a location. All quantities in base units.

    Triggering (design: trigger when inventory position <= s, order up to S):
    MIN_MAX s = min_quantity, S = max_quantity; PAR s = par_quantity - 1, S = par_quantity;
    REORDER_POINT s = reorder_point, or where that is null ceil(daily_demand * lead_time_days) + safety_stock,
    S = max_quantity.
    """

    facility: str
    location: str
    item: str
    policy: ReplenishmentPolicy
    on_formulary: bool
    ownership: Ownership
    minimum_order: int = 1
    order_multiple: int = 1
    min_quantity: int | None = None
    max_quantity: int | None = None
    par_quantity: int | None = None
    reorder_point: int | None = None
    safety_stock: int = 0
    daily_demand: Decimal | None = None
    lead_time_days: int | None = None
    consignment_supplier: str | None = None  # whose stock it is where ownership is CONSIGNED
    consignment_par: int | None = None


@dataclass(frozen=True, slots=True)
class Supplier:
    supplier: str
    name: str
    active: bool
    lead_time_days: int
    gln: str | None = None


@dataclass(frozen=True, slots=True)
class CostCenter:
    cost_center: str
    name: str
    facility: str
    active: bool


# --- internal --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inbound:
    """A step of supply towards a position, told to the position's own pipeline (topic ``inventory.inbound``)."""

    event_id: str
    occurred_at: int
    recorded_at: int
    source_system: str
    correlation_id: str
    causation_id: str
    kind: InboundKind
    facility: str
    location: str
    item: str
    quantity: int  # base units; ORDERED may be negative
    on_order_cleared: int = 0  # PUT_AWAY: how much of it had been on order
    owner: str | None = None  # supplier, for consigned stock
    lot: str | None = None
    expiry_date: date | None = None
    amount: Decimal | None = None  # value of the quantity; None: take the standard cost
    currency: str | None = None
    trigger_id: str | None = None
    transfer_id: str | None = None
    po_number: str | None = None
    po_line: int | None = None


# --- outputs ---------------------------------------------------------------------------------------------------------
# event_id derives from the cause: "<topic>/<event id>#<place>"; causation_id is the cause's event_id; decided_at is the
# cause's record timestamp; master_version is the version of the master data the decision saw.


@dataclass(frozen=True, slots=True)
class ReplenishmentTrigger:
    event_id: str
    occurred_at: int
    decided_at: int
    correlation_id: str
    causation_id: str
    master_version: str
    trigger_id: str  # "<facility>|<location>|<item>#<episode>"
    status: TriggerStatus
    facility: str
    location: str
    item: str
    quantity: int
    uom: str  # base unit
    policy: ReplenishmentPolicy
    inventory_position: int  # before this trigger's quantity
    reorder_point: int  # s
    order_up_to: int  # S
    criticality: Criticality
    supplier: str | None = None


@dataclass(frozen=True, slots=True)
class LotChange:
    lot: str
    owner: str | None
    change: int
    balance: int  # after
    expiry_date: date | None = None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one applied event did to one position. Key: facility|location|item."""

    event_id: str
    occurred_at: int
    decided_at: int
    correlation_id: str
    causation_id: str
    master_version: str
    facility: str
    location: str
    item: str
    number: int  # 1, 2, 3 … per key
    kind: str  # USAGE, USAGE_REVERSAL, a MovementKind, or an InboundKind
    effect: LedgerEffect
    source_topic: str
    source_partition: int
    source_offset: int
    lots: tuple[LotChange, ...]
    requested_change: int
    on_order_change: int
    in_transit_change: int
    value_change: Decimal
    on_hand: int  # owned, after: sum of owned lot balances
    requested: int  # after
    on_order: int  # after
    in_transit: int  # after
    value: Decimal  # after
    currency: str
    caused: tuple[str, ...]  # "<topic>:<event_id>" of every other output of the same event
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class ConsumptionPosting:
    event_id: str
    occurred_at: int
    decided_at: int
    correlation_id: str
    causation_id: str
    master_version: str
    posting_type: PostingType
    facility: str
    location: str
    item: str
    cost_center: str
    quantity: int  # base units; negative takes back
    uom: str
    amount: Decimal  # rounded to 2 places, sign follows quantity
    currency: str
    lot: str | None = None
    supplier: str | None = None  # BILL_ONLY: who bills
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class ConsignmentNotice:
    """Tells the supplier what of its stock was used, and how much to bring (one for one, up to par)."""

    event_id: str
    occurred_at: int
    decided_at: int
    correlation_id: str
    causation_id: str
    master_version: str
    notice_type: NoticeType
    supplier: str
    facility: str
    location: str
    item: str
    lot: str
    quantity: int
    uom: str
    balance: int  # this supplier's stock at the position, after
    replenish_quantity: int
    serial: str | None = None
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class ExceptionRaised:
    """Work for somebody. ``applied`` tells whether the event changed a table all the same."""

    event_id: str
    occurred_at: int
    decided_at: int
    correlation_id: str
    causation_id: str
    master_version: str
    kind: ExceptionKind
    severity: Severity
    owner_role: OwnerRole
    applied: bool
    message: str  # says field, value and what was expected
    facility: str | None
    location: str | None
    item: str | None
    source_topic: str
    source_partition: int
    source_offset: int
    payload: str  # the event as JSON, without procedure_ref


@dataclass(frozen=True, slots=True)
class OrderLineChange:
    line: int
    ordered_change: int  # base units
    received_change: int
    open_quantity: int  # after


@dataclass(frozen=True, slots=True)
class OrderLedgerEntry:
    """What one applied event did to one purchase order (topic ``procurement.ledger``). Key: po_number."""

    event_id: str
    occurred_at: int
    decided_at: int
    correlation_id: str
    causation_id: str
    master_version: str
    po_number: str
    number: int  # 1, 2, 3 … per key
    kind: str  # ORDER or RECEIPT
    effect: LedgerEffect
    source_topic: str
    source_partition: int
    source_offset: int
    lines: tuple[OrderLineChange, ...]
    status: str  # after: UNANNOUNCED, OPEN, PARTIALLY_RECEIVED, RECEIVED, CANCELLED
    caused: tuple[str, ...]
