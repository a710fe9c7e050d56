"""Inventory positions. Key ``<facility>|<location>|<item>``; kept for ever."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from app.domain.positions import Lot, Mark, Position, Transit
from app.runtime.state.table import Table


def dump(position: Position) -> bytes:
    """The position as one JSON object; quantities in base units, money as decimal strings, dates as YYYY-MM-DD."""
    return orjson.dumps(
        {
            "number": position.number,
            "lots": [_lot(lot) for lot in position.lots.values()],
            "on_hand": position.on_hand,
            "requested": position.requested,
            "episode": position.episode,
            "on_order": position.on_order,
            "in_transit": position.in_transit,
            "transits": [_transit(transit) for transit in position.transits],
            "value": str(position.value),
            "currency": position.currency,
            "last_cost": None if position.last_cost is None else str(position.last_cost),
            "full_count": position.full_count,
            "remembered_from": position.remembered_from,
        }
    )


def _lot(lot: Lot) -> dict[str, Any]:
    return {
        "lot": lot.lot,
        "owner": lot.owner,
        "balance": lot.balance,
        "expiry_date": lot.expiry_date,
        "received_at": lot.received_at,
        "counted": lot.counted,
        "touched_at": lot.touched_at,
    }


def _transit(transit: Transit) -> dict[str, Any]:
    return {
        "transfer_id": transit.transfer_id,
        "owner": transit.owner,
        "quantity": transit.quantity,
        "value": str(transit.value),
    }


def load(raw: bytes) -> Position:
    """The inverse of ``dump``. Raises ``orjson.JSONDecodeError`` or ``KeyError`` for bytes that it did not make."""
    row: dict[str, Any] = orjson.loads(raw)
    return Position(
        currency=row["currency"],
        number=row["number"],
        lots={(lot["lot"], lot["owner"]): _loaded_lot(lot) for lot in row["lots"]},
        on_hand=row["on_hand"],
        value=Decimal(row["value"]),
        last_cost=None if row["last_cost"] is None else Decimal(row["last_cost"]),
        requested=row["requested"],
        episode=row["episode"],
        on_order=row["on_order"],
        transits=tuple(_loaded_transit(transit) for transit in row["transits"]),
        full_count=_mark(row["full_count"]),
        remembered_from=row["remembered_from"],
    )


def _loaded_lot(row: dict[str, Any]) -> Lot:
    expiry_date = row["expiry_date"]
    return Lot(
        row["lot"],
        row["owner"],
        row["balance"],
        row["touched_at"],
        None if expiry_date is None else date.fromisoformat(expiry_date),
        row["received_at"],
        _mark(row["counted"]),
    )


def _loaded_transit(row: dict[str, Any]) -> Transit:
    return Transit(row["transfer_id"], row["owner"], row["quantity"], Decimal(row["value"]))


def _mark(pair: list[Any] | None) -> Mark | None:
    return None if pair is None else (pair[0], pair[1])


positions: Table[Position] = Table("positions", dump=dump, load=load)
