"""Replenishment triggers as the inventory pipeline would publish them."""

from __future__ import annotations

from agents import topics
from app.domain.records import Criticality, ItemLocation, ReplenishmentPolicy, ReplenishmentTrigger, TriggerStatus

TIME = 1_780_000_000_000
QUANTITY = 17


def a_trigger(row: ItemLocation, episode: int, status: TriggerStatus = TriggerStatus.OPEN) -> ReplenishmentTrigger:
    """A trigger for so many base units at the row's position."""
    return ReplenishmentTrigger(
        event_id=f"clinical.usage/U-{episode}#1",
        occurred_at=TIME,
        decided_at=TIME,
        correlation_id="C",
        causation_id=f"U-{episode}",
        master_version="items@1",
        trigger_id=f"{topics.position_key(row)}#{episode}",
        status=status,
        facility=row.facility,
        location=row.location,
        item=row.item,
        quantity=QUANTITY,
        uom="EA",
        policy=ReplenishmentPolicy.MIN_MAX,
        inventory_position=1,
        reorder_point=2,
        order_up_to=1 + QUANTITY,
        criticality=Criticality.VITAL,
    )
