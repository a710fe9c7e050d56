"""A day in a small hospital, as messages and as a history."""

from __future__ import annotations

from datetime import date

import pytest

from tests.reconcile.books import BOX, GLOVE, STENT, STORE, THEATRE, WARD, Bookkeeper

WARD_GLOVES, THEATRE_GLOVES, STORE_GLOVES = f"{WARD}|{GLOVE}", f"{THEATRE}|{GLOVE}", f"{STORE}|{GLOVE}"
WARD_STENTS, THEATRE_STENTS = f"{WARD}|{STENT}", f"{THEATRE}|{STENT}"


def a_day() -> Bookkeeper:
    """Every kind of event at least once, with repeats, conflicts and messages that cannot be worked."""
    books = Bookkeeper()
    books.count(STORE_GLOVES, {"L1": 300, "L2": 50}, full=True)
    books.order("PO-1", WARD_GLOVES, 6)
    books.receive("PO-1", 4, "L1", date(2027, 1, 31))
    first = books.usage(WARD_GLOVES, 7)
    books.repeat(first)
    books.repeat(first, quantity=8)
    books.usage(WARD_GLOVES, 20)
    books.usage(STORE_GLOVES, 310, lot=None)
    books.move("RETURN", STORE_GLOVES, 310)
    books.garbage()
    books.receive("PO-1", 3, "L2", date(2026, 3, 1))
    books.reverse_usage(first)
    books.move("ISSUE", STORE_GLOVES, 2, uom="BX")
    books.move("RETURN", STORE_GLOVES, 5)
    books.move("ADJUSTMENT", STORE_GLOVES, -3, lot="L2")
    books.transfer(STORE_GLOVES, THEATRE_GLOVES, 25, "T-1")
    books.arrive(THEATRE_GLOVES, STORE_GLOVES, 10, "T-1")
    books.arrive(THEATRE_GLOVES, STORE_GLOVES, 15, "T-1")
    books.count(WARD_GLOVES, {"L1": 11}, ago=3)
    books.usage(WARD_GLOVES, 2, ago=60)
    books.consign(THEATRE_STENTS, "S1", 3)
    used = books.usage(THEATRE_STENTS, 1, lot="S1", owner="SUP-1")
    books.reverse_usage(used)
    books.usage(WARD_STENTS, 1, lot="S9")
    trigger = books.positions[WARD_STENTS].episode
    books.order("PO-2", WARD_STENTS, 1, trigger_id=f"{WARD_STENTS}#{trigger}")
    books.order("PO-2", WARD_STENTS, 2, revision=2)
    books.order("PO-2", WARD_STENTS, 5, revision=1)
    books.receive("PO-2", 1, "S9")
    books.usage(WARD_STENTS, BOX)
    books.count(WARD_STENTS, {"S9": 9}, full=True)
    books.refuse(WARD_GLOVES)
    books.park()
    books.invalid()
    return books


@pytest.fixture
def books() -> Bookkeeper:
    return a_day()
