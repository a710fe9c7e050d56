from __future__ import annotations

import pytest

from app.domain.records import LocationKind, Ownership, ReplenishmentPolicy
from app.domain.validation import validate
from app.simulate.catalog import PROCEDURES, PRODUCTS, Family
from app.simulate.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=11, facilities=3)


def test_the_same_seed_makes_the_same_world(world: World) -> None:
    assert make_world(11, 3) == world
    assert make_world(12, 3) != world


def test_every_master_record_is_valid_and_has_its_own_key(world: World) -> None:
    keys = [(each.topic.name, each.topic.key_of(each.record)) for each in world.master()]
    assert len(keys) == len(set(keys))
    for each in world.master():
        validate(each.record)


def test_every_reference_of_the_master_is_in_the_master(world: World) -> None:
    items, suppliers = {i.item for i in world.items}, {s.supplier for s in world.suppliers}
    centers, places = {c.cost_center for c in world.cost_centers}, {(o.facility, o.location) for o in world.locations}
    assert {i.supplier for i in world.items} <= suppliers
    assert {o.cost_center for o in world.locations} == centers
    assert {s.item.item for s in world.stocked} <= items
    assert {(s.row.facility, s.row.location) for s in world.stocked if s.row} <= places


def test_all_policies_ownerships_and_kinds_of_place_occur(world: World) -> None:
    rows = [stocked.row for stocked in world.stocked if stocked.row]
    assert {row.policy for row in rows} == set(ReplenishmentPolicy)
    assert {row.ownership for row in rows} == set(Ownership)
    assert {o.kind for o in world.locations} == set(LocationKind)
    assert {s.family for s in world.stocked} == set(Family)
    assert any(row.reorder_point is None for row in rows if row.policy is ReplenishmentPolicy.REORDER_POINT)


def test_some_positions_are_off_formulary_or_have_no_row_and_some_items_are_inactive(world: World) -> None:
    assert any(stocked.row is None for stocked in world.stocked)
    assert any(stocked.row is not None and not stocked.row.on_formulary for stocked in world.stocked)
    assert 0 < sum(not item.active for item in world.items) < len(world.items) / 10


def test_consigned_stock_belongs_to_the_supplier_of_its_item(world: World) -> None:
    consigned = [stocked for stocked in world.stocked if stocked.owner]
    assert consigned
    for stocked in consigned:
        assert stocked.owner == stocked.item.supplier
        assert stocked.row is None or stocked.row.consignment_supplier == stocked.owner


def test_procedures_consume_products_of_the_catalog() -> None:
    names = {product.name for product in PRODUCTS}
    assert {name for procedure in PROCEDURES for name, _ in procedure.consumes} <= names


def test_late_master_records_exist_and_concern_positions(world: World) -> None:
    names = {each.name for each in world.master()}
    assert world.late <= names
    assert {stocked.late for stocked in world.stocked} - {None} <= world.late
