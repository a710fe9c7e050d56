"""The simulated health system as its master data describe it: who exists, what is kept where, and by which policy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

from agents import topics
from app.domain.records import (
    CostCenter,
    Item,
    ItemLocation,
    Location,
    LocationKind,
    Ownership,
    ReplenishmentPolicy,
    Supplier,
)
from app.runtime.topics import Topic
from app.simulate.catalog import PRODUCTS, Family, Product
from app.simulate.identifiers import gln, gtin

GS1_COMPANY = 9_521_234  # 952 is GS1's prefix for examples: such numbers belong to nobody
CURRENCY = "USD"
CENTRAL = "CENTRAL"

INACTIVE_EVERY = 61  # one item in so many is inactive, yet still on a shelf
LATE_ITEMS = 3
CONSIGNED_SHARE = 0.6  # of the implants in an operating room
OFF_FORMULARY_SHARE = 0.02
MISSING_SHARE = 0.02  # stocked without a row in the item-location master


@dataclass(frozen=True, slots=True)
class Stocked:
    """An item that is kept at a location. ``capacity`` in base units; ``row`` None where the master has none.

    ``product`` is the line of the catalog that the item is a variant of.
    ``owner`` is the supplier whose stock it is, None for owned stock. ``late`` names the master record
    (``item:…``, ``location:…``, ``cost-center:…``) that is published only after the first use here.
    """

    location: Location
    item: Item
    product: str
    family: Family
    capacity: int
    owner: str | None
    row: ItemLocation | None
    late: str | None = None

    @property
    def key(self) -> str:
        return f"{self.location.facility}|{self.location.location}|{self.item.item}"


@dataclass(frozen=True, slots=True)
class MasterRecord:
    """A record for a master topic. ``name`` is the reference that waiting events would name."""

    topic: Topic
    record: Any
    name: str


@dataclass(frozen=True, slots=True)
class World:
    """All that stands still during a run. ``late`` are the names of master records held back at first."""

    locations: tuple[Location, ...]
    cost_centers: tuple[CostCenter, ...]
    suppliers: tuple[Supplier, ...]
    items: tuple[Item, ...]
    stocked: tuple[Stocked, ...]
    late: frozenset[str]

    def master(self) -> Iterator[MasterRecord]:
        """Every master record, the late ones included, suppliers and cost centers first."""
        yield from (MasterRecord(topics.suppliers, s, f"supplier:{s.supplier}") for s in self.suppliers)
        yield from (MasterRecord(topics.cost_centers, c, f"cost-center:{c.cost_center}") for c in self.cost_centers)
        yield from (MasterRecord(topics.locations, o, location_name(o)) for o in self.locations)
        yield from (MasterRecord(topics.items, i, f"item:{i.item}") for i in self.items)
        yield from (MasterRecord(topics.item_locations, s.row, "") for s in self.stocked if s.row)


def location_name(location: Location) -> str:
    """The reference under which events wait for a location."""
    return f"location:{location.facility}|{location.location}"


def make_world(seed: int, facilities: int) -> World:
    """The same world for the same seed and number of facilities: about 140 positions a facility, 70 at the center."""
    rng = Random(f"world/{seed}")
    suppliers = _suppliers(rng)
    items = [made for product in PRODUCTS for made in _items(rng, product, suppliers)]
    numbered = [(_numbered(item, n), family) for n, (item, family) in enumerate(items, start=1)]
    locations = tuple(_locations(facilities))
    late = _late_names(rng, numbered, locations)
    stocked = tuple(
        _stocked(rng, place, item, family, late) for place, item, family in _shelved(rng, locations, numbered)
    )
    return World(
        locations, tuple(map(_cost_center, locations)), suppliers, tuple(i for i, _ in numbered), stocked, late
    )


# --- suppliers, items, locations -------------------------------------------------------------------------------------

_SUPPLIER_NAMES = (
    "Orthovance",
    "Cardiomed Devices",
    "Halden Surgical",
    "Clearline Consumables",
    "Meridian Medical Supply",
    "Novapharm Wholesale",
    "Sterling Hospital Pharmacy",
)
_SUPPLIES = {Family.IMPLANT: (0, 1), Family.COMMODITY: (2, 3, 4), Family.DRUG: (5, 6)}
_PREFIX = {Family.IMPLANT: "IMP", Family.COMMODITY: "COM", Family.DRUG: "DRG"}


def _suppliers(rng: Random) -> tuple[Supplier, ...]:
    return tuple(
        Supplier(f"SUP-{n:02d}", name, True, rng.randint(1, 5), gln(GS1_COMPANY, 90_000 + n))
        for n, name in enumerate(_SUPPLIER_NAMES, start=1)
    )


def _items(rng: Random, product: Product, suppliers: tuple[Supplier, ...]) -> Iterator[tuple[Item, Family]]:
    supplier = suppliers[rng.choice(_SUPPLIES[product.family])].supplier
    for variant in product.variants:
        item = Item(
            item=_PREFIX[product.family],
            description=f"{product.name}, {variant}",
            base_uom=product.base_uom,
            conversions=product.conversions,
            standard_cost=_cents(rng.uniform(*product.cost)),
            currency=CURRENCY,
            criticality=product.criticality,
            active=True,
            supplier=supplier,
        )
        yield item, product.family


def _numbered(item: Item, number: int) -> Item:
    """The item with its id and GTIN from its running number in the item master."""
    return replace(
        item,
        item=f"{item.item}-{number:04d}",
        gtin=gtin(GS1_COMPANY, number),
        active=number % INACTIVE_EVERY != 0,
    )


def _locations(facilities: int) -> Iterator[Location]:
    yield _location(0, CENTRAL, "WAREHOUSE", LocationKind.WAREHOUSE, 1)
    for n in range(1, facilities + 1):
        facility = f"HOSP-{n:02d}"
        for place, (name, kind) in enumerate(_ROOMS, start=1):
            yield _location(n, facility, name, kind, place)


_ROOMS = (
    ("WARD-A", LocationKind.WARD),
    ("WARD-B", LocationKind.WARD),
    ("ICU", LocationKind.WARD),
    ("OR-1", LocationKind.OPERATING_ROOM),
    ("OR-2", LocationKind.OPERATING_ROOM),
    ("PHARMACY", LocationKind.PHARMACY),
)


def _location(number: int, facility: str, name: str, kind: LocationKind, place: int) -> Location:
    return Location(facility, name, kind, f"CC-{facility}-{name}", True, gln(GS1_COMPANY, number * 10 + place))


def _cost_center(location: Location) -> CostCenter:
    name = f"{location.location}, {location.facility}"
    return CostCenter(location.cost_center, name, location.facility, True)


def _late_names(rng: Random, items: list[tuple[Item, Family]], locations: tuple[Location, ...]) -> frozenset[str]:
    """Some implants (new on the market), one operating room, and the cost center of one ward."""
    implants = [item.item for item, family in items if family is Family.IMPLANT]
    room = rng.choice([o for o in locations if o.kind is LocationKind.OPERATING_ROOM])
    ward = rng.choice([o for o in locations if o.kind is LocationKind.WARD])
    late = {f"item:{item}" for item in rng.sample(implants, LATE_ITEMS)}
    return frozenset(late | {location_name(room), f"cost-center:{ward.cost_center}"})


# --- what is kept where ----------------------------------------------------------------------------------------------

_KEPT = {
    LocationKind.WARD: {Family.COMMODITY: 0.6, Family.DRUG: 0.6},
    LocationKind.OPERATING_ROOM: {Family.IMPLANT: 0.5, Family.COMMODITY: 0.6, Family.DRUG: 0.2},
    LocationKind.PHARMACY: {Family.DRUG: 1.0},
    LocationKind.WAREHOUSE: {Family.COMMODITY: 1.0, Family.DRUG: 1.0, Family.IMPLANT: 0.3},
}
_CAPACITY = {
    LocationKind.WARD: (20, 60),
    LocationKind.OPERATING_ROOM: (20, 60),
    LocationKind.PHARMACY: (60, 160),
    LocationKind.WAREHOUSE: (300, 900),
}
_IMPLANT_CAPACITY = {LocationKind.OPERATING_ROOM: (6, 14), LocationKind.WAREHOUSE: (20, 40)}


def _shelved(
    rng: Random, locations: tuple[Location, ...], items: list[tuple[Item, Family]]
) -> Iterator[tuple[Location, Item, Family]]:
    for location in locations:
        kept = _KEPT[location.kind]
        for item, family in items:
            if rng.random() < kept.get(family, 0.0):
                yield location, item, family


def _stocked(rng: Random, location: Location, item: Item, family: Family, late: frozenset[str]) -> Stocked:
    in_room = location.kind is LocationKind.OPERATING_ROOM
    consigned = family is Family.IMPLANT and in_room and rng.random() < CONSIGNED_SHARE
    capacity = rng.randint(*_capacities(location, family))
    owner = item.supplier if consigned else None
    policy = _policy(rng, _bare_row(location, item, owner), capacity, item)
    row = None if rng.random() < MISSING_SHARE else policy
    product = item.description.rpartition(",")[0]
    return Stocked(location, item, product, family, capacity, owner, row, _late_name(location, item, late))


def _late_name(location: Location, item: Item, late: frozenset[str]) -> str | None:
    names = (f"item:{item.item}", location_name(location), f"cost-center:{location.cost_center}")
    return next((name for name in names if name in late), None)


def _capacities(location: Location, family: Family) -> tuple[int, int]:
    return _IMPLANT_CAPACITY[location.kind] if family is Family.IMPLANT else _CAPACITY[location.kind]


def _bare_row(location: Location, item: Item, owner: str | None) -> ItemLocation:
    return ItemLocation(
        facility=location.facility,
        location=location.location,
        item=item.item,
        policy=ReplenishmentPolicy.PAR,
        on_formulary=True,
        ownership=Ownership.CONSIGNED if owner else Ownership.OWNED,
        consignment_supplier=owner,
    )


def _policy(rng: Random, row: ItemLocation, capacity: int, item: Item) -> ItemLocation:
    on_formulary = rng.random() >= OFF_FORMULARY_SHARE
    if row.consignment_supplier:
        return replace(row, on_formulary=on_formulary, par_quantity=capacity, consignment_par=capacity)
    make = rng.choice((_par, _min_max, _reorder_point))
    multiple = _multiple(rng, capacity, item)
    return make(rng, replace(row, on_formulary=on_formulary, order_multiple=multiple), capacity)


def _multiple(rng: Random, capacity: int, item: Item) -> int:
    """Whole boxes where a box is small beside the shelf, else single units."""
    boxes = [c.numerator for c in item.conversions if c.denominator == 1 and c.numerator * 3 <= capacity]
    return rng.choice(boxes) if boxes and rng.random() < 0.6 else 1


def _par(_: Random, row: ItemLocation, capacity: int) -> ItemLocation:
    return replace(row, policy=ReplenishmentPolicy.PAR, par_quantity=max(2, capacity * 2 // 3), minimum_order=2)


def _min_max(rng: Random, row: ItemLocation, capacity: int) -> ItemLocation:
    low = max(1, int(capacity * rng.uniform(0.3, 0.5)))
    return replace(row, policy=ReplenishmentPolicy.MIN_MAX, min_quantity=low, max_quantity=capacity)


def _reorder_point(rng: Random, row: ItemLocation, capacity: int) -> ItemLocation:
    """Half of the rows name s; the others leave it to demand, lead time and safety stock."""
    row = replace(row, policy=ReplenishmentPolicy.REORDER_POINT, max_quantity=capacity)
    if rng.random() < 0.5:
        return replace(row, reorder_point=max(1, int(capacity * rng.uniform(0.3, 0.5))))
    lead_time = rng.randint(1, 4)
    daily = Decimal(max(1, round(capacity * 25 / lead_time))) / 100
    return replace(row, daily_demand=daily, lead_time_days=lead_time, safety_stock=math.ceil(capacity / 10))


def _cents(amount: float) -> Decimal:
    return Decimal(max(1, round(amount * 100))) / 100
