from __future__ import annotations

from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulate.shelves import Batch, Held, Shelf, Shelves
from app.simulate.world import make_world

WORLD = make_world(3, 2)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(WORLD.stocked[0])


def test_the_lot_that_expires_first_is_taken_first_and_one_without_expiry_last(shelf: Shelf) -> None:
    shelf.put(Batch("NONE", None), 5)
    shelf.put(Batch("LATE", date(2031, 1, 1)), 5)
    shelf.put(Batch("SOON", date(2030, 1, 1)), 5)
    taken = [shelf.take(5) for _ in range(3)]
    assert [batch.lot if batch else None for batch in taken] == ["SOON", "LATE", "NONE"]


def test_what_no_single_lot_covers_names_no_lot_and_comes_from_several(shelf: Shelf) -> None:
    shelf.put(Batch("A", date(2030, 1, 1)), 2)
    shelf.put(Batch("B", date(2031, 1, 1)), 3)
    assert shelf.take(4) is None
    assert [(held.batch.lot, held.quantity) for held in shelf.held] == [("B", 1)]


@given(st.lists(st.integers(1, 20), max_size=6), st.lists(st.integers(1, 15), max_size=12))
def test_a_shelf_never_believes_in_less_than_nothing(put: list[int], taken: list[int]) -> None:
    shelf = Shelf(WORLD.stocked[0])
    for n, quantity in enumerate(put):
        shelf.put(Batch(f"L{n}", None), quantity)
    for quantity in taken:
        before = shelf.on_hand
        shelf.take(quantity)
        assert shelf.on_hand == max(0, before - quantity)
    assert all(held.quantity > 0 for held in shelf.held)


def test_a_count_replaces_what_was_believed(shelf: Shelf) -> None:
    shelf.put(Batch("A", None), 9)
    shelf.recount([Held(Batch("B", None), 4), Held(Batch("C", None), 0)])
    assert [(held.batch.lot, held.quantity) for held in shelf.held] == [("B", 4)]


def test_busy_shelves_are_picked_more_often_than_quiet_ones() -> None:
    rng = Random(1)
    shelves = Shelves(rng, WORLD.stocked)
    order = list(shelves)
    picked = [shelves.pick(rng).stocked.key for _ in range(20_000)]
    busy = {shelf.stocked.key for shelf in order[: len(order) // 10]}
    assert sum(key in busy for key in picked) / len(picked) > 0.2
